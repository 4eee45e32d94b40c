"""Signs of life in the database: a part notes its own, and whoever watches reads them all."""

import json
from collections.abc import Mapping

from orchestrator.core.health import Pulse, Vitals
from orchestrator.storage.database import Session


def beat(session: Session, log_id: bytes, part: str, figures: Mapping[str, int]) -> None:
    """Note that a part works, and what it sees; its login may write its own alone."""
    session.run("health.beat", log_id=log_id, part=part, figures=json.dumps(dict(figures)))


def read_vitals(session: Session, log_id: bytes) -> Vitals:
    """Return the state of the service that keeps a log."""
    (row,) = session.all("health.state", log_id=log_id)
    pulses = {each["part"]: Pulse(each["at_ms"], each["figures"]) for each in row.pulses}
    return Vitals(
        row.now_ms, row.waiting, row.waiting_since_ms, row.size, row.unanchored_since_ms, pulses
    )
