"""A receipt is checked by itself, and then against what the chain says."""

import dataclasses
from collections.abc import Callable
from typing import Any, cast

import pytest

from orchestrator.chain.deployment import Chain
from orchestrator.core.errors import ChainError, ProofError
from orchestrator.core.terms import address_of, checkpoint_digest, sign_digest
from orchestrator.verify.receipt_check import check_receipt, receipt_chain
from tests.support.public_log import (
    CONTRACT_ID,
    LOG_ID,
    TERMS,
    PublicChain,
    public_records,
    root_at,
)
from tests.support.receipts import receipt_of
from tests.support.terms import LOG_DOMAIN, OWNER

KEY = b"\5" * 32
RECORDS = public_records()
SIZE = len(RECORDS)


def receipt() -> dict[str, Any]:
    """Return a receipt under a checkpoint that the publisher has signed."""
    digest = checkpoint_digest(LOG_DOMAIN, LOG_ID, SIZE, root_at(RECORDS, SIZE))
    return receipt_of(RECORDS, CONTRACT_ID, signature=sign_digest(digest, KEY))


def chain() -> PublicChain:
    found = PublicChain(RECORDS)
    found.publisher = address_of(KEY)
    return found


def test_without_a_chain_it_says_what_was_not_checked() -> None:
    shown = check_receipt(receipt(), None)
    assert shown[0].startswith(f"5 entries stand in the tree of size {SIZE} with root 0x")
    assert shown[-1].startswith("not checked")


def test_what_the_chain_confirms_is_shown_line_by_line() -> None:
    shown = check_receipt(receipt(), cast(Chain, chain()))
    assert len(shown) == 6
    assert "touch 7" in shown[1]
    assert address_of(KEY) in shown[3]
    assert shown[-1].startswith("the escrow has paid: transaction 0x")


def test_another_publishers_signature_is_only_not_shown() -> None:
    other = chain()
    other.publisher = OWNER
    shown = check_receipt(receipt(), cast(Chain, other))
    assert not any("publisher" in line for line in shown)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda chain: setattr(chain, "anchored", SIZE - 1), "receipt-unanchored"),
        (lambda chain: setattr(chain, "records", [*RECORDS[:-1], RECORDS[0]]), "receipt-root"),
        (
            lambda chain: setattr(
                chain, "terms", dataclasses.replace(TERMS, unit_price_units=9_000_000)
            ),
            "receipt-mismatch",
        ),
        (
            lambda chain: setattr(chain, "terms", dataclasses.replace(TERMS, payee=OWNER)),
            "receipt-payee",
        ),
        (lambda chain: setattr(chain, "paid_units", 7_999_999), "receipt-unpaid"),
    ],
)
def test_what_the_chain_contradicts_is_refused(
    change: Callable[[PublicChain], None], code: str
) -> None:
    contradicting = chain()
    change(contradicting)
    with pytest.raises(ProofError) as refused:
        check_receipt(receipt(), cast(Chain, contradicting))
    assert refused.value.code == code


def test_a_chain_that_does_not_answer_is_closed_and_refused() -> None:
    with pytest.raises(ChainError):
        receipt_chain(receipt(), "http://127.0.0.1:1")


def test_a_receipt_of_a_forked_log_holds_and_says_so() -> None:
    forked = chain()
    forked.forked_at_s = 1_800_000_000
    (line,) = [one for one in check_receipt(receipt(), cast(Chain, forked)) if "forked" in one]
    assert "at 2027-01-15 08:00:00 UTC: its publisher has told two histories" in line
