"""The state of a contract: amounts as they are typed, what is reserved, and when it has ended."""

import dataclasses
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.actions.contract_state import read_contract_state, token_of
from orchestrator.chain.caller import Token
from orchestrator.chain.deployment import Chain
from orchestrator.chain.rpc import NodeError
from orchestrator.core.common.errors import InputError
from orchestrator.core.log.entry import ZERO_ADDRESS
from tests.support.contract_states import (
    DISPUTED,
    ESCROW,
    GUARDED,
    PENDING,
    contract_state,
)
from tests.support.market import Market

# --- Amounts --------------------------------------------------------------------------------------


@given(st.integers(0, 2**80 - 1), st.integers(0, 36))
def test_a_written_amount_can_be_typed(units: int, decimals: int) -> None:
    state = contract_state(token=Token("USDC", decimals))
    typed = state.amount(units).removesuffix(" USDC").replace(",", "")
    if not decimals:
        typed = typed.removesuffix(".00")
    elif decimals == 1:
        typed = typed.removesuffix("0")
    assert state.parse_amount(typed) == units


@pytest.mark.parametrize(
    "typed", ["", "-1", "+1", "1,000", "1e3", ".5", "5.", "0x10", "٣", "1 ", "9" * 41 + "x"]
)
def test_other_text_is_no_amount(typed: str) -> None:
    with pytest.raises(InputError, match="the amount of USDC must be") as refused:
        contract_state().parse_amount(typed)
    assert refused.value.code == "amount-malformed"


@pytest.mark.parametrize("typed", [str(2**80), "9" * 30, "9" * 31, "9" * 5_000])
def test_an_amount_that_is_too_large_is_said_to_be_so(typed: str) -> None:
    with pytest.raises(InputError, match="is more than any escrow holds") as refused:
        contract_state(token=Token("USDC", 0)).parse_amount(typed)
    assert refused.value.code == "amount-malformed"


def test_an_amount_has_no_more_decimals_than_its_token() -> None:
    with pytest.raises(InputError, match=r"'1\.0000001' has more than 6 decimals"):
        contract_state().parse_amount("1.0000001")


# --- Tokens ---------------------------------------------------------------------------------------


class NamedToken:
    """A chain whose only token says this of itself."""

    def __init__(self, symbol: str, decimals: int = 6) -> None:
        self._token = Token(symbol, decimals)

    def token(self, _: str) -> Token:
        return self._token


@pytest.mark.parametrize("symbol", ["\x1b[31mUSDC", "US DC", "ÜSD", "A" * 13, ""])
def test_a_token_cannot_write_on_the_terminal(symbol: str) -> None:
    assert token_of(cast(Chain, NamedToken(symbol)), ESCROW).symbol == "tokens"


@pytest.mark.parametrize("decimals", [-1, 37, 255])
def test_a_token_with_absurd_decimals_is_refused(decimals: int) -> None:
    with pytest.raises(NodeError, match=f"says it has {decimals} decimals"):
        token_of(cast(Chain, NamedToken("USDC", decimals)), ESCROW)


# --- What follows from the state ------------------------------------------------------------------


def test_until_when_a_statement_can_be_disputed() -> None:
    without = dataclasses.replace(GUARDED, arbiter=ZERO_ADDRESS)
    assert contract_state().disputable_until_s == 0
    assert contract_state(without, pending=PENDING).disputable_until_s == 0
    assert contract_state(pending=PENDING).disputable_until_s == PENDING.resolves_at_s
    assert contract_state(pending=DISPUTED).disputable_until_s == PENDING.resolves_at_s


@pytest.mark.parametrize(
    ("changes", "has_ended"),
    [
        ({"status": "closed"}, True),
        ({"status": "paid_out"}, True),
        ({"status": "refunded"}, True),
        *(
            ({"status": status}, False)
            for status in (
                "scheduled", "open", "settling", "claimable", "refutable", "refundable",
                "releasing",
            )
        ),
        ({"status": "closed", "owed_units": 1}, False),
        # A reversal that takes nothing back any more.
        ({"status": "refunded", "pending": PENDING}, True),
    ],
)  # fmt: skip
def test_when_a_contract_has_ended(changes: dict[str, Any], has_ended: bool) -> None:
    assert contract_state(**changes).has_ended is has_ended


# --- Cautions -------------------------------------------------------------------------------------


def test_a_proposal_has_the_cautions_of_the_contract_that_it_becomes(market: Market) -> None:
    """The owner reads them before it accepts, but for its service's own verifier."""
    contract_id = market.propose("ada")
    (proposal,) = market.owner.pages(f"/v1/surfaces/{market.surface}/proposals", "proposals")
    told = market.owner.get(f"/v1/proposals/{proposal['contract_id']}")["cautions"]
    market.owner.accept_all(market.surface, market.sandbox.stack.escrow_domain)
    market.sandbox.come_to_rest()
    # The API tells, too, what the policy and the history say of a proposal.
    found = set(read_contract_state(market.chain, contract_id).cautions)
    verifier = {text for text in found if text.startswith("the verifier 0x")}
    assert verifier
    assert found - verifier <= {*told}
    assert not verifier & {*told}
