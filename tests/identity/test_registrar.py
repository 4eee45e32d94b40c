"""The registrar: it grants what a wallet has signed, once, and nothing on the API's word alone."""

from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

import psycopg
import pytest
from eth_account import Account
from eth_account.messages import encode_defunct

from orchestrator.core.account.scopes import Scope
from orchestrator.core.account.sign_in import (
    Audience,
    SignedClient,
    SignIn,
    message_digest,
    write_message,
)
from orchestrator.core.common.errors import ChainError
from orchestrator.identity.registrar import PATIENCE_MS, Registrar
from orchestrator.storage.database import API, REGISTRAR, Database
from tests.support.database_clock import DatabaseClock
from tests.support.servers import open_as

AUDIENCE = Audience("api.example", "https://api.example", 1)
WALLET = Account.from_key(b"\7" * 32)
SAFE = Account.from_key(b"\5" * 32).address
START_MS = 1_767_225_600_000
TTL_MS = 600_000
MONTH_MS = 30 * 86_400_000


class Bench:
    """A registrar, the API's side of it, and the wallets' contracts."""

    def __init__(self, api: Database, clock: DatabaseClock, admin: Any) -> None:
        self.api, self.clock, self.admin = api, clock, admin
        self.accepts: Callable[[str, bytes, bytes], bool] = lambda *_: False

    def nonce(self, name: str = "a" * 16, ttl_ms: int = TTL_MS) -> str:
        with self.api.transaction() as session:
            session.run("api.add_nonce", nonce=name, expires_ms=self.clock.now_ms + ttl_ms)
        return name

    def message(
        self,
        nonce: str = "a" * 16,
        address: str = WALLET.address,
        ttl_ms: int = TTL_MS,
        client: SignedClient | None = None,
    ) -> str:
        scopes: tuple[Scope, ...] = ("owner:read",)
        now_ms = self.clock.now_ms
        asked = SignIn(address, scopes, nonce, now_ms, now_ms + ttl_ms, client)
        return write_message(AUDIENCE, asked)

    def ask(self, message: str, signature: bytes, key: str = "key", ttl_ms: int = MONTH_MS) -> None:
        with self.api.transaction(secret=secret(key)) as session:
            session.run(
                "api.ask_sign_in", message=message, signature=signature, name="n", ttl_ms=ttl_ms
            )

    def answer(self, key: str = "key") -> str:
        """Return the account of a granted key, or the code of its refusal, or `waiting`."""
        with self.api.transaction(secret=secret(key)) as session:
            if session.key is not None:
                return str(session.key.account)
            refusal = session.one("api.sign_in_refusal")
        return "waiting" if refusal is None else str(refusal.code)


def secret(key: str) -> bytes:
    return sha256(key.encode()).digest()


def signed(text: str) -> bytes:
    return bytes(WALLET.sign_message(encode_defunct(text=text)).signature)


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    with (
        open_as(database_url, API) as api,
        DatabaseClock(database_url, START_MS) as clock,
        psycopg.connect(database_url, autocommit=True) as admin,
    ):
        yield Bench(api, clock, admin)


@pytest.fixture
def registrar(bench: Bench, database_url: str) -> Iterator[Registrar]:
    with (
        open_as(database_url, REGISTRAR) as database,
        Registrar(database, AUDIENCE, lambda *asked: bench.accepts(*asked)) as registrar,  # noqa: PLW0108 - a test sets it later
    ):
        yield registrar


def test_a_wallet_gets_the_key_whose_message_it_signed(bench: Bench, registrar: Registrar) -> None:
    message = bench.message(bench.nonce())
    bench.ask(message, signed(message))
    assert bench.answer() == "waiting"
    assert registrar.decide_waiting() == 1
    assert bench.answer() == WALLET.address.lower()
    with bench.api.transaction(secret=secret("key")) as session:
        assert session.key is not None
        assert session.key.scopes == ["owner:read"]
        assert session.key.parent is None
        assert session.key.expires_ms == bench.clock.now_ms + MONTH_MS
    assert bench.admin.execute("SELECT count(*) FROM sign_ins").fetchone() == (0,)


def test_what_the_wallet_did_not_sign_is_not_granted(bench: Bench, registrar: Registrar) -> None:
    message = bench.message(bench.nonce())
    wider = message.replace("owner:read", "owner:erase")
    bench.ask(wider, signed(message), "wider")
    bench.ask(message.replace("api.example", "api.other"), signed(message), "other")
    bench.ask(message, b"\1" * 65, "forged")
    bench.ask(message, b"", "empty")
    assert registrar.decide_waiting() == 4
    answers = [bench.answer(key) for key in ("wider", "other", "forged", "empty")]
    assert answers == ["signature-invalid", "domain-differs", *["signature-invalid"] * 2]
    # None of them has used up the nonce.
    bench.ask(message, signed(message))
    registrar.decide_waiting()
    assert bench.answer() == WALLET.address.lower()


def test_a_message_is_granted_once_even_if_its_nonce_is_given_out_again(
    bench: Bench, registrar: Registrar
) -> None:
    """A thief of the API's database login who saw a message mints no key of its own by it."""
    message = bench.message(bench.nonce())
    bench.ask(message, signed(message))
    registrar.decide_waiting()
    with pytest.raises(psycopg.errors.UniqueViolation):
        bench.nonce()
    bench.ask(message, signed(message), "replayed")
    registrar.decide_waiting()
    assert bench.answer("replayed") == "nonce-unknown"


def test_a_nonce_must_outlive_its_message(bench: Bench, registrar: Registrar) -> None:
    """Else it could be swept, given out again, and the message be granted a second time."""
    message = bench.message(bench.nonce(ttl_ms=TTL_MS - 1))
    bench.ask(message, signed(message))
    registrar.decide_waiting()
    assert bench.answer() == "nonce-unknown"


def test_a_key_lives_for_a_month_at_most(bench: Bench, registrar: Registrar) -> None:
    message = bench.message(bench.nonce())
    bench.ask(message, signed(message), ttl_ms=100 * MONTH_MS)
    registrar.decide_waiting()
    with bench.api.transaction(secret=secret("key")) as session:
        assert session.key is not None
        assert session.key.expires_ms == bench.clock.now_ms + MONTH_MS


def test_a_key_that_cannot_be_holds_up_no_other(bench: Bench, registrar: Registrar) -> None:
    """The API's login chooses when a key expires, and its secret: both can be of no key."""
    first = bench.message(bench.nonce())
    bench.ask(first, signed(first), "known")
    registrar.decide_waiting()
    again, expired, good = (bench.message(bench.nonce(letter * 16)) for letter in "bcd")
    bench.admin.execute(
        "INSERT INTO sign_ins VALUES (sha256(%s), %s, %s, 'n', clock_ms(), 0)",
        (secret("expired"), expired, signed(expired)),
    )
    bench.admin.execute(
        "INSERT INTO sign_ins VALUES (sha256(%s), %s, %s, 'n', clock_ms(), %s)",
        (secret("known"), again, signed(again), START_MS + MONTH_MS),
    )
    bench.ask(good, signed(good), "good")
    assert registrar.decide_waiting() == 3
    assert bench.answer("expired") == "key-impossible"
    assert bench.answer("good") == WALLET.address.lower()


def test_a_sign_in_that_waited_too_long_is_not_granted(bench: Bench, registrar: Registrar) -> None:
    message = bench.message(bench.nonce())
    bench.ask(message, signed(message))
    bench.clock.now_ms += PATIENCE_MS
    assert registrar.decide_waiting() == 0
    assert bench.answer() == "waiting"
    bench.clock.now_ms += 60_000
    registrar.decide_waiting()
    assert bench.admin.execute("SELECT count(*) FROM sign_ins").fetchone() == (0,)


def test_a_contract_answers_for_its_own_signature(bench: Bench, registrar: Registrar) -> None:
    message = bench.message(bench.nonce(), SAFE)
    bench.accepts = lambda *asked: asked == (SAFE, message_digest(message), b"")
    bench.ask(message, b"no", "refused")
    bench.ask(message, b"", "granted")
    registrar.decide_waiting()
    assert bench.answer("refused") == "signature-invalid"
    assert bench.answer("granted") == SAFE.lower()


def test_a_wallet_that_answers_slowly_keeps_keys_waiting_for_one_answer(
    bench: Bench, registrar: Registrar
) -> None:
    slow = bench.message(bench.nonce("s" * 16), SAFE)
    for number in range(3):
        bench.ask(slow, b"", f"slow {number}")
    quick = bench.message(bench.nonce("q" * 16))
    seen: list[str] = []

    def answer(*_: object) -> bool:
        if not seen:
            bench.ask(quick, signed(quick), "quick")
        seen.append(bench.answer("quick"))
        return False

    bench.accepts = answer
    registrar.decide_waiting()
    assert seen == ["waiting", *[WALLET.address.lower()] * 2]


def test_without_the_chain_a_wallet_is_refused_and_keys_are_not(
    bench: Bench, registrar: Registrar
) -> None:
    def fail(*_: object) -> bool:
        raise ChainError("node-unreachable", "the node at http://secret is down")

    bench.accepts = fail
    bench.ask(bench.message(bench.nonce("s" * 16), SAFE), b"", "safe")
    message = bench.message(bench.nonce())
    bench.ask(message, signed(message))
    registrar.decide_waiting()
    assert bench.answer("safe") == "wallet-unasked"
    assert bench.answer() == WALLET.address.lower()


def test_a_wallet_always_gets_in(bench: Bench, registrar: Registrar) -> None:
    """Beyond 100 live keys, a new one ends the one that would expire first."""
    for number in range(102):
        message = bench.message(bench.nonce(f"{number:016}"))
        bench.ask(message, signed(message), f"key {number}", ttl_ms=MONTH_MS - 200 + number)
    registrar.decide_waiting()
    live = bench.admin.execute("SELECT count(*) FROM api_keys WHERE revoked_ms IS NULL").fetchone()
    assert live == (100,)
    with bench.api.transaction(secret=secret("key 1")) as session:
        assert session.key is not None
        assert session.key.state == "revoked"
    with bench.api.transaction(secret=secret("key 2")) as session:
        assert session.key is not None
        assert session.key.state == "live"


@pytest.mark.parametrize(
    "change",
    [
        (
            "INSERT INTO api_keys (key, account, secret_hash, parent, name, scopes, created_ms,"
            " expires_ms) SELECT sha256('d'), '0x' || repeat('0', 40), sha256('d'), key, 'n',"
            " scopes, clock_ms(), clock_ms() FROM api_keys"
        ),
        (
            "INSERT INTO api_keys (key, account, secret_hash, name, scopes, created_ms, expires_ms)"
            " SELECT sha256('d'), account, sha256('d'), 'n', scopes, clock_ms(),"
            " clock_ms() + 32 * 86400000::bigint FROM api_keys"
        ),
        "UPDATE api_keys SET scopes = '{owner:erase}'",
        "DELETE FROM api_keys",
        "DELETE FROM signin_nonces",
        "SELECT * FROM requests",
    ],
)
def test_the_registrar_makes_keys_of_wallets_and_nothing_else(
    bench: Bench, registrar: Registrar, change: str
) -> None:
    message = bench.message(bench.nonce())
    bench.ask(message, signed(message))
    registrar.decide_waiting()
    bench.admin.execute(f"SET ROLE {REGISTRAR}")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        bench.admin.execute(change)


def test_it_is_told_of_a_sign_in_at_once(bench: Bench, registrar: Registrar) -> None:
    registrar.attend(0)
    message = bench.message(bench.nonce())
    bench.ask(message, signed(message))
    # It would wait for ten minutes if it were not told.
    assert registrar.attend(600) == 1
    assert bench.answer() == WALLET.address.lower()


def test_a_message_that_names_a_client_mints_a_delegates_key(
    bench: Bench, registrar: Registrar
) -> None:
    client = SignedClient("https://client.example/id.json", "client.example", "0" * 32)
    message = bench.message(bench.nonce(), client=client)
    bench.ask(message.replace(client.request, "1" * 32), signed(message), "another request")
    bench.ask(message.replace("Request ID: " + "0" * 32 + "\n", ""), signed(message), "no request")
    bench.ask(message, signed(message))
    registrar.decide_waiting()
    assert bench.answer("another request") == "signature-invalid"
    assert bench.answer("no request") == "statement-differs"
    with bench.api.transaction(secret=secret("key")) as session:
        assert session.key is not None
        assert session.key.scopes == ["owner:read"]
        # It can make no keys and end no others; its parent's secret is not to be had.
        assert [row.key for row in session.all("api.key_page", after_ms=0, after=b"", limit=9)] == [
            session.key.key
        ]
    parents = bench.admin.execute("SELECT count(*) FROM api_keys WHERE parent IS NULL").fetchone()
    assert parents == (1,)


def test_an_account_with_too_many_delegates_is_told(bench: Bench, registrar: Registrar) -> None:
    message = bench.message(bench.nonce())
    bench.ask(message, signed(message))
    registrar.decide_waiting()
    bench.admin.execute(
        "INSERT INTO api_keys"
        " (key, account, secret_hash, parent, name, scopes, created_ms, expires_ms)"
        " SELECT sha256(n::text::bytea), account, sha256(n::text::bytea), key, 'n', scopes,"
        " created_ms, expires_ms FROM api_keys, generate_series(1, 100) AS n"
    )
    message = bench.message(
        bench.nonce("b" * 16), client=SignedClient("c", "client.example", "0" * 32)
    )
    bench.ask(message, signed(message), "client")
    registrar.decide_waiting()
    assert bench.answer("client") == "keys-too-many"
