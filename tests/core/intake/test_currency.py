"""Currencies: exact amounts in token units, dated rates, refusals by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.common.errors import DocumentError
from orchestrator.core.common.units import NS_PER_S, parse_time_ns
from orchestrator.core.intake.currency import (
    currencies_document,
    currency_code,
    exponent_of,
    parse_currencies,
    token_units,
)
from orchestrator.core.intake.found import IntakeError
from orchestrator.core.intake.payload import Number
from tests.support.intake_payloads import INTAKE

RATES = parse_currencies(INTAKE["currencies"])
NOW_NS = parse_time_ns("2026-01-15")


@pytest.mark.parametrize(
    ("amount", "currency", "exponent", "units"),
    [
        ("29.90", None, 0, 29_900_000),
        (Number("29.9"), "USD", 0, 29_900_000),
        (Number("19.989999999999998"), "USD", 0, 19_990_000),
        (Number("2.5e1"), "USD", 0, 25_000_000),
        (30, "USD", 0, 30_000_000),
        (1_000, "USD", 2, 10_000_000),
        (500, "JPY", 0, 3_350_000),
        (5_120, "KWD", 3, 16_640_000),
        (1_000, "EUR", 2, 11_000_000),
        ("0.0000005", None, 0, 1),
        ("0.00000049", None, 0, 0),
        (0, "USD", 2, 0),
    ],
)
def test_an_amount_in_token_units(
    amount: object, currency: str | None, exponent: int, units: int
) -> None:
    assert token_units(amount, currency, RATES, NOW_NS, exponent) == units


def test_a_rate_holds_from_its_day_on() -> None:
    day = parse_time_ns("2026-02-01")
    assert token_units(100, "EUR", RATES, day - 1, 2) == 1_100_000
    assert token_units(100, "EUR", RATES, day, 2) == 1_250_000
    with pytest.raises(IntakeError, match="rate-missing: 'EUR' has rates from 2026-01-01 on"):
        token_units(100, "EUR", RATES, parse_time_ns("2025-12-31"), 2)


@pytest.mark.parametrize(
    ("amount", "code"),
    [
        (-1, "value-negative"),
        (Number("-0.5"), "value-negative"),
        ("1e3", "value-invalid"),
        ("1,50", "value-invalid"),
        ("", "value-invalid"),
        (" 1", "value-invalid"),
        (True, "value-invalid"),
        (None, "value-invalid"),
        ([1], "value-invalid"),
        (Number("1e99"), "value-invalid"),
        ("9" * 30, "value-invalid"),
        ("9" * 31, "value-invalid"),
        (10**40, "value-invalid"),
    ],
)
def test_what_is_no_amount(amount: object, code: str) -> None:
    with pytest.raises(IntakeError) as caught:
        token_units(amount, "USD", RATES, NOW_NS)
    assert caught.value.code == code


def test_an_unknown_currency_is_refused_by_its_name() -> None:
    with pytest.raises(IntakeError, match=r"currency-unknown: 'XYZ' has no rate; .* EUR, JPY, KWD"):
        token_units(1, "XYZ", RATES, NOW_NS)
    for value in ("", "euro!", 978, None, "ab", "\u20ac\u20ac\u20ac", "x" * 9):
        with pytest.raises(IntakeError, match="currency-unknown"):
            currency_code(value)
    assert currency_code("usd") == "USD"


def test_the_smallest_units_are_those_that_stripe_counts_in() -> None:
    assert {one: exponent_of(one) for one in ("USD", "JPY", "KRW", "BHD", "TND")} == {
        "USD": 2,
        "JPY": 0,
        "KRW": 0,
        "BHD": 3,
        "TND": 3,
    }
    # Both lost their decimals, and are still counted in hundredths.
    assert (exponent_of("ISK"), exponent_of("UGX")) == (2, 2)


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ([], "not-a-table"),
        ({"eur": "1"}, "currency-malformed"),
        ({"EUR": 1.1}, "not-a-list"),
        ({"EUR": "0"}, "rate-invalid"),
        ({"EUR": "-1"}, "rate-invalid"),
        ({"EUR": "1.1234567890123"}, "rate-invalid"),
        ({"EUR": []}, "rates-empty"),
        ({"EUR": ["1"]}, "not-a-table"),
        ({"EUR": [{"from": "2026-01-01"}]}, "key-missing"),
        ({"EUR": [{"from": "2026-13-01", "rate": "1"}]}, "day-invalid"),
        ({"EUR": [{"from": 5, "rate": "1"}]}, "day-invalid"),
        ({"EUR": [{"from": "2026-01-01", "rate": "1"}] * 2}, "rates-unordered"),
        ({f"A{n:03}": "1" for n in range(201)}, "list-too-long"),
        ({"EUR": [{"from": "2026-01-01", "rate": "1"}] * 1_001}, "list-too-long"),
    ],
)
def test_rates_that_are_refused(document: object, code: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_currencies(document)
    assert caught.value.code == code


@given(st.integers(1, 10**24 - 1))
def test_rates_are_read_back_as_they_are_written(rate: int) -> None:
    text = f"{rate // 10**12}.{rate % 10**12:012}"
    found = parse_currencies({"EUR": text})
    assert found["EUR"].rates == (rate,)
    assert parse_currencies(currencies_document(found)) == found


@given(st.integers(0, 10**15), st.integers(1, 10**15))
def test_an_amount_is_the_nearest_whole_number(cents: int, rate: int) -> None:
    text = f"{rate // 10**12}.{rate % 10**12:012}"
    units = token_units(cents, "EUR", parse_currencies({"EUR": text}), NS_PER_S, 2)
    assert abs(units * 10**8 - cents * rate) * 2 <= 10**8
