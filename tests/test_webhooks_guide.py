"""The receiver of docs/webhooks.md, run against the service as it stands."""

import re
from pathlib import Path
from threading import Thread
from typing import Any

from tests.support.webhooks import Receiver, bench

PAGE = Path(__file__).parents[1] / "docs/webhooks.md"


def test_the_receiver_of_the_guide_carries_out_what_is_requested(database_url: str) -> None:
    (text,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    carried_out: list[tuple[object, ...]] = []
    with bench(database_url) as site:
        names: dict[str, Any] = {
            "SECRET": "whsec_" + "A" * 44,
            "HOST": "127.0.0.1",
            "PORT": 0,
            "carry_out": lambda *what: carried_out.append(what),
        }
        exec(text, names)  # noqa: S102 - our own page
        with names["server"] as server:
            server.RequestHandlerClass.log_message = lambda *_: None
            thread = Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            try:
                told = Receiver()
                told.url = f"http://127.0.0.1:{server.server_address[1]}/"
                webhook = site.register(told, events=["action.requested"])
                (asked,) = site.request("one")
                # The secret is not the receiver's: it takes nothing.
                assert site.work() == 1
                assert site.deliveries(webhook)[0]["status"] == 401
                names["webhook"] = names["Webhook"](told.secret)
                site.service.clock.now_ms += 60_000
                assert site.work() == 1
            finally:
                server.shutdown()
                thread.join()
        assert carried_out == [("letter", "user-1", {})]
        assert site.action(asked)["state"] == "taken"
        assert names["done"] == {site.deliveries(webhook)[0]["message"]}
