"""The routes without a key: the log with its proofs, policies, contracts, payouts, receipts."""

import json
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.context import Service, TheService
from api.http.answers import next_cursor
from api.http.fields import (
    MAX_POSITION,
    Address,
    AfterPosition,
    BundleLimit,
    ContractId,
    EntryKind,
    Limit,
    Position,
    Size,
    Word,
    address,
)
from api.http.json_input import JSON_TYPE
from api.http.problems import Refusal, documented, not_found
from api.routes.public_route import IMMUTABLE, PublicRoute
from api.routes.records import answers, receipts
from api.routes.surfaces.operators import token_answer
from api.rules import PROOF, rules
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.log.bundle import MAX_BUNDLE, write_bundle
from orchestrator.core.log.entry import address_word, ascii_word
from orchestrator.core.why.source import Filter
from orchestrator.core.world.contract import Contract, ContractRules
from orchestrator.log import stored_records
from orchestrator.log.reader import StoredEntry
from orchestrator.log.tree import Checkpoint
from orchestrator.storage.database import Row

BUNDLE_TYPE = "application/octet-stream"
BYTES = {"type": "string", "format": "binary"}

router = APIRouter(prefix="/v1", tags=["public"], route_class=PublicRoute)

AtSize = Annotated[
    Size | None, Query(description="The size of a checkpoint; by default the newest.")
]


@router.get("/log")
def log(service: TheService) -> answers.Log:
    """Return the log's identity, the contracts that anchor it and pay by it, and its size."""
    newest = service.log.checkpoint()
    return answers.Log(
        log_id=to_hex(service.log_id),
        origin=service.info.origin,
        chain_id=service.escrow_domain.chain_id,
        event_log=service.event_log_domain.verifying_contract,
        escrow=service.escrow_domain.verifying_contract,
        lens=service.info.lens,
        feedback=service.info.feedback,
        evaluators=service.info.evaluators,
        splits=service.info.splits,
        publisher=service.info.publisher,
        verifier=service.info.verifier,
        tokens=[token_answer(token, service.limits) for token in service.info.tokens],
        size=newest.size if newest else 0,
        forked_at_s=service.forked_at_s(),
    )


@router.get("/log/checkpoint", responses=documented(404, rules(404, "checkpoint-unknown")))
def checkpoint(service: TheService, response: Response, size: AtSize = None) -> answers.Checkpoint:
    """Return the newest checkpoint, or the one of exactly this size."""
    found = _checkpoint(service, size)
    if size is not None:
        _cache(response)
    return answers.Checkpoint(
        log_id=to_hex(service.log_id),
        size=found.size,
        root=to_hex(found.root),
        time_ms=found.time_ms,
        signature=to_hex(found.signature),
    )


@router.get("/log/anchors")
def anchors(service: TheService, after: AfterPosition = 0, limit: Limit = 100) -> answers.Anchors:
    """List the log's anchors in final blocks, beyond a size; check each by `rootAt` on chain."""
    with service.database.transaction() as session:
        found = session.all("api.anchors", **receipts.published(service), after=after, limit=limit)
    return answers.Anchors(
        anchors=[
            answers.Anchor(
                size=row.size,
                root=to_hex(row.root),
                transaction=to_hex(row.tx_hash),
                block_number=row.block_number,
                time_s=row.time_s,
            )
            for row in found
        ],
        next=next_cursor(found, limit, lambda last: last.size),
    )


@router.get("/log/entries", response_model=answers.Entries)
def entries(service: TheService, start: Position = 0, limit: Limit = 100) -> Response:
    """List entries from a position on, as they were hashed, with the openings of their payloads."""
    found = service.log.entries(start, limit)
    start_of_next = next_cursor(found, limit, lambda last: last.position + 1)
    page = {"entries": [_log_entry(stored) for stored in found], "next": start_of_next}
    # The longest answer that there is: no model looks at what we have just made, and it becomes
    # text here, in a thread of its own.
    response = Response(
        json.dumps(page, ensure_ascii=False, separators=(",", ":")), media_type=JSON_TYPE
    )
    # A page that is not full grows with the log.
    if start_of_next is not None:
        _cache(response)
    return response


@router.get(
    "/log/bundles",
    response_class=Response,
    responses={200: {"content": {BUNDLE_TYPE: {"schema": BYTES}}, "description": "The bundle."}},
)
def bundles(service: TheService, start: Position = 0, limit: BundleLimit = MAX_BUNDLE) -> Response:
    """Return entries from a position on in bytes: for each a uint16, its length, and its 256 bytes,
    then a uint16 and as many bytes of its opening's words, none where it has none.
    """
    found = service.log.entries(start, limit)
    response = Response(
        write_bundle((stored.data, stored.opening) for stored in found), media_type=BUNDLE_TYPE
    )
    # A bundle that is not full grows with the log.
    if len(found) == limit:
        _cache(response)
    return response


@router.get("/log/search", responses=documented(422, rules(422, "kind-not-listed search-open")))
def search(
    service: TheService,
    subject: Annotated[
        Word | None, Query(description="About this lead, contract, operator or document.")
    ] = None,
    surface: Annotated[Word | None, Query(description="On this surface; with a kind.")] = None,
    kind: Annotated[
        EntryKind | None, Query(description="Of this kind; with a surface, one that is listed.")
    ] = None,
    newest: Annotated[
        bool, Query(description="The last ones, the last of them first; of a kind.")
    ] = False,
    after: AfterPosition = 0,
    limit: Limit = 100,
) -> answers.FoundEntries:
    """List the entries about a subject, or of a kind on a surface, with their openings."""
    wanted = Filter(
        from_hex(subject) if subject else None,
        from_hex(surface) if surface else None,
        kind,
        after,
        newest,
    )
    with service.database.transaction() as session:
        found = stored_records.search(session, service.log_id, wanted, limit)
    return answers.FoundEntries.model_validate(
        {
            "entries": [_log_entry(stored) for stored in found],
            "next": None if newest else next_cursor(found, limit, lambda last: last.position),
        }
    )


@router.get("/log/proofs/inclusion", responses=documented(404, PROOF))
def inclusion(
    service: TheService, response: Response, position: Position, size: AtSize = None
) -> answers.InclusionProof:
    """Return the proof that the entry at `position` is in the log of a checkpoint's size."""
    under = _checkpoint(service, size)
    path = service.log.inclusion_proof(position, under.size)
    if size is not None:
        _cache(response)
    return answers.InclusionProof(
        position=position, size=under.size, root=to_hex(under.root), path=_path(path)
    )


@router.get("/log/proofs/consistency", responses=documented(404, PROOF))
def consistency(
    service: TheService,
    response: Response,
    old: Size,
    new: AtSize = None,
) -> answers.ConsistencyProof:
    """Return the proof that the log at one checkpoint extends the log at an older one."""
    before, after = _checkpoint(service, old), _checkpoint(service, new)
    path = service.log.consistency_proof(before.size, after.size)
    if new is not None:
        _cache(response)
    return answers.ConsistencyProof(
        old_size=before.size,
        old_root=to_hex(before.root),
        new_size=after.size,
        new_root=to_hex(after.root),
        path=_path(path),
    )


@router.get("/log/proofs/run", responses=documented(404, PROOF))
def run(
    service: TheService,
    response: Response,
    first: Position,
    count: Size,
    size: AtSize = None,
) -> answers.RunProof:
    """Return one proof that the entries [first, first + count) are in a checkpoint's log."""
    under = _checkpoint(service, size)
    path = service.log.run_proof(first, count, under.size)
    if size is not None:
        _cache(response)
    return answers.RunProof(
        first=first, count=count, size=under.size, root=to_hex(under.root), path=_path(path)
    )


@router.get("/policies/{hash}", responses=documented(404))
def policy(service: TheService, response: Response, hash: Word) -> answers.PolicyView:  # noqa: A002
    """Return the policy of a hash, the SHA-256 of its document as canonical JSON."""
    document = service.log.policy_document(from_hex(hash))
    if document is None:
        raise not_found("policy")
    _cache(response)
    return answers.PolicyView(hash=hash, document=document)


@router.get("/settings/{hash}", responses=documented(404))
def settings(service: TheService, response: Response, hash: Word) -> answers.SettingsView:  # noqa: A002
    """Return a surface's settings by their hash, the SHA-256 of the document as canonical JSON."""
    document = service.log.settings_document(from_hex(hash))
    if document is None:
        raise not_found("settings")
    _cache(response)
    return answers.SettingsView(hash=hash, document=document)


@router.get("/contracts")
def contracts(
    service: TheService,
    surface: Annotated[Word | None, Query(description="Only this surface's.")] = None,
    owner: Annotated[Address | None, Query(description="Only those that it opened.")] = None,
    operator: Annotated[Address | None, Query(description="Only those that pay it.")] = None,
    after: AfterPosition = 0,
    limit: Limit = 100,
) -> answers.Contracts:
    """List the contracts that were opened on chain, in the order of the log."""
    found = service.log.contracts(
        after,
        limit,
        surface=from_hex(surface) if surface else None,
        owner=address_word(owner) if owner else None,
        operator=address_word(operator) if operator else None,
    )
    return answers.Contracts(
        contracts=_contracts(service, found),
        next=next_cursor(found, limit, lambda last: last.opened),
    )


@router.get("/contracts/{contract}", responses=documented(404))
def contract(service: TheService, contract: ContractId) -> answers.ContractDetail:
    """Return a contract: its terms, its totals by the log, and the sum of its payouts."""
    digest = from_hex(contract)
    found = _known_contract(service, digest)
    (summary,) = _contracts(service, [found])
    paid_units = receipts.paid_units(service, digest, MAX_POSITION)
    return answers.ContractDetail(**dict(summary), paid_units=str(paid_units))


@router.get("/contracts/{contract}/payouts", responses=documented(404))
def payouts(
    service: TheService, contract: ContractId, after: AfterPosition = 0, limit: Limit = 100
) -> answers.Payouts:
    """List the payouts of a contract."""
    rows = _entry_page(service, "api.entries_about", contract, "payout", after, limit)
    return answers.Payouts(
        payouts=[_payout(StoredEntry(*row)) for row in rows],
        next=next_cursor(rows, limit, lambda last: last.position),
    )


@router.get("/contracts/{contract}/endorsements", responses=documented(404))
def endorsements(
    service: TheService, contract: ContractId, after: AfterPosition = 0, limit: Limit = 100
) -> answers.Endorsements:
    """List the statements about a contract that the verifier has endorsed for ERC-8183 jobs."""
    rows = _entry_page(service, "api.endorsed", contract, "settlement", after, limit)
    found = [
        answers.Endorsement(
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
    return answers.Endorsements(
        endorsements=found, next=next_cursor(rows, limit, lambda last: last.position)
    )


@router.get(
    "/receipts/{position}",
    responses=documented(404, 409, rules(404, "no-receipt"), rules(409, "receipt-unanchored")),
)
def receipt(service: TheService, position: Position) -> answers.Receipt:
    """Return the receipt of an outcome, a reversal, a settlement or a payout that is anchored."""
    return receipts.build(service, position)


def _path(nodes: Sequence[bytes]) -> list[str]:
    return [to_hex(node) for node in nodes]


def _log_entry(stored: StoredEntry) -> dict[str, object]:
    return {
        "position": stored.position,
        "entry": to_hex(stored.data),
        "opening": receipts.opening(stored),
    }


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


def _entry_page(
    service: Service, query: str, contract: str, kind: str, after: int, limit: int
) -> list[Row]:
    """Return a page of a known contract's entries of one kind. Raises `Refusal` (404)."""
    digest = from_hex(contract)
    _known_contract(service, digest)
    with service.database.transaction() as session:
        return session.all(
            query,
            log_id=service.log_id,
            contract_id=digest,
            kind=ascii_word(kind),
            after=after,
            limit=limit,
        )


def _known_contract(service: Service, digest: bytes) -> Contract:
    found = service.log.contract(digest)
    if found is None:
        raise not_found("contract in the log")
    return found


def _contracts(service: Service, contracts: Sequence[Contract]) -> list[answers.Contract]:
    with service.database.transaction() as session:
        rows = session.all(
            "api.opened_terms",
            log_id=service.log_id,
            contract_ids=[contract.rules.contract_id for contract in contracts],
        )
    terms = {row.contract_id: row.terms for row in rows}
    return [_contract(service, found, terms.get(found.rules.contract_id)) for found in contracts]


def _contract(service: Service, contract: Contract, terms: object | None) -> answers.Contract:
    agreed = contract.rules
    if contract.closed_at_ms is not None:
        status = "closed"
    else:
        status = "live" if contract.is_live(service.now_ms()) else "ended"
    return answers.Contract.model_validate(
        {
            "contract_id": to_hex(agreed.contract_id),
            "status": status,
            "surface": to_hex(agreed.surface),
            "owner": address(agreed.owner),
            "operator": address(agreed.operator),
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
            "rules": _rules(agreed),
            "terms": terms,
        }
    )


def _rules(agreed: ContractRules) -> dict[str, object]:
    return {
        "verifier": address(agreed.verifier),
        "token": address(agreed.token),
        "policy_hash": to_hex(agreed.policy_hash),
        "attribution": agreed.attribution,
        "outcome": agreed.outcome,
        "repeatable": agreed.repeatable,
        "unit_price_units": str(agreed.unit_price_units),
        "revenue_share_bps": agreed.revenue_share_bps,
        "budget_units": str(agreed.budget_units),
        "opens_at_ms": agreed.opens_at_ms,
        "deadline_ms": agreed.deadline_ms,
        "attribution_window_ms": agreed.attribution_window_ms,
        "holdback_period_ms": agreed.holdback_period_ms,
        "statements_until_ms": agreed.statements_until_ms,
    }


def _payout(stored: StoredEntry) -> answers.Payout:
    entry = stored.entry
    return answers.Payout.model_validate(
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
    """Let any cache keep the answer: the log's past never changes."""
    response.headers["Cache-Control"] = IMMUTABLE
