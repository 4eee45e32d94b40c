"""A whole service for the API's tests: HTTP server, PostgreSQL, and the one writer of the log."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import psycopg
import uvicorn
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount

from api.app import create_app
from api.context import Limits, ServiceInfo
from orchestrator.core.entry import address_word
from orchestrator.core.policy import canonical_json
from orchestrator.core.requests import Genesis, Request
from orchestrator.core.site import TokenInfo
from orchestrator.core.terms import Domain, Terms, checkpoint_digest, contract_id, sign_digest
from orchestrator.log.inbox import Submission, submit
from orchestrator.log.sequencer import Sequencer
from orchestrator.storage.database import API, SEQUENCER, Database, create_log


def wallet(name: str) -> LocalAccount:
    """A wallet that is the same in every run."""
    account: LocalAccount = Account.from_key(name.encode().rjust(32, b"\1"))
    return account


START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
DAY_S = 86_400
LOG_ID = bytes.fromhex("10" * 32)
ESCROW = Domain("Tallystick OutcomeEscrow", "1", 31337, wallet("escrow").address)
EVENT_LOG = Domain("Tallystick EventLog", "1", 31337, wallet("event log").address)
POLICY = {
    "initial": "new",
    "states": ["new", "signed_up", "activated", "subscribed"],
    "transitions": [
        {"on": "signup", "from": ["new"], "to": "signed_up", "motion": "acquisition"},
        {"on": "activate", "from": ["signed_up"], "to": "activated", "motion": "activation"},
        {"on": "subscribe", "from": ["activated"], "to": "subscribed", "motion": "conversion"},
    ],
    "reversals": [{"on": "refund", "of": "subscribed"}],
    "attribution": "last_touch",
    "actions": {"email": 0, "call": 2},
    "lateness_s": DAY_S,
}


PUBLISHER = wallet("publisher")
VERIFIER = wallet("verifier")
TOKEN = wallet("token").address
NO_ONE = "0x" + "00" * 20


class Clock:
    """Our time, which only tests move."""

    def __init__(self) -> None:
        self.now = START_MS

    def __call__(self) -> int:
        return self.now


class Stage:
    """The service under test, and what it takes to play all the parts around it."""

    def __init__(self, url: str, database_url: str, clock: Clock) -> None:
        self.url = url
        self.database_url = database_url
        self.clock = clock
        # Held while the writer works; whoever holds it keeps requests waiting.
        self.pause = threading.Lock()
        self.drain: Callable[[], object] = lambda: None
        # What the contract at an address stands by: the tests' ERC-1271 wallets.
        self.approved: set[tuple[str, bytes, bytes]] = set()
        self._clients = ExitStack()
        self.http = self._client({})

    def client(self, key: str) -> httpx.Client:
        """An HTTP client that carries a key."""
        return self._client({"Authorization": f"Bearer {key}", "Prefer": "wait=10"})

    def close(self) -> None:
        self._clients.close()

    def _client(self, headers: dict[str, str]) -> httpx.Client:
        client = httpx.Client(base_url=self.url, timeout=30, trust_env=False, headers=headers)
        return self._clients.enter_context(client)

    def sign_in(self, account: LocalAccount, *scopes: str) -> httpx.Client:
        """Sign in as a person would; the log has the registration before this returns."""
        asked = {"address": account.address, "scopes": list(scopes)}
        message = self.http.post("/v1/sign-in/nonce", json=asked).json()["message"]
        answer = self.http.post(
            "/v1/sign-in",
            json={"message": message, "signature": signed(account, message)},
            headers={"Prefer": "wait=10"},
        )
        assert answer.status_code == 201, answer.text
        return self.client(answer.json()["key"])

    def submit(self, key: str, request: Request) -> None:
        """Ask something of the log as the pipeline does."""
        account = PUBLISHER.address.lower()
        with (
            Database(self.database_url, API) as database,
            database.transaction(account) as session,
        ):
            submit(session, LOG_ID, account, [Submission(key, request, b"{}")], self.clock.now)

    def settle(self) -> None:
        """Let the writer decide all that waits."""
        with self.pause:
            self.drain()

    def admin(self) -> psycopg.Connection[tuple[Any, ...]]:
        """A superuser's connection, for what no role of ours may see."""
        return psycopg.connect(self.database_url, autocommit=True)


def signed(account: LocalAccount, message: str) -> str:
    """A wallet's signature of a text (EIP-191), in hex."""
    return "0x" + account.sign_message(encode_defunct(text=message)).signature.hex()


def signed_digest(account: LocalAccount, digest: bytes) -> str:
    """A wallet's signature of a digest, in hex."""
    return "0x" + sign_digest(digest, bytes(account.key)).hex()


def deal(parameters: dict[str, Any], by: str, **changes: object) -> Terms:
    """A plain contract on a surface: 8 tokens for each activation."""
    start_s = START_MS // 1000
    document: dict[str, Any] = {
        "operator": by,
        "payee": by,
        "token": TOKEN,
        "arbiter": NO_ONE,
        "outcome": "activated",
        "repeatable": False,
        "exclusive": False,
        "unit_price_units": "8000000",
        "revenue_share_bps": 0,
        "budget_units": "400000000",
        "opens_at_s": start_s + 60,
        "deadline_s": start_s + 14 * DAY_S,
        "attribution_window_s": 7 * DAY_S,
        "grace_s": 3 * DAY_S,
        "claim_period_s": 0,
        "challenge_period_s": 0,
        "arbitration_period_s": 0,
        "holdback_bps": 0,
        "holdback_period_s": 0,
        "rate_cap_units": "0",
        "rate_period_s": 0,
        "agent_id_plus_one": "0",
        "salt": "0x" + "07" * 32,
    }
    agreed = {name: parameters[name] for name in _SET_BY_SURFACE}
    return Terms.from_json(document | agreed | changes)


_SET_BY_SURFACE = (
    "owner",
    "log_id",
    "surface",
    "policy",
    "attribution",
    "lateness_s",
    "verifier",
    "fee_bps",
    "fee_recipient",
)


def proposal_of(terms: Terms, operator: LocalAccount) -> dict[str, Any]:
    """The body that proposes these terms."""
    signature = signed_digest(operator, contract_id(terms, ESCROW))
    return {"terms": terms.to_json(), "operator_signature": signature}


@contextmanager
def stage(database_url: str, limits: Limits | None = None) -> Iterator[Stage]:
    """A running service over an empty database."""
    create_log(
        database_url,
        log_id=LOG_ID,
        origin="tallystick.test/log",
        chain_id=ESCROW.chain_id,
        event_log=EVENT_LOG.verifying_contract,
        escrow=ESCROW.verifying_contract,
        publisher=PUBLISHER.address,
    )
    clock = Clock()
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    here = Stage(url, database_url, clock)
    with listener, Database(database_url, API) as database, _running_sequencer(here):
        app = create_app(
            database=database,
            log_id=LOG_ID,
            now_ms=clock,
            escrow_domain=ESCROW,
            event_log_domain=EVENT_LOG,
            is_valid_signature=lambda *what: what in here.approved,
            info=ServiceInfo(
                public_url=url,
                origin="tallystick.test/log",
                publisher=PUBLISHER.address,
                verifier=VERIFIER.address,
                tokens=(TokenInfo(TOKEN, "TUSD", 6),),
                fee_bps=250,
                fee_recipient=wallet("fees").address,
            ),
            limits=limits,
        )
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield here
        finally:
            here.close()
            server.should_exit = True
            thread.join()


@contextmanager
def _running_sequencer(here: Stage) -> Iterator[None]:
    """The log's writer at work; its failure fails the test."""
    key = bytes(PUBLISHER.key)
    stop = threading.Event()
    failures: list[Exception] = []

    def sign(size: int, root: bytes) -> bytes:
        return sign_digest(checkpoint_digest(EVENT_LOG, LOG_ID, size, root), key)

    def work(sequencer: Sequencer) -> None:
        try:
            while not stop.wait(0.005):
                with here.pause:
                    sequencer.drain()
        except Exception as error:  # noqa: BLE001 - told when the stage is left
            failures.append(error)

    with Database(here.database_url, SEQUENCER) as database:
        here.submit("genesis", Genesis(LOG_ID, address_word(PUBLISHER.address)))
        with Sequencer(database, LOG_ID, here.clock, sign) as sequencer:
            here.drain = sequencer.drain
            here.settle()
            thread = threading.Thread(target=work, args=(sequencer,))
            thread.start()
            try:
                yield
            finally:
                stop.set()
                thread.join()
    assert not failures, failures


def open_surface(owner: httpx.Client, name: str, **changes: object) -> str:
    """A surface in the log; returns its id."""
    answer = owner.post(
        "/v1/surfaces",
        json={"name": name, "policy": POLICY | changes},
        headers={"Idempotency-Key": f"open {name}".replace(" ", "-")},
    )
    assert answer.status_code == 200, answer.text
    surface: str = answer.json()["surface"]
    return surface


def ndjson(*lines: object) -> bytes:
    """The body of a bulk request."""
    return b"".join(canonical_json(line) + b"\n" for line in lines)


NDJSON = {"Content-Type": "application/x-ndjson"}


TIME = "2025-12-31T23:59:00Z"


def event(lead: str = "user-1", what: str = "signup", **changes: object) -> dict[str, object]:
    return {"lead": lead, "event": what, "value": None, "time": TIME} | changes


def report(owner: httpx.Client, surface: str, key: str, body: object) -> httpx.Response:
    headers = {"Idempotency-Key": key}
    return owner.post(f"/v1/surfaces/{surface}/events", json=body, headers=headers)


def report_lines(owner: httpx.Client, surface: str, body: bytes) -> httpx.Response:
    return owner.post(f"/v1/surfaces/{surface}/events/bulk", content=body, headers=NDJSON)


def leads(client: httpx.Client, surface: str, **query: object) -> list[Any]:
    found: list[Any] = []
    path = f"/v1/surfaces/{surface}/leads"
    after = None
    while True:
        params = {"after": after, **query} if after else query
        page = client.get(path, params=params).json()  # type: ignore[arg-type]
        found += page["leads"]
        after = page["next"]
        if after is None:
            return found


def touch(client: httpx.Client, surface: str, key: str, lead: str, action: str) -> httpx.Response:
    return client.post(
        f"/v1/surfaces/{surface}/touches",
        json={"lead": lead, "action": action},
        headers={"Idempotency-Key": key},
    )
