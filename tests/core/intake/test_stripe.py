"""Stripe's events: payments, refunds in parts, smallest units, and what is left out."""

from typing import Any

import pytest

from orchestrator.core.intake.adapters import event_of
from orchestrator.core.intake.found import FoundEvent, IntakeError, SkippedError
from orchestrator.core.intake.mapping import parse_intake
from tests.support.intake_payloads import INTAKE, charge, refunded

SETTINGS = parse_intake(INTAKE)
AT_S = 1_768_000_000


def read(payload: object, **sources: object) -> FoundEvent:
    settings = SETTINGS
    if sources:
        document = {"currencies": INTAKE["currencies"], "sources": {"stripe": sources}}
        settings = parse_intake(document)
    return event_of(settings.mapping("stripe"), settings.currencies, payload)


def test_a_charge_founds_an_order_by_its_payment() -> None:
    assert read(charge("1", "cus_1", 2_990, AT_S)) == (
        "charge.succeeded:ch_1",
        "cus_1",
        "buy",
        29_900_000,
        "pi_1",
        AT_S * 10**9,
        True,
    )
    named = charge("1", "cus_1", 2_990, AT_S)
    named["data"]["object"]["metadata"] = {"user_id": "u1"}
    named["data"]["object"]["payment_intent"] = None
    found = read(named)
    assert (found.lead, found.order) == ("u1", "ch_1")


@pytest.mark.parametrize(
    ("currency", "amount", "units"),
    [("usd", 1_000, 10_000_000), ("jpy", 500, 3_350_000), ("kwd", 5_120, 16_640_000)],
)
def test_amounts_count_in_the_smallest_unit(currency: str, amount: int, units: int) -> None:
    assert read(charge("1", "cus_1", amount, AT_S, currency)).value_units == units


def test_each_refund_of_a_charge_says_its_own_part() -> None:
    parts = [
        refunded("1", "cus_1", 1_000, before, after, AT_S)
        for before, after in ((0, 300), (300, 450), (450, 1_000))
    ]
    found = [read(part) for part in parts]
    assert [one.value_units for one in found] == [3_000_000, 1_500_000, 5_500_000]
    assert {one.order for one in found} == {"pi_1"}
    assert len({one.id for one in found}) == 3


def test_a_refund_whose_part_is_unknown_counts_only_as_a_whole() -> None:
    whole = refunded("1", "cus_1", 1_000, 0, 1_000, AT_S)
    del whole["data"]["previous_attributes"]
    assert read(whole).value_units is None
    part = refunded("1", "cus_1", 1_000, 0, 300, AT_S)
    part["data"]["previous_attributes"] = {"receipt_url": "x"}
    with pytest.raises(IntakeError) as caught:
        read(part)
    assert caught.value.code == "refund-part-unknown"


def test_two_events_of_stripe_about_one_thing_have_one_id() -> None:
    one, other = charge("1", "c", 5, AT_S), charge("1", "c", 5, AT_S)
    other["id"] = "evt_another"
    assert read(one) == read(other)


def test_other_payments() -> None:
    intent = charge("1", "cus_1", 0, AT_S)
    intent |= {"type": "payment_intent.succeeded"}
    intent["data"]["object"] = {
        "id": "pi_1",
        "amount_received": 700,
        "currency": "eur",
        "customer": "cus_1",
    }
    events = {"payment_intent.succeeded": "buy", "refund.created": "refund"}
    found = read(intent, events=events)
    assert (found.order, found.value_units) == ("pi_1", 7_700_000)

    refund = {
        "type": "refund.created",
        "created": AT_S,
        "livemode": True,
        "data": {
            "object": {
                "id": "re_1",
                "amount": 200,
                "currency": "eur",
                "charge": "ch_1",
                "payment_intent": "pi_1",
                "metadata": {"user_id": "cus_1"},
                "status": "succeeded",
            }
        },
    }
    found = read(refund, events=events, lead="metadata.user_id")
    assert (found.order, found.value_units, found.id) == ("pi_1", 2_200_000, "refund.created:re_1")
    refund["data"]["object"]["status"] = "pending"  # type: ignore[index]
    with pytest.raises(SkippedError, match=r"refund\.created"):
        read(refund, events=events)

    invoice = charge("1", "cus_1", 0, AT_S) | {"type": "invoice.paid"}
    about: dict[str, Any] = {
        "id": "in_1",
        "amount_paid": 900,
        "currency": "usd",
        "customer": "cus_1",
        "payment_intent": "pi_9",
    }
    invoice["data"]["object"] = about
    assert read(invoice, events={"invoice.paid": "buy"}).order == "pi_9"
    del about["payment_intent"]
    with pytest.raises(IntakeError, match=r"map charge\.succeeded") as caught:
        read(invoice, events={"invoice.paid": "buy"})
    assert caught.value.code == "order-missing"
    about["amount_paid"] = 0
    assert read(invoice, events={"invoice.paid": "buy"}).order == ""


def test_an_event_about_no_money_is_known_by_its_own_id() -> None:
    payload = {
        "id": "evt_7",
        "type": "customer.subscription.created",
        "created": AT_S,
        "livemode": True,
        "data": {"object": {"id": "sub_1", "customer": "cus_1"}},
    }
    found = read(payload, events={"customer.subscription.created": "subscribe"})
    assert found == (
        "customer.subscription.created:sub_1:evt_7",
        "cus_1",
        "subscribe",
        None,
        "",
        AT_S * 10**9,
        True,
    )


def test_tests_of_the_owner_are_left_out() -> None:
    payload = charge("1", "cus_1", 5, AT_S) | {"livemode": False}
    with pytest.raises(SkippedError) as caught:
        read(payload)
    assert caught.value.code == "test-mode"
    assert (
        read(payload, takes_tests="true", events={"charge.succeeded": "buy"}).value_units == 50_000
    )


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"amount": "10"}, "value-invalid"),
        ({"amount": -1}, "value-negative"),
        ({"amount": True}, "value-invalid"),
        ({"amount": 10**39}, "value-invalid"),
        ({"currency": "xyz"}, "currency-unknown"),
        ({"currency": None}, "currency-missing"),
        ({"currency": {}}, "currency-unknown"),
        ({"customer": None}, "lead-missing"),
        ({"customer": {"id": "cus_1"}}, "lead-invalid"),
        ({"payment_intent": "p\u202ei"}, "order-invalid"),
        ({"id": "ch " * 50}, "id-invalid"),
        ({"id": {}}, "id-missing"),
    ],
)
def test_hostile_charges(changes: dict[str, Any], code: str) -> None:
    payload = charge("1", "cus_1", 5, AT_S)
    payload["data"]["object"] |= changes
    with pytest.raises(IntakeError) as caught:
        read(payload)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("before", "after"), [(300, 300), (500, 300), (-1, 5), ("0", 300), (True, 5), (0, -5), (0, "5")]
)
def test_hostile_refunds(before: Any, after: Any) -> None:
    payload = refunded("1", "cus_1", 1_000, before, after, AT_S)
    with pytest.raises(IntakeError) as caught:
        read(payload)
    assert caught.value.code in {"value-invalid", "value-missing"}


def test_an_amount_that_is_missing_is_told() -> None:
    payload = charge("1", "cus_1", 5, AT_S)
    del payload["data"]["object"]["amount"]
    with pytest.raises(IntakeError, match=r"charge\.succeeded has no amount"):
        read(payload)
