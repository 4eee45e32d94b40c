"""The page on which a person's wallet signs: what is asked, by whom, and where the answer goes.

It is one file of ours with no other to load. Its policy lets only its own script run, and lets no
page frame it; what a client wrote is escaped, and what it calls itself is not shown at all.
"""

import secrets
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import NamedTuple

from fastapi import Response

from api.oauth.clients import Client
from orchestrator.core.account.redirect import RedirectUri
from orchestrator.core.account.scopes import SCOPE_WORDS, Scope


class ConsentRequest(NamedTuple):
    """The content of the page: a request, which only this page knows, and what it asks for."""

    request: str
    client: Client
    redirect: RedirectUri
    scopes: Sequence[Scope]


def consent_page(asked: ConsentRequest) -> Response:
    """Return the page that asks for consent."""
    by = (
        "It has registered itself: no one has checked who it is."
        if asked.client.host is None
        else f"Its id is a document at {asked.client.host}."
    )
    where = asked.redirect.host
    if asked.redirect.is_loopback:
        where += ", a program on this computer"
    elif where.endswith(":"):
        where += ", an application on this computer that opens such links"
    scopes = "".join(
        f"<li>{escape(SCOPE_WORDS[one])} <code>{escape(one)}</code></li>" for one in asked.scopes
    )
    return _page(
        "consent.html",
        host=escape(where),
        client=escape(asked.client.id),
        by=escape(by),
        scopes=scopes,
        request=escape(asked.request),
        style=_file("page.css"),
        script=_file("page.js"),
    )


def unavailable_page() -> Response:
    """Return the page of a service that cannot answer just now."""
    reason = "the service cannot answer just now; load this page again in a moment"
    return _page("refusal.html", 503, reason=reason, way="", style=_file("page.css"))


def refusal_page(reason: str, back: tuple[str, str] | None = None) -> Response:
    """Return the page that says why there is nothing to sign.

    `back` is the way to the client: a host and a URL. The person takes it or not: a link that we
    followed by ourselves would make us a door to wherever a stranger likes.
    """
    way = ""
    if back is not None:
        host, url = back
        way = f'<p><a rel="noreferrer" href="{escape(url)}">Go back to {escape(host)}</a></p>'
    return _page("refusal.html", 400, reason=escape(reason), way=way, style=_file("page.css"))


def _page(name: str, status: int = 200, **parts: str) -> Response:
    nonce = secrets.token_urlsafe(18)
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    content = Template(_file(name)).substitute(parts, nonce=nonce)
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-store"}
    return Response(content, status, headers=headers, media_type="text/html")


def _file(name: str) -> str:
    return files("api.oauth").joinpath("page", name).read_text("utf-8")
