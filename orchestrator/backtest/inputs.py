"""Readers of a recorded history (E.csv, T.csv) and of what it is judged by (P.yaml, C.yaml).

Files are streamed a row at a time, and every row and cell is bounded. Anything malformed is one
`InputError` that names the file, the line and the value.
"""

import csv
import re
from collections.abc import Iterator, Mapping
from heapq import merge
from pathlib import Path
from typing import NamedTuple, TextIO

import yaml

from orchestrator.core.contract import ContractRules
from orchestrator.core.errors import InputError, PolicyError, shown
from orchestrator.core.policy import Policy, parse
from orchestrator.core.units import BPS, DAY_S, NS_PER_S, parse_amount, parse_time_ns
from orchestrator.storage.files import read_bytes

MAX_ROW_CHARS = 65_536
MAX_DOCUMENT_BYTES = 1_048_576
MAX_NAME_CHARS = 256
MAX_CONTRACTS = 10_000
MAX_PERIOD_S = 100 * 366 * DAY_S

_WHOLE = re.compile(r"[0-9]{1,18}")

EVENT_COLUMNS = ("time", "lead", "event", "value")
OPTIONAL_EVENT_COLUMNS = ("order",)
TOUCH_COLUMNS = ("time", "lead", "operator", "action")


class EventRow(NamedTuple):
    """A product event of the history. `value_units` in token base units, None where none is told.

    `order` is the product's id of the order that it is about, empty for none.
    """

    time_ns: int
    lead: str
    event: str
    value_units: int | None
    order: str = ""


class TouchRow(NamedTuple):
    """An operator's touch of the history. `action` is free text: it decides nothing here."""

    time_ns: int
    lead: str
    operator: str
    action: str


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


def read_rows(events: Path, touches: Path) -> Iterator[EventRow | TouchRow]:
    """Read both files merged by time; at equal times touches come first, then file order."""
    return merge(read_touches(touches), read_events(events), key=lambda row: row.time_ns)


def read_events(path: Path) -> Iterator[EventRow]:
    """Read the product events of E.csv, whose order must be that of time."""
    rows = _timed_rows(path, EVENT_COLUMNS, OPTIONAL_EVENT_COLUMNS)
    for line, time_ns, (lead, event, value, order) in rows:
        if not event:
            raise InputError("cell-empty", f"{path}, line {line}: event is empty")
        if order:
            _check_cell(path, line, "order", order)
        try:
            value_units = parse_amount(value) if value else None
        except ValueError as error:
            raise InputError("value-invalid", f"{path}, line {line}: value {error}") from None
        yield EventRow(time_ns, lead, event, value_units, order)


def read_touches(path: Path) -> Iterator[TouchRow]:
    """Read the touches of T.csv, whose order must be that of time."""
    for line, time_ns, (lead, operator, action) in _timed_rows(path, TOUCH_COLUMNS):
        _check_cell(path, line, "operator", operator)
        yield TouchRow(time_ns, lead, operator, action)


def read_policy(path: Path) -> Policy:
    """Read the policy of P.yaml."""
    try:
        return parse(_read_yaml(path))
    except PolicyError as error:
        raise InputError(error.code, f"{path}: {error.message}") from None


def read_contracts(path: Path, policy: Policy) -> list[ContractPlan]:
    """Read the contracts of C.yaml in opening order, checked against the policy's states."""
    document = _read_yaml(path)
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
    path: Path, columns: tuple[str, ...], optional: tuple[str, ...] = ()
) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Read (line, time, the other cells) of each row, and check the order of times."""
    last_ns, last_text, time_ns = 0, "", 0
    for line, (time, lead, *others) in _table_rows(path, columns, optional):
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
        _check_cell(path, line, "lead", lead)
        yield line, time_ns, (lead, *others)


def _table_rows(
    path: Path, columns: tuple[str, ...], optional: tuple[str, ...]
) -> Iterator[tuple[int, list[str]]]:
    """Read (line, cells) of each row of a CSV file with a header.

    The cells are in the order of `columns`, then `optional`: a cell is empty where the file has no
    such column.
    """
    try:
        # Bytes that are no UTF-8 become lone surrogates, which `_BoundedLines` finds in their line.
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            lines = _BoundedLines(path, file)
            reader = csv.reader(lines, strict=True)
            places: list[int] | None = None
            width = 0
            try:
                for cells in reader:
                    # The row is read whole: the next one has all the room again.
                    lines.room = MAX_ROW_CHARS
                    if not cells:
                        continue
                    if places is None:
                        places = _column_places(path, cells, columns, optional)
                        width = len(cells)
                        continue
                    if len(cells) != width:
                        raise InputError(
                            "cells-mismatch",
                            f"{path}, line {reader.line_num}: has {len(cells)} cells, "
                            f"but the header has {width}",
                        )
                    cells.append("")  # of the columns that are not there
                    yield reader.line_num, [cells[place] for place in places]
            except csv.Error as error:
                raise InputError(
                    "csv-invalid", f"{path}, line {reader.line_num}: {error}"
                ) from None
            if places is None:
                raise InputError("file-empty", f"{path}: lacks a header with {', '.join(columns)}")
    except OSError as error:
        raise InputError("file-unreadable", f"{path}: {error.strerror}") from None


class _BoundedLines:
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
) -> list[int]:
    """Return the columns' places in a row; behind its last cell for those that are not there."""
    for column in (*columns, *optional):
        count = header.count(column)
        if count > 1 or (count == 0 and column in columns):
            what = "has twice" if count else "lacks"
            raise InputError("column-missing", f"{path}, line 1: {what} the column {column!r}")
    return [
        header.index(column) if column in header else len(header)
        for column in (*columns, *optional)
    ]


def _check_cell(path: Path, line: int, name: str, value: str) -> None:
    if not value:
        raise InputError("cell-empty", f"{path}, line {line}: {name} is empty")
    if len(value) > MAX_NAME_CHARS or "\0" in value:
        raise InputError(
            "cell-invalid",
            f"{path}, line {line}: {name} must be at most {MAX_NAME_CHARS} characters "
            f"without NUL, not {shown(value)}",
        )


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


def _read_yaml(path: Path) -> object:
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
        value = self.text(key)
        if not 0 < len(value) <= MAX_NAME_CHARS or not value.isprintable():
            raise InputError(
                "name-invalid",
                f"{self.where}: {key} must be 1 to {MAX_NAME_CHARS} printable characters, "
                f"not {shown(value)}",
            )
        return value

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
