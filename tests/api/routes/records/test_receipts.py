"""Receipts: a stranger checks them alone, and a forged one fails."""

from collections.abc import Iterator

import pytest

from orchestrator.core.common.errors import ProofError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.entries import receipt
from orchestrator.core.entries.kinds import KINDS
from orchestrator.verify.pinned import Pinned
from orchestrator.verify.receipt_check import check_receipt
from tests.support.anchors import checkpoints_beyond, note_anchor
from tests.support.api_service import PUBLISHER, ApiService
from tests.support.settled_contract import SettledContract

ROLES = {
    "outcome": ["touch", "transition", "outcome", "settlement", "payout"],
    "outcome.reversed": ["transition", "outcome", "event", "reversal", "settlement"],
    "settlement": ["settlement", "payout"],
    "payout": ["settlement", "payout"],
}


@pytest.fixture(autouse=True)
def _no_anchors(service: ApiService) -> Iterator[None]:
    """Forget the anchors of a test at its end: the service is shared."""
    yield
    with service.admin() as admin:
        admin.execute("DELETE FROM chain_events")


@pytest.fixture
def anchored(service: ApiService, settled: SettledContract) -> SettledContract:
    """Return the contract, all of whose entries are under an anchor."""
    note_anchor(service, 0, checkpoints_beyond(service, settled.position_of("payout"))[-1])
    return settled


def test_every_kind_that_has_a_receipt_is_tried() -> None:
    assert {kind.name for kind in KINDS.values() if kind.receipt is not None} == set(ROLES)


@pytest.mark.parametrize("kind", ROLES)
def test_a_receipt_can_be_checked_by_a_stranger_alone(
    service: ApiService, anchored: SettledContract, kind: str
) -> None:
    reply = service.http.get(f"/v1/receipts/{anchored.position_of(kind)}")
    document = receipt.read_text(reply.text)
    parsed = receipt.parse(document)
    assert list(parsed.entries) == ROLES[kind]
    assert (to_hex(parsed.contract_id), parsed.pending) == (anchored.hex_id, {})
    receipt.check(parsed)
    receipt.check_terms(parsed, anchored.terms)
    assert receipt.signer_of(parsed) == PUBLISHER.address
    checked = check_receipt(document, None, Pinned(publishers=(PUBLISHER.address,)))
    assert (len(checked.shown), checked.pending) == (3, [])


def test_a_forged_receipt_fails(service: ApiService, anchored: SettledContract) -> None:
    reply = service.get(f"/v1/receipts/{anchored.position_of('outcome')}")
    reply["entries"][0]["opening"]["request_hash"] = "0x" + "00" * 32
    with pytest.raises(ProofError):
        receipt.check(receipt.parse(reply))


def test_only_what_is_about_money_has_a_receipt(
    service: ApiService, settled: SettledContract
) -> None:
    for position, code in (
        (0, "no-receipt"),
        (settled.position_of("touch"), "no-receipt"),
        (10**6, "not-found"),
    ):
        answer = service.http.get(f"/v1/receipts/{position}")
        assert (answer.status_code, answer.json()["code"]) == (404, code)


def test_what_is_not_anchored_has_no_receipt_yet(
    service: ApiService, settled: SettledContract
) -> None:
    position = settled.position_of("settlement")
    size = checkpoints_beyond(service, position)[0]
    # One that does not reach, and one that a reorg may still take back.
    note_anchor(service, 0, position)
    note_anchor(service, 1, size, is_final=False)
    answer = service.http.get(f"/v1/receipts/{position}")
    assert (answer.status_code, answer.json()["code"]) == (409, "receipt-unanchored")
    assert answer.headers["retry-after"] == "60"
    note_anchor(service, 2, size)
    reply = service.get(f"/v1/receipts/{position}")
    assert reply["checkpoint"]["size"] == size
    receipt.check(receipt.parse(reply))


def test_a_receipt_is_of_what_is_anchored_and_names_what_is_to_come(
    service: ApiService, settled: SettledContract
) -> None:
    outcome, payout = settled.position_of("outcome"), settled.position_of("payout")
    sizes = checkpoints_beyond(service, settled.position_of("settlement"))
    note_anchor(service, 0, next(size for size in sizes if size <= payout))
    parsed = receipt.parse(service.get(f"/v1/receipts/{outcome}"))
    assert list(parsed.entries) == ROLES["outcome"][:-1]
    assert parsed.pending == {"payout": payout}
    receipt.check(parsed)
    note_anchor(service, 1, next(size for size in sizes if size > payout))
    assert receipt.parse(service.get(f"/v1/receipts/{outcome}")).pending == {}
