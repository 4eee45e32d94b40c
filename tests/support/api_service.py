"""A running API for tests: HTTP server, database and sequencer, and clients of all roles."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from hashlib import sha256
from ipaddress import IPv4Network
from typing import Any

import httpx
import psycopg
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount
from fastapi import FastAPI
from starlette.types import ASGIApp

from api.app import create_app
from api.context import ChainReads, Network, ServiceInfo
from orchestrator.client.http import tls_settings
from orchestrator.core.account.agent_card import KEYS_PATH, CardKey
from orchestrator.core.account.sign_in import Audience
from orchestrator.core.common.document import canonical_json
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.common.limits import Limits, inbox_limits
from orchestrator.core.common.units import DAY_MS, DAY_S
from orchestrator.core.deals.site import Funds, TokenInfo
from orchestrator.core.deals.terms import (
    Domain,
    Terms,
    checkpoint_digest,
    operator_consent_digest,
    sign_digest,
)
from orchestrator.core.entries.kinds import decode
from orchestrator.core.log.entry import Entry, address_word
from orchestrator.core.world.contract import ContractRules
from orchestrator.core.world.requests import Genesis, OpenContract, Request
from orchestrator.identity.registrar import Registrar, registrar_thread
from orchestrator.log.inbox import Submission, submit
from orchestrator.log.sequencing.sequencer import Sequencer
from orchestrator.runtime.connections import Bounds, Gate, bounded_server
from orchestrator.storage.database import API, REGISTRAR, SEQUENCER, WORKER, Database
from orchestrator.storage.schema import create_log
from orchestrator.storage.trouble import Trouble
from tests.support.database_clock import DatabaseClock
from tests.support.described import check_described
from tests.support.servers import hold_inbox_to, open_as
from tests.support.terms import PLAIN


def wallet(name: str) -> LocalAccount:
    """Return the wallet of a name, the same in every run."""
    account: LocalAccount = Account.from_key(name.encode().rjust(32, b"\1"))
    return account


START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
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
    "lateness_s": DAY_S,
    "touches_per_lead": 50,
}


# Webhooks of tests go to servers on this machine.
LOOPBACK = (IPv4Network("127.0.0.0/8"),)
CARD_KEY = b"\x05" * 32
PUBLISHER = wallet("publisher")
VERIFIER = wallet("verifier")
TOKEN = wallet("token").address
SETTINGS: dict[str, Any] = {
    "token": TOKEN,
    "actions": {"email": {"level": 1}, "call": {"level": 2}},
    "levels": [
        {"leads_a_day": 1000},
        {
            "leads_a_day": 10_000,
            "outcomes": 3,
            "units": "24000000",
            "age_s": 0,
            "reversed_bps": 1000,
            "keep_reversed_bps": 2000,
            "disputes_lost": 0,
        },
    ],
    "codes": {"level": 1, "max_uses": 1000, "expires_s": 30 * DAY_S, "a_day": 50},
    "ripening_s": 0,
    "bucket_s": DAY_S,
    "pause_s": 0,
}


class ApiService:
    """The service under test, and the parties around it: callers, the pipeline, a superuser."""

    def __init__(self, url: str, database_url: str, clock: DatabaseClock) -> None:
        self.url = url
        self.database_url = database_url
        self.clock = clock
        # Held while the sequencer works; a test that holds it keeps requests waiting.
        self.sequencer_lock = threading.Lock()
        self.drain: Callable[..., object] = lambda: None
        # The description of the API, once it is there.
        self.openapi: Callable[[], Any] = dict
        # (address, digest, signature) that the tests' ERC-1271 wallets accept.
        self.accepted_signatures: set[tuple[str, bytes, bytes]] = set()
        # By ERC-8004 agent id, the accounts that hold it.
        self.agents: dict[int, tuple[str, ...]] = {}
        # When the tests' chain had the log marked as forked, UTC seconds.
        self.forked_at_s: int | None = None
        # What the tests' chain says of terms.
        self.cautions_of: Callable[[Terms], list[str]] = lambda _: []
        # What every owner has on the tests' chain, and lets the escrow take.
        self.funds = Funds(2**80, 2**80)
        self._clients = ExitStack()
        self.http = self._client({})

    def read_cautions(self, terms: Terms) -> list[str]:
        return self.cautions_of(terms)

    def client(self, key: str) -> httpx.Client:
        """Return an HTTP client that carries a key."""
        return self._client({"Authorization": f"Bearer {key}", "Prefer": "wait=10"})

    def close(self) -> None:
        self._clients.close()

    def _client(self, headers: dict[str, str]) -> httpx.Client:
        client = httpx.Client(
            base_url=self.url,
            timeout=30,
            trust_env=False,
            headers=headers,
            verify=tls_settings(trust_env=False),
            # No test may be answered by an error that is not described.
            event_hooks={"response": [lambda each: check_described(self.openapi(), each)]},
        )
        return self._clients.enter_context(client)

    def sign_in(self, account: LocalAccount, *scopes: str) -> httpx.Client:
        """Return the client of an account that has signed in."""
        message = self.sign_in_message(account, *scopes)
        answer = self.post_sign_in(message, signed(account, message))
        assert answer.status_code == 201, answer.text
        return self.client(answer.json()["key"])

    def delegate(self, parent: httpx.Client, *scopes: str, **body: object) -> httpx.Client:
        """Return the client of a new delegate's key with these scopes."""
        wanted = {"name": "delegate", "scopes": scopes, **body}
        answer = parent.post("/v1/keys", json=wanted)
        assert answer.status_code == 201, answer.text
        return self.client(answer.json()["key"])

    def sign_in_message(self, account: LocalAccount, *scopes: str) -> str:
        """Return a new message by which an account signs in."""
        body = {"address": account.address, "scopes": list(scopes)}
        message: str = self.http.post("/v1/sign-in/nonce", json=body).json()["message"]
        return message

    def post_sign_in(self, message: str, signature: str) -> httpx.Response:
        """Return the answer to a signed message."""
        body = {"message": message, "signature": signature}
        return self.http.post("/v1/sign-in", json=body, headers={"Prefer": "wait=10"})

    def get(self, path: str, **query: object) -> Any:
        """Return the JSON of what may be read without a key."""
        answer = self.http.get(path, params={name: str(value) for name, value in query.items()})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def http_detail(self, surface: str) -> Any:
        """Return a surface as any account sees it."""
        answer = self.sign_in(wallet("reader"), "operator").get(f"/v1/surfaces/{surface}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def entries(self, start: int, count: int) -> list[Entry]:
        """Return at most `count` entries from a position on."""
        page = self.get("/v1/log/entries", start=start, limit=count)["entries"]
        return [decode(from_hex(item["entry"])) for item in page]

    def heard_size(self) -> int:
        """Return the log's size, once the API's feed has come as far: it hears of a write later."""
        size: int = self.get("/v1/log")["size"]
        # Behind the last but one there is one entry to tell: until the feed has it, this waits.
        self.get("/v1/log/events", after=size - 2, wait_s=10)
        return size

    def submit(self, key: str, request: Request) -> None:
        """Submit a request to the log as the pipeline does."""
        account = PUBLISHER.address.lower()
        with (
            open_as(self.database_url, WORKER) as database,
            database.transaction(account) as session,
        ):
            submit(session, LOG_ID, account, [Submission(key, request, b"{}")])

    def decide_waiting(self) -> None:
        """Have the sequencer decide all requests that wait."""
        with self.sequencer_lock:
            self.drain()

    def admin(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Return a superuser's connection, for what no role of the product may see."""
        return psycopg.connect(self.database_url, autocommit=True)


def signed(account: LocalAccount, message: str) -> str:
    """Return a wallet's signature of a text (EIP-191), in hex."""
    return to_hex(account.sign_message(encode_defunct(text=message)).signature)


def signed_digest(account: LocalAccount, digest: bytes) -> str:
    """Return a wallet's signature of a digest, in hex."""
    return to_hex(sign_digest(digest, bytes(account.key)))


def draft_terms(parameters: dict[str, Any], by: str, **changes: object) -> Terms:
    """Return an operator's plain terms for a surface: 8 tokens for each activation."""
    start_s = START_MS // 1000
    set_by_surface = {name: parameters[name] for name in parameters.keys() & PLAIN.to_json().keys()}
    document: dict[str, Any] = {
        "operator": by,
        "payee": by,
        "token": TOKEN,
        "opens_at_s": start_s + 60,
        "deadline_s": start_s + 14 * DAY_S,
        "grace_s": 3 * DAY_S,
    }
    return Terms.from_json(PLAIN.to_json() | set_by_surface | document | changes)


def proposal_of(terms: Terms, operator: LocalAccount) -> dict[str, Any]:
    """Return the body that proposes these terms."""
    signature = signed_digest(operator, operator_consent_digest(terms, ESCROW))
    return {"terms": terms.to_json(), "operator_signature": signature}


@contextmanager
def running_service(
    database_url: str,
    limits: Limits | None = None,
    extend: Callable[[FastAPI], object] = lambda _: None,
    *,
    trusted_proxies: Sequence[Network] = (),
) -> Iterator[ApiService]:
    """Run a service over an empty database, its application extended by this."""
    if limits is not None:
        hold_inbox_to(database_url, **inbox_limits(limits)._asdict())
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with (
        listener,
        DatabaseClock(database_url, START_MS) as clock,
        open_as(database_url, API) as database,
        _running_sequencer(ApiService(url, database_url, clock)) as service,
        running_registrar(service),
    ):
        app = _app(service, database, clock, limits, trusted_proxies)
        extend(app)
        service.openapi = app.openapi
        with _serving(app, listener), closing(service):
            yield service


@contextmanager
def running_registrar(service: ApiService) -> Iterator[Registrar]:
    """Run the registrar of a service."""
    audience = Audience(service.url.removeprefix("http://"), service.url, ESCROW.chain_id)

    def accepts(*signed: object) -> bool:
        return signed in service.accepted_signatures

    with (
        open_as(service.database_url, REGISTRAR) as database,
        Registrar(database, audience, accepts) as registrar,
        registrar_thread(registrar),
    ):
        yield registrar


@contextmanager
def another_api(
    service: ApiService, off_ms: int, extend: Callable[[FastAPI], object] = lambda _: None
) -> Iterator[str]:
    """Serve the same log by a second API, whose own clock is wrong by this much; yield its URL."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        open_as(service.database_url, API, trouble=Trouble("api")) as database,
    ):
        app = _app(service, database, lambda: service.clock() + off_ms)
        extend(app)
        with _serving(app, listener):
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def _app(
    service: ApiService,
    database: Database,
    now_ms: Callable[[], int],
    limits: Limits | None = None,
    trusted_proxies: Sequence[Network] = (),
) -> FastAPI:
    return create_app(
        database=database,
        log_id=LOG_ID,
        now_ms=now_ms,
        escrow_domain=ESCROW,
        event_log_domain=EVENT_LOG,
        chain=ChainReads(
            is_valid_signature=lambda *signed: signed in service.accepted_signatures,
            agent_accounts=lambda agent: service.agents.get(agent, ()),
            forked_at_s=lambda: service.forked_at_s,
            cautions_of=service.read_cautions,
            funds_of=lambda *_: service.funds,
        ),
        info=ServiceInfo(
            public_url=service.url,
            origin="tallystick.test/log",
            publisher=PUBLISHER.address,
            verifier=VERIFIER.address,
            tokens=(TokenInfo(TOKEN, "TUSD", 6),),
            fee_bps=250,
            fee_recipient=wallet("fees").address,
            trusted_proxies=tuple(trusted_proxies),
            webhook_networks=LOOPBACK,
            cards=CardKey(CARD_KEY, service.url + KEYS_PATH),
        ),
        limits=limits,
    )


@contextmanager
def _serving(app: FastAPI, listener: socket.socket) -> Iterator[None]:
    def wake_waiters() -> None:
        app.state.service.feed.close()
        app.state.service.bell.close()

    with serving(app, listener, wake_waiters):
        yield


@contextmanager
def serving(
    app: ASGIApp, listener: socket.socket, before_stop: Callable[[], object] = lambda: None
) -> Iterator[None]:
    """Serve an application as the product does, from a thread until the block ends."""
    gate = Gate(Bounds(PLACES, PLACES))
    with bounded_server(app, listener, gate, before_stop=[before_stop]):
        yield


@contextmanager
def _running_sequencer(service: ApiService) -> Iterator[ApiService]:
    """Begin the log and run its sequencer, whose failure fails the test."""
    create_log(
        service.database_url,
        log_id=LOG_ID,
        origin="tallystick.test/log",
        chain_id=ESCROW.chain_id,
        event_log=EVENT_LOG.verifying_contract,
        escrow=ESCROW.verifying_contract,
        publisher=PUBLISHER.address,
    )
    key = bytes(PUBLISHER.key)
    stop = threading.Event()
    failures: list[Exception] = []

    def sign(size: int, root: bytes) -> bytes:
        return sign_digest(checkpoint_digest(EVENT_LOG, LOG_ID, size, root), key)

    def work(sequencer: Sequencer) -> None:
        try:
            while not stop.wait(0.03):
                with service.sequencer_lock:
                    sequencer.drain()
        except Exception as error:  # noqa: BLE001 - raised when the service ends
            failures.append(error)

    with open_as(service.database_url, SEQUENCER) as database:
        service.submit("genesis", Genesis(LOG_ID, address_word(PUBLISHER.address)))
        with Sequencer(database, LOG_ID, service.clock, sign) as sequencer:
            service.drain = sequencer.drain
            service.decide_waiting()
            thread = threading.Thread(target=work, args=(sequencer,))
            thread.start()
            try:
                yield service
            finally:
                stop.set()
                thread.join()
    assert not failures, failures


def open_surface(owner: httpx.Client, name: str, **changes: object) -> str:
    """Open a surface with settings, and return its id once the log has both."""
    answer = owner.post(
        "/v1/surfaces",
        json={"name": name, "policy": POLICY | changes},
        headers={"Idempotency-Key": f"open {name}".replace(" ", "-")},
    )
    assert answer.status_code == 200, answer.text
    surface: str = answer.json()["surface"]
    published = publish_settings(owner, surface, SETTINGS)
    assert published.status_code == 200, published.text
    return surface


def publish_settings(
    owner: httpx.Client, surface: str, settings: object, key: str = "settings"
) -> httpx.Response:
    """Publish a surface's settings."""
    return owner.post(
        f"/v1/surfaces/{surface}/settings",
        json={"settings": settings},
        headers={"Idempotency-Key": key},
    )


def open_with_actions(
    service: ApiService,
    owner: httpx.Client,
    name: str,
    actions: Mapping[str, object],
    *operators: LocalAccount,
    **settings: object,
) -> str:
    """Open a surface that offers actions to these operators, who have level 1; return its id."""
    surface = open_surface(owner, name)
    published = publish_settings(
        owner, surface, {**SETTINGS, "actions": actions, **settings}, "actions"
    )
    assert published.is_success, published.text
    give_level(service, surface, *operators)
    return surface


def give_level(service: ApiService, surface: str, *operators: LocalAccount, **rules: Any) -> None:
    """Give operators level 1 on a surface: its owner opens a contract with each."""
    found = service.http_detail(surface)
    for operator in operators:
        name = sha256(f"{surface} {operator.address}".encode()).digest()
        plain = ContractRules(
            contract_id=name,
            surface=from_hex(surface),
            owner=address_word(found["owner"]),
            operator=address_word(operator.address),
            verifier=address_word(VERIFIER.address),
            policy_hash=from_hex(found["policy_hash"]),
            attribution=found["attribution"],
            outcome="subscribed",
            repeatable=False,
            unit_price_units=8_000_000,
            revenue_share_bps=0,
            budget_units=800_000_000,
            opens_at_ms=START_MS,
            deadline_ms=START_MS + 30 * DAY_MS,
            attribution_window_ms=7 * DAY_MS,
            holdback_period_ms=0,
            token=address_word(TOKEN),
        )
        opening = OpenContract(plain._replace(**rules), name)
        service.submit(f"level {name.hex()}", opening)
    service.decide_waiting()


def ndjson(*lines: object) -> bytes:
    """Return the body of a bulk request."""
    return b"".join(canonical_json(line) + b"\n" for line in lines)


NDJSON = {"Content-Type": "application/x-ndjson"}


TIME = "2025-12-31T23:59:00Z"
# More connections than any test opens.
PLACES = 1_000


def event(lead: str = "user-1", what: str = "signup", **changes: object) -> dict[str, object]:
    return {"lead": lead, "event": what, "value": None, "time": TIME} | changes


def report(owner: httpx.Client, surface: str, key: str, body: object) -> httpx.Response:
    headers = {"Idempotency-Key": key}
    return owner.post(f"/v1/surfaces/{surface}/events", json=body, headers=headers)


def report_lines(owner: httpx.Client, surface: str, body: bytes) -> httpx.Response:
    return owner.post(f"/v1/surfaces/{surface}/events/bulk", content=body, headers=NDJSON)


def leads(client: httpx.Client, surface: str, **query: object) -> list[Any]:
    """Return all leads that a client sees, page by page."""
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


def lead_ids(owner: httpx.Client, surface: str) -> dict[str, str]:
    """Return the leads' pseudonyms by the ids that their owner knows them by."""
    return {lead["external_id"]: lead["lead"] for lead in leads(owner, surface)}


def erase(owner: httpx.Client, surface: str, key: str, **named: str) -> httpx.Response:
    """Have a lead erased that is named by `lead` or by `ref`."""
    headers = {"Idempotency-Key": key}
    return owner.post(f"/v1/surfaces/{surface}/erasures", json=named, headers=headers)


def request_action(
    client: httpx.Client, surface: str, key: str, lead: str, action: str, **body: object
) -> httpx.Response:
    """Request an action of a surface."""
    return client.post(
        f"/v1/surfaces/{surface}/actions",
        json={"lead": lead, "action": action, **body},
        headers={"Idempotency-Key": key},
    )


def touch(client: httpx.Client, surface: str, key: str, lead: str, action: str) -> httpx.Response:
    return client.post(
        f"/v1/surfaces/{surface}/touches",
        json={"lead": lead, "action": action},
        headers={"Idempotency-Key": key},
    )


def answer_of(app: FastAPI, headers: Sequence[tuple[bytes, bytes]] = ()) -> httpx.Response:
    """Return an application's answer to `GET /`, with no server in between."""

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
            return await client.get("http://test/", headers=list(headers))

    return asyncio.run(ask())


def problem_of(answer: httpx.Response, status: int, code: str) -> dict[str, object]:
    """Return the problem in an answer, which says the same in all its places."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, object] = answer.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["type"] == f"urn:tallystick:problem:{code}"
    assert problem["title"]
    assert problem["detail"]
    return problem


def row_count(admin: psycopg.Connection[Any], table: str) -> int:
    """Return the number of rows that a connection's role sees in a table."""
    row = admin.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
    assert row is not None
    count: int = row[0]
    return count
