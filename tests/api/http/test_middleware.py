"""The guard before every route: safe headers, bounded bodies, no trace of a failure."""

import logging
import socket
from collections.abc import Iterator
from functools import partial
from ipaddress import ip_network
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.http.middleware import MAX_BODY_BYTES, MAX_BULK_BYTES, CrossOrigin, RequestGuard
from orchestrator.core.common.limits import Limits
from tests.support.api_service import (
    ApiService,
    answer_of,
    event,
    leads,
    open_surface,
    problem_of,
    running_service,
)


def test_every_answer_carries_safe_headers(service: ApiService) -> None:
    for answer in (
        service.http.get("/v1/log"),
        service.http.get("/nowhere"),
        service.http.put("/v1/log"),
    ):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        kept = "public, max-age=1" if answer.status_code == 200 else "no-store"
        assert answer.headers["Cache-Control"] == kept


@pytest.mark.parametrize("name", ["Authorization", "Content-Type", "Idempotency-Key", "Host"])
def test_a_field_with_one_value_stands_once(service: ApiService, name: str) -> None:
    """Of two the first would win here, and at a proxy before us perhaps the last."""
    url = httpx.URL(service.url)
    for second in (name, name.lower(), name.upper()):
        head = "POST /v1/sign-in/nonce HTTP/1.1\r\nConnection: close\r\n"
        head += f"{name}: 0\r\n{second}: 0\r\n"
        if name != "Host":
            head += f"Host: {url.netloc.decode()}\r\n"
        with socket.create_connection((url.host, url.port or 0)) as raw:
            raw.sendall(f"{head}\r\n".encode())
            answer = b"".join(iter(lambda: raw.recv(65_536), b""))
        assert answer.startswith(b"HTTP/1.1 400 ")


def test_a_doubled_idempotency_key_takes_nothing(service: ApiService, owner: httpx.Client) -> None:
    surface = open_surface(owner, "doubled")
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    answer = owner.post(f"/v1/surfaces/{surface}/events", json=event(), headers=headers)
    assert "idempotency-key" in str(problem_of(answer, 400, "header-doubled")["detail"])
    assert leads(owner, surface) == []


def test_pages_of_any_origin_may_read_what_needs_no_key(service: ApiService) -> None:
    origin = {"Origin": "https://any.example"}
    answer = service.http.get("/v1/log", headers=origin)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Credentials" not in answer.headers
    asked = origin | {"Access-Control-Request-Method": "POST"}
    leave = service.http.options("/v1/sign-in", headers=asked)
    assert leave.status_code == 204
    # It may not send a key, nor anything but a plain read.
    assert leave.headers["Access-Control-Allow-Methods"] == "GET"
    assert leave.headers["Access-Control-Allow-Headers"] == "Last-Event-ID"
    # Without an origin there is nothing to say.
    assert "Access-Control-Allow-Origin" not in service.http.get("/v1/log").headers
    plain = service.http.options("/v1/log", headers=origin)
    assert plain.json()["code"] == "method-not-allowed"


def test_pages_of_listed_origins_may_send_keys() -> None:
    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        await Response("inner")(scope, receive, send)

    def ask(origin: str, *more: tuple[bytes, bytes]) -> httpx.Response:
        app: Any = CrossOrigin(inner, ["https://app.example"])
        return answer_of(app, [(b"origin", origin.encode()), *more])

    mine = ask("https://app.example")
    assert mine.text == "inner"
    assert mine.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert mine.headers["Vary"] == "Origin"
    assert "Access-Control-Allow-Credentials" not in mine.headers
    for other in ("https://app.example.evil", "null", "http://app.example"):
        assert ask(other).headers["Access-Control-Allow-Origin"] == "*"


def test_a_body_too_large_is_refused_unread(service: ApiService) -> None:
    """The server answers on the declared length alone; of the body not one byte was sent."""
    host, port = service.url.removeprefix("http://").split(":")
    for path, most in (("/v1/sign-in", MAX_BODY_BYTES), ("/v1/x/bulk", MAX_BULK_BYTES)):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {most + 1}\r\n\r\n"
            connection.sendall(head.encode())
            assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_a_body_of_undeclared_length_is_cut_off(service: ApiService) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(MAX_BODY_BYTES // 1024 + 1):
            yield b" " * 1024

    headers = {"Content-Type": "application/json"}
    answer = service.http.post("/v1/sign-in", content=chunks(), headers=headers)
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
def test_a_malformed_length_and_one_too_large_are_two_problems(
    length: str, status: int, code: str, detail: str
) -> None:
    """Our server refuses most of these itself; not every server does."""
    app = FastAPI()
    app.add_middleware(RequestGuard)
    headers = [(b"Content-Length", length.encode("latin-1"))]
    answer = answer_of(app, headers)
    assert detail in str(problem_of(answer, status, code)["detail"])
    assert answer.headers["Connection"] == "close"


def test_a_failure_inside_is_logged_and_never_shown(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with running_service(database_url) as service:
        with service.admin() as admin:
            admin.execute("ALTER TABLE checkpoints RENAME COLUMN root TO secret_root")
        try:
            with caplog.at_level(logging.ERROR, "tallystick.api"):
                answer = service.http.get("/v1/log")
            problem_of(answer, 500, "internal")
            assert "root" not in answer.text
            assert "root" in caplog.text
        finally:
            with service.admin() as admin:
                admin.execute("ALTER TABLE checkpoints RENAME COLUMN secret_root TO root")


def test_a_source_has_so_many_requests_by_proxies_at_a_time(database_url: str) -> None:
    limits, proxies = Limits(source_connections=1), [ip_network("127.0.0.1")]
    with running_service(database_url, limits, trusted_proxies=proxies) as service:
        url = httpx.URL(service.url)
        half = (
            f"POST /v1/sign-in/nonce HTTP/1.1\r\nHost: {url.netloc.decode()}\r\n"
            "X-Forwarded-For: 192.0.2.1\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
        )
        with socket.create_connection((url.host, url.port or 0)) as raw:
            raw.sendall(half.encode())
            # The body is asked for once the application reads it.
            assert raw.recv(65_536).startswith(b"HTTP/1.1 100 ")
            ask = partial(service.http.get, "/v1/log")
            second = ask(headers={"X-Forwarded-For": "192.0.2.1"})
            assert "1 requests of your" in str(
                problem_of(second, 429, "connections-many")["detail"]
            )
            assert ask(headers={"X-Forwarded-For": "192.0.2.2"}).status_code == 200


def test_half_a_request_is_no_failure_to_log(
    service: ApiService, caplog: pytest.LogCaptureFixture
) -> None:
    url = httpx.URL(service.url)
    head = f"POST /v1/sign-in/nonce HTTP/1.1\r\nHost: {url.netloc.decode()}\r\n"
    with socket.create_connection((url.host, url.port or 0)) as raw:
        raw.sendall(f"{head}Content-Length: 9\r\nExpect: 100-continue\r\n\r\n".encode())
        assert raw.recv(65_536).startswith(b"HTTP/1.1 100 ")
    assert service.http.get("/v1/log").status_code == 200
    assert caplog.records == []
