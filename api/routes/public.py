"""What anyone may read, without a key: the log with its proofs, policies, contracts, payouts."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.context import Service, TheService
from api.http import schemas
from api.http.encoding import AfterPosition, ContractId, Limit, address
from api.http.fields import MAX_POSITION, Position, Size, Word
from api.http.json_input import StrictRoute
from api.http.problems import Refusal, documented, not_found
from api.routes import receipts
from orchestrator.core import contract as settlement
from orchestrator.core.entry import ascii_word
from orchestrator.core.hexadecimal import from_hex, to_hex
from orchestrator.log.reader import StoredEntry
from orchestrator.log.tree import Checkpoint

IMMUTABLE = "public, max-age=31536000, immutable"

router = APIRouter(prefix="/v1", tags=["public"], route_class=StrictRoute)

AtSize = Annotated[
    Size | None, Query(description="The size of a checkpoint; by default the newest.")
]


@router.get("/log")
def log(service: TheService) -> schemas.Log:
    """Which log this is, where it is anchored and paid out, and how long it is."""
    newest = service.log.checkpoint()
    return schemas.Log(
        log_id=to_hex(service.log_id),
        origin=service.info.origin,
        chain_id=service.escrow_domain.chain_id,
        event_log=service.event_log_domain.verifying_contract,
        escrow=service.escrow_domain.verifying_contract,
        feedback=service.info.feedback,
        evaluators=service.info.evaluators,
        publisher=service.info.publisher,
        verifier=service.info.verifier,
        size=newest.size if newest else 0,
    )


@router.get("/log/checkpoint", responses=documented(404))
def checkpoint(service: TheService, response: Response, size: AtSize = None) -> schemas.Checkpoint:
    """The newest checkpoint, or the one of exactly this size."""
    found = _checkpoint(service, size)
    if size is not None:
        _cache(response)
    return schemas.Checkpoint(
        log_id=to_hex(service.log_id),
        size=found.size,
        root=to_hex(found.root),
        time_ms=found.time_ms,
        signature=to_hex(found.signature),
    )


@router.get("/log/entries")
def entries(
    service: TheService, response: Response, start: Position = 0, limit: Limit = 100
) -> schemas.Entries:
    """Entries from an index on, as they were hashed, with the openings of their payloads."""
    found = service.log.entries(start, limit)
    full = len(found) == limit
    if full:
        _cache(response)
    return schemas.Entries(
        entries=[log_entry(stored) for stored in found],
        next=found[-1].position + 1 if full else None,
    )


@router.get("/log/proofs/inclusion", responses=documented(404))
def inclusion(
    service: TheService, response: Response, index: Position, size: AtSize = None
) -> schemas.InclusionProof:
    """The proof that the entry at `index` is in the log of a checkpoint's size."""
    under = _checkpoint(service, size)
    path = service.log.inclusion_proof(index, under.size)
    if size is not None:
        _cache(response)
    return schemas.InclusionProof(
        index=index, size=under.size, root=to_hex(under.root), path=hexes(path)
    )


@router.get("/log/proofs/consistency", responses=documented(404))
def consistency(
    service: TheService,
    response: Response,
    old: Size,
    new: AtSize = None,
) -> schemas.ConsistencyProof:
    """The proof that the log at one checkpoint extends the log at an older one."""
    before, after = _checkpoint(service, old), _checkpoint(service, new)
    path = service.log.consistency_proof(before.size, after.size)
    if new is not None:
        _cache(response)
    return schemas.ConsistencyProof(
        old_size=before.size,
        old_root=to_hex(before.root),
        new_size=after.size,
        new_root=to_hex(after.root),
        path=hexes(path),
    )


@router.get("/log/proofs/run", responses=documented(404))
def run(
    service: TheService,
    response: Response,
    first: Position,
    count: Size,
    size: AtSize = None,
) -> schemas.RunProof:
    """One proof that the entries [first, first + count) are in the log of a checkpoint's size."""
    under = _checkpoint(service, size)
    path = service.log.run_proof(first, count, under.size)
    if size is not None:
        _cache(response)
    return schemas.RunProof(
        first=first, count=count, size=under.size, root=to_hex(under.root), path=hexes(path)
    )


@router.get("/policies/{hash}", responses=documented(404))
def policy(service: TheService, response: Response, hash: Word) -> schemas.PolicyView:  # noqa: A002
    """A policy by its hash, SHA-256 over the document as canonical JSON."""
    found = service.log.policy(from_hex(hash))
    if found is None:
        raise not_found("policy")
    _cache(response)
    return schemas.PolicyView(hash=hash, document=found.document())


@router.get("/contracts")
def contracts(
    service: TheService,
    surface: Annotated[Word | None, Query(description="Only this surface's.")] = None,
    after: AfterPosition = 0,
    limit: Limit = 100,
) -> schemas.Contracts:
    """The contracts that were opened on chain, in the order in which the log has them."""
    found = service.log.contracts(after, limit, surface=from_hex(surface) if surface else None)
    return schemas.Contracts(
        contracts=_contracts(service, found),
        next=found[-1].opened if len(found) == limit else None,
    )


@router.get("/contracts/{contract}", responses=documented(404))
def contract(service: TheService, contract: ContractId) -> schemas.ContractDetail:
    """One contract: its terms, its totals by the log, and what it has paid."""
    digest = from_hex(contract)
    found = _known_contract(service, digest)
    (shown,) = _contracts(service, [found])
    paid_units = receipts.paid_units(service, digest, MAX_POSITION)
    return schemas.ContractDetail(**dict(shown), paid_units=str(paid_units))


@router.get("/contracts/{contract}/payouts", responses=documented(404))
def payouts(
    service: TheService, contract: ContractId, after: AfterPosition = 0, limit: Limit = 100
) -> schemas.Payouts:
    """What a contract has paid, payout by payout."""
    digest = from_hex(contract)
    _known_contract(service, digest)
    with service.database.transaction() as session:
        rows = session.all(
            "api.entries_about",
            log_id=service.log_id,
            subject=digest,
            kind=ascii_word("payout"),
            after=after,
            limit=limit,
        )
    found = [_payout(StoredEntry(*row)) for row in rows]
    return schemas.Payouts(payouts=found, next=found[-1].position if len(found) == limit else None)


@router.get("/contracts/{contract}/endorsements", responses=documented(404))
def endorsements(
    service: TheService, contract: ContractId, after: AfterPosition = 0, limit: Limit = 100
) -> schemas.Endorsements:
    """The statements about a contract that the verifier has endorsed for ERC-8183 jobs."""
    digest = from_hex(contract)
    _known_contract(service, digest)
    with service.database.transaction() as session:
        rows = session.all(
            "api.endorsed",
            log_id=service.log_id,
            contract_id=digest,
            kind=ascii_word("settlement"),
            after=after,
            limit=limit,
        )
    found = [
        schemas.Endorsement(
            position=row.position,
            entry=to_hex(row.entry),
            size=row.size,
            root=to_hex(row.root),
            first=row.first,
            count=row.count,
            signature=to_hex(row.signature),
        )
        for row in rows
    ]
    return schemas.Endorsements(
        endorsements=found, next=found[-1].position if len(found) == limit else None
    )


@router.get("/receipts/{position}", responses=documented(404))
def receipt(service: TheService, position: Position) -> schemas.Receipt:
    """The receipt of an outcome, a reversal, a settlement or a payout; see docs/receipt.md."""
    return receipts.build(service, position)


def hexes(hashes: Sequence[bytes]) -> list[str]:
    """Hashes as they go over the wire."""
    return [to_hex(node) for node in hashes]


def log_entry(stored: StoredEntry) -> schemas.LogEntry:
    """An entry with its opening, as it goes over the wire."""
    return schemas.LogEntry.model_validate(
        {
            "index": stored.position,
            "entry": to_hex(stored.data),
            "opening": receipts.opening(stored),
        }
    )


def _checkpoint(service: Service, size: int | None) -> Checkpoint:
    found = service.log.checkpoint(size)
    if found is None:
        newest = service.log.checkpoint()
        raise Refusal(
            404,
            "checkpoint-unknown",
            f"there is no checkpoint of size {size}; the newest has size {newest.size}"
            if newest and size
            else "the log has no checkpoint yet",
        )
    return found


def _known_contract(service: Service, digest: bytes) -> settlement.Contract:
    found = service.log.contract(digest)
    if found is None:
        raise not_found("contract in the log")
    return found


def _contracts(
    service: Service, contracts: Sequence[settlement.Contract]
) -> list[schemas.Contract]:
    with service.database.transaction() as session:
        rows = session.all(
            "api.opened_terms",
            log_id=service.log_id,
            contract_ids=[contract.rules.contract_id for contract in contracts],
        )
    terms = {row.contract_id: row.terms for row in rows}
    return [_contract(service, found, terms.get(found.rules.contract_id)) for found in contracts]


def _contract(
    service: Service, contract: settlement.Contract, terms: object | None
) -> schemas.Contract:
    rules = contract.rules
    if contract.closed_at_ms is not None:
        status = "closed"
    else:
        status = "live" if contract.is_live(service.now_ms()) else "ended"
    return schemas.Contract.model_validate(
        {
            "contract_id": to_hex(rules.contract_id),
            "status": status,
            "surface": to_hex(rules.surface),
            "owner": address(rules.owner),
            "operator": address(rules.operator),
            "opened": contract.opened,
            "closed_at_ms": contract.closed_at_ms,
            "last_outcome": contract.last_outcome,
            "last_reversal": contract.last_reversal,
            "last_settlement": contract.last_settlement,
            "outcomes": contract.outcomes,
            "reversals": contract.reversals,
            "earned_units": str(contract.earned_units),
            "reversed_units": str(contract.reversed_units),
            "over_units": str(contract.over_units),
            "terms": terms,
        }
    )


def _payout(stored: StoredEntry) -> schemas.Payout:
    entry = stored.entry
    return schemas.Payout.model_validate(
        {
            "position": stored.position,
            "time_ms": entry.time_ms,
            "payee": address(entry.actor),
            "label": entry.label,
            "gross_units": str(entry.value),
            "transaction": to_hex(entry.payload),
        }
    )


def _cache(response: Response) -> None:
    """The log's past never changes."""
    response.headers["Cache-Control"] = IMMUTABLE
