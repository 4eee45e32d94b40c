"""Readers of a recorded history (E.csv, T.csv) and of what it is judged by (P.yaml, C.yaml).

Files are streamed a row at a time, and every row and cell is bounded. Anything malformed is one
`InputError` that names the file, the line and the value.
"""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from heapq import merge
from pathlib import Path
from typing import NamedTuple, TextIO

import yaml

from orchestrator.core.common import names
from orchestrator.core.common.errors import DocumentError, InputError, shown
from orchestrator.core.common.units import BPS, DAY_S, NS_PER_S, parse_amount, parse_time_ns
from orchestrator.core.surface.policy import Policy, parse
from orchestrator.core.world.contract import ContractRules
from orchestrator.storage.local.files import read_bytes

MAX_ROW_CHARS = 65_536
MAX_DOCUMENT_BYTES = 1_048_576
# An id takes some 200 bytes of memory for as long as its file is read.
MAX_IDS = 5_000_000
MAX_CONTRACTS = 10_000
MAX_PERIOD_S = 100 * 366 * DAY_S

_WHOLE = re.compile(r"[0-9]{1,18}")
# As the live log takes idempotency keys.
_ID = re.compile(r"[!-~]{1,128}")
SHOWN_COLUMNS = 20
_MASK = (1 << 64) - 1

EVENT_COLUMNS = ("time", "lead", "event", "value")
TOUCH_COLUMNS = ("time", "lead", "operator", "action")
# A file may have these or not. Rows of one id are one row; an order is the product's own id of it.
ID_COLUMN = "id"
ORDER_COLUMN = "order"
# The operator by whose code the lead came with this event.
REF_COLUMN = "ref"


class EventRow(NamedTuple):
    """A product event of the history. `value_units` in token base units, None where none is told.

    `order` is the product's id of the order that it is about, `ref` the operator by whose code the
    lead came with it; both are empty for none. `place` is where it was read, for exports of which
    rows are told by their lines.
    """

    time_ns: int
    lead: str
    event: str
    value_units: int | None
    order: str = ""
    ref: str = ""
    place: int = 0


class TouchRow(NamedTuple):
    """An operator's touch of the history. `action` is free text: it decides nothing here."""

    time_ns: int
    lead: str
    operator: str
    action: str


@dataclass(slots=True)
class RowCounts:
    """The rows of a history that said what had been said.

    `equal` counts those without an id that are equal to a row before them; they count again.
    `repeated` counts those whose id had stood in an equal row; they are left out.
    """

    equal: int = 0
    repeated: int = 0


class ContractPlan(NamedTuple):
    """A contract as C.yaml writes it: times in UTC nanoseconds, money in token base units."""

    id: str
    operator: str
    outcome: str
    repeatable: bool
    unit_price_units: int
    revenue_share_bps: int
    budget_units: int
    opens_at_ns: int
    deadline_ns: int
    attribution_window_s: int
    holdback_bps: int
    holdback_s: int

    def rules(self, surface: bytes, owner: bytes, policy: Policy) -> ContractRules:
        """Return the rules that the fold reads; names stand in for a contract's real identifiers.

        The fold compares times and subtracts them. The live log gives it the milliseconds of its
        own clock; a history may be finer, so here `_ms` holds nanoseconds. Only lateness is in true
        milliseconds there, and a history's events are never late.
        """
        return ContractRules(
            contract_id=self.id.encode(),
            surface=surface,
            owner=owner,
            operator=self.operator.encode(),
            verifier=owner,
            policy_hash=policy.hash,
            attribution=policy.attribution,
            outcome=self.outcome,
            repeatable=self.repeatable,
            unit_price_units=self.unit_price_units,
            revenue_share_bps=self.revenue_share_bps,
            budget_units=self.budget_units,
            opens_at_ms=self.opens_at_ns,
            deadline_ms=self.deadline_ns,
            attribution_window_ms=self.attribution_window_s * NS_PER_S,
            holdback_period_ms=self.holdback_s * NS_PER_S,
        )


def read_rows(
    events: Path, touches: Path, counts: RowCounts | None = None
) -> Iterator[EventRow | TouchRow]:
    """Read both files merged by time; at equal times touches come first, then file order.

    Rows that are told twice are counted in `counts` as they are read.
    """
    counts = counts or RowCounts()
    return merge_rows(read_touches(touches, counts), read_events(events, counts))


def merge_rows(*sorted_rows: Iterable[EventRow | TouchRow]) -> Iterator[EventRow | TouchRow]:
    """Merge rows by time; at equal times those that are given first come first."""
    return merge(*sorted_rows, key=lambda row: row.time_ns)


def read_events(
    path: Path, counts: RowCounts, place_elsewhere: Callable[[str], str] = lambda _: ""
) -> Iterator[EventRow]:
    """Read the product events of E.csv, whose order must be that of time.

    `place_elsewhere` returns where an id stands in another file, empty for nowhere: as in the live
    log, it is one event then, which only one of them may tell.
    """
    seen = _SeenRows(path, counts)
    for line, time_ns, (lead, event, value), (order, ref, row_id) in _timed_rows(
        path, EVENT_COLUMNS, (ORDER_COLUMN, REF_COLUMN, ID_COLUMN)
    ):
        event_name = _name(path, line, "event", event, names.event_name)
        order_id = _name(path, line, "order", order, names.own_id) if order else ""
        try:
            value_units = parse_amount(value) if value else None
        except ValueError as error:
            raise InputError("value-invalid", f"{path}, line {line}: value {error}") from None
        by = _name(path, line, "ref", ref, _operator) if ref else ""
        if row_id and (elsewhere := place_elsewhere(row_id)):
            raise InputError(
                "id-elsewhere",
                f"{path}, line {line}: id {names.escaped(row_id)} stands in {elsewhere} too, and "
                f"would count once; tell each event in one of the files",
            )
        row = EventRow(time_ns, lead, event_name, value_units, order_id, by)
        if seen.is_to_count(line, row_id, row, ""):
            yield row


def read_touches(path: Path, counts: RowCounts) -> Iterator[TouchRow]:
    """Read the touches of T.csv, whose order must be that of time.

    An id is its operator's own, as an idempotency key of the live log is.
    """
    seen = _SeenRows(path, counts)
    for line, time_ns, (lead, operator, action), (row_id,) in _timed_rows(
        path, TOUCH_COLUMNS, (ID_COLUMN,)
    ):
        row = TouchRow(time_ns, lead, _name(path, line, "operator", operator, _operator), action)
        if seen.is_to_count(line, row_id, row, row.operator):
            yield row


class _SeenRows:
    """The rows of a file so far, by what tells that one is told again.

    With ids, all of the file, as two hashes and a line each. Without, the rows of the time at hand,
    as one hash each: in a file sorted by time, equal rows stand together.
    """

    def __init__(self, path: Path, counts: RowCounts) -> None:
        self._path = path
        self._counts = counts
        self._by_id: dict[int, int] = {}
        self._time_ns = -1
        self._at_that_time: set[int] = set()

    def is_to_count(
        self, line: int, row_id: str | None, row: EventRow | TouchRow, account: str
    ) -> bool:
        """Return whether this row counts. Raises InputError for an id with two different rows."""
        digest = hash(row) & _MASK
        if row_id is None:
            if row.time_ns != self._time_ns:
                self._time_ns = row.time_ns
                self._at_that_time.clear()
            if digest in self._at_that_time:
                self._counts.equal += 1
            self._at_that_time.add(digest)
            return True
        if not _ID.fullmatch(row_id):
            raise InputError(
                "id-invalid",
                f"{self._path}, line {line}: id must be 1 to 128 visible ASCII characters without "
                f"spaces, not {names.escaped(row_id)}; a file without the column needs none",
            )
        key = int.from_bytes(blake2b(f"{row_id} {account}".encode(), digest_size=16).digest())
        earlier = self._by_id.get(key)
        if earlier is None:
            if len(self._by_id) >= MAX_IDS:
                raise InputError(
                    "ids-too-many",
                    f"{self._path}, line {line}: at most {MAX_IDS} ids are remembered; remove rows "
                    f"told twice before, and leave the column out",
                )
            self._by_id[key] = line << 64 | digest
            return True
        if earlier & _MASK != digest:
            raise InputError(
                "id-differs",
                f"{self._path}, line {line}: id {names.escaped(row_id)} stood in line "
                f"{earlier >> 64} with other values; a row told twice is the same both times",
            )
        self._counts.repeated += 1
        return False


def read_policy(path: Path) -> Policy:
    """Read the policy of P.yaml."""
    try:
        return parse(read_document(path))
    except DocumentError as error:
        raise InputError(error.code, f"{path}: {error.message}") from None


def read_contracts(path: Path, policy: Policy) -> list[ContractPlan]:
    """Read the contracts of C.yaml in opening order, checked against the policy's states."""
    document = read_document(path)
    if not isinstance(document, list):
        raise InputError("not-a-list", f"{path}: must be a list of contracts")
    if len(document) > MAX_CONTRACTS:
        raise InputError(
            "list-too-long", f"{path}: has {len(document)} contracts; at most {MAX_CONTRACTS}"
        )
    plans: dict[str, ContractPlan] = {}
    for number, item in enumerate(document, 1):
        plan = _ContractFields(path, f"contract {number}", item).plan(policy)
        if plan.id in plans:
            raise InputError("id-twice", f"{path}: contract id {plan.id!r} stands twice")
        plans[plan.id] = plan
    return list(plans.values())


def _timed_rows(
    path: Path, columns: tuple[str, ...], optional: tuple[str, ...]
) -> Iterator[tuple[int, int, list[str], list[str | None]]]:
    """Read (line, time, the other cells, the optional ones) of each row, in order of time."""
    last_ns, last_text, time_ns = 0, "", 0
    for line, (time, lead, *others), more in _table_rows(path, columns, optional):
        # Rows of one time often stand together, and parsing times is much of the work.
        if time != last_text:
            try:
                time_ns = parse_time_ns(time)
            except ValueError as error:
                raise InputError("time-invalid", f"{path}, line {line}: time {error}") from None
            if time_ns < last_ns:
                raise InputError(
                    "row-out-of-order",
                    f"{path}, line {line}: {time} is before the row above it; sort rows by time",
                )
            last_ns, last_text = time_ns, time
        name = _name(path, line, "lead", lead, names.own_id)
        yield line, time_ns, [name, *others], more


def _table_rows(
    path: Path, columns: tuple[str, ...], optional: tuple[str, ...]
) -> Iterator[tuple[int, list[str], list[str | None]]]:
    """Read (line, cells of `columns`, cells of `optional`) of each row of a CSV file with a header.

    A cell of an optional column that the file does not have is None.
    """
    try:
        # Bytes that are no UTF-8 become lone surrogates, which `BoundedLines` finds in their line.
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            lines = BoundedLines(path, file)
            reader = csv.reader(lines, strict=True)
            places: list[int] | None = None
            width = 0
            more_places: list[int | None] = []
            try:
                for cells in reader:
                    # The row is read whole: the next one has all the room again.
                    lines.room = MAX_ROW_CHARS
                    if not cells:
                        continue
                    if places is None:
                        places, more_places = _column_places(path, cells, columns, optional)
                        width = len(cells)
                        continue
                    if len(cells) != width:
                        raise InputError(
                            "cells-mismatch",
                            f"{path}, line {reader.line_num}: has {len(cells)} cells, "
                            f"but the header has {width}",
                        )
                    more = [None if place is None else cells[place] for place in more_places]
                    yield reader.line_num, [cells[place] for place in places], more
            except csv.Error as error:
                raise InputError(
                    "csv-invalid", f"{path}, line {reader.line_num}: {error}"
                ) from None
            if places is None:
                raise InputError("file-empty", f"{path}: lacks a header with {', '.join(columns)}")
    except OSError as error:
        raise InputError("file-unreadable", f"{path}: {error.strerror}") from None


class BoundedLines:
    """A file's lines, refused beyond `room` characters until that is set again.

    A quoted cell may go over many lines, so it is the row that is bounded.
    """

    def __init__(self, path: Path, file: TextIO) -> None:
        self.room = MAX_ROW_CHARS
        self._path = path
        self._file = file

    def __iter__(self) -> Iterator[str]:
        number = 0
        while line := self._file.readline(self.room + 1):
            number += 1
            self.room -= len(line)
            # One character more than the room was asked for, so this line goes beyond it.
            if self.room < 0:
                raise InputError(
                    "row-too-long",
                    f"{self._path}, line {number}: the row has more than {MAX_ROW_CHARS} "
                    f"characters; is a quotation mark left open?",
                )
            if not (line.isascii() or _is_encodable(line)):
                raise InputError("not-utf-8", f"{self._path}, line {number}: is not UTF-8 text")
            yield line


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _column_places(
    path: Path, header: list[str], columns: tuple[str, ...], optional: tuple[str, ...]
) -> tuple[list[int], list[int | None]]:
    """Return the columns' places in a row; None for an optional one that is not there."""
    for column in (*columns, *optional):
        count = header.count(column)
        if count > 1 or (not count and column in columns):
            what = "has twice" if count else "lacks"
            found = ", ".join(names.escaped(each) for each in header[:SHOWN_COLUMNS])
            rest = f" and {len(header) - SHOWN_COLUMNS} more" if header[SHOWN_COLUMNS:] else ""
            raise InputError(
                "column-missing",
                f"{path}, line 1: {what} the column {column!r}; the columns found, separated by "
                f"commas, are {found}{rest}",
            )
    places = [header.index(column) for column in columns]
    return places, [header.index(one) if one in header else None for one in optional]


def _name(path: Path, line: int, column: str, value: str, rule: Callable[[str], str]) -> str:
    """Return a cell as a rule of names takes it."""
    try:
        return rule(value)
    except ValueError as error:
        raise InputError("name-invalid", f"{path}, line {line}: {column} {error}") from None


def _operator(text: str) -> str:
    """Return the name of an operator or a contract, which a history may choose as a lead's."""
    return names.plain_name(text, names.MAX_ID_BYTES)


class _TextLoader(yaml.BaseLoader):
    """A loader of every scalar as text, so that 8.10 stays 8.10; refuses a key that stands twice.

    It is the slow loader, in Python, since deep nesting makes the fast one in C end the process.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        table: dict[object, object] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            wrong = None
            if not isinstance(key, str):
                wrong = "a key must be text"
            elif key in table:
                wrong = f"key {shown(key)} stands twice"
            if wrong:
                raise yaml.constructor.ConstructorError(None, None, wrong, key_node.start_mark)
            table[key] = self.construct_object(value_node, deep=deep)
        return table


def read_document(path: Path) -> object:
    """Read a YAML file of text, lists and tables. Raises `InputError`."""
    data = read_bytes(path, MAX_DOCUMENT_BYTES)
    try:
        return yaml.load(data, Loader=_TextLoader)  # noqa: S506 - builds only text, lists, tables
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError("yaml-invalid", f"{path}, line {line}: {error.problem}") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError):
        raise InputError("yaml-invalid", f"{path}: is not readable as YAML text") from None


class _ContractFields:
    """The fields of one contract of C.yaml; an error names the contract and the field."""

    REQUIRED = (
        "id",
        "operator",
        "outcome",
        "unit_price",
        "budget",
        "opens_at",
        "deadline",
        "attribution_window_s",
    )
    OPTIONAL = ("repeatable", "revenue_share_bps", "holdback_bps", "holdback_s")

    def __init__(self, path: Path, where: str, item: object) -> None:
        self.where = f"{path}, {where}"
        if not isinstance(item, Mapping):
            raise InputError("not-a-table", f"{self.where}: must be a table of keys and values")
        self.item = item
        if isinstance(item.get("id"), str):
            self.where = f"{path}, contract {shown(item['id'])}"
        for key in self.REQUIRED:
            if key not in item:
                raise InputError("key-missing", f"{self.where}: lacks {key!r}")
        for key in item:
            if key not in self.REQUIRED and key not in self.OPTIONAL:
                raise InputError("key-unknown", f"{self.where}: has an unknown key {shown(key)}")

    def plan(self, policy: Policy) -> ContractPlan:
        """Return the contract. Raises InputError for a field that is malformed or contradicts."""
        plan = ContractPlan(
            id=self.name("id"),
            operator=self.name("operator"),
            outcome=self.text("outcome"),
            repeatable=self.flag("repeatable"),
            unit_price_units=self.amount("unit_price"),
            revenue_share_bps=self.whole("revenue_share_bps", BPS),
            budget_units=self.amount("budget"),
            opens_at_ns=self.time_ns("opens_at"),
            deadline_ns=self.time_ns("deadline"),
            attribution_window_s=self.whole("attribution_window_s", MAX_PERIOD_S),
            holdback_bps=self.whole("holdback_bps", BPS),
            holdback_s=self.whole("holdback_s", MAX_PERIOD_S),
        )
        if plan.outcome not in policy.states:
            raise InputError(
                "state-unknown",
                f"{self.where}: outcome {shown(plan.outcome)} is no state of the policy",
            )
        if plan.deadline_ns < plan.opens_at_ns:
            raise InputError(
                "deadline-early", f"{self.where}: deadline is before opens_at; swap or correct them"
            )
        if not plan.unit_price_units and not plan.revenue_share_bps:
            raise InputError(
                "pays-nothing",
                f"{self.where}: unit_price and revenue_share_bps are both 0; set one of them",
            )
        return plan

    def text(self, key: str) -> str:
        # Every optional field is a number or a flag, and "0" is what both are without it.
        value = self.item.get(key, "0")
        if not isinstance(value, str):
            raise InputError("not-text", f"{self.where}: {key} must be a single value")
        return value

    def name(self, key: str) -> str:
        try:
            return _operator(self.text(key))
        except ValueError as error:
            raise InputError("name-invalid", f"{self.where}: {key} {error}") from None

    def flag(self, key: str) -> bool:
        value = self.text(key).lower()
        if value not in ("true", "false", "0"):
            raise InputError(
                "flag-invalid", f"{self.where}: {key} must be true or false, not {shown(value)}"
            )
        return value == "true"

    def whole(self, key: str, most: int) -> int:
        value = self.text(key)
        if not _WHOLE.fullmatch(value) or int(value) > most:
            raise InputError(
                "number-invalid",
                f"{self.where}: {key} must be a whole number from 0 to {most}, not {shown(value)}",
            )
        return int(value)

    def amount(self, key: str) -> int:
        try:
            return parse_amount(self.text(key))
        except ValueError as error:
            raise InputError("amount-invalid", f"{self.where}: {key} {error}") from None

    def time_ns(self, key: str) -> int:
        try:
            return parse_time_ns(self.text(key))
        except ValueError as error:
            raise InputError("time-invalid", f"{self.where}: {key} {error}") from None
