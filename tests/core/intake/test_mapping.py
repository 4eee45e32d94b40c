"""Mappings: their documents, and values by their paths."""

import copy
from typing import Any

import pytest

from orchestrator.core.common.errors import DocumentError
from orchestrator.core.intake.found import IntakeError, SkippedError
from orchestrator.core.intake.mapping import event_id, own_order, parse_intake
from tests.support.intake_payloads import INTAKE

SETTINGS = parse_intake(INTAKE)


def test_a_document_is_read_as_it_was_written() -> None:
    document = SETTINGS.document()
    assert document["sources"] == INTAKE["sources"]
    assert parse_intake(document).document() == document
    assert parse_intake({}).document() == {}


def test_a_source_without_a_mapping_is_named() -> None:
    with pytest.raises(IntakeError, match="map no events of stripe") as caught:
        parse_intake({}).mapping("stripe")
    assert caught.value.code == "source-unmapped"


def test_of_several_paths_the_first_with_a_value_counts() -> None:
    mapping = SETTINGS.mapping("segment")
    payload: dict[str, Any] = {
        "userId": 7,
        "messageId": "m1",
        "timestamp": "2026-01-02T03:04:05.678Z",
        "properties": {"revenue": "5", "currency": "eur", "order_id": 12},
    }
    found = mapping.read(mapping.mapped("Order Completed"), payload, SETTINGS.currencies)
    assert found == ("m1", "7", "buy", 5_500_000, "12", 1_767_323_045_678_000_000, False)
    del payload["properties"]["currency"]
    found = mapping.read(mapping.mapped("Order Completed"), payload, SETTINGS.currencies)
    assert found.value_units == 5_000_000
    with pytest.raises(SkippedError) as caught:
        mapping.mapped("Page Viewed")
    assert (caught.value.code, caught.value.message) == ("event-unmapped", "Page Viewed")


def test_a_value_without_a_currency_needs_one() -> None:
    document = copy.deepcopy(INTAKE)
    del document["sources"]["segment"]["default_currency"]
    settings = parse_intake(document)
    mapping = settings.mapping("segment")
    payload = {"userId": "u", "timestamp": 5, "properties": {"revenue": 5}}
    with pytest.raises(IntakeError, match="set default_currency") as caught:
        mapping.read(mapping.mapped("Order Completed"), payload, settings.currencies)
    assert caught.value.code == "currency-missing"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"userId": None}, "lead-missing"),
        ({"userId": ""}, "lead-missing"),
        ({"userId": {"id": 1}}, "lead-invalid"),
        ({"userId": True}, "lead-invalid"),
        ({"userId": "a\u200bb"}, "name-invalid"),
        ({"userId": "x" * 600}, "name-invalid"),
        ({"timestamp": None}, "time-missing"),
        ({"timestamp": "then"}, "time-invalid"),
        ({"messageId": "two words"}, "id-invalid"),
        ({"messageId": "\u00e9"}, "id-invalid"),
        ({"messageId": "m" * 129}, "id-invalid"),
        ({"messageId": ["m"]}, "id-invalid"),
        ({"properties": {"revenue": 1, "currency": "XYZ"}}, "currency-unknown"),
        ({"properties": {"revenue": {}}}, "value-invalid"),
        ({"properties": {"revenue": -5}}, "value-negative"),
        ({"properties": {"order_id": "o\x00"}}, "order-invalid"),
        ({"properties": {"order_id": []}}, "order-invalid"),
    ],
)
def test_what_is_no_event_is_refused_by_a_rule(changes: dict[str, Any], code: str) -> None:
    mapping = SETTINGS.mapping("segment")
    payload = {"userId": "u", "messageId": "m", "timestamp": "2026-01-02T00:00:00Z"} | changes
    with pytest.raises(IntakeError) as caught:
        mapping.read(mapping.mapped("Order Completed"), payload, SETTINGS.currencies)
    assert caught.value.code == code


def test_two_spellings_of_a_lead_are_one() -> None:
    mapping = SETTINGS.mapping("segment")
    leads = set()
    for user in ("ren\u00e9e", "rene\u0301e"):
        payload = {"userId": user, "timestamp": 5}
        leads.add(mapping.read(mapping.mapped("Signed Up"), payload, SETTINGS.currencies).lead)
    assert len(leads) == 1
    assert own_order("rene\u0301e") == "ren\u00e9e"
    assert event_id("evt_1") == "evt_1"


@pytest.mark.parametrize("mapped", ["Achat Termin\u00e9", "Achat Termine\u0301"])
@pytest.mark.parametrize("every", [{}, {"*": "other"}])
def test_two_spellings_of_a_source_s_event_are_one(mapped: str, every: dict[str, str]) -> None:
    named = {"sources": {"segment": {"events": {mapped: "buy"} | every}}}
    mapping = parse_intake(named).mapping("segment")
    for name in ("Achat Termin\u00e9", "Achat Termine\u0301"):
        assert mapping.mapped(name).event == "buy"
    # What only looks like it is told, and not taken for another event.
    for name in ("Achat Termin\u00e9 ", "\u200bAchat Termine\u0301", "Achat\u00ad Termin\u00e9"):
        with pytest.raises(IntakeError) as caught:
            mapping.mapped(name)
        assert caught.value.code == "name-invalid"
    for name in (
        "Achat",
        "Achat \u200b",
        "Achat Termin\u00e9" + "\u0301" * 5_000,
        "x" * 5_000,
        " ",
    ):
        if every:
            assert mapping.mapped(name).event == "other"
        else:
            with pytest.raises(SkippedError):
                mapping.mapped(name)


def events(**more: object) -> dict[str, object]:
    return {"events": {"a": "b"}} | more


@pytest.mark.parametrize(
    ("sources", "code"),
    [
        ([], "not-a-table"),
        ({"ga4": events()}, "choice-unknown"),
        ({"segment": {}}, "key-missing"),
        ({"segment": events(ids="x")}, "key-unknown"),
        ({"segment": {"events": {}}}, "list-too-long"),
        ({"segment": {"events": {f"e{n}": "x" for n in range(501)}}}, "list-too-long"),
        ({"segment": {"events": {"a": ""}}}, "name-invalid"),
        ({"segment": {"events": {"a": 5}}}, "name-invalid"),
        ({"segment": {"events": {"a ": "b"}}}, "name-invalid"),
        ({"segment": {"events": {"a\u200b": "b"}}}, "name-invalid"),
        ({"segment": {"events": {"\u00e9": "b", "e\u0301": "c"}}}, "event-twice"),
        ({"segment": {"events": {"a": {"value": "x"}}}}, "key-missing"),
        ({"segment": {"events": {"a": {"event": "x", "lead": "y"}}}}, "key-unknown"),
        ({"segment": events(lead="")}, "path-invalid"),
        ({"segment": events(lead="a..b")}, "path-invalid"),
        ({"segment": events(lead=[5])}, "path-invalid"),
        ({"segment": events(lead="a.b.c.d.e.f.g.h.i")}, "path-invalid"),
        ({"segment": events(lead=["x"] * 9)}, "list-too-long"),
        ({"segment": events(lead="x" * 201)}, "path-invalid"),
        ({"segment": events(default_currency="GBP")}, "currency-unknown"),
        ({"segment": events(default_currency=5)}, "currency-unknown"),
        ({"segment": events(zone="CET")}, "zone-invalid"),
        ({"segment": events(takes_tests="yes")}, "flag-invalid"),
        ({"stripe": events(value="amount")}, "key-unknown"),
        ({"stripe": events(time="created")}, "key-unknown"),
        (
            {"stripe": {"events": {"charge.succeeded": "buy", "invoice.paid": "buy"}}},
            "source-twice",
        ),
        (
            {"stripe": {"events": {"charge.refunded": "r", "refund.created": "r"}}},
            "source-twice",
        ),
    ],
)
def test_a_mapping_that_is_refused(sources: object, code: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_intake({"sources": sources})
    assert caught.value.code == code
