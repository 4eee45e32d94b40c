"""One exchange over HTTP: bounded, sent once, and without the access key in any text."""

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler

import pytest

from orchestrator.chain.nodes import endpoint as endpoints
from orchestrator.chain.nodes.endpoint import MAX_REPLY_BYTES, Endpoint
from orchestrator.chain.rpc import NodeError, Request
from orchestrator.runtime.local_servers import LocalAnvil
from tests.support.chain_deal import refused
from tests.support.http_server import serving
from tests.support.rpc_proxy import Answer, RpcProxy

ASK: list[Request] = [("eth_chainId", [])]


@pytest.fixture
def proxy(module_anvil: LocalAnvil) -> Iterator[RpcProxy]:
    with RpcProxy(module_anvil.rpc_url) as proxy:
        yield proxy


def answered(proxy: RpcProxy, answer: Answer | bytes | None, path: str = "") -> NodeError:
    """Return the error that comes of this answer."""
    proxy.fault = lambda _, __: answer
    with Endpoint(proxy.url + path) as endpoint, pytest.raises(NodeError) as caught:
        endpoint.exchange(ASK)
    return caught.value


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8545",
        "ftp://host",
        "http://",
        "file:///etc",
        "http://127.0.0.1:8545x",
        "http://[",
        "http://a:99999",
        "http://a/\x00",
    ],
)
def test_urls_that_are_no_nodes(url: str) -> None:
    refused("rpc-url-malformed", lambda: Endpoint(url))


def test_one_request_goes_alone_and_several_as_a_batch(proxy: RpcProxy) -> None:
    with Endpoint(proxy.url) as endpoint:
        assert endpoint.exchange(ASK) == {"jsonrpc": "2.0", "id": 1, "result": hex(31337)}
        assert [one["id"] for one in endpoint.exchange(ASK * 3)] == [1, 2, 3]
    assert proxy.batches == [0, 3]


def test_replies_are_bounded(proxy: RpcProxy) -> None:
    assert answered(proxy, b"[" + b" " * MAX_REPLY_BYTES).code == "reply-too-large"


def test_what_is_no_json_is_told_in_the_servers_words(proxy: RpcProxy) -> None:
    page = b"<html><h1>502 Bad Gateway</h1>\n<p>upstream is away</p></html>" + b"x" * 10_000
    error = answered(proxy, Answer(page, 502))
    assert error.code == "node-garbled"
    assert "answered HTTP 502" in error.message
    assert "502 Bad Gateway upstream is away" in error.message
    assert len(error.message) < 400


def test_silence_is_told_apart_from_absence(proxy: RpcProxy) -> None:
    assert answered(proxy, None).code == "node-silent"
    with Endpoint("http://127.0.0.1:1") as endpoint, pytest.raises(NodeError) as caught:
        endpoint.exchange(ASK)
    assert caught.value.code == "node-unreachable"


@pytest.mark.parametrize(
    ("status", "headers", "body", "code", "seconds"),
    [
        (429, {"Retry-After": "7"}, {"error": "slow down"}, "node-busy", 7),
        (429, {}, {"error": {"code": -32005, "message": "slow down"}}, "node-busy", 0),
        (429, {"Retry-After": "soon"}, "slow down", "node-busy", 0),
        (429, {"Retry-After": "9" * 400}, "slow down", "node-busy", 86_400),
        (503, {"Retry-After": "3"}, "slow down", "node-busy", 3),
        (503, {}, {"error": {"message": "slow down, too many requests"}}, "node-busy", 0),
        (401, {}, "slow down", "node-denied", 0),
        (403, {}, {"message": "slow down"}, "node-denied", 0),
    ],
)
def test_a_status_that_speaks_of_us(
    proxy: RpcProxy, status: int, headers: dict[str, str], body: object, code: str, seconds: int
) -> None:
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    error = answered(proxy, Answer(raw, status, headers))
    assert (error.code, error.retry_after_s) == (code, seconds)
    assert f"HTTP {status}" in error.message
    assert "slow down" in error.message


def test_a_date_to_come_back_at(proxy: RpcProxy) -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    assert 60 < answered(proxy, Answer(b"", 429, {"Retry-After": at})).retry_after_s <= 100
    past = format_datetime(datetime.now(UTC) - timedelta(seconds=100), usegmt=True)
    assert answered(proxy, Answer(b"", 429, {"Retry-After": past})).retry_after_s == 0


def test_another_status_may_answer_the_request(proxy: RpcProxy) -> None:
    reply = {"jsonrpc": "2.0", "id": 1, "error": {"code": -32602, "message": "range too long"}}
    proxy.fault = lambda _, __: Answer(reply, 400)
    with Endpoint(proxy.url) as endpoint:
        assert endpoint.exchange(ASK) == reply


def test_the_urls_secrets_stay_out_of_texts(proxy: RpcProxy) -> None:
    said = b"no route POST /v2/topsecret?key=hidden%2Fkey for user and hidden/key"
    error = answered(proxy, said, "/v2/topsecret?key=hidden%2Fkey")
    assert "no route POST" in error.message
    for secret in ("topsecret", "hidden/key", "hidden%2Fkey"):
        assert secret not in error.message
    endpoint = Endpoint("http://user:password@127.0.0.1:1/access-key")
    assert "password" not in repr(endpoint)
    with endpoint, pytest.raises(NodeError) as caught:
        endpoint.exchange(ASK)
    assert "password" not in str(caught.value)
    assert "access-key" not in str(caught.value)


@pytest.mark.parametrize("is_behind_proxy", [False, True])
def test_a_node_that_never_comes_to_its_answer_is_left(
    monkeypatch: pytest.MonkeyPatch, is_behind_proxy: bool
) -> None:
    monkeypatch.setattr(endpoints, "REPLY_S", 1)

    def announce(handler: BaseHTTPRequestHandler) -> None:
        with suppress(OSError):
            for _ in range(600):
                handler.wfile.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
                handler.wfile.flush()
                time.sleep(0.05)

    with serving(announce) as url:
        if is_behind_proxy:
            monkeypatch.setenv("HTTP_PROXY", url)
        node = "http://node.example" if is_behind_proxy else url
        with Endpoint(node) as endpoint, pytest.raises(NodeError, match="took too long") as caught:
            endpoint.exchange(ASK)
    assert caught.value.code == "node-silent"
