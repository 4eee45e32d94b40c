"""Posting: it connects to an address that was judged, and says little of why it does not."""

import asyncio
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from orchestrator.webhooks.posting import Poster, Reply
from tests.support.certificates import contexts_for
from tests.support.http_server import send, serving
from tests.support.webhooks import Receiver

LOOPBACK = (IPv4Network("127.0.0.0/8"),)


def post(poster: Poster, url: str) -> Reply:
    return asyncio.run(poster.post(url, {}, b"{}"))


def resolving_to(*addresses: str) -> Poster:
    async def found(host: str, port: int) -> Sequence[str]:
        return addresses

    return Poster(deadline_s=5, resolve=found)


@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1",),
        ("169.254.169.254",),
        ("10.1.2.3",),
        ("::1",),
        ("::ffff:127.0.0.1",),
        ("fd00:ec2::254",),
        ("64:ff9b::a9fe:a9fe",),
        ("fe80::1%eth0",),
        # One of many is enough, wherever it stands.
        ("8.8.8.8", "127.0.0.1"),
        ("127.0.0.1", "8.8.8.8"),
        ("nonsense",),
        (),
    ],
)
def test_a_name_that_leads_to_a_closed_address_is_refused(addresses: tuple[str, ...]) -> None:
    poster = resolving_to(*addresses)
    assert post(poster, "https://inside.example/") == Reply(None, "url-closed")


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://localhost/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://127.1/",
        "https://0177.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://169.254.169.254/latest/meta-data/",
    ],
)
def test_odd_forms_of_closed_addresses_are_refused_by_the_real_resolver(url: str) -> None:
    assert post(Poster(deadline_s=5), url).fault in {"url-closed", "name-unresolved"}


def test_a_name_is_resolved_once_and_the_address_kept(receiver: Receiver) -> None:
    """Show that a second answer of the resolver, to a closed address, is never asked for."""
    asked = []

    async def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    hosts = []

    def note(handler: BaseHTTPRequestHandler) -> None:
        hosts.append(handler.headers["Host"])
        send(handler, b"", status=204)

    receiver.answer = note
    port = receiver.url.split(":")[2].split("/")[0]
    poster = Poster(LOOPBACK, deadline_s=5, resolve=rebinding)
    assert post(poster, f"http://rebound.example:{port}/hook") == Reply(204, None)
    assert asked == ["rebound.example"]
    assert hosts == [f"rebound.example:{port}"]


def test_plain_http_goes_to_opened_networks_alone(receiver: Receiver) -> None:
    async def public(host: str, port: int) -> Sequence[str]:
        return ["8.8.8.8"]

    poster = Poster(LOOPBACK, deadline_s=5, resolve=public)
    assert post(poster, "http://outside.example/") == Reply(None, "url-plain")
    assert post(Poster(deadline_s=5), receiver.url) == Reply(None, "url-malformed")
    assert receiver.tries == 0


def test_a_receiver_needs_a_certificate_of_the_name_that_was_named(tmp_path: Path) -> None:
    """Show that the name is what is verified, although the connection goes to its address."""
    served, trusting = contexts_for("hook.example", tmp_path)
    answered = []

    async def here(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    def note(handler: BaseHTTPRequestHandler) -> None:
        answered.append(handler.headers["Host"])
        send(handler, b"", status=204)

    with serving(note, tls=served) as url:
        port = url.rpartition(":")[2]
        poster = Poster(LOOPBACK, deadline_s=5, resolve=here, tls=trusting)
        assert post(poster, f"https://hook.example:{port}/") == Reply(204, None)
        strangers = Poster(LOOPBACK, deadline_s=5, resolve=here)
        for refused in (
            post(poster, f"https://another.example:{port}/"),
            post(poster, f"https://127.0.0.1:{port}/"),
            post(strangers, f"https://hook.example:{port}/"),
        ):
            assert refused.fault is not None
            assert refused.fault.startswith("no connection could be made")
    assert answered == [f"hook.example:{port}"]


def test_a_resolver_that_hangs_has_the_same_deadline() -> None:
    async def hanging(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return ()

    poster = Poster(deadline_s=0.05, resolve=hanging)
    assert post(poster, "https://slow.example/") == Reply(None, "timeout")


def test_a_name_that_is_not_there_is_said() -> None:
    async def unknown(host: str, port: int) -> Sequence[str]:
        raise OSError(-2, "unknown")

    assert post(Poster(resolve=unknown), "https://none.example/").fault == "name-unresolved"
