"""Entry bundles: a page of the log in bytes, each entry with the words of its opening.

As in C2SP's tiles an entry is a big-endian uint16, its length, and its bytes; here the opening of
its payload follows in the same way, of length 0 where there is none. So a reader hashes what it was
sent, and parses nothing that it does not use.
"""

from collections.abc import Iterable, Iterator
from struct import Struct

from orchestrator.core.common.errors import EntryError
from orchestrator.core.log.entry import ENTRY_BYTES, WORD_BYTES
from orchestrator.core.log.opening import MAX_OPENING_WORDS

# The most entries of one bundle, some 2 MB with their openings.
MAX_BUNDLE = 4096
_MAX_OPENING_BYTES = MAX_OPENING_WORDS * WORD_BYTES
_LENGTH = Struct(">H")
_ENTRY_LENGTH = _LENGTH.pack(ENTRY_BYTES)


def write_bundle(items: Iterable[tuple[bytes, bytes | None]]) -> bytes:
    """Return the bundle of these entries, of 256 bytes each, with their openings."""
    parts: list[bytes] = []
    for data, opening in items:
        words = opening or b""
        parts += (_ENTRY_LENGTH, data, _LENGTH.pack(len(words)), words)
    return b"".join(parts)


def read_bundle(bundle: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the entries of a bundle, each with its opening, empty where there is none.

    Raises EntryError for what is no bundle. Neither entries nor openings are looked into.
    """
    at, end = 0, len(bundle)
    while at < end:
        opening_at = at + 2 + ENTRY_BYTES
        if bundle[at : at + 2] != _ENTRY_LENGTH or opening_at + 2 > end:
            raise EntryError("bundle-malformed", f"there is no whole entry at byte {at}")
        (length,) = _LENGTH.unpack_from(bundle, opening_at)
        after = opening_at + 2 + length
        if length > _MAX_OPENING_BYTES or after > end:
            raise EntryError("bundle-malformed", f"there is no whole opening at byte {opening_at}")
        yield bundle[at + 2 : opening_at], bundle[opening_at + 2 : after]
        at = after
