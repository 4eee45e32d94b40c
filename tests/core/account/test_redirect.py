"""Redirect URIs: which are served at all, and which are the one that was registered."""

import pytest

from orchestrator.core.account.redirect import is_registered, read_redirect_uri
from orchestrator.core.common.errors import InputError

WEB = "https://claude.example/api/mcp/auth_callback"


@pytest.mark.parametrize(
    ("text", "host", "is_loopback"),
    [
        (WEB, "claude.example", False),
        ("https://claude.example:8443/cb?tenant=7", "claude.example:8443", False),
        ("http://127.0.0.1:33418/", "127.0.0.1", True),
        ("http://127.0.0.1", "127.0.0.1", True),
        ("http://[::1]:9/cb", "[::1]", True),
        ("http://localhost:3000/callback", "localhost", True),
        ("com.example.app:/oauth", "com.example.app:", False),
        ("cursor://anysphere.cursor-mcp/oauth/callback", "cursor:", False),
    ],
)
def test_a_uri_is_read_with_the_host_that_a_person_is_shown(
    text: str, host: str, is_loopback: bool
) -> None:
    found = read_redirect_uri(text)
    assert (found.text, found.host, found.is_loopback) == (text, host, is_loopback)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/callback",
        "//claude.example/cb",
        "http://claude.example/cb",
        "http://127.0.0.1.evil.example/cb",
        "http://127.0.0.2/cb",
        "https://[::1]/cb",
        "https://claude.example/cb#part",
        "https://claude.example/cb#",
        "https://claude.example@evil.example/cb",
        "https://user:password@claude.example/cb",
        "https://claude.example\\@evil.example/cb",
        "https://claude.example%2f@evil.example/cb",
        "https://Claude.example/cb",
        "https://clаude.example/cb",  # noqa: RUF001 - the letter is Cyrillic
        "https://claude.example:0/cb",
        "https://claude.example:65536/cb",
        "https://claude.example:/cb",
        "https://claude.example/c b",
        "https://claude.example/cb\n",
        "https://claude.example/\x00",
        'https://claude.example/"onload="x',
        "https://claude.example/<script>",
        "https://claude.example/cb?code=1",
        "https://claude.example/cb?a=1&state=2",
        "https://claude.example/cb?error_description=2",
        "https://claude.example/" + "a" * 512,
        "javascript:/alert(1)",
        "javascript://x/%0aalert(1)",
        "data:/text",
        "file:///etc/passwd",
        "blob:/x",
        "myapp:/cb",
        "com.example.app:alert",
        ".app:/x",
    ],
)
def test_any_other_uri_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        read_redirect_uri(text)
    assert caught.value.code == "redirect-uri"


@pytest.mark.parametrize(
    ("asked", "registered", "is_one"),
    [
        (WEB, WEB, True),
        (WEB + "/more", WEB, False),
        (WEB + "?more=1", WEB, False),
        (WEB[:-1], WEB, False),
        ("https://claude.example:443/api/mcp/auth_callback", WEB, False),
        ("https://evil.claude.example/api/mcp/auth_callback", WEB, False),
        ("https://claude.example/api/mcp/../mcp/auth_callback", WEB, False),
        ("http://127.0.0.1:50001/cb", "http://127.0.0.1/cb", True),
        ("http://127.0.0.1:50001/cb", "http://127.0.0.1:33418/cb", True),
        ("http://[::1]:50001/cb", "http://[::1]/cb", True),
        ("http://localhost:50001/cb", "http://localhost:3000/cb", True),
        ("http://127.0.0.1:50001/other", "http://127.0.0.1/cb", False),
        ("http://localhost:3000/cb", "http://127.0.0.1:3000/cb", False),
        ("https://localhost:3001/cb", "https://localhost:3000/cb", False),
        ("com.example.app:/cb", "com.example.app:/cb", True),
        ("com.example.app:/cb2", "com.example.app:/cb", False),
    ],
)
def test_a_uri_is_the_registered_one_or_its_port_on_this_computer_differs(
    asked: str, registered: str, is_one: bool
) -> None:
    assert is_registered(read_redirect_uri(asked), read_redirect_uri(registered)) == is_one
