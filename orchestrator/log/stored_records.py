"""The stored log as the source of answers to why: each read bounded, all in one transaction."""

from collections.abc import Callable
from typing import Any, NamedTuple

from orchestrator.core.common.errors import WhyError
from orchestrator.core.entries.kinds import KINDS
from orchestrator.core.log.entry import WORD_BYTES
from orchestrator.core.log.opening import Record
from orchestrator.core.surface import policy, surface_settings
from orchestrator.core.surface.forecast import Cohorts
from orchestrator.core.surface.policy import Policy
from orchestrator.core.surface.surface_settings import SurfaceSettings
from orchestrator.core.surface.trust import PoolUse, Standing
from orchestrator.core.why.reason import Tokens
from orchestrator.core.why.source import Filter, Placed
from orchestrator.core.world.codec import decode_pool
from orchestrator.core.world.contract import Contract
from orchestrator.core.world.requests import (
    CloseContract,
    OpenContract,
    RecordDispute,
    RecordPayout,
    RecordRuling,
    Request,
)
from orchestrator.log.projections import contract_of, standing_of
from orchestrator.log.reader import MAX_PAGE, StoredEntry, read_entries
from orchestrator.storage.database import Row, Session


class StoredRecords:
    """The public records of one log, read in a session.

    `is_anchored` says whether a final block was seen to hold a root that covers a position.
    """

    def __init__(
        self,
        session: Session,
        log_id: bytes,
        now_ms: int,
        tokens: Tokens,
        is_anchored: Callable[[int], bool | None],
    ) -> None:
        self.now_ms = now_ms
        self.tokens = tokens
        self.is_anchored = is_anchored
        self._session = session
        self._log_id = log_id

    def at(self, position: int) -> Placed | None:
        found = read_entries(self._session, self._log_id, position, 1)
        return _placed(found[0]) if found and found[0].position == position else None

    def find(self, wanted: Filter, limit: int) -> list[Placed]:
        found = search(self._session, self._log_id, wanted, limit)
        return [_placed(stored) for stored in found]

    def contract(self, contract_id: bytes) -> Contract | None:
        row = self._session.one("log.contract", log_id=self._log_id, contract_id=contract_id)
        return None if row is None else contract_of(row)

    def contracts(self, surface: bytes, owner: bytes, limit: int) -> list[Contract]:
        rows = self._session.all(
            "log.contracts_after",
            log_id=self._log_id,
            after=0,
            limit=min(limit, MAX_PAGE),
            surface=surface,
            owner=owner,
            operator=None,
        )
        return [contract_of(row) for row in rows]

    def policy(self, hash_: bytes) -> Policy | None:
        row = self._session.one("log.policy", log_id=self._log_id, hash=hash_)
        return None if row is None else policy.parse(row.document)

    def settings(self, hash_: bytes) -> SurfaceSettings | None:
        row = self._session.one("log.settings", log_id=self._log_id, hash=hash_)
        return None if row is None else surface_settings.parse_settings(row.document)

    def standing(self, surface: bytes, operator: bytes) -> Standing | None:
        row = self._session.one(
            "log.standings", log_id=self._log_id, surfaces=[surface], operators=[operator]
        )
        return None if row is None else standing_of(row)

    def pool(self, surface: bytes) -> PoolUse:
        row = self._surface(surface)
        return PoolUse() if row is None else decode_pool(row.pool)

    def cohorts(self, surface: bytes) -> Cohorts:
        row = self._surface(surface)
        return Cohorts() if row is None else Cohorts.from_document(row.cohorts)

    def _surface(self, surface: bytes) -> Row | None:
        return self._session.one("log.surface", log_id=self._log_id, surface=surface)


def search(session: Session, log_id: bytes, wanted: Filter, limit: int) -> list[StoredEntry]:
    """Return at most so many stored entries that are asked for, found by an index.

    Raises WhyError `kind-not-listed` for a kind that is not found by its surface, `search-open` for
    a question that names neither a subject nor a surface and a kind.
    """
    subject, surface, kind, after, newest = wanted
    bounds: dict[str, Any] = {"after": after, "limit": min(limit, MAX_PAGE)}
    if subject is not None or surface is not None:
        bounds["subject"] = subject
    if kind is not None:
        bounds["kind"] = KINDS[kind].word
    if surface is not None and kind is not None:
        if not KINDS[kind].listed:
            raise WhyError(
                "kind-not-listed", f"entries of kind {kind!r} are found by their subject alone"
            )
        query = "log.newest_on_surface" if newest else "log.entries_on_surface"
        bounds["surface"] = surface
    elif subject is None or surface is not None or (newest and kind is None):
        raise WhyError(
            "search-open",
            "name a subject, or a surface and a kind; and a kind for the newest",
        )
    elif kind is None:
        query = "log.entries_about"
    else:
        query = "log.newest_about_of_kind" if newest else "log.entries_about_of_kind"
    return [StoredEntry(*row) for row in session.all(query, log_id=log_id, **bounds)]


def _placed(stored: StoredEntry) -> Placed:
    return Placed(stored.position, Record(stored.entry, stored.opened))


class ChainEntry(NamedTuple):
    """The words of an entry about the chain that tell it from others of one transaction."""

    kind: str
    contract_id: bytes
    value: int
    transaction: bytes


def chain_entry(request: Request) -> ChainEntry | None:
    """Return what the log says of what a request tells of the chain; None for other requests."""
    match request:
        case OpenContract(rules, tx):
            return ChainEntry("contract.opened", rules.contract_id, rules.budget_units, tx)
        case CloseContract(contract_id, closed_at_ms, tx):
            return ChainEntry("contract.closed", contract_id, closed_at_ms, tx)
        case RecordPayout(contract_id, _, _, units, tx):
            return ChainEntry("payout", contract_id, units, tx)
        case RecordDispute(contract_id, _, _, units, tx):
            return ChainEntry("dispute.opened", contract_id, units, tx)
        case RecordRuling(contract_id, _, _, units, tx):
            return ChainEntry("dispute.ruled", contract_id, units, tx)
    return None


def count_logged(session: Session, log_id: bytes, wanted: ChainEntry) -> int:
    """Return how many entries of the log say this."""
    row = session.one(
        "log.count_about",
        log_id=log_id,
        kind=KINDS[wanted.kind].word,
        subject=wanted.contract_id,
        value=wanted.value.to_bytes(WORD_BYTES),
        payload=wanted.transaction,
    )
    return 0 if row is None else int(row.entries)
