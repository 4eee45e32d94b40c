"""Exports of other systems as rows of a history: read in chunks, sorted by time, and all counted.

A file is newline-delimited JSON, a JSON array, one JSON document with a list in it, or CSV. What is
left out, refused or told twice is counted with its reason and the numbers of the first such lines;
the reading goes on.
"""

import csv
import marshal
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from heapq import merge
from pathlib import Path
from typing import IO, NamedTuple

from orchestrator.backtest.inputs import (
    MAX_IDS,
    MAX_ROW_CHARS,
    SHOWN_COLUMNS,
    BoundedLines,
    EventRow,
    read_document,
)
from orchestrator.core.common import names
from orchestrator.core.common.document import MAX_DOCUMENT_BYTES, canonical_json
from orchestrator.core.common.errors import DocumentError, InputError
from orchestrator.core.common.units import NS_PER_MS
from orchestrator.core.intake.adapters import event_of, ignored_names, is_single, payloads_of
from orchestrator.core.intake.found import FoundEvent, IntakeError, SkippedError
from orchestrator.core.intake.mapping import (
    ANY_EVENT,
    SOURCES,
    IntakeSettings,
    SourceMapping,
    parse_intake,
)
from orchestrator.core.intake.payload import read_item, read_payload
from orchestrator.core.surface.surface_settings import parse_settings

MAX_LINE_BYTES = 1_048_576
# A document that is not one to a line is held in memory whole.
MAX_WHOLE_BYTES = 64 * 1_048_576
MAX_FILES = 64
SHOWN_PLACES = 5
SHOWN_NAMES = 200
# The most rows that are sorted in memory at once, at some 300 bytes each.
CHUNK_ROWS = 200_000
_MASK = (1 << 64) - 1
_LINE_BITS = 40
_ELSE = "(others)"
# The characters of an array that one read takes.
_READ_CHARS = 1_048_576

# (time_ns, place, lead, event, value_units, order, whether it had an id): `marshal` knows its
# parts, and it sorts as it stands, since no two have one place.
_Row = tuple[int, int, str, str, int | None, str, bool]
# Is told how many rows were read, at each one.
Progress = Callable[[int], None]

# Names by which exports call what a mapping asks for, to suggest one.
_LIKELY = {
    "time": ("time", "timestamp", "created", "created_at", "created (utc)", "date", "occurred_at"),
    "lead": ("lead", "user_id", "userid", "distinct_id", "customer_id", "customer id", "email"),
    "event": ("event", "type", "event_name", "event_type", "name", "description"),
    "value": ("value", "amount", "revenue", "total", "price"),
}


class Export(NamedTuple):
    """A file of one source."""

    source: str
    path: Path


@dataclass(slots=True)
class Faults:
    """The rows that one rule turned away: how many, the first lines, and what the first said."""

    count: int = 0
    lines: list[int] = field(default_factory=list)
    message: str = ""

    def add(self, line: int, message: str) -> None:
        self.count += 1
        if len(self.lines) < SHOWN_PLACES:
            self.lines.append(line)
        if self.count == 1:
            self.message = message


@dataclass(slots=True)
class ExportCounts:
    """The rows of one file: each was taken, left out, refused or had been told before.

    Of those that were taken, `equal` had no id and said what a row before them says.
    """

    source: str
    path: str
    rows: int = 0
    taken: int = 0
    unmapped: Counter[str] = field(default_factory=Counter)  # by the source's own name
    skipped: Counter[str] = field(default_factory=Counter)  # by the reason
    refused: dict[str, Faults] = field(default_factory=dict)  # by the rule
    repeated: Faults = field(default_factory=Faults)
    equal: Faults = field(default_factory=Faults)

    @property
    def refusals(self) -> int:
        return sum(faults.count for faults in self.refused.values())

    def refuse(self, code: str, line: int, message: str) -> None:
        self.refused.setdefault(code, Faults()).add(line, message)

    def skip(self, error: SkippedError) -> None:
        if error.code != "event-unmapped":
            self.skipped[error.code] += 1
            return
        self.ignore(error.message)

    def ignore(self, name: str) -> None:
        """Count an event that the mapping does not name."""
        if name not in self.unmapped and len(self.unmapped) >= SHOWN_NAMES:
            name = _ELSE
        self.unmapped[name] += 1

    def to_json(self) -> dict[str, object]:
        return {
            "source": self.source,
            "file": self.path,
            "rows": self.rows,
            "taken": self.taken,
            "ignored": dict(self.unmapped.most_common()),
            "left_out": dict(self.skipped.most_common()),
            "refused": {
                code: {"rows": one.count, "first_lines": one.lines, "message": one.message}
                for code, one in sorted(self.refused.items())
            },
            "repeated": {"rows": self.repeated.count, "first_lines": self.repeated.lines},
            "equal": {"rows": self.equal.count, "first_lines": self.equal.lines},
        }


def parse_exports(texts: Sequence[str]) -> list[Export]:
    """Read options as `segment=FILE`. Raises `InputError`."""
    found = []
    for text in texts:
        source, separator, name = text.partition("=")
        if not separator or source not in SOURCES or not name:
            raise InputError(
                "source-unknown",
                f"--from must be one of {', '.join(f'{each}=FILE' for each in SOURCES)}, not "
                f"{names.escaped(text)}",
            )
        found.append(Export(source, Path(name)))
    if len(found) > MAX_FILES:
        raise InputError("files-too-many", f"--from names {len(found)} files; at most {MAX_FILES}")
    return found


def read_intake(path: Path) -> IntakeSettings:
    """Read a mapping file: a surface's settings, or their keys `currencies` and `sources` alone."""
    document = read_document(path)
    if not isinstance(document, dict):
        raise InputError("not-a-table", f"{path}: must be a table with the key sources")
    try:
        if "token" in document:
            return parse_settings(document).intake
        unknown = sorted(document.keys() - {"currencies", "sources"})
        if unknown:
            raise InputError(
                "key-unknown",
                f"{path}: has an unknown key {names.escaped(unknown[0])}; it may have currencies "
                f"and sources, or be a surface's whole settings",
            )
        intake = parse_intake(document)
        size = len(canonical_json(intake.document()))
        if size > MAX_DOCUMENT_BYTES:
            raise InputError(
                "settings-too-long",
                f"{path}: has {size} bytes as canonical JSON; at most {MAX_DOCUMENT_BYTES} fit "
                f"into a surface's settings",
            )
    except (DocumentError, IntakeError) as error:
        raise InputError(error.code, f"{path}: {error.message}") from None
    return intake


class ExportReader:
    """The events of several exports, in order of time.

    `counts` has, in the order of the exports, what became of each one's rows; it is complete once
    all rows were read.
    """

    def __init__(
        self, exports: Sequence[Export], settings: IntakeSettings, progress: Progress | None = None
    ) -> None:
        self._exports = exports
        self._settings = settings
        self._progress = progress
        self.counts = [ExportCounts(each.source, str(each.path)) for each in exports]
        # By id, the row that had it first: of one id across all files, one counts.
        self._by_id: dict[str, int] = {}
        self._read = 0
        for each in exports:
            try:
                settings.mapping(each.source)
            except IntakeError as error:
                raise InputError(error.code, f"{each.path}: {error.message}") from None

    def rows(self) -> Iterator[EventRow]:
        """Read all files and sort their rows; return them in order of time.

        Of one time those of the file that was named first come first, then by their lines. They
        are sorted by the time that the source knew, and are at that of the log, which knows
        milliseconds.
        """
        return self._at_log_times(sorted_rows(self._all()))

    def _at_log_times(self, rows: Iterable[_Row]) -> Iterator[EventRow]:
        last_ns, at_that_time = -1, set[int]()
        for time_ns, place, lead, event, value_units, order, has_id in rows:
            if not has_id:
                if time_ns != last_ns:
                    last_ns = time_ns
                    at_that_time.clear()
                digest = hash((lead, event, value_units, order)) & _MASK
                if digest in at_that_time:
                    number, line = _file_and_line(place)
                    self.counts[number].equal.add(line, "")
                at_that_time.add(digest)
            at_ns = time_ns - time_ns % NS_PER_MS
            yield EventRow(at_ns, lead, event, value_units, order, place=place)

    def place_of_id(self, row_id: str) -> str:
        """Return the file and line of the row that has an id; empty if none of those read has."""
        found = self._by_id.get(row_id)
        return "" if found is None else self.place_name(found >> 64)

    def mapped_events(self) -> set[str]:
        """Return the events, by the mappings of these exports, that a row may become."""
        return {
            mapped.event
            for export in self._exports
            for mapped in self._settings.mapping(export.source).events.values()
        }

    def place_name(self, place: int) -> str:
        """Return the file and line of a row."""
        number, line = _file_and_line(place)
        return f"{self._exports[number].path}, line {line}"

    def _all(self) -> Iterator[_Row]:
        for number, export in enumerate(self._exports):
            counts = self.counts[number]
            mapping = self._settings.mapping(export.source)
            name_of = ignored_names(mapping)
            for line, payload in _payload_lines(export, mapping, counts):
                counts.rows += 1
                self._read += 1
                if self._progress:
                    self._progress(self._read)
                ignored = name_of(payload)
                if ignored is not None:
                    counts.ignore(ignored)
                    continue
                try:
                    found = event_of(mapping, self._settings.currencies, payload)
                except SkippedError as error:
                    counts.skip(error)
                    continue
                except IntakeError as error:
                    counts.refuse(error.code, line, error.message)
                    continue
                place = number << _LINE_BITS | line
                if self._is_to_count(found, place, counts, line):
                    counts.taken += 1
                    yield (
                        found.latest_ns,
                        place,
                        found.lead,
                        found.event,
                        found.value_units,
                        found.order,
                        bool(found.id),
                    )

    def _is_to_count(self, found: FoundEvent, place: int, counts: ExportCounts, line: int) -> bool:
        if not found.id:
            return True
        digest = hash(found) & _MASK
        earlier = self._by_id.get(found.id)
        if earlier is None:
            if len(self._by_id) >= MAX_IDS:
                raise InputError(
                    "ids-too-many",
                    f"{self.place_name(place)}: at most {MAX_IDS} ids are remembered; split the "
                    f"history by time",
                )
            self._by_id[found.id] = place << 64 | digest
            return True
        if earlier & _MASK != digest:
            counts.refuse(
                "id-differs",
                line,
                f"id {names.escaped(found.id)} stood in {self.place_name(earlier >> 64)} with "
                f"other values; the first one counts",
            )
        else:
            counts.repeated.add(line, "")
        return False


# --- Sorting --------------------------------------------------------------------------------------


def sorted_rows(rows: Iterable[_Row], chunk_rows: int = CHUNK_ROWS) -> Iterator[_Row]:
    """Read all rows and return them in order: a chunk of them is in memory, the others on disk.

    The files have no name, and are gone with the process.
    """
    chunk: list[_Row] = []
    runs: list[IO[bytes]] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) >= chunk_rows:
            chunk.sort(key=_order_of)
            runs.append(_write_run(chunk))
            chunk = []
    chunk.sort(key=_order_of)
    return merge(*(_read_run(run) for run in runs), chunk, key=_order_of) if runs else iter(chunk)


def _order_of(row: _Row) -> tuple[int, int]:
    return row[0], row[1]


def _file_and_line(place: int) -> tuple[int, int]:
    """Return the number of the file that a row stands in, and its line."""
    return divmod(place, 1 << _LINE_BITS)


_BLOCK_ROWS = 2_000


def _write_run(rows: Sequence[_Row]) -> IO[bytes]:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - its reader closes it
    for start in range(0, len(rows), _BLOCK_ROWS):
        marshal.dump(list(rows[start : start + _BLOCK_ROWS]), file)
    file.seek(0)
    return file


def _read_run(file: IO[bytes]) -> Iterator[_Row]:
    with file:
        while True:
            try:
                block = marshal.load(file)  # noqa: S302 - our own file, which has no name
            except EOFError:
                return
            yield from block


# --- Files ----------------------------------------------------------------------------------------


def _payload_lines(
    export: Export, mapping: SourceMapping, counts: ExportCounts
) -> Iterator[tuple[int, object]]:
    """Yield (line, payload) of each row; what is no row is counted as refused."""
    try:
        if export.source == "csv":
            yield from _csv_rows(export.path, mapping, counts)
            return
        with export.path.open("rb") as file:
            start = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
            file.seek(0)
            if start.startswith(b"["):
                yield from _array_items(export, counts)
            elif start and not start.startswith(b"{"):
                raise InputError(
                    "export-unknown",
                    f"{export.path}: is no JSON, by its first characters "
                    f"{names.escaped(start[:20].decode('latin-1'))}; a CSV file is read as "
                    f"--from csv={export.path}",
                )
            else:
                yield from _json_lines(export, file, counts)
    except OSError as error:
        raise InputError("file-unreadable", f"{export.path}: {error.strerror}") from None


def _json_lines(
    export: Export, file: IO[bytes], counts: ExportCounts
) -> Iterator[tuple[int, object]]:
    """Yield the payloads of newline-delimited JSON, or of a file that is one document."""
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
            # The rest of the line is passed over in pieces.
            while line and not line.endswith(b"\n"):
                line = file.readline(MAX_LINE_BYTES)
            _refuse_line(counts, number, "line-too-long", f"has more than {MAX_LINE_BYTES} bytes")
            continue
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if line.isspace():
            continue
        try:
            document = read_payload(line)
        except IntakeError as error:
            if number == 1 and line.strip() in (b"{", b"{}"):
                yield from _whole_document(export, file, counts)
                return
            _refuse_line(counts, number, error.code, error.message)
            continue
        if is_single(export.source, document):
            yield number, document
            continue
        for payload in _items(export, number, document, counts):
            yield number, payload


def _whole_document(
    export: Export, file: IO[bytes], counts: ExportCounts
) -> Iterator[tuple[int, object]]:
    """Yield the payloads of a document over many lines; they have the number of its first."""
    file.seek(0)
    data = file.read(MAX_WHOLE_BYTES + 1)
    if len(data) > MAX_WHOLE_BYTES:
        raise InputError(
            "file-too-large",
            f"{export.path}: is one JSON document of more than {MAX_WHOLE_BYTES} bytes; export one "
            f"event to a line",
        )
    try:
        document = read_payload(data.removeprefix(b"\xef\xbb\xbf"))
    except IntakeError as error:
        _refuse_line(counts, 1, error.code, error.message)
        return
    for payload in _items(export, 1, document, counts):
        yield 1, payload


def _items(export: Export, line: int, document: object, counts: ExportCounts) -> list[object]:
    """Return the payloads of a document; one that has none is counted as refused."""
    try:
        return payloads_of(export.source, document, most=None)
    except IntakeError as error:
        _refuse_line(counts, line, error.code, error.message)
        return []


def _array_items(export: Export, counts: ExportCounts) -> Iterator[tuple[int, object]]:
    """Yield the items of a JSON array, which is read in pieces."""
    with export.path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        text, position, line = file.read(_READ_CHARS), 0, 1
        opening = text.index("[")
        line += text.count("\n", 0, opening)
        position = opening + 1
        is_end = False
        while not is_end:
            more = file.read(_READ_CHARS)
            is_end = not more
            text, position = text[position:] + more, 0
            while True:
                between = _BETWEEN.match(text, position)
                start = between.end() if between else position
                line += text.count("\n", position, start)
                position = start
                if position == len(text):
                    break
                if text[position] == "]":
                    return
                try:
                    payload, end = read_item(text, position)
                except IntakeError as error:
                    if not is_end and len(text) - position < MAX_LINE_BYTES:
                        break
                    _refuse_line(counts, line, error.code, f"{error.message}; the rest is not read")
                    return
                yield line, payload
                line += text.count("\n", position, end)
                position = end
        _refuse_line(counts, line, "json-malformed", "the array has no end; the rest is missing")


_BETWEEN = re.compile(r"[ \t\r\n,]*")


def _csv_rows(
    path: Path, mapping: SourceMapping, counts: ExportCounts
) -> Iterator[tuple[int, object]]:
    """Yield each row of a CSV file as a table by its header."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        lines = BoundedLines(path, file)
        reader = csv.reader(lines, strict=True)
        header: list[str] | None = None
        try:
            for cells in reader:
                # The row is read whole: the next one has all the room again.
                lines.room = MAX_ROW_CHARS
                if not cells:
                    continue
                if header is None:
                    header = [cell.strip() for cell in cells]
                    _check_columns(path, header, mapping)
                elif len(cells) != len(header):
                    _refuse_line(
                        counts,
                        reader.line_num,
                        "cells-mismatch",
                        f"has {len(cells)} cells, but the header has {len(header)}",
                    )
                else:
                    yield reader.line_num, dict(zip(header, cells, strict=True))
        except csv.Error as error:
            raise InputError("csv-invalid", f"{path}, line {reader.line_num}: {error}") from None


def _check_columns(path: Path, header: list[str], mapping: SourceMapping) -> None:
    """Raise InputError unless the header has what the mapping reads, each once."""
    wanted = {"time": mapping.defaults.time, "lead": mapping.defaults.lead}
    if ANY_EVENT not in mapping.events:
        wanted["event"] = mapping.event
    for name in ("value", "currency", "order", "id"):
        if name in mapping.own:
            wanted[name] = getattr(mapping.defaults, name)
    columns = ", ".join(names.escaped(each) for each in header[:SHOWN_COLUMNS])
    for column in header:
        if header.count(column) > 1:
            raise InputError(
                "column-twice", f"{path}, line 1: has the column {names.escaped(column)} twice"
            )
    missing = [
        name for name, paths in wanted.items() if not any(path[0] in header for path in paths)
    ]
    if not missing:
        return
    asked = ", ".join(
        f"{name} ({' or '.join(names.escaped(path[0]) for path in wanted[name])})"
        for name in missing
    )
    guessed = {name: guess for name in missing if (guess := _likely_column(name, header))}
    advice = ", ".join(f"{name}: {names.escaped(guess)}" for name, guess in guessed.items())
    raise InputError(
        "column-missing",
        f"{path}, line 1: lacks the columns for {asked}; the columns found are {columns}"
        + (f"; perhaps sources: {{csv: {{{advice}, …}}}}" if advice else "")
        + ('; or map every row as events: {"*": …}' if "event" in missing else ""),
    )


def _likely_column(name: str, header: list[str]) -> str | None:
    by_lower = {column.lower(): column for column in header}
    for likely in _LIKELY.get(name, ()):
        if likely in by_lower:
            return by_lower[likely]
    close = get_close_matches(name, list(by_lower), n=1)
    return by_lower[close[0]] if close else None


def _refuse_line(counts: ExportCounts, line: int, code: str, message: str) -> None:
    counts.rows += 1
    counts.refuse(code, line, message)
