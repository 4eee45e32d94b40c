"""The sentences of terms say all of them."""

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given

from orchestrator.core.deals.deal import draft_terms
from orchestrator.core.deals.sentences import operator_sentences, owner_sentences, sentences_of
from orchestrator.core.deals.terms import Terms
from orchestrator.core.log.entry import ZERO_ADDRESS
from tests.support.deals import FRAME, USDC, deals
from tests.support.terms import DOMAIN, FULL, NOW_S, OPERATOR, PAYEE, PLAIN


def test_plain_terms_read_plainly() -> None:
    sentences = sentences_of(PLAIN, USDC)
    assert sentences[0] == (
        "Pays 8.00 USDC for each lead, once, that enters 'activated' from 2030-03-17 17:46:40 UTC "
        "until 2030-03-31 17:46:40 UTC."
    )
    assert sentences[1].startswith("At most 400.00 USDC are paid in all, fees in it, which is 50 o")
    assert "A statement is paid at once." in sentences
    assert "Nothing is held back, and no refund takes an outcome back." in sentences


def test_guarded_terms_say_what_holds_payment_up() -> None:
    text = " ".join(sentences_of(replace(FULL, repeatable=True), USDC))
    for part in (
        "8.00 USDC and 10 % of the event's value each time that a lead enters",
        "can be challenged for 2 days",
        "20 % of what is earned is held for 15 days",
        "At most 50.00 USDC are paid in 1 day",
        "within 3 days",
        "claim by proof for 8 days",
        "agent 0 of ERC-8004's registry",
    ):
        assert part in text


# One other value of each term.
OTHERS: dict[str, Any] = {
    "attribution": "first_touch",
    "outcome": "subscribed",
    "repeatable": True,
    "exclusive": True,
}


@pytest.mark.parametrize("terms", [PLAIN, FULL], ids=["plain", "full"])
@pytest.mark.parametrize("field", [field.name for field in fields(Terms)])
def test_no_term_changes_unsaid(terms: Terms, field: str) -> None:
    value = getattr(terms, field)
    if isinstance(value, bytes):
        other: Any = b"\xee" * 32
    elif field in OTHERS:
        other = OTHERS[field] if value != OTHERS[field] else "last_touch"
    elif isinstance(value, str):
        other = PAYEE if value != PAYEE else OPERATOR
    else:
        other = value + 1
    assert sentences_of(terms, USDC) != sentences_of(replace(terms, **{field: other}), USDC)


@given(deals())
def test_sentences_have_the_amounts_to_the_last_unit(deal: dict[str, Any]) -> None:
    draft = draft_terms(deal, FRAME, OPERATOR, NOW_S, bytes(32))
    text = " ".join(sentences_of(draft.terms, draft.token)).replace(",", "")
    assert f"{deal['price']} {draft.token.symbol}" in text
    assert f"{deal['budget']} {draft.token.symbol}" in text


def test_each_party_reads_what_it_signs() -> None:
    owner = " ".join(owner_sentences(PLAIN, USDC, DOMAIN))
    assert f"lets the escrow {DOMAIN.verifying_contract} on chain 31337 take the budget" in owner
    assert "costs 400.00 USDC at most" in owner
    operator = " ".join(operator_sentences(PLAIN, USDC))
    assert "can earn 400.00 USDC at most" in operator
    assert ZERO_ADDRESS not in " ".join(sentences_of(PLAIN, USDC))
