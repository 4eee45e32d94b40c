"""A receipt is checked by itself, and then against what the chain says."""

import dataclasses
from collections.abc import Callable
from typing import Any, cast

import pytest

from orchestrator.chain.deployment import Chain
from orchestrator.core.common.errors import ChainError, PendingError, ProofError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.deals.terms import address_of, checkpoint_digest, sign_digest
from orchestrator.verify.pinned import Pinned
from orchestrator.verify.receipt_check import check_receipt, receipt_chain
from tests.support.public_log import (
    CONTRACT_ID,
    LOG_ID,
    TERMS,
    PublicChain,
    public_records,
    root_at,
)
from tests.support.receipts import KINDS_WITH_RECEIPTS, receipt_of, without
from tests.support.terms import LOG_DOMAIN, OWNER

KEY = b"\5" * 32
RECORDS = public_records()
SIZE = len(RECORDS)


def signed(document: dict[str, Any]) -> dict[str, Any]:
    """Return a receipt of the whole log under a checkpoint that the publisher has signed."""
    digest = checkpoint_digest(LOG_DOMAIN, LOG_ID, SIZE, root_at(RECORDS, SIZE))
    document["checkpoint"]["signature"] = to_hex(sign_digest(digest, KEY))
    return document


def receipt() -> dict[str, Any]:
    return signed(receipt_of(RECORDS, CONTRACT_ID))


def chain() -> PublicChain:
    found = PublicChain(RECORDS)
    found.publisher = address_of(KEY)
    return found


REPLAY = (
    "that the log's rules give these entries and no others instead; `tallystick replay` judges the "
    "whole log"
)


def test_without_a_chain_it_says_what_was_not_checked() -> None:
    checked = check_receipt(receipt(), None)
    assert checked.shown[0].startswith(f"5 entries stand in the tree of size {SIZE} with root 0x")
    assert "give --rpc to ask the chain" in checked.on_trust[-1]
    terms, payout, replay = checked.not_checked
    assert terms.startswith(f"what the signed terms of contract {receipt()['contract_id']} give")
    assert payout == "that the escrow has paid; give --rpc to ask the chain"
    assert replay == REPLAY
    unpaid = check_receipt(without(receipt(), "payout"), None).not_checked
    assert unpaid == [terms, "a payout: the receipt has none", REPLAY]


def test_what_the_chain_confirms_is_shown_line_by_line() -> None:
    shown = check_receipt(receipt(), cast(Chain, chain())).shown
    assert len(shown) == 6
    assert "touch 7" in shown[1]
    assert address_of(KEY) in shown[3]
    assert shown[4].endswith(
        " credit this touch, and pay for the outcome at this amount, and name the verifier of the "
        "settlement, and name the payee of the payout"
    )
    assert shown[-1].startswith("the escrow has paid: transaction 0x")


@pytest.mark.parametrize("kind", [kind for kind in KINDS_WITH_RECEIPTS if "." not in kind])
def test_no_more_is_called_checked_than_the_receipt_has(kind: str) -> None:
    document = signed(receipt_of(RECORDS, CONTRACT_ID, kind))
    checked = check_receipt(document, cast(Chain, chain()))
    assert checked.not_checked == [REPLAY]
    (given,) = [line for line in checked.shown if line.startswith("the signed terms")]
    assert ("pay for the outcome" in given) == ("credit this touch" in given) == (kind == "outcome")


@pytest.mark.parametrize("roles", [("touch",), ("transition",), ("touch", "transition")])
def test_terms_are_not_said_to_pay_for_what_was_left_out(roles: tuple[str, ...]) -> None:
    dearer = chain()
    dearer.terms = dataclasses.replace(TERMS, unit_price_units=TERMS.unit_price_units + 1)
    for document, code in (
        (receipt(), "receipt-mismatch"),
        (without(receipt(), *roles), "receipt-incomplete"),
    ):
        with pytest.raises(ProofError) as refused:
            check_receipt(document, cast(Chain, dearer))
        assert refused.value.code == code


def signature_refused(document: dict[str, Any], on: PublicChain) -> str:
    with pytest.raises(ProofError) as refused:
        check_receipt(document, cast(Chain, on))
    assert refused.value.code == "receipt-signature"
    return refused.value.message


def test_another_accounts_signature_is_false() -> None:
    other = chain()
    other.publisher = OWNER
    assert address_of(KEY) in signature_refused(receipt(), other)


@pytest.mark.parametrize("at", [0, 31, 32, 63, 64])
def test_a_signature_with_one_flipped_bit_is_false(at: int) -> None:
    document = receipt()
    data = bytearray.fromhex(document["checkpoint"]["signature"][2:])
    data[at] ^= 1
    document["checkpoint"]["signature"] = "0x" + data.hex()
    signature_refused(document, chain())


@pytest.mark.parametrize("signature", ["0x", "0x" + "00" * 65, "0x" + "ff" * 65, "0x" + "12" * 64])
def test_a_signature_that_is_none_is_false(signature: str) -> None:
    document = receipt()
    document["checkpoint"]["signature"] = signature
    signature_refused(document, chain())


def test_the_signature_of_a_publisher_that_handed_the_log_over_since_is_shown() -> None:
    other = chain()
    other.publisher, other.replaced = OWNER, [address_of(KEY)]
    shown = check_receipt(receipt(), cast(Chain, other)).shown
    assert f"the log's publisher of then, {address_of(KEY)}" in shown[3]


def test_a_checkpoint_that_the_chain_has_not_come_to_is_pending_and_not_false() -> None:
    early = chain()
    early.anchored = SIZE - 1
    with pytest.raises(PendingError, match=f"up to size {SIZE - 1}, and the receipt is of size"):
        check_receipt(receipt(), cast(Chain, early))


def test_a_checkpoint_that_the_chain_has_passed_over_is_false() -> None:
    document = receipt_of(RECORDS[:-1], CONTRACT_ID)
    with pytest.raises(ProofError) as refused:
        check_receipt(document, cast(Chain, chain()))
    assert refused.value.code == "receipt-passed-over"


def test_what_is_still_to_come_is_told_beside_what_was_shown() -> None:
    document = receipt_of(RECORDS[:-1], CONTRACT_ID)
    document["pending"] = [{"role": "payout", "position": SIZE - 1}]
    (line,) = check_receipt(document, None).pending
    assert line.startswith(f"the payout, entry {SIZE - 1}, is not anchored yet")


def test_what_is_pinned_is_not_taken_on_trust() -> None:
    document = receipt()
    pinned = Pinned(
        *(document["chain_id"], document["event_log"], document["escrow"]),
        *(LOG_ID, document["origin"], (TERMS.verifier,)),
    )
    assert check_receipt(document, cast(Chain, chain()), pinned).on_trust == [
        "that the node of this test tells what the chain holds"
    ]
    assert len(check_receipt(document, cast(Chain, chain())).on_trust) == 7
    other = pinned._replace(verifiers=(OWNER,))
    with pytest.raises(ProofError) as refused:
        check_receipt(document, cast(Chain, chain()), other)
    assert refused.value.code == "pin-differs"


@pytest.mark.parametrize(
    ("change", "code"),
    [
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
    (line,) = [
        one for one in check_receipt(receipt(), cast(Chain, forked)).shown if "forked" in one
    ]
    assert "at 2027-01-15 08:00:00 UTC: its publisher has told two histories" in line
