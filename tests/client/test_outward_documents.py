"""Documents of strangers: read from an address that was judged, within bounds, or not at all."""

import asyncio
import ssl
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from orchestrator.client.outward import MAX_DOCUMENT_BYTES, DocumentReader
from orchestrator.core.common.errors import InputError
from tests.support.certificates import contexts_for
from tests.support.http_server import Answer, send, serving

LOOPBACK = (IPv4Network("127.0.0.0/8"),)


def refused(reader: DocumentReader, url: str) -> str:
    with pytest.raises(InputError) as caught:
        asyncio.run(reader.read(url))
    assert caught.value.code == "document-unread"
    return caught.value.message


def resolving_to(*addresses: str, tls: ssl.SSLContext | None = None) -> DocumentReader:
    left = [addresses]

    async def resolve(host: str, port: int) -> Sequence[str]:
        return left.pop()  # a second question would fail the test

    return DocumentReader(LOOPBACK if tls else (), resolve=resolve, tls=tls)


def answering(body: bytes, status: int = 200, encoding: str = "") -> Answer:
    return lambda handler: send(handler, body, status=status, encoding=encoding)


def test_a_document_is_read_over_tls_of_the_name_from_the_address(tmp_path: Path) -> None:
    served, trusting = contexts_for("client.example", tmp_path)
    hosts: list[str] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        hosts.append(handler.headers["Host"])
        send(handler, b"{}")

    with serving(answer, served) as url:
        port = url.rpartition(":")[2]
        found = asyncio.run(
            resolving_to("127.0.0.1", tls=trusting).read(f"https://client.example:{port}/id.json")
        )
        assert found == b"{}"
        assert hosts == [f"client.example:{port}"]
        # The certificate must be of the name, wherever the name leads.
        other = resolving_to("127.0.0.1", tls=trusting)
        refused(other, f"https://other.example:{port}/id.json")
    assert len(hosts) == 1


@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1",),
        ("169.254.169.254",),
        ("10.1.2.3",),
        ("::1",),
        ("::ffff:127.0.0.1",),
        ("64:ff9b::a9fe:a9fe",),
        ("8.8.8.8", "127.0.0.1"),
        ("nonsense",),
        (),
    ],
)
def test_a_name_that_leads_to_a_closed_address_is_not_asked(addresses: tuple[str, ...]) -> None:
    refused(resolving_to(*addresses), "https://inside.example/")


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://localhost/",
        "https://2130706433/",
        "https://[::ffff:127.0.0.1]/",
        "https://169.254.169.254/latest/meta-data/",
        "http://client.example/",
        "file:///etc/passwd",
        "https://a@127.0.0.1/",
        "https://client.example:0/",
    ],
)
def test_every_refusal_says_the_same(url: str) -> None:
    assert refused(DocumentReader(), url) == refused(DocumentReader(), "https://[::1]/")


@pytest.mark.parametrize(
    "answer",
    [
        answering(b"{}", status=302),
        answering(b"{}", status=404),
        answering(b"x", encoding="gzip"),
        answering(b" " * (MAX_DOCUMENT_BYTES + 1)),
        lambda handler: handler.wfile.write(b"nothing of HTTP\r\n\r\n"),
    ],
)
def test_only_a_short_answer_of_its_own_is_a_document(answer: Answer) -> None:
    with serving(answer) as url:
        refused(DocumentReader(LOOPBACK), url)
    with serving(answering(b" " * MAX_DOCUMENT_BYTES)) as url:
        assert len(asyncio.run(DocumentReader(LOOPBACK).read(url))) == MAX_DOCUMENT_BYTES


def test_an_answer_that_never_ends_is_left() -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.flush()
        handler.rfile.read(1)  # until the other side hangs up

    with serving(drip) as url:
        refused(DocumentReader(LOOPBACK, deadline_s=0.2), url)
