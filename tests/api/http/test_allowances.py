"""Allowances: what requests cost, what answers tell of it, and where requests come from."""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network
from types import SimpleNamespace
from typing import Any, cast

import httpx
import psycopg
import pytest
from fastapi import Request

from api.context import Service
from api.http.allowances import source_of
from orchestrator.core.common.limits import Limits
from orchestrator.storage.database import WORKER
from tests.support.api_service import (
    ApiService,
    event,
    give_level,
    ndjson,
    open_surface,
    problem_of,
    report_lines,
    row_count,
    running_service,
    wallet,
)
from tests.support.servers import open_as

# --- Charging -------------------------------------------------------------------------------------


def test_an_account_that_asks_too_much_waits_and_others_do_not(database_url: str) -> None:
    with running_service(database_url, Limits(requests_a_minute=20)) as service:
        greedy = service.sign_in(wallet("greedy"), "owner")
        answers = [greedy.get("/v1/keys") for _ in range(30)]
        assert [answer.status_code for answer in answers[:20]] == [200] * 20
        problem_of(answers[-1], 429, "rate-limited")
        assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
        other = service.sign_in(wallet("other"), "owner")
        assert other.get("/v1/keys").status_code == 200


def test_each_sort_of_act_has_an_allowance_of_its_own(database_url: str) -> None:
    limits = Limits(touches_a_day=3, events_a_day=70, acts_a_day=3, rows_a_minute=500)
    with running_service(database_url, limits) as service:
        both = service.sign_in(wallet("both"), "owner", "operator")
        surface = open_surface(both, "busy")
        lines = [event(id=f"e{n}") for n in range(60)]
        assert report_lines(both, surface, ndjson(*lines)).status_code == 200
        problem_of(report_lines(both, surface, ndjson(*lines)), 429, "rate-limited")
        # More than there is in a day is not worth waiting for.
        problem_of(report_lines(both, surface, ndjson(*lines, *lines)), 413, "lines-too-many")
        touches = [
            both.post(f"/v1/surfaces/{surface}/touches", json={}, headers={"Idempotency-Key": "x"})
            for _ in range(4)
        ]
        assert [answer.status_code for answer in touches] == [422, 422, 422, 429]
        assert "more than 3 touches in 86400 s" in touches[-1].json()["detail"]
        acts = [both.post("/v1/proposals", json={}).status_code for _ in range(2)]
        assert acts == [422, 429]
        pages = [both.get("/v1/keys", params={"limit": 240}).status_code for _ in range(3)]
        assert pages == [200, 200, 429]


def test_answers_tell_what_is_left(service: ApiService, operator: httpx.Client) -> None:
    answer = operator.get("/v1/keys", params={"limit": 10})
    limits = Limits()
    assert answer.headers["RateLimit-Policy"] == (
        f'"requests";q={limits.requests_a_minute};w=60, '
        f'"rows";q={limits.rows_a_minute};w=60;qu="rows"'
    )
    left = re.fullmatch(
        r'"requests";r=([0-9]+);t=[0-9]+, "rows";r=([0-9]+);t=[0-9]+', answer.headers["RateLimit"]
    )
    assert left is not None
    assert 0 < int(left[1]) < limits.requests_a_minute
    assert limits.rows_a_minute - 2_000 < int(left[2]) <= limits.rows_a_minute - 10
    # A reader without a key has allowances too, and a refused one is told of them.
    assert service.http.get("/v1/log").headers["RateLimit"].startswith('"read')
    refused = operator.post("/v1/proposals", json={})
    assert refused.status_code == 422
    assert '"acts";q=' in refused.headers["RateLimit-Policy"]


_PATH_VALUES = {"position": "1", "request_id": "00000000-0000-8000-8000-000000000000"}


def test_every_route_is_charged_and_says_so(service: ApiService) -> None:
    """Whoever asks, and even if it is refused: by the account with a key, else by the source."""

    def asked(method: str, path: str) -> httpx.Response:
        """Return the head of an answer: a stream has no end."""
        sent: dict[str, object] | None = None if method == "get" else {}
        with caller.stream(method, path, json=sent) as answer:
            return answer

    caller = service.sign_in(wallet("walker"), "owner", "operator")
    paths, address = service.get("/v1/openapi.json")["paths"], "0x" + "a" * 40
    silent = set()
    for path, methods in paths.items():
        filled = re.sub(
            r"\{(\w+)\}",
            lambda found: _PATH_VALUES.get(
                found[1], address if found[1] == "operator" else "0x" + "0" * 64
            ),
            path,
        )
        for method in methods:
            answer = asked(method, filled)
            if answer.status_code == 401:  # one of the routes has ended this very key
                caller = service.sign_in(wallet("walker"), "owner", "operator")
                answer = asked(method, filled)
            told = answer.headers.get("RateLimit"), answer.headers.get("RateLimit-Policy")
            if None in told:
                silent.add((method, path, answer.status_code))
    assert silent == set()
    assert service.http.get("/v1/openapi.json").headers["RateLimit"].startswith('"read')


def test_an_operator_has_more_where_its_level_is_higher(database_url: str) -> None:
    limits = Limits(touches_a_day=10, level_1_percent=250)
    with running_service(database_url, limits) as service:
        owner = service.sign_in(wallet("owner"), "owner")
        operator = service.sign_in(wallet("operator"), "operator")
        known, strange = open_surface(owner, "known"), open_surface(owner, "strange")
        give_level(service, known, wallet("operator"))
        told: dict[str, Any] = {}
        for surface in (strange, known, strange):
            answer = operator.post(
                f"/v1/surfaces/{surface}/touches", json={}, headers={"Idempotency-Key": "x"}
            )
            policy = re.search('"touches";q=([0-9]+)', answer.headers["RateLimit-Policy"])
            left = re.search('"touches";r=([0-9]+)', answer.headers["RateLimit"])
            assert policy is not None
            assert left is not None
            told.setdefault(surface, []).append((int(policy[1]), int(left[1])))
        # One allowance: a touch where the level is higher costs 4 hundredths of it, else a tenth.
        assert told == {strange: [(10, 9), (10, 7)], known: [(25, 21)]}


def test_an_account_has_a_number_of_requests_at_once(database_url: str) -> None:
    limits = Limits(requests_at_once=2)
    with running_service(database_url, limits) as service:
        greedy = service.sign_in(wallet("greedy"), "owner")
        surface = open_surface(greedy, "greedy")
        other = service.sign_in(wallet("other"), "owner")
        path = f"/v1/surfaces/{surface}/events"

        def send(key: str) -> httpx.Response:
            # One that comes beside a look and the other finds no place, and is sent again.
            while True:
                sent = greedy.post(path, json=event(), headers={"Idempotency-Key": key})
                if sent.status_code != 429:
                    return sent

        with ThreadPoolExecutor(2) as pool:
            with service.sequencer_lock:
                waiting = [pool.submit(send, f"wait-{n}") for n in range(2)]
                # While both of them wait for the log, there is no place for a third.
                while (third := greedy.get("/v1/keys")).status_code == 200:
                    pass
                problem_of(third, 429, "too-many-at-once")
                assert third.headers["Retry-After"] == "1"
                assert other.get("/v1/keys").status_code == 200
            assert [each.result().status_code for each in waiting] == [200, 200]
        assert greedy.get("/v1/keys").status_code == 200


def test_a_source_without_an_account_waits_too(database_url: str) -> None:
    limits = Limits(source_sign_ins_a_minute=5, source_reads_a_minute=10)
    with running_service(database_url, limits) as service:
        answers = [service.http.post("/v1/sign-in/nonce") for _ in range(12)]
        assert answers[0].status_code == 200
        problem_of(answers[-1], 429, "rate-limited")
        reads = [service.http.get("/v1/log") for _ in range(12)]
        assert reads[0].status_code == 200
        problem_of(reads[-1], 429, "rate-limited")


def test_allowances_that_are_full_again_are_forgotten_so_many_at_a_time(database_url: str) -> None:
    with (
        psycopg.connect(database_url, autocommit=True) as admin,
        open_as(database_url, WORKER) as database,
    ):
        admin.execute(
            "INSERT INTO rate_limits SELECT '0x' || lpad(to_hex(n), 40, '0'), 'reads', 1 "
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
        spender.execute("UPDATE rate_limits SET full_at_us = %s", (1 << 60,))

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


# --- Sources --------------------------------------------------------------------------------------

PROXIES = ("10.0.0.0/8", "fd00::/8")


def source(peer: str, headers: Sequence[tuple[str, str]], trusted: Sequence[str] = PROXIES) -> str:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers]
    scope: dict[str, Any] = {"type": "http", "client": (peer, 1), "headers": raw}
    networks = tuple(ip_network(each) for each in trusted)
    service = cast(Service, SimpleNamespace(info=SimpleNamespace(trusted_proxies=networks)))
    return source_of(service, Request(scope)).network


@pytest.mark.parametrize(
    ("peer", "headers", "expected"),
    [
        # From a peer that is no trusted proxy nothing is believed.
        ("192.0.2.9", [("X-Forwarded-For", "1.1.1.1")], "192.0.2.9"),
        ("127.0.0.1", [("X-Forwarded-For", "1.1.1.1")], "127.0.0.1"),
        ("127.0.0.1", [("Forwarded", "for=1.1.1.1")], "127.0.0.1"),
        # The first hop from the right that is no proxy of ours; what is left of it is made up.
        ("10.0.0.1", [("X-Forwarded-For", "198.51.100.7")], "198.51.100.7"),
        ("10.0.0.1", [("X-Forwarded-For", "6.6.6.6, 198.51.100.7")], "198.51.100.7"),
        ("10.0.0.1", [("X-Forwarded-For", "6.6.6.6, 198.51.100.7, 10.9.9.9")], "198.51.100.7"),
        (
            "10.0.0.1",
            [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "198.51.100.7")],
            "198.51.100.7",
        ),
        ("10.0.0.1", [("X-Forwarded-For", "198.51.100.7:4711")], "198.51.100.7"),
        ("10.0.0.1", [("Forwarded", "for=198.51.100.7;proto=https")], "198.51.100.7"),
        ("10.0.0.1", [("Forwarded", 'for=6.6.6.6, For="198.51.100.7:80"')], "198.51.100.7"),
        ("fd00::1", [("Forwarded", 'for="[2001:db8:1:2:3::4]:80"')], "2001:db8:1:2::/64"),
        ("10.0.0.1", [("X-Forwarded-For", "2001:db8:1:2:ffff::9")], "2001:db8:1:2::/64"),
        ("10.0.0.1", [("X-Forwarded-For", "::ffff:198.51.100.7")], "198.51.100.7"),
        ("::ffff:10.0.0.1", [("X-Forwarded-For", "198.51.100.7")], "198.51.100.7"),
        # What is no address ends the search, and both fields at once say nothing.
        ("10.0.0.1", [("X-Forwarded-For", "6.6.6.6, unknown")], "10.0.0.1"),
        ("10.0.0.1", [("Forwarded", "for=_hidden")], "10.0.0.1"),
        (
            "10.0.0.1",
            [("X-Forwarded-For", "198.51.100.7"), ("Forwarded", "for=6.6.6.6")],
            "10.0.0.1",
        ),
        ("10.0.0.1", [("X-Forwarded-For", ",".join(["10.2.2.2"] * 999))], "10.2.2.2"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("2001:db8::1", [], "2001:db8::/64"),
        ("testclient", [], "testclient"),
    ],
)
def test_the_source_is_what_trusted_proxies_saw(
    peer: str, headers: list[tuple[str, str]], expected: str
) -> None:
    assert source(peer, headers) == expected


def test_without_a_setting_no_proxy_is_trusted(database_url: str) -> None:
    with running_service(database_url, Limits(source_sign_ins_a_minute=3)) as service:
        answers = [sign_in_from(service, f"192.0.2.{n}") for n in range(8)]
        assert answers[-1].status_code == 429


def test_behind_a_trusted_proxy_each_client_has_its_own(database_url: str) -> None:
    limits, proxies = Limits(source_sign_ins_a_minute=3), [ip_network("127.0.0.0/8")]
    with running_service(database_url, limits, trusted_proxies=proxies) as service:
        answers = [sign_in_from(service, f"192.0.2.{n}") for n in range(8)]
        assert {answer.status_code for answer in answers} == {200}
        answers = [sign_in_from(service, "192.0.2.1") for _ in range(8)]
        assert answers[-1].status_code == 429


def test_the_networks_of_one_who_has_many_are_charged_together(database_url: str) -> None:
    limits = Limits(source_sign_ins_a_minute=3, wide_sources=2)
    proxies = [ip_network("127.0.0.0/8")]
    with running_service(database_url, limits, trusted_proxies=proxies) as service:
        own = [sign_in_from(service, "2001:db8:1:7::1") for _ in range(8)]
        assert [answer.status_code for answer in own].count(200) == 3
        assert "q=3;" in own[0].headers["RateLimit-Policy"]
        # What it was refused cost the others nothing.
        near = [sign_in_from(service, f"2001:db8:1:{n:x}::1") for n in range(100, 108)]
        assert [answer.status_code for answer in near].count(200) == 3
        assert "q=6;" in near[-1].headers["RateLimit-Policy"]
        assert sign_in_from(service, "2001:db8:2::1").status_code == 200


def sign_in_from(service: ApiService, client: str) -> httpx.Response:
    return service.http.post("/v1/sign-in/nonce", headers={"X-Forwarded-For": client})
