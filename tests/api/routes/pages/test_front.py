"""The front page: it shows what is offered, and no name from outside is anything but text."""

import re

import httpx
import pytest

from api.routes.pages.front import MAX_NEWS, NEWS, POLICY
from orchestrator.core.entries.kinds import KINDS
from tests.support.api_service import POLICY as SURFACE_POLICY
from tests.support.api_service import (
    ApiService,
    event,
    give_level,
    leads,
    open_surface,
    report,
    touch,
    wallet,
)
from tests.support.outlines import HOSTILE, Outline

# Nothing else is ever on the page.
ELEMENTS = {
    *("html", "head", "meta", "title", "link", "script", "body", "main", "header", "section"),
    *("h1", "h2", "h3", "p", "a", "code", "pre", "details", "summary", "div", "nav", "ul", "ol"),
    *("li", "time", "table", "caption", "thead", "tbody", "tr", "th", "td"),
}


def outline_of(service: ApiService) -> Outline:
    answer = service.http.get("/")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    return Outline(answer.text)


def test_names_from_outside_are_text(service: ApiService, owner: httpx.Client) -> None:
    for number, name in enumerate(HOSTILE):
        body = {"name": name, "policy": SURFACE_POLICY}
        key = {"Idempotency-Key": f"hostile-{number}"}
        answer = owner.post("/v1/surfaces", json=body, headers=key)
        assert answer.status_code == 200, answer.text
    seen = outline_of(service)
    assert set(HOSTILE) <= set(seen.texts)
    assert seen.elements <= ELEMENTS
    assert not [name for name in seen.attributes if name.startswith("on")]
    assert all(re.match(r"/[a-z0-9]|/$", reference) for reference in seen.references)


def test_offers_are_shown_as_they_stand(service: ApiService, owner: httpx.Client) -> None:
    surface = open_surface(owner, "offering")
    deal = {"outcome": "activated", "price": "7.25", "budget": "72.50"}
    body = {"deal": deal, "places": 3}
    answer = owner.post(f"/v1/surfaces/{surface}/offers", json=body)
    assert answer.status_code == 201, answer.text
    text = " ".join(outline_of(service).texts)
    for shown in ("offering", surface, "7.25 TUSD", "3 of 3", service.url):
        assert shown in text
    owner.post(f"/v1/surfaces/{surface}/offers/{answer.json()['offer']}/withdraw")
    assert "7.25" not in " ".join(outline_of(service).texts)


def test_what_just_happened_is_there_without_a_script(
    service: ApiService, owner: httpx.Client
) -> None:
    open_surface(owner, "news")
    seen = outline_of(service)
    assert NEWS["policy.published"] in seen.texts
    answer = service.http.get("/").text
    assert 0 < answer.count("<li><time ") <= MAX_NEWS


def test_operators_are_shown_with_their_records(
    service: ApiService, owner: httpx.Client, operator: httpx.Client
) -> None:
    assert "None has registered yet." in outline_of(service).texts
    surface, address = open_surface(owner, "records"), wallet("operator").address
    give_level(service, surface, wallet("operator"))
    report(owner, surface, "one", event("one"))
    touch(operator, surface, "one", leads(operator, surface)[0]["lead"], "email")
    link = f'<a href="/v1/operators/{address}/record">{address}</a>'
    cells = f"<td>{link}</td><td>0</td><td>none yet</td><td>nothing yet</td>"
    assert cells in service.http.get("/").text


def test_its_words_are_of_kinds_that_there_are() -> None:
    assert NEWS.keys() | {"genesis", "lead.refused", "code.issued", "code.ended"} == KINDS.keys()


@pytest.mark.parametrize("path", ["/", "/front.css", "/front.js"])
def test_headers_let_nothing_in(service: ApiService, path: str) -> None:
    headers = service.http.get(path, headers={"Cookie": "a=b"}).headers
    assert headers["Content-Security-Policy"] == POLICY
    assert "frame-ancestors 'none'" in POLICY
    assert "unsafe" not in POLICY
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "Set-Cookie" not in headers


def test_nothing_is_loaded_from_elsewhere(service: ApiService) -> None:
    for path in ("/", "/front.css", "/front.js"):
        text = service.http.get(path).text.replace(service.url, "")
        assert not re.search(r"(https?:)?//[a-z0-9]", re.sub(r"(?m)^//.*$", "", text))
    script = service.http.get("/front.js").text
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval|cookie", script)
