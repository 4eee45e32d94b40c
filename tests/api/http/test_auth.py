"""Authentication: signed messages, API keys with scopes, and rate limits."""

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import httpx
import psycopg
import pytest
from eth_utils.crypto import keccak

from api.context import Limits
from orchestrator.storage.database import WORKER
from tests.support.api_service import (
    START_MS,
    ApiService,
    event,
    ndjson,
    open_surface,
    problem_of,
    report_lines,
    row_count,
    running_service,
    signed,
    wallet,
)
from tests.support.servers import open_as

# --- Signed messages ------------------------------------------------------------------------------


def altered(message: str, old: str, new: str) -> str:
    assert old in message
    return message.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new", "status", "code"),
    [
        ("127.0.0.1", "evil.example", 401, "domain-differs"),
        ("URI: http://127.0.0.1", "URI: http://evil.example", 401, "uri-differs"),
        ("Chain ID: 31337", "Chain ID: 1", 401, "chain-id-differs"),
        ("Chain ID: 31337", "Chain ID: 031337", 422, "message-malformed"),
        ("Nonce: ", "Nonce: f0", 401, "nonce-unknown"),
        ("2026-01-01T00:10", "2025-12-31T23:59", 401, "message-expired"),
        ("2026-01-01T00:10", "2026-01-01T00:11", 401, "nonce-unknown"),
        ("Version: 1", "Version: 2", 422, "message-malformed"),
        ("scope:owner:erase", "scope:owner:admin", 422, "scopes-unknown"),
        ("\n- urn:tallystick:scope:owner:erase", "", 422, "statement-differs"),
        ("owner:erase, ", "", 422, "statement-differs"),
        ("Sign in to", "Sign in\nto", 422, "message-malformed"),
    ],
)
def test_a_message_for_another_service_is_refused(
    service: ApiService, old: str, new: str, status: int, code: str
) -> None:
    message = altered(service.sign_in_message(wallet("visitor"), "owner"), old, new)
    answer = service.post_sign_in(message, signed(wallet("visitor"), message))
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_the_injected_clock_decides_what_has_expired(service: ApiService) -> None:
    message = service.sign_in_message(wallet("visitor"), "owner")
    assert datetime.fromtimestamp(START_MS // 1000, UTC).strftime("%Y-%m-%dT%H") in message
    with service.clock.moved_by(Limits().nonce_ttl_ms):
        answer = service.post_sign_in(message, signed(wallet("visitor"), message))
    assert (answer.status_code, answer.json()["code"]) == (401, "message-expired")


def test_a_contract_wallet_signs_in_by_its_contract(service: ApiService) -> None:
    account = wallet("safe")
    message = service.sign_in_message(account, "owner")
    text = message.encode()
    digest = keccak(b"\x19Ethereum Signed Message:\n%d" % len(text) + text)
    assert service.post_sign_in(message, "0xc0ffee").status_code == 401
    service.accepted_signatures.add((account.address, digest, bytes.fromhex("c0ffee")))
    assert service.post_sign_in(message, "0xc0ffee").status_code == 201


# --- Keys -----------------------------------------------------------------------------------------


def test_a_key_does_what_its_scopes_say(service: ApiService, owner: httpx.Client) -> None:
    body = {"lead": "0x" + "11" * 32, "action": "email"}
    answer = owner.post(
        f"/v1/surfaces/0x{'22' * 32}/touches", json=body, headers={"Idempotency-Key": "k"}
    )
    assert (answer.status_code, answer.json()["code"]) == (403, "scope-missing")
    assert "insufficient_scope" in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "key-missing"),
        ("Basic dXNlcjpwYXNz", "key-missing"),
        ("Bearer nonsense", "key-malformed"),
        ("Bearer tsk_" + "A" * 43, "key-unknown"),
    ],
)
def test_without_a_good_key_nothing_is_shown(
    service: ApiService, header: str | None, code: str
) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = service.http.get("/v1/keys", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_key_ends_when_it_expires(service: ApiService) -> None:
    client = service.sign_in(wallet("expired"), "owner")
    with service.clock.moved_by(Limits().key_ttl_ms):
        answer = client.get("/v1/keys")
    problem_of(answer, 401, "key-expired")


def test_secrets_are_not_logged(
    service: ApiService, owner: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    key = owner.headers["Authorization"].removeprefix("Bearer ")
    with caplog.at_level(logging.DEBUG):
        assert owner.get("/v1/keys").status_code == 200
        owner.post("/v1/surfaces", json={"name": "x"})
        service.http.get("/v1/keys", headers={"Authorization": f"Bearer {key}x"})
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("http")]
    assert not [line for line in ours if key in line]


# --- Allowances -----------------------------------------------------------------------------------


def test_an_account_that_asks_too_much_waits(database_url: str) -> None:
    # 60 at once, then one a second: these come faster.
    limits = Limits(account_per_s=1, account_burst=60)
    with running_service(database_url, limits) as service:
        owner = service.sign_in(wallet("owner"), "owner")
        surface = open_surface(owner, "busy")
        answer = report_lines(owner, surface, ndjson(*[event(id=f"e{n}") for n in range(70)]))
        problem_of(answer, 429, "rate-limited")
        assert int(answer.headers["Retry-After"]) > 1
        assert owner.get("/v1/keys").status_code == 200
        statuses = [owner.get("/v1/keys").status_code for _ in range(70)]
        assert set(statuses) == {200, 429}
        other = service.sign_in(wallet("other"), "owner")
        assert other.get("/v1/keys").status_code == 200


def test_a_source_without_an_account_waits_too(database_url: str) -> None:
    with running_service(database_url, Limits(source_per_s=1, source_burst=5)) as service:
        answers = [service.http.post("/v1/sign-in/nonce") for _ in range(12)]
        assert answers[0].status_code == 200
        problem_of(answers[-1], 429, "rate-limited")
        assert service.http.get("/v1/log").status_code == 200


def test_allowances_that_are_full_again_are_forgotten_so_many_at_a_time(database_url: str) -> None:
    with (
        psycopg.connect(database_url, autocommit=True) as admin,
        open_as(database_url, WORKER) as database,
    ):
        admin.execute(
            "INSERT INTO rate_limits SELECT '0x' || lpad(to_hex(n), 40, '0'), 'source', 1 "
            "FROM generate_series(1, 10007) AS n"
        )
        never = 1 << 60
        admin.execute("INSERT INTO rate_limits VALUES (%s, 'spent', %s)", ("0x" + "f" * 40, never))
        for expected in (10_000, 7, 0):
            with database.transaction() as session:
                assert session.run("api.sweep_limits") == expected
        assert admin.execute("SELECT bucket FROM rate_limits").fetchall() == [("spent",)]


def test_an_allowance_that_is_spent_from_meanwhile_is_not_forgotten(database_url: str) -> None:
    with (
        psycopg.connect(database_url, autocommit=True) as admin,
        psycopg.connect(database_url) as spender,
        open_as(database_url, WORKER) as database,
        ThreadPoolExecutor(1) as pool,
    ):
        admin.execute("INSERT INTO rate_limits VALUES (%s, 'requests', 1)", ("0x" + "a" * 40,))
        spender.execute("UPDATE rate_limits SET full_at_ms = %s", (1 << 60,))

        def sweep() -> int:
            with database.transaction() as session:
                return session.run("api.sweep_limits")

        swept = pool.submit(sweep)
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))"
        pid = spender.info.backend_pid
        while not swept.done() and admin.execute(waiting, (pid,)).fetchone() == (0,):
            pass
        spender.commit()
        assert swept.result() == 0
        assert row_count(admin, "rate_limits") == 1
