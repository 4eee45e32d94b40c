"""Authorisation as a whole against a small model: whatever is done, each key does what it may.

The model knows accounts, keys, parents, scopes, surfaces and times, and nothing of SQL or HTTP.
Each step is done for real, by HTTP and, past all its checks, as the API's database role.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import count

import httpx
import psycopg
import pytest
from eth_account.signers.local import LocalAccount
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from orchestrator.core.account.scopes import SCOPES, Scope, scopes_of
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.common.limits import Limits
from orchestrator.core.common.units import DAY_MS
from orchestrator.core.log.entry import address_word
from orchestrator.storage.database import API
from tests.support.api_service import LOG_ID, ApiService, open_surface, wallet
from tests.support.depth import examples

WALLETS = ("alice", "bob")
KEY_MS = 30 * DAY_MS
LIMITS = Limits(source_sign_ins_a_minute=1_000_000, source_reads_a_minute=1_000_000)
_numbers = count(1)
SCOPE_LISTS = st.lists(st.sampled_from(SCOPES), min_size=1, max_size=4, unique=True)
# Which of a key's own scopes to pass on, by their bits, and now and then one more.
PARTS = st.tuples(
    st.integers(1, 2 ** len(SCOPES) - 1),
    st.one_of(st.none(), st.none(), st.none(), st.sampled_from(SCOPES)),
)
PLACES = st.one_of(st.none(), st.none(), st.sets(st.integers(0, 1), min_size=1))


@dataclass
class Key:
    """A key of the model."""

    account: str
    client: httpx.Client
    id: str
    secret: bytes
    scopes: frozenset[str]
    surfaces: frozenset[str] | None
    expires_ms: int
    parent: "Key | None" = None
    is_revoked: bool = False

    def end_ms(self) -> int:
        return min(self.expires_ms, self.parent.expires_ms if self.parent else self.expires_ms)

    def state(self, now_ms: int) -> str:
        if self.is_revoked or (self.parent is not None and self.parent.is_revoked):
            return "key-revoked"
        return "live" if now_ms < self.end_ms() else "key-expired"

    def part(self, chosen: tuple[int, Scope | None]) -> list[str]:
        """Return some of its scopes, and the one that may be more."""
        bits, more = chosen
        own = sorted(self.scopes)
        some = [scope for n, scope in enumerate(own) if bits >> n & 1] or own[:1]
        return sorted({*some, *([more] if more else [])})

    def may_pass_on(
        self, scopes: frozenset[str], surfaces: frozenset[str] | None, end_ms: int, now_ms: int
    ) -> bool:
        is_within = self.surfaces is None or (surfaces is not None and surfaces <= self.surfaces)
        return (
            self.state(now_ms) == "live"
            and self.parent is None
            and scopes <= self.scopes
            and is_within
            and end_ms <= self.end_ms()
        )


@pytest.fixture(scope="module")
def admin(service: ApiService) -> Iterator[psycopg.Connection]:
    with service.admin() as connection:
        yield connection


class Authority(RuleBasedStateMachine):
    """Two wallets, their keys, and whatever their holders try."""

    service: ApiService
    admin: psycopg.Connection
    # Opened once: each has a surface of each wallet.
    surfaces: tuple[str, ...]
    keys: Bundle[Key] = Bundle("keys")

    def __init__(self) -> None:
        super().__init__()
        self.known: list[Key] = []
        run = next(_numbers)
        self.wallets: dict[str, LocalAccount] = {name: wallet(f"{name} {run}") for name in WALLETS}

    @property
    def now_ms(self) -> int:
        return self.service.clock.now_ms

    def remember(self, key: Key) -> Key:
        self.known.append(key)
        return key

    @rule(target=keys, name=st.sampled_from(WALLETS), scopes=SCOPE_LISTS | st.just(list(SCOPES)))
    def sign_in(self, name: str, scopes: list[Scope]) -> Key:
        account = self.wallets[name]
        client = self.service.sign_in(account, *scopes)
        (listed,) = [
            key
            for key in client.get("/v1/keys", params={"limit": 1000}).json()["keys"]
            if key["id"] not in {known.id for known in self.known}
        ]
        assert listed["scopes"] == scopes_of(scopes)
        granted = frozenset[str](scopes)
        expires_ms = self.now_ms + KEY_MS
        secret = secret_of(client)
        return self.remember(Key(name, client, listed["id"], secret, granted, None, expires_ms))

    @rule(
        target=keys,
        by=keys,
        chosen=PARTS,
        places=PLACES,
        life_ms=st.one_of(st.none(), st.none(), st.integers(1, 2 * KEY_MS)),
    )
    def delegate(
        self,
        by: Key,
        chosen: tuple[int, Scope | None],
        places: set[int] | None,
        life_ms: int | None,
    ) -> MultipleResults[Key] | Key:
        scopes = by.part(chosen)
        surfaces = None if places is None else frozenset(self.surfaces[n] for n in places)
        body: dict[str, object] = {"name": "d", "scopes": scopes}
        body["surfaces"] = None if surfaces is None else sorted(surfaces)
        end_ms = by.end_ms() if life_ms is None else self.now_ms + life_ms
        body["expires_ms"] = None if life_ms is None else end_ms
        answer = by.client.post("/v1/keys", json=body)
        state = by.state(self.now_ms)
        if state != "live":
            assert (answer.status_code, answer.json()["code"]) == (401, state)
            return multiple()
        if not by.may_pass_on(frozenset(scopes), surfaces, end_ms, self.now_ms):
            assert answer.status_code in (403, 422), answer.text
            return multiple()
        assert answer.status_code == 201, answer.text
        made = answer.json()
        client = self.service.client(made["key"])
        return self.remember(
            Key(
                by.account,
                client,
                made["id"],
                secret_of(client),
                frozenset(scopes),
                surfaces,
                end_ms,
                by,
            )
        )

    @rule(target=keys, by=keys, old=keys, overlap_s=st.integers(0, 7 * 86_400))
    def rotate(self, by: Key, old: Key, overlap_s: int) -> MultipleResults[Key] | Key:
        answer = by.client.post(f"/v1/keys/{old.id}/rotation", json={"overlap_s": overlap_s})
        may = (
            by.account == old.account
            and old.parent is not None
            and old.state(self.now_ms) == "live"
            and by.may_pass_on(
                old.scopes, old.surfaces, min(old.end_ms(), by.end_ms()), self.now_ms
            )
        )
        if not may:
            assert answer.status_code in (401, 403, 404, 409), answer.text
            return multiple()
        assert answer.status_code == 201, answer.text
        made = answer.json()
        client = self.service.client(made["key"])
        new = Key(
            by.account,
            client,
            made["id"],
            secret_of(client),
            old.scopes,
            old.surfaces,
            min(old.end_ms(), by.end_ms()),
            by,
        )
        old.expires_ms = min(old.expires_ms, self.now_ms + overlap_s * 1000)
        return self.remember(new)

    @rule(by=keys, key=keys)
    def revoke(self, by: Key, key: Key) -> None:
        answer = by.client.delete(f"/v1/keys/{key.id}")
        state = by.state(self.now_ms)
        if state != "live":
            assert (answer.status_code, answer.json()["code"]) == (401, state)
        elif by.account == key.account and (by.parent is None or by is key):
            assert answer.status_code == 204
            key.is_revoked = True
        else:
            assert answer.status_code == 404

    @rule(by=keys)
    def revoke_all(self, by: Key) -> None:
        answer = by.client.delete("/v1/keys")
        if by.state(self.now_ms) == "live" and by.parent is None:
            assert answer.status_code == 204
            for key in self.known:
                key.is_revoked |= key.account == by.account
        else:
            assert answer.status_code in (401, 403)

    @rule(duration_ms=st.sampled_from([1, 1000, DAY_MS, 7 * DAY_MS, 20 * DAY_MS]))
    def wait(self, duration_ms: int) -> None:
        self.service.clock.now_ms += duration_ms

    @rule(by=keys, place=st.integers(0, 1))
    def read_leads(self, by: Key, place: int) -> None:
        surface = self.surfaces[place]
        answer = by.client.get(f"/v1/surfaces/{surface}/leads")
        state = by.state(self.now_ms)
        if state != "live":
            expected: tuple[int, object] = (401, state)
        elif not by.scopes & {"owner:read", "operator:read"}:
            expected = (403, "scope-missing")
        elif by.surfaces is not None and surface not in by.surfaces:
            expected = (403, "surface-forbidden")
        else:
            expected = (200, None)
        assert (answer.status_code, answer.json().get("code")) == expected

    @rule(
        by=keys,
        other=st.none() | keys,
        chosen=PARTS,
        places=PLACES,
        life_ms=st.integers(0, KEY_MS),
    )
    def insert_past_the_service(
        self,
        by: Key,
        other: Key | None,
        chosen: tuple[int, Scope | None],
        places: set[int] | None,
        life_ms: int,
    ) -> None:
        """The database alone denies what a service under an attacker's control asks of it."""
        for_, scopes = other or by, by.part(chosen)
        surfaces = None if places is None else frozenset(self.surfaces[n] for n in places)
        end_ms = self.now_ms + life_ms
        may = by is for_ and by.may_pass_on(frozenset(scopes), surfaces, end_ms, self.now_ms)
        values = (
            self.wallets[for_.account].address.lower(),
            from_hex(for_.id),
            scopes,
            None if surfaces is None else [from_hex(each) for each in surfaces],
            end_ms,
        )
        assert (
            self.accepts(
                by,
                "INSERT INTO api_keys (key, account, secret_hash, parent, name, scopes, surfaces,"
                " created_ms, expires_ms)"
                " VALUES (sha256('x'), %s, sha256('y'), %s, 'x', %s, %s, clock_ms(), %s)",
                values,
            )
            == may
        )

    @rule(by=keys, name=st.sampled_from(WALLETS))
    def act_past_the_service(self, by: Key, name: str) -> None:
        account = self.wallets[name].address.lower()
        may = (
            by.account == name
            and by.state(self.now_ms) == "live"
            and "operator:touch" in by.scopes
            and by.surfaces is None
        )
        body = {"surface": "11" * 32, "operator": address_word(account).hex()}
        asked = {
            "idempotency_key": "k",
            "kind": "judge_trust",
            "body": body,
            "body_hash": "22" * 32,
        }
        take = "SELECT take_requests(%s, %s::json, '{}')"
        assert self.accepts(by, take, (LOG_ID, json.dumps([asked]))) == may

    def accepts(self, by: Key, change: str, values: tuple[object, ...]) -> bool:
        """Return whether the API's role may do this by a key; it is not kept."""
        with self.admin.transaction(force_rollback=True):
            self.admin.execute(f"SET LOCAL SESSION AUTHORIZATION {API}")
            self.admin.execute("SELECT present(%s)", (by.secret,))
            try:
                with self.admin.transaction():
                    self.admin.execute(change.encode(), values)
            except psycopg.errors.InsufficientPrivilege:
                return False
        return True

    @rule(by=keys)
    def look(self, by: Key) -> None:
        answer = by.client.get("/v1/keys", params={"limit": 1000})
        state = by.state(self.now_ms)
        if state != "live":
            assert (answer.status_code, answer.json()["code"]) == (401, state)
        else:
            assert {each["id"] for each in answer.json()["keys"]} == self.seen_by(by)

    @invariant()
    def the_database_says_what_the_model_says(self) -> None:
        with self.admin.transaction(force_rollback=True):
            self.admin.execute(f"SET LOCAL SESSION AUTHORIZATION {API}")
            for key in self.known:
                row = self.admin.execute("SELECT state FROM present(%s)", (key.secret,)).fetchone()
                assert row is not None
                assert row[0] == key.state(self.now_ms).removeprefix("key-")
                rows = self.admin.execute("SELECT key FROM api_keys").fetchall()
                seen = {to_hex(bytes(found)) for (found,) in rows}
                assert seen == (self.seen_by(key) if row[0] == "live" else set())

    def seen_by(self, key: Key) -> set[str]:
        """Return the keys that a live key shows."""
        own = {each.id for each in self.known if each.account == key.account}
        return own if key.parent is None else {key.id}


def secret_of(client: httpx.Client) -> bytes:
    key = client.headers["Authorization"].removeprefix("Bearer ")
    return sha256(key.encode()).digest()


def test_each_key_does_what_the_model_says(service: ApiService, admin: psycopg.Connection) -> None:
    owner = service.sign_in(wallet("owner of both"), "owner")
    Authority.service, Authority.admin = service, admin
    Authority.surfaces = (open_surface(owner, "one"), open_surface(owner, "two"))
    depth = settings(
        examples(12, deep=100),
        stateful_step_count=25,
        suppress_health_check=list(HealthCheck),
        deadline=None,
    )
    run_state_machine_as_test(Authority, settings=depth)
