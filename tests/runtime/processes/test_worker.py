"""A process of the API tells its numbers for as long as it is listened to."""

import threading
from multiprocessing import Pipe

from orchestrator.runtime.health.metrics import Metrics
from orchestrator.runtime.processes.worker import tell_until_closed


def test_it_tells_its_numbers_until_the_other_end_is_closed() -> None:
    ours, theirs = Pipe()
    told = threading.Thread(target=tell_until_closed, args=(theirs, Metrics()))
    told.start()
    names = {family.name for family in ours.recv()}
    ours.close()
    told.join(30)
    assert not told.is_alive()
    assert {"tallystick_http_answers", "tallystick_http_seconds"} <= names
