"""Requests to strangers' URLs: to a judged address, with the body and the deadline as asked for."""

import asyncio
from http.server import BaseHTTPRequestHandler
from ipaddress import IPv4Network

import pytest

from orchestrator.client.outward import Outward, resolve
from orchestrator.core.common.errors import InputError
from tests.support.http_server import send, serving

LOOPBACK = (IPv4Network("127.0.0.0/8"),)


async def status_of(outward: Outward, method: str, url: str, body: bytes = b"") -> int:
    async with outward.ask(method, url, {"X-Of": "a test"}, body) as answer:
        return answer.status_code


def test_the_real_resolver_finds_the_odd_forms() -> None:
    assert asyncio.run(resolve("2130706433", 1)) == ["127.0.0.1"]
    assert "127.0.0.1" in asyncio.run(resolve("localhost", 1))


def test_a_request_goes_out_as_asked_and_no_further() -> None:
    asked = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        asked.append((handler.command, handler.path, handler.headers["X-Of"], body))
        handler.send_response(307)
        handler.send_header("Location", "/further")
        handler.end_headers()

    with serving(answer) as url:
        outward = Outward(LOOPBACK, 5)
        assert asyncio.run(status_of(outward, "POST", f"{url}/a?b=c", b"body")) == 307
        assert asyncio.run(status_of(outward, "GET", url)) == 307
    assert asked == [("POST", "/a?b=c", "a test", b"body"), ("GET", "/", "a test", b"")]


@pytest.mark.parametrize(
    ("networks", "url", "code"),
    [
        ((), "https://127.0.0.1/", "url-closed"),
        ((), "https://localhost/", "url-closed"),
        (LOOPBACK, "http://8.8.8.8/", "url-plain"),
        ((), "http://client.example/", "url-malformed"),
    ],
)
def test_what_is_not_asked_is_refused_by_its_rule(
    networks: tuple[IPv4Network, ...], url: str, code: str
) -> None:
    with pytest.raises(InputError) as caught:
        asyncio.run(status_of(Outward(networks, 5), "GET", url))
    assert caught.value.code == code


def test_one_deadline_is_for_all_of_it() -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        send(handler, b"")
        handler.rfile.read(1)  # until the other side hangs up

    async def linger(url: str) -> None:
        async with Outward(LOOPBACK, 0.2).ask("GET", url, {}):
            await asyncio.Event().wait()

    with serving(drip) as url, pytest.raises(TimeoutError):
        asyncio.run(linger(url))
