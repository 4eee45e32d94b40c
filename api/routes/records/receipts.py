"""Receipts: the few entries that show one outcome, reversal, settlement or payout, with proofs.

The format is described in docs/receipt.md. The holder of a receipt can check it alone, without
trust in this service.
"""

from collections.abc import Iterator
from typing import Any, cast

from api.context import Service
from api.http.problems import Refusal, not_found
from api.routes.records import answers
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.deals.terms import ANCHOR_TOPIC
from orchestrator.core.entries.receipt import FORMAT
from orchestrator.core.log.entry import Entry, ascii_word, unpack_outcome, unpack_reversal
from orchestrator.core.log.merkle import inclusion_proof
from orchestrator.core.log.opening import opening_json
from orchestrator.log.reader import StoredEntry, read_entries
from orchestrator.log.tree import Checkpoint, Tiles, checkpoint_of, stored_checkpoint
from orchestrator.storage.database import Row, Session

UNANCHORED_RETRY_S = 60

Roles = dict[str, int]


def build(service: Service, position: int) -> answers.Receipt:
    """Return the receipt of the entry at a position, of what is anchored alone.

    Raises `Refusal` (404) if it can have none, (409) if the entry is not anchored yet.
    """
    with service.database.transaction() as session:
        stored = _entry(service, session, position)
        if stored is None:
            raise not_found("entry")
        entry = stored.entry
        roles = _roles(service, session, position, entry)
        checkpoint = _checkpoint(service, session, roles, position)
        # A log that was checked has every entry that an entry of it names.
        found = {
            role: cast(StoredEntry, _entry(service, session, place))
            for role, place in roles.items()
            if place < checkpoint.size
        }
        proven = list(_proven(service, session, checkpoint, found))
    return answers.Receipt.model_validate(
        {
            "format": FORMAT,
            "position": position,
            "log_id": to_hex(service.log_id),
            "origin": service.info.origin,
            "chain_id": service.escrow_domain.chain_id,
            "event_log": service.event_log_domain.verifying_contract,
            "escrow": service.escrow_domain.verifying_contract,
            "contract_id": to_hex(_contract_id(entry)),
            "checkpoint": answers.ReceiptCheckpoint(
                size=checkpoint.size,
                root=to_hex(checkpoint.root),
                signature=to_hex(checkpoint.signature),
            ),
            "entries": proven,
            "pending": [
                answers.PendingEntry(role=role, position=place)
                for role, place in sorted(roles.items(), key=lambda item: item[1])
                if place >= checkpoint.size
            ],
        }
    )


def paid_units(service: Service, contract_id: bytes, until: int) -> int:
    """Return the sum of a contract's payouts up to a position, gross, in token base units."""
    with service.database.transaction() as session:
        return _paid_units(service, session, contract_id, until)


def is_anchored(service: Service, session: Session, position: int) -> bool:
    """Return whether a final block was seen to hold a root that covers a position."""
    return _anchored_size(service, session, position) is not None


def published(service: Service) -> dict[str, object]:
    """Return what tells the events by which this log was anchored from all others."""
    return {
        "chain_id": service.event_log_domain.chain_id,
        "escrow": service.escrow_domain.verifying_contract.lower(),
        "event_log": service.event_log_domain.verifying_contract.lower(),
        "topic": ANCHOR_TOPIC,
        "log_id": service.log_id,
    }


def opening(stored: StoredEntry) -> dict[str, Any] | None:
    """Return an entry's opening as JSON; None if it has none."""
    opened = stored.opened
    return None if opened is None else opening_json(opened)


def _contract_id(entry: Entry) -> bytes:
    return entry.actor if entry.kind.startswith("outcome") else entry.subject


def _roles(service: Service, session: Session, position: int, entry: Entry) -> Roles:
    """Return the positions of the entries that the receipt needs, by their roles."""
    contract_id = _contract_id(entry)
    if entry.kind == "outcome":
        outcome = unpack_outcome(entry.payload)
        roles = {"touch": outcome.touch, "transition": outcome.transition, "outcome": position}
        return roles | _settled(service, session, contract_id, position)
    if entry.kind == "outcome.reversed":
        reversal = unpack_reversal(entry.payload)
        roles = {"outcome": reversal.outcome, "event": reversal.event, "reversal": position}
        reversed_outcome = cast(StoredEntry, _entry(service, session, reversal.outcome)).entry
        roles["transition"] = unpack_outcome(reversed_outcome.payload).transition
        return roles | _settled(service, session, contract_id, position)
    if entry.kind == "settlement":
        return {"settlement": position} | _paid(service, session, contract_id, entry.value)
    if entry.kind == "payout":
        units = _paid_units(service, session, contract_id, position)
        found = _row(
            service,
            session,
            "api.settlement_of",
            contract_id,
            "settlement",
            before=position,
            units=units,
        )
        roles = {} if found is None else {"settlement": found.position}
        return roles | {"payout": position}
    raise Refusal(
        404,
        "no-receipt",
        f"entry {position} is a {entry.kind}; receipts are given for an outcome, "
        f"outcome.reversed, settlement or payout",
    )


def _settled(service: Service, session: Session, contract_id: bytes, position: int) -> Roles:
    """Return the roles of the contract's next settlement, which covers an entry, and its payout."""
    row = _row(
        service, session, "api.entries_about", contract_id, "settlement", after=position, limit=1
    )
    if row is None:
        return {}
    settlement = StoredEntry(*row)
    paid = _paid(service, session, contract_id, settlement.entry.value)
    return {"settlement": settlement.position} | paid


def _paid(service: Service, session: Session, contract_id: bytes, units: int) -> Roles:
    """Return the role of the payout with which the contract had paid what a statement says."""
    # A statement of nothing is paid by no payout; the query would name the first.
    if not units:
        return {}
    found = _row(service, session, "api.payout_reaching", contract_id, "payout", units=units)
    return {} if found is None else {"payout": found.position}


def _paid_units(service: Service, session: Session, contract_id: bytes, until: int) -> int:
    row = _row(service, session, "api.paid", contract_id, "payout", until=until)
    return int(row.units) if row else 0


def _row(
    service: Service, session: Session, query: str, contract_id: bytes, kind: str, **bounds: int
) -> Row | None:
    """Return the one row of a query about a contract's entries of a kind."""
    return session.one(
        query, log_id=service.log_id, contract_id=contract_id, kind=ascii_word(kind), **bounds
    )


def _checkpoint(service: Service, session: Session, roles: Roles, position: int) -> Checkpoint:
    """Return the first anchored checkpoint beyond as many of the entries as any covers.

    Raises `Refusal` (409) if none covers the entry at `position`, which all needs.
    """
    for highest in sorted(set(roles.values()), reverse=True):
        if highest < position:
            break
        size = _anchored_size(service, session, highest)
        # Without a stored checkpoint of the anchored size there is no tree to prove under.
        stored = None if size is None else stored_checkpoint(session, service.log_id, size)
        if stored is not None:
            return checkpoint_of(stored)
    raise Refusal(
        409,
        "receipt-unanchored",
        f"entry {position} is not anchored yet: no final block is known to hold a root that covers "
        f"it; its proofs under the newest checkpoint are at /v1/log/proofs",
        headers={"Retry-After": str(UNANCHORED_RETRY_S)},
    )


def _anchored_size(service: Service, session: Session, position: int) -> int | None:
    row = session.one("api.anchored", **published(service), position=position)
    return None if row is None else row.size


def _proven(
    service: Service, session: Session, checkpoint: Checkpoint, found: dict[str, StoredEntry]
) -> Iterator[answers.ReceiptEntry]:
    read = Tiles(session, service.log_id).node
    for role, stored in sorted(found.items(), key=lambda item: item[1].position):
        path = inclusion_proof(stored.position, checkpoint.size, read)
        yield answers.ReceiptEntry.model_validate(
            {
                "role": role,
                "position": stored.position,
                "entry": to_hex(stored.data),
                "opening": opening(stored),
                "path": [to_hex(node) for node in path],
            }
        )


def _entry(service: Service, session: Session, position: int) -> StoredEntry | None:
    rows = read_entries(session, service.log_id, position, 1)
    return rows[0] if rows and rows[0].position == position else None
