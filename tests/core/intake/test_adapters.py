"""Adapters: what Segment, Stripe, PostHog and CSV write, as events of a surface."""

import json
from typing import Any

import pytest

from orchestrator.core.intake.adapters import event_of, ignored_names, is_single, payloads_of
from orchestrator.core.intake.found import FoundEvent, IntakeError, SkippedError
from orchestrator.core.intake.mapping import parse_intake
from tests.support.intake_payloads import INTAKE, captured, track

SETTINGS = parse_intake(INTAKE)


def read(source: str, payload: object) -> FoundEvent:
    return event_of(SETTINGS.mapping(source), SETTINGS.currencies, payload)


def test_a_track_call() -> None:
    sent = track(
        1, "Order Completed", "u1", "2026-01-05T10:00:00.250Z", revenue="19.99", order_id="o1"
    )
    assert read("segment", sent) == (
        "ajs-00000001",
        "u1",
        "buy",
        19_990_000,
        "o1",
        1_767_607_200_250_000_000,
        False,
    )
    refund = track(2, "Order Refunded", "u1", "2026-01-06T10:00:00Z", total="5", order_id="o1")
    assert read("segment", refund).value_units == 5_000_000


def test_other_calls_of_segment_go_by_their_type() -> None:
    for sort in ("identify", "page", "screen", "group", "alias"):
        with pytest.raises(SkippedError) as caught:
            read("segment", {"type": sort, "userId": "u"})
        assert caught.value.message == f"${sort}"
    named = parse_intake({"sources": {"segment": {"events": {"$identify": "seen"}}}})
    payload = {"type": "identify", "userId": "u", "timestamp": 5, "messageId": "m"}
    assert event_of(named.mapping("segment"), {}, payload).event == "seen"


@pytest.mark.parametrize(
    "payload",
    [
        {"type": "track", "event": "Unmapped", "userId": "u"},
        {"event": "Unmapped"},
        {"type": "track", "event": "Signed Up", "userId": "u"},
        {"type": "page", "event": "Unmapped"},
        {"type": "track", "event": ""},
        {"type": "track", "event": 5},
        {"type": 5, "event": "Unmapped"},
        {"type": "track"},
        {"type": "track", "event": "Unmapp\u00e9d"},
        {"type": "track", "event": " Unmapped"},
        ["Unmapped"],
    ],
)
def test_a_name_that_is_told_as_ignored_is_one_that_is_skipped(payload: object) -> None:
    mapping = SETTINGS.mapping("segment")
    named = ignored_names(mapping)(payload)
    if named is not None:
        with pytest.raises(SkippedError) as caught:
            event_of(mapping, SETTINGS.currencies, payload)
        assert caught.value.message == named
    assert (named is not None) == (payload in IGNORED)
    assert ignored_names(SETTINGS.mapping("posthog"))(payload) is None
    every = parse_intake({"sources": {"segment": {"events": {"*": "seen"}}}})
    assert ignored_names(every.mapping("segment"))(payload) is None


IGNORED = [
    {"type": "track", "event": "Unmapped", "userId": "u"},
    {"event": "Unmapped"},
    {"type": "page", "event": "Unmapped"},
]


def test_a_batch_is_its_items() -> None:
    one, two = {"type": "page"}, {"type": "track"}
    assert list(payloads_of("segment", {"batch": [one, two], "sentAt": "x"})) == [one, two]
    assert list(payloads_of("segment", [one])) == [one]
    assert list(payloads_of("segment", one)) == [one]
    assert is_single("segment", one)
    assert not any(is_single("segment", each) for each in ({"batch": 5}, [one], "text"))
    assert list(payloads_of("stripe", {"object": "list", "data": [one]})) == [one]
    assert list(payloads_of("stripe", {"object": "event", "data": {}})) == [
        {"object": "event", "data": {}}
    ]
    assert list(payloads_of("posthog", {"results": [one], "next": None})) == [one]
    with pytest.raises(IntakeError, match="it has 5001 events; at most 5000"):
        list(payloads_of("segment", [one] * 5_001))
    assert len(list(payloads_of("segment", [one] * 5_001, most=None))) == 5_001
    with pytest.raises(IntakeError, match="must be a table or a list"):
        list(payloads_of("segment", "text"))


def test_the_shapes_of_posthog() -> None:
    event = captured("018e", "signed up", "u2", "2026-01-05 10:00:00.123000+00:00")
    found = ("018e", "u2", "signup", None, "", 1_767_607_200_123_000_000, False)
    assert read("posthog", event) == found
    as_text = event | {"properties": json.dumps(event["properties"])}
    assert read("posthog", as_text) == found
    assert read("posthog", {"event": event, "person": {"id": "1"}}) == found
    of_api = {"id": "018e", **{key: event[key] for key in event if key != "uuid"}}
    assert read("posthog", of_api) == found
    sent = {
        "event": "signed up",
        "uuid": "018e",
        "properties": {"distinct_id": "u2"},
        "timestamp": event["timestamp"],
    }
    assert read("posthog", sent) == found


def test_a_row_of_csv() -> None:
    row = {
        "Created (UTC)": "2026-01-05 10:00:00",
        "Customer ID": "cus_1",
        "Amount": "12.50",
        "Currency": "eur",
        "id": "",
    }
    assert read("csv", row) == (
        "",
        "cus_1",
        "buy",
        13_750_000,
        "",
        1_767_607_200_000_000_000,
        True,
    )


HOSTILE: list[tuple[str, Any, str]] = [
    ("segment", None, "payload-invalid"),
    ("segment", [], "payload-invalid"),
    ("segment", "track", "payload-invalid"),
    ("segment", {}, "event-missing"),
    ("segment", {"event": ["Signed Up"]}, "event-missing"),
    ("segment", {"type": 5}, "event-missing"),
    ("segment", {"event": "Signed Up", "userId": [[[]]]}, "lead-invalid"),
    ("segment", {"event": "Signed Up", "userId": "u", "timestamp": {}}, "time-invalid"),
    ("segment", {"event": "Order Completed", "userId": "u", "timestamp": 5, "properties": "x"}, ""),
    ("posthog", {"event": {"event": {"event": "signed up"}}}, "event-missing"),
    ("posthog", {"event": "signed up", "distinct_id": "u", "properties": "{"}, "json-malformed"),
    ("posthog", {"event": "signed up", "properties": '{"a":1,"a":2}'}, "json-malformed"),
    ("stripe", {"type": "charge.succeeded"}, "event-missing"),
    ("stripe", {"type": ["x"], "data": {"object": {}}}, "event-missing"),
    ("stripe", {"type": "charge.succeeded", "data": {"object": {}}}, "id-missing"),
]


@pytest.mark.parametrize(("source", "payload", "code"), HOSTILE)
def test_hostile_payloads(source: str, payload: object, code: str) -> None:
    if not code:
        assert read(source, payload).value_units is None
        return
    with pytest.raises(IntakeError) as caught:
        read(source, payload)
    assert caught.value.code == code
    assert len(caught.value.message) < 300
