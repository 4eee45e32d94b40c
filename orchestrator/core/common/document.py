"""Documents: the plain tables that govern a surface, read strictly, hashed, and kept by hash.

A document is a table of YAML or JSON. Its hash, SHA-256 over canonical JSON, is what entries and
terms name. Anyone may publish documents, so a process that runs for long keeps only those it used
last, and has the others loaded again when an event or an act needs them.

Readers raise `DocumentError`, naming the rule and the value.
"""

import json
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from orchestrator.core.common import names
from orchestrator.core.common.errors import DocumentError, shorten

MAX_DOCUMENT_BYTES = 32_768
# The most bytes of documents that stay in memory, where each byte takes up to nine: some 70 MB, for
# 256 documents of the largest size or ten thousand plain ones.
CACHED_BYTES = 8 * 1_048_576
_DIGITS = re.compile(r"[0-9]{1,18}")


# --- Reading --------------------------------------------------------------------------------------


def read_table(value: object, where: str) -> Mapping[str, object]:
    """Return a table; `where` names it in messages."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise DocumentError("not-a-table", f"{where} must be a table of keys and values")
    return value


def read_list(value: object, where: str, most: int) -> Sequence[object]:
    """Return a list of at most so many items."""
    if not isinstance(value, list | tuple):
        raise DocumentError("not-a-list", f"{where} must be a list, not {shown_value(value)}")
    if len(value) > most:
        raise DocumentError("list-too-long", f"{where} has {len(value)} items; at most {most}")
    return value


def name_twice(pairs: Sequence[tuple[str, object]]) -> str | None:
    """Return the first name that stands twice among the members of a JSON object; None for none."""
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            return name
        seen.add(name)
    return None


def check_keys(
    table: Mapping[str, object], required: set[str], optional: set[str], where: str
) -> None:
    """Refuse a table that lacks a required key, or has one that is neither that nor optional."""
    # Sorted, so that the same document is refused with the same message everywhere.
    missing = sorted(required - table.keys())
    if missing:
        raise DocumentError("key-missing", f"{where} lacks {missing[0]!r}")
    unknown = sorted(table.keys() - required - optional)
    if unknown:
        allowed = ", ".join(sorted(required | optional))
        raise DocumentError(
            "key-unknown", f"{where} has an unknown key {unknown[0]!r}; it may have {allowed}"
        )


def read_name(value: object, where: str) -> str:
    """Return a short name: one word of a log entry."""
    if not isinstance(value, str):
        raise DocumentError(
            "name-invalid", f"{where} must be {names.SHORT_NAME_RULE}, not {shown_value(value)}"
        )
    try:
        return names.short_name(value)
    except ValueError as error:
        raise DocumentError("name-invalid", f"{where} {error}") from None


def read_choice(value: object, choices: Sequence[str], where: str) -> str:
    """Return one of these texts."""
    if not isinstance(value, str) or value not in choices:
        raise DocumentError(
            "choice-unknown",
            f"{where} must be one of {', '.join(choices)}, not {shown_value(value)}",
        )
    return choices[choices.index(value)]


def read_integer(value: object, where: str, least: int, most: int) -> int:
    """Return a whole number within bounds, written as a number or as decimal text."""
    # Decimal text too, since a form or a CSV file has no other numbers. A bool is an int in Python.
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise DocumentError(
            "number-invalid",
            f"{where} must be a whole number from {least} to {most}, not {shown_value(value)}",
        )
    return value


def shown_value(value: object) -> str:
    """Return a value as a message shows it."""
    # YAML's aliases let a small document describe a table that no memory could hold written out.
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    return shorten(repr(value))


# --- Hashing -------------------------------------------------------------------------------------


def canonical_json(value: object) -> bytes:
    """Return JSON with keys sorted by code point, no spaces and only ASCII.

    Equal values have equal bytes.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")


# --- By hash --------------------------------------------------------------------------------------


class Document(Protocol):
    """A document that was read: its hash, and the bytes of its canonical JSON."""

    @property
    def hash(self) -> bytes: ...
    @property
    def document_bytes(self) -> int: ...


D = TypeVar("D", bound=Document)


class ByHash(Protocol[D]):
    """Documents of one sort by hash: all of them in a dict, or a bounded cache of them."""

    def __getitem__(self, hash_: bytes, /) -> D: ...

    def __setitem__(self, hash_: bytes, document: D, /) -> None: ...


class DocumentCache(Generic[D]):
    """Documents of one sort by hash, of which those used last are kept and the others loaded again.

    `load(hash)` returns the document of a hash, or raises; it must know every document that was put
    in here for as long as it may be asked for. What is kept has at most `most_bytes` of documents,
    or is the one that was used last.
    """

    def __init__(self, load: Callable[[bytes], D], most_bytes: int = CACHED_BYTES) -> None:
        self._load = load
        self._most_bytes = most_bytes
        self._kept: OrderedDict[bytes, D] = OrderedDict()
        self._bytes = 0
        # The hash of the one that was used last: it is asked for several times in a row.
        self._last = b""

    def __getitem__(self, hash_: bytes) -> D:
        document = self._kept.get(hash_)
        if document is None:
            document = self[hash_] = self._load(hash_)
        elif hash_ != self._last:
            self._kept.move_to_end(hash_)
            self._last = hash_
        return document

    def __setitem__(self, hash_: bytes, document: D) -> None:
        if hash_ not in self._kept:
            self._bytes += document.document_bytes
        self._kept[hash_] = document
        self._kept.move_to_end(hash_)
        self._last = hash_
        while self._bytes > self._most_bytes and len(self._kept) > 1:
            _, forgotten = self._kept.popitem(last=False)
            self._bytes -= forgotten.document_bytes

    def __len__(self) -> int:
        return len(self._kept)
