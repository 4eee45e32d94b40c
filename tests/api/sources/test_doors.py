"""The doors for other systems' events: repeats, refusals, and a week that pays."""

import json
from contextlib import closing
from hashlib import sha256
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest

from orchestrator.backtest.evaluate import evaluate_history, open_spool
from orchestrator.backtest.exports import Export, ExportReader
from orchestrator.backtest.inputs import ContractPlan, TouchRow, merge_rows
from orchestrator.core.common.units import DAY_MS, DAY_S, NS_PER_MS, format_time
from orchestrator.core.intake.mapping import parse_intake
from orchestrator.core.log.entry import Entry
from orchestrator.core.surface.policy import parse
from tests.support.api_service import (
    POLICY,
    START_MS,
    ApiService,
    event,
    give_level,
    leads,
    open_surface,
    problem_of,
    report,
    touch,
    wallet,
)
from tests.support.depth import deep_only
from tests.support.intake_payloads import captured, charge, refunded, track
from tests.support.sources import MAPPING, SECRET, mapped_surface, send, send_by_stripe


@pytest.fixture(scope="module")
def surface(owner: httpx.Client) -> str:
    return mapped_surface(owner, "sources")


def now_text(service: ApiService) -> str:
    text = format_time(service.clock() * NS_PER_MS)
    return text if "." in text else f"{text[:-1]}.000Z"


def test_a_batch_of_segment_counts_once(
    service: ApiService, owner: httpx.Client, surface: str
) -> None:
    at = now_text(service)
    calls = [track(1, "Signed Up", "u1", at), track(2, "Onboarded", "u1", at), {"type": "page"}]
    first = send(owner, surface, "segment", {"batch": calls})
    assert first.status_code == 200, first.text
    assert [one["verdict"] for one in first.json()["results"]] == ["accepted", "accepted"]
    assert first.json()["ignored"] == {"event-unmapped": 1}
    again = send(owner, surface, "segment", calls[0]).json()["results"]
    assert again[0]["first_position"] == first.json()["results"][0]["first_position"]
    # At the plain door the same id is the same event, too.
    body = event("u1", "signup", time=at)
    plain = report(owner, surface, "ajs-00000001", body)
    assert plain.json()["request_id"] == again[0]["request_id"]
    problem_of(
        report(owner, surface, "ajs-00000001", body | {"lead": "u2"}), 409, "idempotency-conflict"
    )


def test_nothing_of_a_batch_is_taken_if_one_is_refused(
    service: ApiService, owner: httpx.Client, surface: str
) -> None:
    at = now_text(service)
    calls = [track(11, "Signed Up", "v1", at), track(12, "Signed Up", "", at)]
    problem = problem_of(send(owner, surface, "segment", calls), 422, "lead-missing")
    assert problem["errors"] == [
        {"where": "event 2", "detail": "lead-missing: it has no value at userId"}
    ]
    assert send(owner, surface, "segment", calls[0]).json()["results"][0]["id"] == "ajs-00000011"


def test_posthog_and_what_is_not_mapped(
    service: ApiService, owner: httpx.Client, surface: str
) -> None:
    one = captured("018e", "signed up", "p1", now_text(service))
    answer = send(owner, surface, "posthog", {"event": one, "person": {}})
    assert answer.json()["results"][0]["verdict"] == "accepted"
    answer = send(owner, surface, "posthog", one | {"event": "$pageview"})
    assert (answer.status_code, answer.json()["results"]) == (200, [])
    bare = open_surface(owner, "bare")
    problem_of(send(owner, bare, "posthog", one), 409, "source-unmapped")


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 400, "json-malformed"),
        (b"[" * 100_000, 400, "json-malformed"),
        (b'{"type": "track", "type": "page"}', 400, "json-malformed"),
        (b'{"type": "track", "event": NaN}', 400, "json-malformed"),
        (b"5", 422, "payload-invalid"),
        (json.dumps([{"type": "page"}] * 5_001).encode(), 422, "batch-too-long"),
    ],
    ids=["empty", "deep", "doubled", "not-a-number", "number", "long"],
)
def test_hostile_bodies(
    owner: httpx.Client, surface: str, content: bytes, status: int, code: str
) -> None:
    path = f"/v1/surfaces/{surface}/events/segment"
    answer = owner.post(path, content=content, headers={"Content-Type": "application/json"})
    problem_of(answer, status, code)


def test_too_large_a_body_is_refused_before_it_is_sent(
    service: ApiService, owner: httpx.Client, surface: str
) -> None:
    # By its length alone: a client that is still sending may never read the answer.
    with closing(HTTPConnection(urlsplit(service.url).netloc, timeout=30)) as connection:
        connection.putrequest("POST", f"/v1/surfaces/{surface}/events/segment")
        connection.putheader("Authorization", owner.headers["Authorization"])
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", "5000000")
        connection.endheaders()
        answer = connection.getresponse()
        assert (answer.status, json.load(answer)["code"]) == (413, "body-too-large")


def test_only_the_owner_reports(service: ApiService, operator: httpx.Client, surface: str) -> None:
    payload = track(99, "Signed Up", "x", now_text(service))
    problem_of(send(operator, surface, "segment", payload), 403, "scope-missing")
    problem_of(send(service.http, surface, "segment", payload), 401, "key-missing")
    stranger = service.sign_in(wallet("another owner"), "owner")
    problem_of(send(stranger, surface, "segment", payload), 403, "not-the-owner")


# --- A week ---------------------------------------------------------------------------------------


class Happening(NamedTuple):
    """Something of the week: a payload of a source, or a touch of a lead."""

    at_ms: int
    source: str
    payload: Any


def week(start_ms: int) -> list[Happening]:
    """Return what happens to twelve customers: sign-ups, touches, payments, refunds in parts."""
    found = []
    for n in range(12):
        user, at_ms = f"cus_{n}", start_ms + n * 3 * 3_600_000
        for step, (name, number) in enumerate((("Signed Up", 100), ("Onboarded", 200))):
            moment_ms = at_ms + step * 3_600_000 + 250
            text = format_time(moment_ms * NS_PER_MS)
            found.append(
                Happening(moment_ms, "segment", track(number + n, name, user, text, step=step))
            )
            if n % 5 == 0:  # sent once more by the source
                found.append(Happening(moment_ms + 10, "segment", found[-1].payload))
        if n % 3:
            found.append(Happening(at_ms + 5_400_000, "touch", user))
        paid_ms = at_ms + 2 * DAY_MS
        currency = "eur" if n % 2 else "usd"
        paid = charge(f"{n}", user, 10_000, paid_ms // 1000, currency)
        found.append(Happening(paid_ms, "stripe", paid))
        parts = [(0, 2_500), (2_500, 4_000), (4_000, 10_000)][: n % 4]
        for step, (before, after) in enumerate(parts, 1):
            back_ms = paid_ms + step * 7_200_000
            back = refunded(f"{n}", user, 10_000, before, after, back_ms // 1000, currency)
            found += [
                Happening(back_ms, "stripe", back),
                Happening(back_ms + 60_000, "stripe", back),
            ]
    return sorted(found, key=lambda one: one.at_ms)


@deep_only
def test_a_week_pays_at_the_doors_what_its_files_pay_in_a_backtest(
    service: ApiService, owner: httpx.Client, operator: httpx.Client, tmp_path: Path
) -> None:
    surface = mapped_surface(owner, "week")
    start_ms = max(service.clock(), START_MS) + 1_000
    start_ms += -start_ms % 1000
    give_level(
        service,
        surface,
        wallet("operator"),
        revenue_share_bps=1_000,
        deadline_ms=start_ms + 30 * DAY_MS,
        holdback_period_ms=10 * DAY_MS,
    )
    assert (
        owner.put(f"/v1/surfaces/{surface}/sources/stripe", json={"secret": SECRET}).status_code
        == 200
    )
    touches, seen = [], dict[str, str]()
    happenings = week(start_ms)
    for number, (at_ms, source, payload) in enumerate(happenings):
        # A report of whole seconds arrives once its second is over.
        service.clock.now_ms = at_ms + 1_000
        if source == "touch":
            touch(operator, surface, f"t{number}", seen[payload], "email").raise_for_status()
            touches.append(TouchRow(service.clock() * NS_PER_MS, payload, "ann", "email"))
        elif source == "stripe":
            send_by_stripe(service, surface, payload).raise_for_status()
        else:
            send(owner, surface, source, payload).raise_for_status()
            (new,) = {lead["lead"] for lead in leads(operator, surface)} - {*seen.values()} or {""}
            if new:
                seen[payload["userId"]] = new

    contract = sha256(f"{surface} {wallet('operator').address}".encode()).digest()
    entries: list[Entry] = []
    while page := service.entries(len(entries), 500):
        entries += page
    live = [
        (one.kind, one.value, one.time_ms)
        for one in entries
        if one.kind in ("outcome", "outcome.over", "outcome.reversed") and one.actor == contract
    ]

    exports = []
    for source in ("segment", "stripe"):
        lines = [json.dumps(one.payload) for one in happenings if one.source == source]
        # Exports are in no order, and a webhook's repeats are in them.
        (tmp_path / source).write_text("\n".join(reversed(lines)))
        exports.append(Export(source, tmp_path / source))
    policy = parse(POLICY)
    plan = ContractPlan(
        id="week",
        operator="ann",
        outcome="subscribed",
        repeatable=False,
        unit_price_units=8_000_000,
        revenue_share_bps=1_000,
        budget_units=800_000_000,
        opens_at_ns=START_MS * NS_PER_MS,
        deadline_ns=(start_ms + 30 * DAY_MS) * NS_PER_MS,
        attribution_window_s=7 * DAY_S,
        holdback_bps=0,
        holdback_s=10 * DAY_S,
    )
    reader = ExportReader(exports, parse_intake(MAPPING))
    with open_spool() as spool:
        found = evaluate_history(
            merge_rows(iter(touches), reader.rows()), policy, [plan], spool
        ).contracts["week"]
        outcomes = [json.loads(line) for line in spool.lines()]

    paid = [one for one in live if one[0] == "outcome"]
    assert len(paid) == found.outcomes == 8
    assert sum(value for _, value, _ in paid) == found.earned_units
    back = [value for kind, value, _ in live if kind == "outcome.reversed"]
    assert (len(back), sum(back)) == (found.reversals, found.reversed_units)
    assert found.reversed_units > 0
    assert [format_time(at_ms * NS_PER_MS) for _, _, at_ms in paid] == [
        one["time"] for one in outcomes
    ]
    assert sum(one.repeated.count for one in reader.counts) > 10
