"""The public API of a log, as a stranger reads it: the deployment, entries, openings, documents."""

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from itertools import starmap
from typing import Any, NamedTuple, Protocol, TypeVar

from orchestrator.client.http import Client
from orchestrator.core.common.document import Document, canonical_json
from orchestrator.core.common.errors import (
    DocumentError,
    EntryError,
    InputError,
    ReplayError,
    ServerError,
)
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.deals.site import Addresses
from orchestrator.core.entries.kinds import decode, kind_of
from orchestrator.core.evidence.history import PublicEntry
from orchestrator.core.log.bundle import MAX_BUNDLE, read_bundle
from orchestrator.core.log.entry import TIME_MS_LIMIT, WORD_BYTES, Entry, described
from orchestrator.core.log.opening import Opening, Record, decode_opening, read_opening
from orchestrator.core.log.origin import ORIGIN_RULE, is_origin
from orchestrator.core.surface import policy as policies
from orchestrator.core.surface import surface_settings
from orchestrator.core.surface.policy import Policy
from orchestrator.core.surface.surface_settings import SurfaceSettings

# The errors of code that reads a JSON document of any shape as if it had the right one.
SHAPE_ERRORS = (LookupError, TypeError, ValueError, AttributeError, OverflowError)

_ID = re.compile(r"0x[0-9a-f]{64}")
# The most names that are told to who has named a surface wrongly.
_TOLD_NAMES = 20
# More of its own seconds in a second than any clock that people could wait for has.
_MOST_SPEED = 1_000_000
D = TypeVar("D", bound=Document)


class LogSource(Protocol):
    """A server of a public log, or a folder that holds what one has said."""

    server: str

    def get(self, path: str, **query: object) -> Any: ...
    def get_bytes(self, path: str, **query: object) -> bytes: ...


class ServedClock:
    """A server's clock in UTC milliseconds, read once; it goes on at the speed that it tells.

    It is never behind the server's by the time that the answer took, for which some run fast.
    """

    def __init__(self, client: LogSource) -> None:
        self._read_s = time.monotonic()
        self._at_ms, self.speed = served_time(client)

    def __call__(self) -> int:
        return self._at_ms + int((time.monotonic() - self._read_s) * 1000 * self.speed)


def served_time(client: LogSource) -> tuple[int, int]:
    """Return a server's time in UTC milliseconds, and how many of its seconds one of ours has."""
    answer = client.get("/v1/clock")
    with reading(client, "what time it is"):
        time_ms, speed = answer["time_ms"], answer["speed"]
        return below(TIME_MS_LIMIT, time_ms), below(_MOST_SPEED + 1, speed)


def below(limit: int, value: object) -> int:
    """Return a whole number from 0 up to a limit. Raises ValueError for what is none."""
    number = int(str(value))
    if not 0 <= number < limit:
        raise ValueError(value)
    return number


class ServedEntry(NamedTuple):
    """An entry as a server gives it: 256 bytes, and the JSON beside it that may be its opening."""

    data: bytes
    opening: Any


def served_deployment(client: LogSource) -> tuple[Addresses, bytes]:
    """Return the deployment and the log that a server names."""
    log = client.get("/v1/log")
    with reading(client, "which log it serves"):
        # A stranger finds the events by their time, never by a block that the server names.
        addresses = Addresses.from_json(log)._replace(start_block=0)
        return addresses, from_hex(log["log_id"], WORD_BYTES)


def find_surface(client: Client, text: str) -> str:
    """Return the id of a surface, by the id itself or by a name that no other surface has.

    Raises InputError `surface-unknown` with the names that there are, or `surface-ambiguous`.
    """
    if _ID.fullmatch(text):
        return text
    with reading(client, "which surfaces it has"):
        # The server gives those whose name begins so; an empty name would be all of them.
        pages = client.pages("/v1/surfaces", "surfaces", name=text) if text else ()
        found: list[str] = [each["surface"] for each in pages if each["name"] == text]
        if not all(_ID.fullmatch(each) for each in found):
            raise ValueError(found)
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(
            "surface-ambiguous", f"{len(found)} surfaces are named {text!r}: {', '.join(found)}"
        )
    with reading(client, "which surfaces it has"):
        listed = client.get("/v1/surfaces", limit=_TOLD_NAMES)["surfaces"]
        names = ", ".join(sorted(each["name"] for each in listed if each["name"])) or "none"
    raise InputError("surface-unknown", f"no surface is named {text!r}; there are: {names}")


def served_origin(client: LogSource) -> str:
    """Return the origin of the log that a server names."""
    log = client.get("/v1/log")
    with reading(client, f"what its log's origin is, {ORIGIN_RULE}"):
        origin = log["origin"]
        if not is_origin(origin):
            raise TypeError(origin)
        return str(origin)


def served_policy(client: LogSource, hash_: bytes) -> Policy:
    """Return the policy of this hash. Raises ReplayError if the server gives another one."""
    answer = client.get(f"/v1/policies/{to_hex(hash_)}")
    with reading(client, f"what policy {to_hex(hash_)} is"):
        document = answer["document"]
    return _published(policies.parse, document, hash_, "policy")


def served_settings(client: LogSource, hash_: bytes) -> SurfaceSettings:
    """Return the settings of this hash. Raises ReplayError if the server gives others."""
    answer = client.get(f"/v1/settings/{to_hex(hash_)}")
    with reading(client, f"what settings {to_hex(hash_)} are"):
        document = answer["document"]
    return _published(surface_settings.parse_settings, document, hash_, "settings")


def _published(parse: Callable[[object], D], document: object, hash_: bytes, what: str) -> D:
    """Return a document that was published under this hash.

    Raises ReplayError for another one, whatever else is wrong with it, and DocumentError for one
    that has the hash, and was published by rules that this program does not have.
    """
    try:
        found = parse(document)
    except DocumentError:
        if _has_hash(document, hash_):
            raise
    else:
        if found.hash == hash_:
            return found
    raise ReplayError(
        f"{what}-false", f"the server gives another document for {what} {to_hex(hash_)}"
    )


def _has_hash(document: object, hash_: bytes) -> bool:
    try:
        return sha256(canonical_json(document)).digest() == hash_
    except ValueError:
        return False


def served_bundle(client: LogSource, start: int, limit: int) -> list[PublicEntry]:
    """Return the entries from position `start` on, at most `limit`; none at the log's end.

    Nothing is decoded. Raises ServerError for what is no bundle, ReplayError for too many entries.
    """
    bundle = client.get_bytes("/v1/log/bundles", start=start, limit=limit)
    try:
        found = list(starmap(PublicEntry, read_bundle(bundle)))
    except EntryError as error:
        raise ServerError(
            "answer-garbled",
            f"{client.server} does not say what its entries from {start} on are: {error.message}",
        ) from None
    # The callers hold a bundle in memory and count on its bound.
    if len(found) > limit:
        raise ReplayError("entries-many", f"the server gave more than {limit} entries at once")
    return found


def served_records(client: LogSource, start: int, stop: int) -> Iterator[Record]:
    """Yield the records of positions [start, stop), or those that the server has of them.

    The next bundle is fetched while one is read. Raises ReplayError for what is no entry, or has an
    opening that cannot be read: a replay may not pass it over.
    """

    def fetch(at: int) -> list[PublicEntry]:
        return served_bundle(client, at, min(MAX_BUNDLE, stop - at)) if at < stop else []

    with ThreadPoolExecutor(1, "bundles") as ahead:
        waiting = ahead.submit(fetch, start)
        while bundle := waiting.result():
            waiting = ahead.submit(fetch, start + len(bundle))
            for position, item in enumerate(bundle, start):
                yield record_of_bundled(item, position)
            start += len(bundle)


def record_of_bundled(item: PublicEntry, position: int) -> Record:
    """Return the record of an entry of a bundle. Raises ReplayError for what is none."""
    try:
        entry = decode(item.data)
    except EntryError as error:
        raise ReplayError(error.code, f"entry {position}: {error.message}") from None
    # One that the kind needs and the server withholds is the replay's to miss.
    if not item.opening:
        return Record(entry)
    opening = _opened(entry, position)
    try:
        return Record(entry, decode_opening(opening, item.opening))
    except EntryError:
        raise _no_opening(position, entry) from None


def record_of(served: ServedEntry, position: int) -> Record:
    """Return the record of a served entry. Raises ReplayError for what is none."""
    try:
        entry = decode(served.data)
    except EntryError as error:
        raise ReplayError(error.code, f"entry {position}: {error.message}") from None
    if served.opening is None:
        return Record(entry)
    opening = _opened(entry, position)
    try:
        return Record(entry, read_opening(opening, served.opening))
    except SHAPE_ERRORS:
        raise _no_opening(position, entry) from None


def _opened(entry: Entry, position: int) -> type[Opening]:
    """Return the sort of opening that an entry has. Raises ReplayError for an entry without."""
    opening = kind_of(entry).opening
    if opening is None:
        raise ReplayError(
            "opening-false",
            f"entry {position} is {described(entry)}, which has no opening, and the server gives "
            f"one",
        )
    return opening


def _no_opening(position: int, entry: Entry) -> ReplayError:
    return ReplayError(
        "opening-false", f"entry {position} is {described(entry)}, and its opening is none"
    )


@contextmanager
def reading(client: LogSource, what: str) -> Iterator[None]:
    """Raise ServerError where the server's answer does not have the shape that it is read by."""
    try:
        yield
    except SHAPE_ERRORS:
        raise ServerError("answer-garbled", f"{client.server} does not say {what}") from None
