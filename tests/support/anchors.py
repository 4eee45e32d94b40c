"""Anchors of a service's log, as the indexer finds them on the chain."""

from eth_utils.crypto import keccak

from tests.support.api_service import ESCROW, EVENT_LOG, LOG_ID, ApiService


def checkpoints_beyond(service: ApiService, position: int) -> list[int]:
    with service.admin() as admin:
        rows = admin.execute(
            "SELECT size FROM checkpoints WHERE size > %s ORDER BY size", (position,)
        ).fetchall()
    return [row[0] for row in rows]


def note_anchor(service: ApiService, number: int, size: int, *, is_final: bool = True) -> None:
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
