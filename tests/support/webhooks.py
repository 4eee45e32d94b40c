"""A surface whose webhooks go to a real server, and the parts that send them, moved by hand."""

import asyncio
import base64
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple

import httpx
from standardwebhooks.webhooks import Webhook

from orchestrator.core.common.hexadecimal import from_hex
from orchestrator.core.common.units import DAY_MS
from orchestrator.core.world.requests import ExpireAction
from orchestrator.log.feed import Feed
from orchestrator.storage.database import WORKER
from orchestrator.webhooks.courier import Courier
from orchestrator.webhooks.delivery import Deliverer
from orchestrator.webhooks.posting import Poster
from tests.support.api_service import (
    LOG_ID,
    LOOPBACK,
    PUBLISHER,
    ApiService,
    event,
    lead_ids,
    ndjson,
    open_with_actions,
    report,
    report_lines,
    request_action,
    running_service,
    wallet,
)
from tests.support.http_server import send, serving
from tests.support.servers import open_as

LETTER_MS = 30 * DAY_MS
LETTER = {"level": 1, "by": "surface", "expires_s": LETTER_MS // 1000, "returns": ["industry"]}
MANY = {"lead": 16, "operator": 60, "surface": 60}


class Received(NamedTuple):
    """A message as a receiver got it: its verified document, its headers and its body."""

    document: dict[str, Any]
    headers: dict[str, str]
    body: bytes


class Receiver:
    """A real server that verifies what it is sent by the library, and answers as it is told."""

    def __init__(self) -> None:
        self.url = ""
        self.secret = ""
        self.status = 200
        self.received: list[Received] = []
        self.tries = 0
        self.refused: list[str] = []
        # Called with each message; what it returns is the status of the answer.
        self.judge: Callable[[dict[str, Any]], int] = lambda _: self.status
        self.answer: Callable[[BaseHTTPRequestHandler], object] = self.take
        self._lock = threading.Lock()

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        document = Webhook(self.secret).verify(body, headers)
        with self._lock:
            self.tries += 1
            status = self.judge(document)
            if 200 <= status < 300:
                self.received.append(Received(document, headers, body))
        send(handler, b"", status=status)

    @contextmanager
    def misbehaving(self, how: str, elsewhere: str) -> Iterator[None]:
        """Answer otherwise until the block ends: `hang`, `drip`, `redirect` or `nonsense`."""
        over = threading.Event()

        def drip(handler: BaseHTTPRequestHandler) -> None:
            # One byte of the head after another: no single read takes long.
            with suppress(OSError):
                handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
                while not over.wait(0.05):
                    handler.wfile.write(b"x")

        def redirect(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(302)
            handler.send_header("Location", elsewhere)
            handler.end_headers()

        answers: dict[str, Callable[[BaseHTTPRequestHandler], object]] = {
            "hang": lambda _: over.wait(30),
            "drip": drip,
            "redirect": redirect,
            "nonsense": lambda handler: handler.wfile.write(b"nonsense\r\n\r\n"),
        }
        self.answer = answers[how]
        try:
            yield
        finally:
            over.set()
            self.answer = self.take

    @property
    def positions(self) -> list[int]:
        return [one.document["data"]["position"] for one in self.received]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver until the block ends."""
    receiver = Receiver()
    with serving(lambda handler: receiver.answer(handler)) as url:  # noqa: PLW0108 - it changes
        receiver.url = f"{url}/hook"
        yield receiver


class Bench:
    """A surface that carries out letters, its parties, and the parts that send webhooks."""

    def __init__(self, service: ApiService, exits: ExitStack) -> None:
        self.service = service
        self.owner = service.sign_in(wallet("owner"), "owner")
        self.operator = service.sign_in(wallet("operator"), "operator")
        actions = {"email": {"level": 1}, "letter": LETTER}
        self.surface = open_with_actions(
            service, self.owner, "letters", actions, wallet("operator"), open_actions=MANY
        )
        for name in ("user-1", "user-2", "user-3"):
            report(self.owner, self.surface, name, event(name))
        self.leads = [lead for _, lead in sorted(lead_ids(self.owner, self.surface).items())]
        self.database = exits.enter_context(open_as(service.database_url, WORKER))
        self.feed = exits.enter_context(Feed(self.database, LOG_ID))
        self.courier = Courier(self.database, LOG_ID, self.feed)
        self.poster = Poster(LOOPBACK, deadline_s=5)
        self.deliverer = self.another()
        self.courier.step()

    def another(self, poster: Poster | None = None) -> Deliverer:
        """Return one more deliverer of the same log."""
        parts = (self.database, LOG_ID, self.feed, self.courier, poster or self.poster)
        return Deliverer(*parts, PUBLISHER.address)

    @contextmanager
    def hurrying(self) -> Iterator[None]:
        """Give receivers little time until the block ends."""
        patient = self.deliverer
        self.deliverer = self.another(Poster(LOOPBACK, deadline_s=0.3))
        try:
            yield
        finally:
            self.deliverer = patient

    def expire(self, position: int) -> None:
        """Have a request expire, as the pipeline does."""
        row = self.action(position)
        expired = ExpireAction(from_hex(self.surface), from_hex(row["lead"]), position)
        with self.service.clock.moved_by(LETTER_MS + 1):
            self.service.submit(f"expire {position}", expired)
            self.service.decide_waiting()
        assert self.action(position)["state"] == "expired"

    def register(self, receiver: Receiver, client: httpx.Client | None = None, **body: Any) -> str:
        """Register a receiver as a webhook, of the owner unless told otherwise; return its id."""
        told = {"url": receiver.url, "audience": "owner"} | body
        answer = (client or self.owner).post("/v1/webhooks", json=told)
        assert answer.status_code == 201, answer.text
        receiver.secret = answer.json()["secret"]
        assert len(base64.b64decode(receiver.secret.removeprefix("whsec_"))) == 32
        webhook: str = answer.json()["webhook"]
        return webhook

    def request(self, *keys: str) -> list[int]:
        """Request letters, and return the positions of the requests."""
        positions = []
        for number, key in enumerate(keys):
            lead = self.leads[number % len(self.leads)]
            answer = request_action(
                self.operator, self.surface, key.replace(" ", "-"), lead, "letter"
            )
            assert answer.status_code == 200, answer.text
            found = answer.json()
            positions.append(found["first_position"] + found["count"] - 1)
        return positions

    def report_others(self, count: int, run: int) -> None:
        """Have the log say much that no webhook hears of."""
        lines = [event(f"other-{run}-{n}") | {"id": f"other-{run}-{n}"} for n in range(count)]
        answer = report_lines(self.owner, self.surface, ndjson(*lines))
        assert answer.is_success, answer.text

    def publish_offers(self, count: int, level: int = 1) -> list[str]:
        """Publish offers on the surface, and return their ids."""
        path, offers = f"/v1/surfaces/{self.surface}/offers", []
        deal = {"outcome": "activated", "price": "8.00", "at_most": 50, "hold": "3 days"}
        for _ in range(count):
            answer = self.owner.post(path, json={"deal": deal, "level": level, "places": 2})
            assert answer.status_code == 201, answer.text
            offers.append(answer.json()["offer"])
        return offers

    def look(self) -> int:
        """Look at each webhook that is due, once; return how many messages were tried."""
        due = self.courier.step()
        tried = sum(asyncio.run(self.deliverer.deliver(one.webhook)) for one in due)
        self.service.decide_waiting()
        return tried

    def work(self) -> int:
        """Look until nothing is due; return how many messages were tried."""
        tried = 0
        while found := self.look():
            tried += found
        return tried

    def shown(self, webhook: str) -> Any:
        return self.owner.get(f"/v1/webhooks/{webhook}").json()

    def deliveries(self, webhook: str, **query: Any) -> list[Any]:
        answer = self.owner.get(f"/v1/webhooks/{webhook}/deliveries", params=query)
        assert answer.status_code == 200, answer.text
        found: list[Any] = answer.json()["deliveries"]
        return found

    def action(self, position: int) -> Any:
        path = f"/v1/surfaces/{self.surface}/actions/{position}"
        return self.operator.get(path).json()

    def rows(self, webhook: str, table: str) -> int:
        """Return how many rows a webhook has in a table."""
        with self.service.admin() as admin:
            query = f"SELECT count(*) FROM {table} WHERE webhook = %s"  # noqa: S608
            row = admin.execute(query.encode(), (from_hex(webhook),)).fetchone()
        assert row is not None
        return int(row[0])


@contextmanager
def bench(database_url: str) -> Iterator[Bench]:
    """Run a service with a bench until the block ends."""
    with running_service(database_url) as service, ExitStack() as exits:
        yield Bench(service, exits)
