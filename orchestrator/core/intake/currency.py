"""Currencies: amounts as other systems write them, in units of the surface's token.

A rate says how many tokens one unit of a currency is worth from a day on. It is decimal text, and
an amount is multiplied by it in whole numbers and rounded to the nearest token unit, halves up. A
currency without a rate is refused by its name.
"""

import re
from bisect import bisect_right
from collections.abc import Mapping
from typing import NamedTuple

from orchestrator.core.common.document import read_list, read_table, shown_value
from orchestrator.core.common.errors import DocumentError, shown
from orchestrator.core.common.units import (
    AMOUNT_LIMIT,
    DAY_S,
    NS_PER_S,
    TOKEN_DECIMALS,
    format_day,
    parse_time_ns,
)
from orchestrator.core.intake.found import IntakeError
from orchestrator.core.intake.payload import Number

MAX_CURRENCIES = 200
MAX_RATES = 1_000
RATE_DECIMALS = 12

# What Stripe counts in whole units, and in thousandths. It counts ISK and UGX, which have no
# decimals any more, in hundredths all the same.
ZERO_DECIMAL = frozenset(
    "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF".split()  # noqa: SIM905
)
THREE_DECIMAL = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})

_CODE = re.compile(r"[A-Z]{3}[A-Z0-9]{0,5}")
_RATE = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,12}))?")
_DECIMAL = re.compile(r"(-?)([0-9]{1,30})(?:\.([0-9]{1,40}))?(?:[eE]([+-]?[0-9]{1,2}))?")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DAY_NS = DAY_S * NS_PER_S


class Rates(NamedTuple):
    """The rates of a currency by the day, since 1970, from which each holds; in 10**-12 tokens."""

    days: tuple[int, ...]
    rates: tuple[int, ...]


Currencies = Mapping[str, Rates]


def parse_currencies(document: object) -> dict[str, Rates]:
    """Read rates by currency: text, or a list of `{from, rate}` in order of days.

    Raises `DocumentError`.
    """
    table = read_table(document, "currencies")
    if len(table) > MAX_CURRENCIES:
        raise DocumentError(
            "list-too-long", f"currencies has {len(table)} items; at most {MAX_CURRENCIES}"
        )
    found: dict[str, Rates] = {}
    for name, value in sorted(table.items()):
        where = f"currencies: {shown(name)}"
        if not _CODE.fullmatch(name):
            raise DocumentError(
                "currency-malformed",
                f"{where} must be a currency's code in capitals, such as EUR",
            )
        found[name] = _rates(value, where)
    return found


def currencies_document(currencies: Currencies) -> dict[str, object]:
    """Return the canonical document of rates."""
    return {
        name: [
            {"from": format_day(day), "rate": _rate_text(rate)}
            for day, rate in zip(*rates, strict=True)
        ]
        for name, rates in currencies.items()
    }


def token_units(
    amount: object, currency: str | None, currencies: Currencies, time_ns: int, exponent: int = 0
) -> int:
    """Return the token units of an amount, which counts in 10**-exponent of its currency.

    Without a currency it is of tokens. Raises `IntakeError`.
    """
    digits, scale = _decimal(amount)
    scale += exponent
    rate = 10**RATE_DECIMALS if currency is None else _rate_at(currency, currencies, time_ns)
    scale += RATE_DECIMALS - TOKEN_DECIMALS
    # Halves go up: twice the number, and one, over twice what it is of.
    if scale > 0:
        units: int = (2 * digits * rate + 10**scale) // (2 * 10**scale)
    else:
        units = digits * rate * 10**-scale
    if units >= AMOUNT_LIMIT:
        raise IntakeError("value-invalid", f"value {shown(amount)} is more than any escrow holds")
    return units


def exponent_of(currency: str) -> int:
    """Return how many decimals a currency has where amounts are counted in its smallest unit."""
    if currency in ZERO_DECIMAL:
        return 0
    return 3 if currency in THREE_DECIMAL else 2


def currency_code(value: object) -> str:
    """Return the code of a currency, in capitals. Raises `IntakeError` for what is none."""
    code = value.upper() if isinstance(value, str) and len(value) <= 8 else ""
    if not _CODE.fullmatch(code):
        raise IntakeError(
            "currency-unknown", f"currency-unknown: {shown(value)} is no code of a currency"
        )
    return code


def _rates(value: object, where: str) -> Rates:
    if isinstance(value, str):
        return Rates((0,), (_rate(value, where),))
    days: list[int] = []
    rates: list[int] = []
    for item in read_list(value, where, MAX_RATES):
        row = read_table(item, where)
        if row.keys() != {"from", "rate"}:
            raise DocumentError("key-missing", f"{where}: each rate has the keys from and rate")
        day = _day(row["from"], where)
        if days and day <= days[-1]:
            raise DocumentError(
                "rates-unordered", f"{where}: {row['from']} does not come after the rate above it"
            )
        days.append(day)
        rates.append(_rate(row["rate"], where))
    if not days:
        raise DocumentError("rates-empty", f"{where} has no rate")
    return Rates(tuple(days), tuple(rates))


def _day(value: object, where: str) -> int:
    try:
        if isinstance(value, str) and _DAY.fullmatch(value):
            return parse_time_ns(value) // _DAY_NS
    except ValueError:
        pass
    raise DocumentError("day-invalid", f"{where}: from must be a day as 2026-03-01, not {value!r}")


def _rate(value: object, where: str) -> int:
    match = _RATE.fullmatch(value) if isinstance(value, str) else None
    rate = 0
    if match:
        rate = int(match[1] + (match[2] or "").ljust(RATE_DECIMALS, "0"))
    if not rate:
        raise DocumentError(
            "rate-invalid",
            f'{where}: a rate is the tokens for one unit as decimal text, such as "1.0834", above '
            f"zero and with at most {RATE_DECIMALS} decimals, not {shown_value(value)}",
        )
    return rate


def _rate_text(rate: int) -> str:
    whole, rest = divmod(rate, 10**RATE_DECIMALS)
    fraction = f"{rest:0{RATE_DECIMALS}}".rstrip("0")
    return f"{whole}.{fraction}" if fraction else str(whole)


def _rate_at(currency: str, currencies: Currencies, time_ns: int) -> int:
    rates = currencies.get(currency)
    if rates is None:
        known = ", ".join(currencies) or "none"
        raise IntakeError(
            "currency-unknown",
            f"currency-unknown: {currency!r} has no rate; the settings have {known:.200}",
        )
    place = bisect_right(rates.days, time_ns // _DAY_NS)
    if not place:
        raise IntakeError(
            "rate-missing",
            f"rate-missing: {currency!r} has rates from {format_day(rates.days[0])} on, and the "
            f"event is of {format_day(time_ns // _DAY_NS)}",
        )
    return rates.rates[place - 1]


def _decimal(amount: object) -> tuple[int, int]:
    """Return (digits, scale) of a decimal number: digits x 10**-scale."""
    if type(amount) is int:
        if amount < 0:
            raise _negative(amount)
        return amount, 0
    match = _DECIMAL.fullmatch(amount) if isinstance(amount, str) else None
    if match is None:
        raise IntakeError("value-invalid", f"value must be a decimal number, not {shown(amount)}")
    sign, whole, fraction, power = match.groups()
    # Only a number has a power; in text it would be as likely a slip.
    if power is not None and not isinstance(amount, Number):
        raise IntakeError("value-invalid", f"value must be a decimal number, not {shown(amount)}")
    digits = int(whole + (fraction or ""))
    if sign and digits:
        raise _negative(amount)
    return digits, len(fraction or "") - int(power or 0)


def _negative(amount: object) -> IntakeError:
    return IntakeError(
        "value-negative",
        f"value {shown(amount)} is below zero; map the event to one that takes back, with the "
        f"amount as a positive number",
    )
