"""What holds for every route: problems, bounded bodies, strict JSON, allowances, safe headers."""

import asyncio
import json
import logging
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from api.context import Limits
from api.http import problems
from api.http.json_input import MalformedError, parse_json
from api.http.middleware import MAX_BODY_BYTES, MAX_BULK_BYTES, RequestGuard
from orchestrator.core.errors import ChainError, LogError, RequestError
from orchestrator.storage.database import API, WORKER, Database
from tests.support.api_service import (
    NDJSON,
    POLICY,
    Stage,
    event,
    ndjson,
    open_surface,
    report,
    report_lines,
    stage,
    wallet,
)


def asked(app: FastAPI, headers: Sequence[tuple[bytes, bytes]] = ()) -> httpx.Response:
    """What an application answers to `GET /` with no server before it."""

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
            return await client.get("http://test/", headers=list(headers))

    return asyncio.run(ask())


def problem_of(answer: httpx.Response, status: int, code: str) -> dict[str, object]:
    """The problem in an answer, which says the same in all its places."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, object] = answer.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["type"] == f"urn:tallystick:problem:{code}"
    assert problem["title"]
    assert problem["detail"]
    return problem


def test_what_is_not_there_and_what_cannot_be_done_are_problems(here: Stage) -> None:
    problem_of(here.http.get("/nowhere"), 404, "not-found")
    problem_of(here.http.get("/v1/log/"), 404, "not-found")
    answer = here.http.put("/v1/log")
    problem_of(answer, 405, "method-not-allowed")
    assert answer.headers["Allow"] == "GET"
    assert here.http.put("/v1/surfaces").headers["Allow"] == "GET, POST"


def test_every_answer_carries_safe_headers(here: Stage) -> None:
    for answer in (here.http.get("/v1/log"), here.http.get("/nowhere"), here.http.put("/v1/log")):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"


def test_other_origins_are_told_nothing(here: Stage) -> None:
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for answer in (
        here.http.get("/v1/log", headers=headers),
        here.http.options("/v1/sign-in", headers=headers),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_query_has_known_parameters_once(here: Stage) -> None:
    problem_of(here.http.get("/v1/log/entries?lmit=1"), 422, "query-invalid")
    problem_of(here.http.get("/v1/log/entries?limit=1&limit=2"), 422, "query-invalid")
    assert here.http.get("/v1/log/entries?limit=1").status_code == 200


# --- Bodies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "",
        "nul",
        "[1] [2]",
        '{"a": 1, "a": 2}',
        '{"a": {"b": 1, "b": 1}}',
        "1.0",
        "1e3",
        "-0.0",
        "NaN",
        "Infinity",
        "9223372036854775808",
        "-9223372036854775808",
        "9" * 5000,
        '"\\u0000"',
        '{"\\u0000": 1}',
        '["x\\u0000y"]',
        '"\\ud800"',
        '"\\udc00\\ud800"',
        '"\0"',
        '"a\nb"',
        "[" * 100_000,
        '{"a":' * 100_000,
    ],
)
def test_json_has_one_meaning_or_none(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_json(text.encode())


def test_bytes_that_are_no_text_are_refused() -> None:
    for data in (b'"\xff"', b'"\xed\xa0\x80"', b'\xff\xfe"\x00a\x00"\x00'):
        with pytest.raises(MalformedError):
            parse_json(data)


def test_json_that_means_something_is_read() -> None:
    text = '{"a": [1, -9223372036854775807, "\\u00e9\\ud83d\\ude00", null, true]}'
    assert parse_json(text.encode()) == {"a": [1, -(2**63) + 1, "é😀", None, True]}


def test_a_body_says_that_it_is_json(here: Stage) -> None:
    body = json.dumps({"address": wallet("x").address, "scopes": ["owner"]}).encode()
    path = "/v1/sign-in/nonce"
    for given in ("text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""):
        answer = here.http.post(path, content=body, headers={"Content-Type": given})
        problem_of(answer, 415, "media-type")
    charset = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert here.http.post(path, content=body, headers=charset).status_code == 200


def test_a_malformed_body_is_refused_and_not_repeated(here: Stage) -> None:
    headers = {"Content-Type": "application/json"}
    body = b'{"message": "hunter2", "signature": "0x00", "extra": "hunter2"}'
    answer = here.http.post("/v1/sign-in", content=body[:-1], headers=headers)
    problem_of(answer, 400, "json-malformed")
    answer = here.http.post("/v1/sign-in", content=body, headers=headers)
    problem_of(answer, 422, "invalid")
    assert "hunter2" not in answer.text


def test_a_body_too_large_is_refused_unread(here: Stage) -> None:
    """The server answers on the declared length alone; of the body not one byte was sent."""
    host, port = here.url.removeprefix("http://").split(":")
    for path, most in (("/v1/sign-in", MAX_BODY_BYTES), ("/v1/x/bulk", MAX_BULK_BYTES)):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {most + 1}\r\n\r\n"
            connection.sendall(head.encode())
            assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_a_body_of_undeclared_length_is_cut_off(here: Stage) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(MAX_BODY_BYTES // 1024 + 1):
            yield b" " * 1024

    headers = {"Content-Type": "application/json"}
    answer = here.http.post("/v1/sign-in", content=chunks(), headers=headers)
    problem_of(answer, 413, "body-too-large")


@pytest.mark.parametrize(
    ("length", "status", "code", "detail"),
    [
        ("ten", 400, "length-malformed", "whole number of bytes, not 'ten'"),
        ("", 400, "length-malformed", "not ''"),
        ("-1", 400, "length-malformed", "not '-1'"),
        ("5, 5", 400, "length-malformed", "not '5, 5'"),
        ("\xb2", 400, "length-malformed", "not '\xb2'"),
        (str(MAX_BODY_BYTES + 1), 413, "body-too-large", f"more than {MAX_BODY_BYTES} bytes"),
        ("9" * 5000, 413, "body-too-large", f"more than {MAX_BODY_BYTES} bytes"),
    ],
)
def test_a_length_that_cannot_be_is_told_from_one_too_large(
    length: str, status: int, code: str, detail: str
) -> None:
    """Our server refuses most of these itself; not every server does."""
    app = FastAPI()
    app.add_middleware(RequestGuard)
    headers = [(b"Content-Length", length.encode("latin-1"))]
    answer = asked(app, headers)
    assert detail in str(problem_of(answer, status, code)["detail"])
    assert answer.headers["Connection"] == "close"


# --- Names of others, and names made up -----------------------------------------------------------


@pytest.mark.parametrize("key", ["", "two words", "x" * 129, "ümlaut", "in\tside"])
def test_an_idempotency_key_is_plain(owner: httpx.Client, key: str) -> None:
    answer = owner.post(
        f"/v1/surfaces/0x{'00' * 32}/events",
        json=event(),
        headers=[(b"Idempotency-Key", key.encode())],
    )
    assert answer.status_code == 422


# --- Allowances -----------------------------------------------------------------------------------


def test_an_account_that_asks_too_much_waits(database_url: str) -> None:
    # 60 at once, then one a second: these come faster.
    limits = Limits(account_per_s=1, account_burst=60)
    with stage(database_url, limits) as here:
        owner = here.sign_in(wallet("owner"), "owner")
        surface = open_surface(owner, "busy")
        answer = report_lines(owner, surface, ndjson(*[event(id=f"e{n}") for n in range(70)]))
        problem_of(answer, 429, "rate-limited")
        assert int(answer.headers["Retry-After"]) > 1
        assert owner.get("/v1/surfaces").status_code == 200
        statuses = [owner.get("/v1/surfaces").status_code for _ in range(70)]
        assert set(statuses) == {200, 429}
        other = here.sign_in(wallet("other"), "owner")
        assert other.get("/v1/surfaces").status_code == 200


def test_lines_are_paid_for_before_they_are_read_and_once(database_url: str) -> None:
    with stage(database_url, Limits(account_per_s=1, account_burst=600)) as here:
        owner = here.sign_in(wallet("owner"), "owner")
        operator = here.sign_in(wallet("operator"), "operator")
        surface = open_surface(owner, "paid")
        good = ndjson(*[event(id=f"e{n}") for n in range(300)])
        # Paid for twice, these would be more than there is.
        assert report_lines(owner, surface, good + b"\n" * 300).status_code == 200
        bad = ndjson(*[event(id=f"e{n}") for n in range(249)]) + b"{}\n"
        problem_of(report_lines(owner, surface, bad), 422, "line-invalid")
        problem_of(report_lines(owner, surface, bad), 429, "rate-limited")
        # No allowance is large enough for so many: waiting would not help.
        problem_of(report_lines(owner, surface, b"{}\n" * 5001), 413, "lines-too-many")

        path = f"/v1/surfaces/{surface}/touches/bulk"
        answers = [operator.post(path, content=b"{}\n" * 400, headers=NDJSON) for _ in range(2)]
        problem_of(answers[0], 422, "line-invalid")
        problem_of(answers[1], 429, "rate-limited")


def test_allowances_that_are_full_again_are_forgotten_so_many_at_a_time(database_url: str) -> None:
    sweep = "api.sweep_limits"
    with stage(database_url) as here, here.admin() as admin:
        admin.execute(
            "INSERT INTO rate_limits SELECT '0x' || lpad(to_hex(n), 40, '0'), 'source', 1 "
            "FROM generate_series(1, 10007) AS n"
        )
        never = 1 << 60
        admin.execute("INSERT INTO rate_limits VALUES (%s, 'spent', %s)", ("0x" + "f" * 40, never))
        with Database(here.database_url, WORKER) as database:
            for expected in (10_000, 7, 0):
                with database.transaction() as session:
                    assert session.run(sweep) == expected
        assert admin.execute("SELECT bucket FROM rate_limits").fetchall() == [("spent",)]


def test_an_allowance_that_is_spent_from_meanwhile_is_not_forgotten(database_url: str) -> None:
    with (
        stage(database_url) as here,
        here.admin() as admin,
        psycopg.connect(here.database_url) as spender,
        Database(here.database_url, WORKER) as database,
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
        assert count(admin, "rate_limits") == 1


def test_a_source_without_an_account_waits_too(database_url: str) -> None:
    with stage(database_url, Limits(source_per_s=1, source_burst=5)) as here:
        answers = [here.http.post("/v1/sign-in/nonce") for _ in range(12)]
        assert answers[0].status_code == 200
        problem_of(answers[-1], 429, "rate-limited")
        assert here.http.get("/v1/log").status_code == 200


# --- What breaks ----------------------------------------------------------------------------------


def test_a_failure_inside_is_logged_and_never_told(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with stage(database_url) as here:
        with here.admin() as admin:
            admin.execute("ALTER TABLE checkpoints RENAME COLUMN root TO secret_root")
        try:
            with caplog.at_level(logging.ERROR, "tallystick.api"):
                answer = here.http.get("/v1/log")
            problem_of(answer, 500, "internal")
            assert "root" not in answer.text
            assert "root" in caplog.text
        finally:
            with here.admin() as admin:
                admin.execute("ALTER TABLE checkpoints RENAME COLUMN secret_root TO root")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (psycopg.OperationalError("password=hunter2"), 503, "unavailable"),
        (ChainError("rpc-unreachable", "password=hunter2"), 503, "unavailable"),
        (LogError("root-mismatch", "password=hunter2"), 500, "internal"),
        (RuntimeError("password=hunter2"), 500, "internal"),
        (RequestError("policy-in-force", "3 contracts"), 409, "policy-in-force"),
    ],
)
def test_every_error_has_its_status(error: Exception, status: int, code: str) -> None:
    app = FastAPI()
    problems.install(app)
    app.add_middleware(RequestGuard)

    @app.get("/")
    def fail() -> None:
        raise error

    answer = asked(app)
    problem_of(answer, status, code)
    assert "hunter2" not in answer.text
    assert ("Retry-After" in answer.headers) == (status == 503)


def test_secrets_are_not_logged(
    here: Stage, owner: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    key = owner.headers["Authorization"].removeprefix("Bearer ")
    with caplog.at_level(logging.DEBUG):
        assert owner.get("/v1/surfaces").status_code == 200
        owner.post("/v1/surfaces", json={"name": "x"})
        here.http.get("/v1/surfaces", headers={"Authorization": f"Bearer {key}x"})
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("http")]
    assert not [line for line in ours if key in line]


def test_the_database_is_asked_as_the_caller_alone(here: Stage, owner: httpx.Client) -> None:
    """The API's role sees no tenant row unless a transaction names whose it is."""
    surface = open_surface(owner, "rows")
    report(owner, surface, "rows", event("rows"))
    tenant = ("leads", "lead_identities", "private_payloads", "requests", "results", "api_keys")
    with here.admin() as admin:
        filled = {name: count(admin, name) for name in tenant}
        assert all(filled.values()), filled
        admin.execute(f"SET ROLE {API}")
        assert {name: count(admin, name) for name in tenant} == dict.fromkeys(tenant, 0)
        admin.execute("RESET ROLE")


def count(admin: psycopg.Connection[tuple[object, ...]], table: str) -> int:
    row = admin.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
    assert row is not None
    assert isinstance(row[0], int)
    return row[0]


def test_when_too_many_wait_the_others_are_answered_at_once(database_url: str) -> None:
    with stage(database_url, Limits(waiters=0)) as here:
        owner = here.sign_in(wallet("owner"), "owner")
        with here.pause:
            answer = owner.post(
                "/v1/surfaces",
                json={"name": "patience", "policy": POLICY},
                headers={"Idempotency-Key": "patience"},
            )
        assert answer.status_code == 202
        assert "Preference-Applied" not in answer.headers
