"""The public log as a casebook: what can be shown to the escrow, and what it is shown against.

Entries come from any server, word for word as it gives them, and count only because they hash to
the root that the chain holds; they may be lies, and are not judged here. What the escrow says of
the contracts comes from the chain, all of it as of one block. Proofs are made from the entries.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import IO, Any, Self

from orchestrator.actors import Client
from orchestrator.chain import Chain
from orchestrator.core.case import OPENED, SETTLEMENT, Case, Exhibit, Standing, words
from orchestrator.core.entry import (
    ENTRY_BYTES,
    WORD_BYTES,
    EventOpening,
    ascii_text,
    ascii_word,
    event_payload,
)
from orchestrator.core.errors import EntryError, ReplayError
from orchestrator.core.inquiry import PublicEntry
from orchestrator.core.merkle import TILE_LEVELS, CompactRange, inclusion_proof, leaf_hash, root_of
from orchestrator.node import NodeError

PAGE = 1000
MAX_CONTRACTS = 10_000
_OPENING_BYTES = 5 * WORD_BYTES
_ITEM_BYTES = ENTRY_BYTES + _OPENING_BYTES
_TILE = 1 << TILE_LEVELS
_NO_OPENING = bytes(_OPENING_BYTES)


class Casebook:
    """A log up to its last anchor, in a temporary file, with the standing of its contracts.

    `with` reads it whole and forgets it afterwards. Raises `ReplayError` if the server's entries
    are not those that are anchored. `block_number` says when the chain was asked.
    """

    def __init__(
        self, client: Client, chain: Chain, log_id: bytes, also: Sequence[bytes] = ()
    ) -> None:
        self.log_id = log_id
        self.block_number = chain.block().number
        anchor = chain.checkpoint(log_id, self.block_number)
        self.size, self.root = anchor.size, anchor.root
        self._tiles: list[bytes] = []
        self._also, self._named = also, dict.fromkeys(also)
        self._exits = ExitStack()
        try:
            self._file = self._exits.enter_context(_scratch())
            self._read(client)
            self.docket = self._standings(chain)
        except BaseException:
            self._exits.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exits.close()

    def entries(self) -> Iterator[PublicEntry]:
        """All entries, from the first on."""
        for start in range(0, self.size, PAGE):
            self._file.seek(start * _ITEM_BYTES)
            page = self._file.read(PAGE * _ITEM_BYTES)
            for at in range(0, len(page), _ITEM_BYTES):
                yield _item(page[at : at + _ITEM_BYTES])

    def at(self, position: int) -> PublicEntry:
        """The entry at an index below the size."""
        self._file.seek(position * _ITEM_BYTES)
        return _item(self._file.read(_ITEM_BYTES))

    def exhibit(self, position: int) -> Exhibit:
        """The entry at an index, with its proof."""
        return Exhibit(position, self.at(position).data, tuple(self._prove(position)))

    def proven(self, case: Case) -> Case:
        """The case with its exhibits' proofs."""
        return case.with_proofs(self._prove)

    def _prove(self, position: int) -> list[bytes]:
        return inclusion_proof(position, self.size, self._node)

    def _node(self, level: int, index: int) -> bytes:
        """The hash of a perfect subtree: from tiles where it has whole ones, else from entries."""
        if level >= TILE_LEVELS:
            width = level - TILE_LEVELS
            return root_of(self._tiles[index << width : (index + 1) << width])
        first = index << level
        return root_of(leaf_hash(self.at(first + n).data) for n in range(1 << level))

    def _read(self, client: Client) -> None:
        """Fetch the entries below the anchor, and compare their root with it."""
        tree, start = CompactRange(), 0
        while start < self.size:
            page = _page(client, start, min(PAGE, self.size - start))
            if not page:
                raise ReplayError(
                    "entries-short",
                    f"the server has {start} entries, but the chain holds the root of {self.size}; "
                    f"ask another server, or later",
                )
            for position, item in enumerate(page, start):
                self._name(Exhibit(position, item[:ENTRY_BYTES]))
            completed = tree.extend(leaf_hash(item[:ENTRY_BYTES]) for item in page)
            self._tiles += [node.hash for node in completed if node.level == TILE_LEVELS]
            self._file.write(b"".join(page))
            start += len(page)
        if self.size and tree.root() != self.root:
            raise ReplayError(
                "root-differs",
                f"the server's entries give root 0x{tree.root().hex()} at size {self.size}, but "
                f"the chain holds 0x{self.root.hex()}; ask another server",
            )

    def _name(self, exhibit: Exhibit) -> None:
        """Remember the contracts that the log speaks of: one that has none of these cannot pay."""
        entry = words(exhibit)
        if entry.kind not in (OPENED, SETTLEMENT) or entry.subject in self._named:
            return
        if len(self._named) >= MAX_CONTRACTS:
            raise ReplayError(
                "contracts-many", f"the log speaks of more than {MAX_CONTRACTS} contracts"
            )
        self._named[entry.subject] = None

    def _standings(self, chain: Chain) -> dict[bytes, Standing]:
        """The contracts that the escrow knows and that are bound to this log."""
        found = chain.standings(list(self._named), self.block_number)
        for name in self._also:
            if name not in found:
                raise NodeError(
                    "node-lags", f"{chain.node.name} has forgotten a contract; try again"
                )
        return {name: one for name, one in found.items() if one.log_id == self.log_id}


@contextmanager
def _scratch() -> Iterator[IO[bytes]]:
    """A file without a name, gone with the process."""
    with tempfile.TemporaryFile() as file:
        yield file


def _page(client: Client, start: int, limit: int) -> list[bytes]:
    """Entries from an index on, each with its opening behind it, in as many bytes as they take."""
    answer = client.get("/v1/log/entries", start=start, limit=limit)
    page: list[bytes] = []
    try:
        for position, item in enumerate(answer["entries"], start):
            if item["index"] != position or len(page) == limit:
                raise ReplayError("entries-gap", f"the server did not give entry {position}")
            entry = _octets(item["entry"], ENTRY_BYTES)
            page.append(entry + _opening(entry, item["opening"]))
    except (EntryError, LookupError, TypeError, ValueError, AttributeError, OverflowError):
        raise ReplayError(
            "entries-garbled", f"what the server gives from {start} on are no entries"
        ) from None
    return page


def _opening(entry: bytes, given: Any) -> bytes:
    """The words that an event's payload commits to; what other entries commit to decides nothing.

    A wrong opening is dropped like a missing one: it proves nothing, and nothing needs it.
    """
    if given is None or "from_state" not in given:
        return _NO_OPENING
    opening = EventOpening(
        str(given["from_state"]),
        int(given["nth"]),
        int(given["received_ms"]),
        _octets(given["request_hash"], WORD_BYTES),
        _octets(given["commitment"], WORD_BYTES),
    )
    if event_payload(opening) != entry[-WORD_BYTES:]:
        return _NO_OPENING
    return b"".join(
        (
            ascii_word(opening.from_state),
            opening.nth.to_bytes(WORD_BYTES),
            opening.received_ms.to_bytes(WORD_BYTES),
            opening.request_hash,
            opening.commitment,
        )
    )


def _item(data: bytes) -> PublicEntry:
    entry, rest = data[:ENTRY_BYTES], data[ENTRY_BYTES:]
    if rest == _NO_OPENING:
        return PublicEntry(entry)
    parts = [rest[at : at + WORD_BYTES] for at in range(0, _OPENING_BYTES, WORD_BYTES)]
    from_state, nth, received_ms, request_hash, commitment = parts
    opening = EventOpening(
        ascii_text(from_state),
        int.from_bytes(nth),
        int.from_bytes(received_ms),
        request_hash,
        commitment,
    )
    return PublicEntry(entry, opening)


def _octets(text: str, length: int) -> bytes:
    data = bytes.fromhex(text.removeprefix("0x"))
    if len(data) != length:
        raise ValueError
    return data
