"""Plans: what was looked at, and the transactions that can be sent for it."""

import pytest

from orchestrator.actions.plan import (
    Plan,
    PlannedTransaction,
    describe_amount,
    describe_exact_amount,
)
from orchestrator.chain.abi import Call
from orchestrator.chain.caller import Token
from orchestrator.core.common.units import counted, format_second

TRANSACTION = PlannedTransaction(
    "release 1.00 TEST", ("to the payee",), Call("0x" + "11" * 20, b"\1"), (), {"units": "1"}
)


def test_a_plan_of_one_transaction_says_what_that_does() -> None:
    plan = Plan.of(TRANSACTION)
    assert plan.transactions == (TRANSACTION,)
    assert plan.obstacle is None


def test_a_plan_without_transactions_can_still_say_why() -> None:
    plan = Plan(("nothing is owed",))
    assert plan.transactions == ()
    assert dict(plan.facts) == {}


# --- The words of plans ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("units", "decimals", "text"),
    [
        (0, 6, "0.00 USDC"),
        (1, 6, "0.000001 USDC"),
        (1_500_000, 6, "1.50 USDC"),
        (1_234_567_890_000, 6, "1,234,567.89 USDC"),
        (12, 0, "12.00 USDC"),
        (2**80 - 1, 18, "1,208,925.819614629174706175 USDC"),
    ],
)
def test_amounts_are_written_to_the_unit(units: int, decimals: int, text: str) -> None:
    assert describe_amount(units, Token("USDC", decimals)) == text


def test_an_exact_amount_names_its_base_units() -> None:
    text = describe_exact_amount(1_500_000, Token("USDC", 6))
    assert text == "1.50 USDC (1500000 base units)"


@pytest.mark.parametrize(
    ("count", "text"), [(1, "1 claim"), (2, "2 claims"), (0, "0 claims"), (1_000, "1,000 claims")]
)
def test_counts(count: int, text: str) -> None:
    assert counted(count, "claim") == text


def test_seconds_are_written_in_utc_as_far_as_there_are_dates() -> None:
    assert format_second(1_767_225_600) == "2026-01-01 00:00:00 UTC"
    assert format_second(2**64) == "second 18446744073709551616"
