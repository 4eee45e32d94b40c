"""A receipt is checked by itself, and then against what the chain says."""

import dataclasses
from collections.abc import Callable
from typing import Any, cast

import pytest

from orchestrator.chain.deployment import Chain
from orchestrator.chain.escrow import MoneyEvents, Payout
from orchestrator.chain.rpc import NodeError
from orchestrator.core.common.errors import ChainError, PendingError, ProofError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.verify.pinned import Pinned
from orchestrator.verify.receipt_check import check_receipt, receipt_chain
from tests.support.public_log import (
    CONTRACT_ID,
    LOG_ID,
    TERMS,
    PublicChain,
    public_records,
)
from tests.support.receipts import KINDS_WITH_RECEIPTS, ORIGIN, PUBLISHER, receipt_of, without
from tests.support.terms import OWNER
from tests.support.worlds import word

RECORDS = public_records()
SIZE = len(RECORDS)


def receipt() -> dict[str, Any]:
    return receipt_of(RECORDS, CONTRACT_ID)


def chain() -> PublicChain:
    return PublicChain(RECORDS)


REPLAY = (
    "that the log's rules give these entries and no others instead; `tallystick replay` judges the "
    "whole log"
)


def test_without_a_chain_it_says_what_was_not_checked() -> None:
    checked = check_receipt(receipt(), None)
    assert checked.shown[0].startswith(f"5 entries stand in the tree of size {SIZE} with root 0x")
    assert "give --rpc to ask the chain" in checked.on_trust[-1]
    terms, settlement, payout, replay = checked.not_checked
    assert terms.startswith(f"what the signed terms of contract {receipt()['contract_id']} give")
    assert settlement == "that the escrow took the settlement; give --rpc to ask the chain"
    assert payout == "that the escrow has paid; give --rpc to ask the chain"
    assert replay == REPLAY
    unpaid = check_receipt(without(receipt(), "payout"), None).not_checked
    assert unpaid == [terms, settlement, "a payout: the receipt has none", REPLAY]


def test_what_the_chain_confirms_is_shown_line_by_line() -> None:
    shown = check_receipt(receipt(), cast(Chain, chain())).shown
    assert len(shown) == 9
    assert "touch 7" in shown[1]
    assert PUBLISHER in shown[3]
    assert shown[4].endswith(
        " credit this touch, and pay for the outcome at this amount, and name the verifier of the "
        "settlement, and name the payee of the payout"
    )
    assert shown[5] == f"the log is registered as {ORIGIN}, by {PUBLISHER}"
    assert shown[6] == (
        "the escrow has paid: 8000000 units, fee included, were paid to the payee by transaction "
        + to_hex(word("payout"))
    )
    assert shown[7] == "with this payout the contract had paid what the settlement states"
    assert shown[8] == f"the escrow took the settlement, entry {SIZE - 2}"


@pytest.mark.parametrize("kind", [kind for kind in KINDS_WITH_RECEIPTS if "." not in kind])
def test_no_more_is_called_checked_than_the_receipt_has(kind: str) -> None:
    document = receipt_of(RECORDS, CONTRACT_ID, kind)
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


# --- The signature --------------------------------------------------------------------------------

TRUE = bytes.fromhex(receipt()["checkpoint"]["signature"][2:])
ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
HIGH_S = TRUE[:32] + (ORDER - int.from_bytes(TRUE[32:64])).to_bytes(32) + bytes([55 - TRUE[64]])
# Of the shapes that no key signs in, or not in its one form.
SHAPES = {
    "empty": b"",
    "zero": bytes(65),
    "all ones": b"\xff" * 65,
    "short": TRUE[:64],
    "long": TRUE + b"\0",
    "v of 0 or 1": TRUE[:64] + bytes([TRUE[64] - 27]),
    "v of 31": TRUE[:64] + b"\x1f",
    "high s": HIGH_S,
    "r of zero": bytes(32) + TRUE[32:],
    "s of zero": TRUE[:32] + bytes(32) + TRUE[64:],
    "r of the order": ORDER.to_bytes(32) + TRUE[32:],
    # No point of the curve has this x.
    "r of no point": (5).to_bytes(32) + TRUE[32:],
}


def with_signature(signature: bytes) -> dict[str, Any]:
    document = receipt()
    document["checkpoint"]["signature"] = to_hex(signature)
    return document


def signature_refused(document: dict[str, Any], on: PublicChain | None) -> str:
    with pytest.raises(ProofError) as refused:
        check_receipt(document, cast(Chain, on))
    assert refused.value.code == "receipt-signature"
    return refused.value.message


@pytest.mark.parametrize("shape", SHAPES)
def test_a_signature_that_is_no_keys_is_false_with_a_chain_and_without(shape: str) -> None:
    document = with_signature(SHAPES[shape])
    signature_refused(document, chain())
    assert "ERC-1271" in signature_refused(document, None)


def test_a_contracts_signature_is_for_the_chain_to_tell() -> None:
    by_contract = chain()
    by_contract.publisher, by_contract.wallets = OWNER, {OWNER: b"\x12" * 96}
    document = with_signature(b"\x12" * 96)
    shown = check_receipt(document, cast(Chain, by_contract)).shown
    assert f"the log's publisher, {OWNER}" in shown[3]
    assert "the chain alone could tell: tallystick verify" in signature_refused(document, None)


def test_another_accounts_signature_is_false() -> None:
    other = chain()
    other.publisher = OWNER
    assert PUBLISHER in signature_refused(receipt(), other)


@pytest.mark.parametrize("at", [0, 31, 32, 63, 64])
def test_a_signature_with_one_flipped_bit_is_false_or_of_another(at: int) -> None:
    data = bytearray(TRUE)
    data[at] ^= 1
    document = with_signature(bytes(data))
    signature_refused(document, chain())
    # Without a chain, only a pin tells the publisher from whoever signed.
    with pytest.raises(ProofError) as refused:
        check_receipt(document, None, Pinned(publishers=(PUBLISHER,)))
    assert refused.value.code in ("receipt-signature", "pin-differs")


def test_without_a_chain_the_signer_is_taken_on_trust_or_compared_with_the_pinned() -> None:
    checked = check_receipt(receipt(), None)
    assert f"the checkpoint is signed by {PUBLISHER}" in checked.shown
    (line,) = [line for line in checked.on_trust if line.startswith("publisher ")]
    assert line.startswith(f"publisher {PUBLISHER}, whose signature it is; pin it by --publisher")
    pinned = check_receipt(receipt(), None, Pinned(publishers=(OWNER, PUBLISHER)))
    assert f"the checkpoint is signed by {PUBLISHER}" in pinned.shown
    assert not [line for line in pinned.on_trust if "publisher" in line]


@pytest.mark.parametrize("on", [None, chain()])
def test_another_publisher_than_the_pinned_is_false(on: PublicChain | None) -> None:
    with pytest.raises(ProofError) as refused:
        check_receipt(receipt(), cast(Chain, on), Pinned(publishers=(OWNER,)))
    assert refused.value.code == "pin-differs"
    assert f"{PUBLISHER}, which is none of the pinned publishers: {OWNER}" in refused.value.message


def test_the_signature_of_a_publisher_that_handed_the_log_over_since_is_shown() -> None:
    other = chain()
    other.publisher, other.replaced = OWNER, [PUBLISHER]
    for pinned in (Pinned(), Pinned(publishers=(PUBLISHER,))):
        shown = check_receipt(receipt(), cast(Chain, other), pinned).shown
        assert f"the log's publisher of then, {PUBLISHER}" in shown[3]
    with pytest.raises(ProofError, match="publisher of then"):
        check_receipt(receipt(), cast(Chain, other), Pinned(publishers=(OWNER,)))


# --- The log --------------------------------------------------------------------------------------


def test_a_log_that_the_event_log_does_not_have_is_false_and_not_early() -> None:
    nowhere = chain()
    nowhere.publisher, nowhere.anchored = None, 0
    with pytest.raises(ProofError, match="no such log is registered with the event log") as refused:
        check_receipt(receipt(), cast(Chain, nowhere))
    assert refused.value.code == "log-unregistered"
    assert to_hex(LOG_ID) in refused.value.message


def test_the_origin_is_the_one_that_the_log_is_registered_by() -> None:
    other, silent = chain(), chain()
    other.origin, silent.origin = "growth.example/other", None
    with pytest.raises(ProofError, match=f"origin {ORIGIN}, but .* 'growth.example/other'") as told:
        check_receipt(receipt(), cast(Chain, other))
    assert told.value.code == "origin-false"
    checked = check_receipt(receipt(), cast(Chain, silent))
    assert checked.not_checked == [
        f"that the log is registered as {ORIGIN}: the node of this test shows no event of it",
        REPLAY,
    ]
    assert not [line for line in checked.shown if "registered" in line]


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
        *(LOG_ID, document["origin"]),
        verifiers=(TERMS.verifier,),
        publishers=(PUBLISHER,),
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


# --- The payout -----------------------------------------------------------------------------------

PAID = Payout(word("payout"), 8_000_000, "paid")
EARLIER = Payout(word("earlier"), 5, "paid")


def told_by(payouts: list[Payout], hidden_units: int = 0) -> PublicChain:
    """Return a chain whose node shows these payouts of the contract."""
    told = chain()
    told.money = told.money._replace(payouts=payouts, hidden_units=hidden_units)
    return told


@pytest.mark.parametrize("kind", ["outcome", "settlement", "payout"])
@pytest.mark.parametrize(
    ("payouts", "code"),
    [
        # The transaction is made up, or another contract's.
        ([], "receipt-unpaid"),
        ([PAID._replace(transaction=word("other"))], "receipt-unpaid"),
        # It paid another amount, or could not pay.
        ([PAID._replace(gross_units=7_999_999)], "receipt-unpaid"),
        ([PAID._replace(label="credited")], "receipt-unpaid"),
        # It is a payout, and not the one by which the settlement was paid.
        ([PAID._replace(transaction=word("first")), PAID], "receipt-uncovered"),
    ],
)
def test_a_payout_that_the_chain_does_not_tell_of_is_false(
    kind: str, payouts: list[Payout], code: str
) -> None:
    with pytest.raises(ProofError) as refused:
        check_receipt(receipt_of(RECORDS, CONTRACT_ID, kind), cast(Chain, told_by(payouts)))
    assert refused.value.code == code
    assert code != "receipt-unpaid" or to_hex(word("payout")) in refused.value.message


def test_a_payout_that_paid_more_than_was_stated_is_of_an_earlier_statement() -> None:
    """All but the payout's own receipt name the first with which so much was paid."""
    more = cast(Chain, told_by([EARLIER, PAID]))
    assert check_receipt(receipt(), more).not_checked == [REPLAY]
    with pytest.raises(ProofError) as refused:
        check_receipt(receipt_of(RECORDS, CONTRACT_ID, "payout"), more)
    assert refused.value.code == "receipt-uncovered"


def test_a_payout_that_a_node_has_forgotten_is_not_checked_and_not_false() -> None:
    forgotten = cast(Chain, told_by([], 8_000_000))
    with pytest.raises(NodeError, match="the payout was not checked") as unchecked:
        check_receipt(receipt(), forgotten)
    assert unchecked.value.code == "payouts-hidden"
    # What the node does show of the transaction counts.
    with pytest.raises(ProofError) as refused:
        check_receipt(receipt(), cast(Chain, told_by([PAID._replace(gross_units=1)], 7_999_999)))
    assert refused.value.code == "receipt-unpaid"
    partly = check_receipt(receipt(), cast(Chain, told_by([PAID], 5)))
    assert not [line for line in partly.shown if line.startswith("with this payout")]
    assert partly.not_checked[0].startswith("that this payout completes what the settlement states")


def test_a_settlement_that_the_escrow_took_otherwise_is_false() -> None:
    other, unseen = chain(), chain()
    other.money = other.money._replace(statements={SIZE - 2: (8_000_001, 1)})
    with pytest.raises(ProofError) as refused:
        check_receipt(receipt(), cast(Chain, other))
    assert refused.value.code == "receipt-settlement"
    unseen.money = unseen.money._replace(statements={})
    checked = check_receipt(receipt(), cast(Chain, unseen))
    assert checked.not_checked == [
        (
            f"that the escrow took the settlement, entry {SIZE - 2}: the node of this test shows "
            f"no event of it"
        ),
        REPLAY,
    ]


def test_what_has_no_settlement_and_no_payout_asks_for_no_events() -> None:
    silent = chain()
    silent.money = cast(MoneyEvents, None)
    bare = without(receipt(), "settlement", "payout")
    assert check_receipt(bare, cast(Chain, silent)).not_checked == [
        "what the contract owes and has paid: no statement and no payment is shown",
        REPLAY,
    ]


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
