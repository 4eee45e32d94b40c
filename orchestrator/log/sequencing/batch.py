"""A batch of requests: read from the inbox, decided in order, and written with its projections."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from orchestrator.core.common.errors import DomainError, LogError, RequestError
from orchestrator.core.decisions.decide import decide
from orchestrator.core.entries.kinds import encode, kind_of
from orchestrator.core.log.entry import CLICK
from orchestrator.core.log.merkle import CompactRange, leaf_hash
from orchestrator.core.log.opening import Record, ReportedTouchOpening, encode_opening
from orchestrator.core.world.codec import decode_request
from orchestrator.core.world.requests import Request
from orchestrator.core.world.rights import Sender, check_right
from orchestrator.core.world.world import World
from orchestrator.log.projections import (
    Click,
    RowChanges,
    write_actions,
    write_codes,
    write_leads,
    write_rest,
    write_standings,
    write_tallies,
)
from orchestrator.storage.database import Row
from orchestrator.storage.statements import Statements

# Errors by which a mistake in the fold shows itself. `RequestError` and `LogError` are no mistakes.
_MISTAKES = (ArithmeticError, AttributeError, DomainError, LookupError, TypeError, ValueError)


class UnfoldableError(Exception):
    """A request at which the fold itself failed, and may have left the world half moved."""

    def __init__(self, row: Row, error: Exception) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.row = row


@dataclass(slots=True)
class Batch:
    """The rows of one drain, and the projections that they change."""

    # position, entry, opening, and the word of its kind where the log lists that
    entries: list[tuple[int, bytes, bytes | None, bytes | None]] = field(default_factory=list)
    # seq, first position, count, and a refusal's code and message
    results: list[tuple[int, int, int, str | None, str | None]] = field(default_factory=list)
    changes: RowChanges = field(default_factory=RowChanges)
    # what is said of requested actions
    actions: list[tuple[int, Record]] = field(default_factory=list)
    clicks: list[Click] = field(default_factory=list)
    # the lead that the last record registers, and the position of the code by which it came
    registered: tuple[bytes, int] | None = None

    def add_all(self, world: World, first: int, records: Iterable[Record]) -> None:
        """Add the rows of records, which the fold has moved past."""
        for position, record in enumerate(records, first):
            self.add(position, record)
            entry, opening = record
            if isinstance(opening, ReportedTouchOpening) and entry.label == CLICK:
                code = world.causes[opening.cause]
                is_new_lead = self.registered == (entry.subject, opening.cause)
                click = Click(code.code, position, entry.subject, entry.time_ms, is_new_lead)
                self.clicks.append(click)
            is_registration = entry.kind == "lead.registered"
            self.registered = (entry.subject, entry.value) if is_registration else None

    def add(self, position: int, record: Record) -> None:
        """Add the rows of a record that the fold has moved past."""
        entry, opening = record
        kind = kind_of(entry)
        opened = None if opening is None else encode_opening(opening)
        listed = kind.word if kind.listed else None
        self.entries.append((position, encode(entry), opened, listed))
        self.changes.add(kind, entry)
        if kind.moves_action:
            self.actions.append((position, record))

    def write_entries(self, statements: Statements, log_id: bytes, tree: CompactRange) -> None:
        """Append the entries, extend the tree, and append the subtrees that it completes."""
        statements.copy(
            "log.append_entries",
            ("bytea", "int8", "bytea", "bytea", "bytea"),
            ((log_id, *row) for row in self.entries),
        )
        statements.reach("entries")
        completed = tree.extend([leaf_hash(data) for _, data, *_ in self.entries])
        if completed:
            statements.copy(
                "log.append_subtrees",
                ("bytea", "int2", "int8", "bytea"),
                ((log_id, *subtree) for subtree in completed),
            )
        statements.reach("subtrees")

    def write_projections(self, statements: Statements, log_id: bytes, world: World) -> None:
        """Bring the projections up to date with what was added, which the fold has moved past."""
        write_leads(statements, log_id, world, self.changes)
        statements.reach("leads")
        write_rest(statements, log_id, world, self.changes)
        write_standings(statements, log_id, world)
        write_codes(statements, log_id, world, self.clicks)
        write_actions(statements, log_id, self.actions)
        write_tallies(statements, log_id, world)
        statements.reach("projections")

    def refuse(self, row: Row, position: int, code: str, message: str) -> None:
        """Add the result of a request for which no entry is written at this position."""
        self.results.append((row.seq, position, 0, code, message))


def read_requests(rows: Sequence[Row]) -> list[Request | DomainError]:
    """Return the requests of rows, an error in place of one that is none."""
    return [_decoded(row.kind, body) for row, body in zip(rows, _bodies(rows), strict=True)]


def decide_batch(
    world: World, publisher: str, rows: Sequence[Row], requests: Sequence[Request | DomainError]
) -> Batch:
    """Decide the requests of these rows in order, and move the world past them.

    Raises `UnfoldableError` for one at which the fold itself failed, and `LogError`.
    """
    batch = Batch()
    for row, request in zip(rows, requests, strict=True):
        first = world.size
        if isinstance(request, DomainError):
            batch.refuse(row, first, request.code, request.message)
            continue
        try:
            sender = _sender_of(row.sender, row.account)
            check_right(world, request, sender, publisher)
            records = decide(world, request, row.received_ms)
            batch.add_all(world, first, records)
        except RequestError as error:
            batch.refuse(row, first, error.code, error.message)
        except LogError:
            raise
        except _MISTAKES as error:
            raise UnfoldableError(row, error) from error
        else:
            batch.results.append((row.seq, first, len(records), None, None))
    return batch


def _bodies(rows: Sequence[Row]) -> list[Any]:
    """Return the bodies of requests, None for one that cannot be read.

    Each is JSON already, because its column is: so one parse reads all. But PostgreSQL takes
    numbers of more digits, and deeper lists, than Python reads.
    """
    try:
        found: list[Any] = json.loads(f"[{','.join(row.body for row in rows)}]")
    except (ValueError, RecursionError):
        return [None] if len(rows) == 1 else [body for row in rows for body in _bodies([row])]
    return found


def _decoded(kind: str, body: object) -> Request | DomainError:
    try:
        return decode_request(kind, body)
    except DomainError as error:
        return error


# A batch is of few accounts.
@lru_cache(maxsize=1024)
def _sender_of(login: str, account: str) -> Sender:
    return Sender(login.removeprefix("tallystick_"), account)
