"""Plans for disputes, rulings, closing, releases and refunds, and what is refused for them."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from orchestrator.actions import escrow
from orchestrator.chain.deployment import Chain
from orchestrator.core.common.errors import DomainError, EscrowError, InputError
from orchestrator.core.common.units import DAY_S
from orchestrator.core.deals.site import Addresses
from tests.support.contract_states import (
    CLAIMS,
    DISPUTED,
    ESCROW,
    GUARDED,
    PENDING,
    T3,
    T4,
    contract_state,
)
from tests.support.terms import ARBITER, NOW_S, OPERATOR, OWNER, PLAIN


@pytest.fixture
def chain(monkeypatch: pytest.MonkeyPatch) -> Iterator[Chain]:
    """A chain that encodes calls and has one contract, behind a node that does not answer."""
    with Chain("http://127.0.0.1:1", Addresses(1, ESCROW, ESCROW)) as chain:
        monkeypatch.setattr(chain, "terms_of", lambda _: GUARDED)
        yield chain


@pytest.mark.parametrize(
    ("code", "action", "changes"),
    [
        ("already-closed", "dispute", {"closed_at_s": 5}),
        ("no-arbiter", "dispute", {"terms": PLAIN}),
        ("nothing-to-dispute", "dispute", {}),
        ("dispute-too-late", "dispute", {"pending": PENDING, "now_s": PENDING.resolves_at_s + 1}),
        ("already-disputed", "dispute", {"pending": DISPUTED._replace(operator_disputed=True)}),
        ("nothing-to-dispute", "dispute", {"claims": CLAIMS, "now_s": T3}),
        ("claims-already-disputed", "dispute",
         {"claims": CLAIMS._replace(is_disputed=True), "now_s": T3 + 1}),
        ("claims-already-disputed", "dispute",
         {"claims": CLAIMS._replace(ruled_units=1), "now_s": T3 + 1}),
        ("about-what", "dispute", {"claims": CLAIMS, "pending": PENDING, "now_s": T3 + 1}),
        ("already-closed", "rule", {"closed_at_s": 5}),
        ("not-disputed", "rule", {}),
        ("not-disputed", "rule", {"pending": PENDING}),
        ("not-disputed", "rule", {"claims": CLAIMS, "now_s": T3 + 1}),
        ("payable-out-of-range", "rule",
         {"pending": DISPUTED, "claims": CLAIMS, "units": 392_000_001}),
        ("more-than-claimed", "rule",
         {"claims": CLAIMS._replace(is_disputed=True), "now_s": T4, "units": 8_000_001}),
        ("nothing-to-release", "release", {}),
        ("refund-too-early", "refund", {"now_s": T3}),
        ("nothing-to-refund", "refund", {"now_s": T3 + 1, "net_units": 400_000_000}),
        ("nothing-to-refund", "refund", {"now_s": T3 + 1, "pending": PENDING}),
        ("payable-out-of-range", "close", {"units": 400_000_001}),
        ("payable-out-of-range", "close", {"units": 1, "paid_units": 2}),
        ("close-expired", "close", {"units": 1, "now_s": NOW_S + 30 * DAY_S}),
        ("already-closed", "close", {"closed_at_s": 5}),
    ],
)  # fmt: skip
def test_refusals(chain: Chain, code: str, action: str, changes: dict[str, Any]) -> None:
    units = changes.get("units", 1)
    state = contract_state(**{name: value for name, value in changes.items() if name != "units"})
    actions: dict[str, Callable[[], object]] = {
        "dispute": lambda: escrow.plan_dispute(chain, state, None),
        "rule": lambda: escrow.plan_ruling(chain, state, units, None),
        "release": lambda: escrow.plan_release(chain, state),
        "refund": lambda: escrow.plan_refund(chain, state),
        "close": lambda: escrow.describe_closing(state, units, NOW_S + 20 * DAY_S),
    }
    with pytest.raises(DomainError) as refused:
        actions[action]()
    assert refused.value.code == code
    is_input = code in ("about-what", "payable-out-of-range", "more-than-claimed")
    assert isinstance(refused.value, InputError if is_input else EscrowError)


@pytest.mark.parametrize(
    ("changes", "by", "function"),
    [
        ({"pending": PENDING}, (OWNER, OPERATOR), "dispute"),
        ({"pending": DISPUTED}, (OPERATOR,), "dispute"),
        ({"claims": CLAIMS, "now_s": T3 + 1}, (OWNER, OPERATOR), "disputeClaims"),
        ({"claims": CLAIMS, "now_s": T4}, (OWNER, OPERATOR), "disputeClaims"),
    ],
)
def test_what_a_dispute_is_about(
    chain: Chain, changes: dict[str, Any], by: tuple[str, ...], function: str
) -> None:
    (transaction,) = escrow.plan_dispute(chain, contract_state(**changes), None).transactions
    assert set(transaction.by) == set(by)
    name = b"\1" * 32
    calls = {"dispute": chain.dispute(name, 40), "disputeClaims": chain.dispute_claims(name)}
    assert transaction.call == calls[function]


def test_a_consent_is_read_as_it_was_written() -> None:
    consent = escrow.Consent(b"\1" * 32, 7, NOW_S, OWNER, b"\2" * 65)
    assert escrow.Consent.from_json(consent.to_json()) == consent
    garbled: list[object] = [None, [], {}, consent.to_json() | {"expires_at_s": "1"}, "consent"]
    for document in garbled:
        with pytest.raises(InputError, match="is no consent"):
            escrow.Consent.from_json(document)


def test_a_release_shows_the_fee_inside_the_payment(chain: Chain) -> None:
    """3 of 10 units at 25 % of the sum: the first 7 bore a fee of 1, all 10 bear 2."""
    terms = dataclasses.replace(GUARDED, fee_bps=2_500, fee_recipient=ARBITER)
    state = contract_state(terms, paid_units=7, releasable_units=3, owed_units=3)
    (transaction,) = escrow.plan_release(chain, state).transactions
    assert transaction.lines[0] == (
        f"what it does: 0.000002 USDC go to the payee {terms.payee}, "
        f"0.000001 USDC to the credit of {ARBITER}"
    )
