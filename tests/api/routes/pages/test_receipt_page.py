"""The page of a receipt: what the receipt has, in its order; names from outside are text."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from api.context import Service
from api.routes.pages.front import POLICY
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.common.units import NS_PER_MS, format_second, format_time
from orchestrator.core.entries.kinds import decode
from tests.support.anchors import checkpoints_beyond, note_anchor
from tests.support.api_service import (
    SETTINGS,
    ApiService,
    another_api,
    event,
    give_level,
    leads,
    open_surface,
    publish_settings,
    report,
    touch,
    wallet,
)
from tests.support.outlines import Outline
from tests.support.receipts import KINDS_WITH_RECEIPTS
from tests.support.settled_contract import OPERATOR, TRANSACTION, SettledContract

# Nothing else is ever on the page.
ELEMENTS = {
    *("html", "head", "meta", "title", "link", "body", "main", "nav", "section", "h1", "h2", "h3"),
    *("p", "a", "code", "pre", "ul", "ol", "li", "time", "dl", "dt", "dd", "div", "bdi"),
}
SHORT = f"{OPERATOR.address[:6]}…{OPERATOR.address[-4:]}"


@pytest.fixture(autouse=True)
def _no_anchors(service: ApiService) -> Iterator[None]:
    """Forget the anchors of a test at its end: the service is shared."""
    yield
    with service.admin() as admin:
        admin.execute("DELETE FROM chain_events")


@pytest.fixture
def anchored(service: ApiService, settled: SettledContract) -> SettledContract:
    """Return the contract, all of whose entries are under an anchor."""
    note_anchor(service, 0, checkpoints_beyond(service, settled.position_of("payout"))[-1])
    return settled


def read(answer: httpx.Response, status: int = 200) -> tuple[Outline, str]:
    """Return what a page has, which no page may have more than, and its text."""
    assert (answer.status_code, answer.headers["Content-Type"]) == (
        status,
        "text/html; charset=utf-8",
    )
    assert answer.headers["Content-Security-Policy"] == POLICY
    seen = Outline(answer.text)
    assert seen.elements <= ELEMENTS
    assert seen.attributes <= {
        *("lang", "charset", "name", "content", "rel", "href", "class", "datetime", "aria-label")
    }
    assert all(re.match(r"/[a-z0-9]|/$", reference) for reference in seen.references)
    return seen, "".join(seen.texts).replace("\N{NO-BREAK SPACE}", " ")


def steps_of(page: str) -> list[tuple[str, int]]:
    """Return the steps of a page: the role of each, and the position that it links to."""
    found = re.findall(
        r"<h3>(\w+)</h3>.*?/v1/log/entries\?start=(\d+)&amp;limit=1", page, re.DOTALL
    )
    return [(role.lower(), int(position)) for role, position in found]


@pytest.mark.parametrize("kind", KINDS_WITH_RECEIPTS)
def test_a_page_says_what_its_receipt_has(
    service: ApiService, anchored: SettledContract, kind: str
) -> None:
    position = anchored.position_of(kind)
    document = service.get(f"/v1/receipts/{position}")
    answer = service.http.get(f"/receipts/{position}")
    seen, text = read(answer)
    assert steps_of(answer.text) == [
        (each["role"], each["position"]) for each in document["entries"]
    ]
    for name in ("contract_id", "log_id", "origin", "event_log", "escrow", "chain_id"):
        assert f"<code>{document[name]}</code>" in answer.text
    for name in ("size", "root"):
        assert f"<code>{document['checkpoint'][name]}</code>" in answer.text
    for each in document["entries"]:
        seconds = decode(from_hex(each["entry"])).time_ms // 1000
        assert format_second(seconds) in text
    assert {f"/check#/v1/receipts/{position}", f"/v1/receipts/{position}"} <= {*seen.references}
    assert (
        f"tallystick receipt {position} --api {service.url} > receipt.json;\n"
        "tallystick verify receipt.json --rpc YOUR-NODE"
    ) in text
    assert "that the log's rules give these entries and no others instead" in text


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("outcome", f"earns operator {SHORT} 10.99 TUSD for"),
        ("outcome.reversed", f"takes back 10.99 TUSD that operator {SHORT} had earned for"),
        ("settlement", f"states that operator {SHORT} has earned 10.99 TUSD so far for"),
        ("payout", f"pays operator {SHORT} 10.99 TUSD for"),
    ],
)
def test_one_sentence_says_what_it_shows(
    service: ApiService, anchored: SettledContract, kind: str, said: str
) -> None:
    position = anchored.position_of(kind)
    _, text = read(service.http.get(f"/receipts/{position}"))
    assert f"Entry {position} {said} “subscribed” on surface settled." in text


def sums_of(page: str) -> dict[str, str]:
    found = re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)</dd>", page)
    return {name: amount.replace("\N{NO-BREAK SPACE}", " ") for name, amount in found}


def test_the_money_adds_up(service: ApiService, anchored: SettledContract) -> None:
    stated = {
        "Earned by the contract, as stated": "10.99 TUSD",
        "Taken back of that": "0.00 TUSD",
        "Payable in all": "10.99 TUSD",
    }
    page = service.http.get(f"/receipts/{anchored.position_of('payout')}").text
    assert sums_of(page) == stated | {"Paid, fee included": "10.99 TUSD"}
    assert f"<code>{to_hex(TRANSACTION)}</code>" in page
    page = service.http.get(f"/receipts/{anchored.position_of('outcome.reversed')}").text
    assert sums_of(page) == stated | {
        "Earned by the outcome": "10.99 TUSD",
        "Taken back of it": "10.99 TUSD",
        "Taken back of that": "10.99 TUSD",
        "Payable in all": "0.00 TUSD",
    }


def test_what_is_not_anchored_yet_is_said(service: ApiService, settled: SettledContract) -> None:
    outcome, payout = settled.position_of("outcome"), settled.position_of("payout")
    sizes = checkpoints_beyond(service, settled.position_of("settlement"))
    note_anchor(service, 0, next(size for size in sizes if size <= payout))
    answer = service.http.get(f"/receipts/{outcome}")
    _, text = read(answer)
    assert steps_of(answer.text)[-1] == ("payout", payout)
    assert text.count("not anchored yet") == 1
    assert "Paid, fee included" not in text
    # Of what is no part of the proofs there is no link to a receipt of its own.
    assert f'href="/receipts/{payout}"' not in answer.text


def test_a_receipt_that_is_not_there_yet_is_a_page_that_says_so(
    service: ApiService, settled: SettledContract
) -> None:
    position = settled.position_of("settlement")
    answer = service.http.get(f"/receipts/{position}", headers={"If-None-Match": "*"})
    _, text = read(answer, 409)
    assert answer.headers["Retry-After"] == "60"
    assert f"Entry {position} is not anchored yet" in text
    assert "Load this page again in some minutes" in text
    assert (answer.headers["Cache-Control"], "ETag" in answer.headers) == ("no-store", False)


@pytest.mark.parametrize(
    ("position", "said", "link"),
    [
        (0, "Entry 0 is a genesis.", "/v1/log/entries?start=0&limit=1"),
        (10**6, "There is no such entry.", "/v1/log/entries"),
    ],
)
def test_an_entry_without_a_receipt_is_a_page_that_says_so(
    service: ApiService, position: int, said: str, link: str
) -> None:
    seen, text = read(service.http.get(f"/receipts/{position}"), 404)
    assert said in text
    assert link in seen.references


def test_what_is_no_position_is_refused(service: ApiService) -> None:
    answer = service.http.get("/receipts/<script>")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert "script" not in answer.text


def test_it_is_charged_and_kept_as_the_json_is(
    service: ApiService, anchored: SettledContract
) -> None:
    position = anchored.position_of("payout")
    page, document = (service.http.get(f"{way}/receipts/{position}") for way in ("", "/v1"))
    for name in ("RateLimit-Policy", "Cache-Control"):
        assert page.headers[name] == document.headers[name]
    assert '"reads"' in page.headers["RateLimit-Policy"]
    known = {"If-None-Match": page.headers["ETag"]}
    assert service.http.get(f"/receipts/{position}", headers=known).status_code == 304


def test_it_says_that_a_sandbox_is_one(service: ApiService, anchored: SettledContract) -> None:
    def hasten(app: FastAPI) -> None:
        known: Service = app.state.service
        app.state.service = replace(known, info=known.info._replace(speed=1440))

    path = f"/receipts/{anchored.position_of('payout')}"
    _, plain = read(service.http.get(path))
    with another_api(service, 0, hasten) as url:
        _, fast = read(httpx.get(f"{url}{path}"))
    assert "runs 1440 times as fast as yours, and its money is for tests." in fast
    assert "as fast as yours" not in plain


def test_the_front_page_leads_to_it(service: ApiService, anchored: SettledContract) -> None:
    links = Outline(service.http.get("/").text).references
    assert {f"/receipts/{anchored.position_of(kind)}" for kind in KINDS_WITH_RECEIPTS} <= {*links}
    assert not [link for link in links if link.startswith("/v1/receipts/")]


def test_its_style_is_under_the_same_policy(service: ApiService) -> None:
    answer = service.http.get("/receipt.css")
    assert answer.headers["Content-Type"] == "text/css; charset=utf-8"
    assert answer.headers["Content-Security-Policy"] == POLICY
    assert "@media print" in answer.text
    assert not re.search(r"url\(|@import|//", answer.text)


# --- Names from outside ---------------------------------------------------------------------------

SURFACE = "</p><script>alert(1)</script>"
STATE = "<svg/onload=alert(1)>"
ACTION = '"><img src=x onerror=alert(1)>'
REFUND = "</h3><b>'&lt;"


def test_names_from_outside_are_text(
    service: ApiService, owner: httpx.Client, operator: httpx.Client
) -> None:
    changes: dict[str, Any] = {
        "states": ["new", "joined", STATE],
        "transitions": [
            {"on": "join", "from": ["new"], "to": "joined", "motion": "acquisition"},
            {"on": "go", "from": ["joined"], "to": STATE, "motion": "conversion"},
        ],
        "reversals": [{"on": REFUND, "of": STATE}],
    }
    surface = open_surface(owner, SURFACE, **changes)
    settings = SETTINGS | {"actions": {ACTION: {"level": 1}}}
    assert publish_settings(owner, surface, settings, "hostile").is_success
    rules = {"outcome": STATE, "holdback_period_ms": 10**9}
    give_level(service, surface, wallet("operator"), **rules)

    def happens(what: str) -> None:
        service.clock.now_ms += 1000
        time = format_time(service.clock.now_ms * NS_PER_MS)
        assert report(owner, surface, f"k{time}", event("a", what, time=time)).is_success

    happens("join")
    (lead,) = leads(operator, surface)
    assert touch(operator, surface, "t", lead["lead"], ACTION).is_success
    happens("go")
    happens(REFUND)
    entries = service.get("/v1/log/entries", limit=1000)["entries"]
    kinds = [decode(from_hex(each["entry"])).kind for each in entries]
    note_anchor(service, 9, checkpoints_beyond(service, len(entries) - 1)[-1])
    for kind, names in (
        ("outcome", (SURFACE, STATE, ACTION)),
        ("outcome.reversed", (SURFACE, STATE, REFUND)),
    ):
        position = len(kinds) - 1 - kinds[::-1].index(kind)
        _, text = read(service.http.get(f"/receipts/{position}"))
        assert all(name in text for name in names)
