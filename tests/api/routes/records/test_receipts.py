"""Receipts: a stranger checks them alone, and a forged one fails."""

import pytest
from eth_utils.crypto import keccak

from orchestrator.core import receipt
from orchestrator.core.errors import ProofError
from orchestrator.core.terms import checkpoint_digest, recover
from tests.support.api_service import ESCROW, EVENT_LOG, LOG_ID, PUBLISHER, ApiService
from tests.support.settled_contract import SettledContract

ROLES = {
    "outcome": ["touch", "transition", "outcome", "settlement", "payout"],
    "outcome.reversed": ["transition", "outcome", "event", "reversal", "settlement"],
    "settlement": ["settlement", "payout"],
    "payout": ["settlement", "payout"],
}


@pytest.mark.parametrize("kind", ROLES)
def test_a_receipt_can_be_checked_by_a_stranger_alone(
    service: ApiService, settled: SettledContract, kind: str
) -> None:
    reply = service.get(f"/v1/receipts/{settled.position_of(kind)}")
    assert [item["role"] for item in reply["entries"]] == ROLES[kind]
    assert reply["contract_id"] == settled.hex_id
    parsed = receipt.parse(reply)
    receipt.check(parsed)
    receipt.check_terms(parsed, settled.terms)
    digest = checkpoint_digest(EVENT_LOG, LOG_ID, parsed.size, parsed.root)
    assert recover(digest, parsed.signature) == PUBLISHER.address


def test_a_forged_receipt_fails(service: ApiService, settled: SettledContract) -> None:
    reply = service.get(f"/v1/receipts/{settled.position_of('outcome')}")
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


def test_a_receipt_prefers_a_checkpoint_that_the_chain_has(
    service: ApiService, settled: SettledContract
) -> None:
    position = settled.position_of("settlement")
    newest = service.get(f"/v1/receipts/{position}")["checkpoint"]
    assert not newest["anchored"]
    sizes = checkpoints_beyond(service, settled.position_of("payout"))
    # One that does not reach, one that a reorg may still take back, and two that will do.
    for number, size in enumerate((position, *sizes[:3])):
        publish(service, number, size, is_final=size != sizes[0])
    reply = service.get(f"/v1/receipts/{position}")
    assert (reply["checkpoint"]["size"], reply["checkpoint"]["anchored"]) == (sizes[1], True)
    receipt.check(receipt.parse(reply))


def checkpoints_beyond(service: ApiService, position: int) -> list[int]:
    with service.admin() as admin:
        rows = admin.execute(
            "SELECT size FROM checkpoints WHERE size > %s ORDER BY size", (position,)
        ).fetchall()
    return [row[0] for row in rows]


def publish(service: ApiService, number: int, size: int, *, is_final: bool) -> None:
    """Write what the indexer writes for an event `Published` of the event log."""
    with service.admin() as admin:
        admin.execute(
            "INSERT INTO chain_events (chain_id, escrow, block_hash, tx_hash, log_index, "
            "block_number, time_s, contract, topics, data, is_final) "
            "VALUES (%s, %s, %s, %s, 0, %s, 0, %s, %s, %s, %s)",
            (
                31337,
                ESCROW.verifying_contract.lower(),
                number.to_bytes(32),
                number.to_bytes(32),
                number,
                EVENT_LOG.verifying_contract.lower(),
                [keccak(text="Published(bytes32,uint64,bytes32)"), LOG_ID],
                size.to_bytes(32) + bytes(32),
                is_final,
            ),
        )
