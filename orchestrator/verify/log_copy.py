"""The public log as a casebook: what can be shown to the escrow, and what it is shown against.

Entries come from anywhere, word for word as they are given, and count only because they hash to
the root that the chain holds; they may be lies, and are not judged here. What the escrow says of
the contracts comes from the chain, all of it as of one block. Proofs are made from the entries.

Anybody can have the log speak of contracts that are none, and open tiny ones. So what is kept is
bounded by what somebody paid for: contracts that the escrow knows, and for a named contract only
those that compete with it. Nobody's entries make a command refuse.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import TracebackType
from typing import IO, Any, Protocol, Self

from orchestrator.chain.deployment import Chain
from orchestrator.chain.rpc import NodeError
from orchestrator.core.entry import ENTRY_BYTES, WORD_BYTES
from orchestrator.core.errors import EntryError, ReplayError
from orchestrator.core.evidence.exhibits import (
    OPENED,
    SETTLEMENT,
    Case,
    EscrowRecord,
    Exhibit,
    read_words,
)
from orchestrator.core.evidence.history import PublicEntry
from orchestrator.core.hexadecimal import from_hex
from orchestrator.core.merkle import TILE_LEVELS, CompactRange, inclusion_proof, leaf_hash, root_of
from orchestrator.core.opening import EventOpening, payload_of

PAGE = 1000
MAX_CONTRACTS = 100_000
_OPENING_BYTES = 5 * WORD_BYTES
_ITEM_BYTES = ENTRY_BYTES + _OPENING_BYTES
_TILE = 1 << TILE_LEVELS
_NO_OPENING = bytes(_OPENING_BYTES)
# What reading a document of any shape may raise.
_GARBLED = (EntryError, LookupError, TypeError, ValueError, AttributeError, OverflowError)


# Gives the log's entries from an index on, at most so many; none where it has no more.
Pages = Callable[[int, int], list[PublicEntry]]


class Server(Protocol):
    """Whoever answers for a log's public API."""

    def get(self, path: str, **query: object) -> Any:
        """The JSON document at this path."""


class LogCopy:
    """A log up to its last anchor, in a temporary file, with the standing of its contracts.

    `with` reads it whole and forgets it afterwards. Raises `ReplayError` if the entries of `pages`
    are not those that are anchored. `block_number` says when the chain was asked.

    `docket` holds the named contract and its competitors; without one the log's first
    `MAX_CONTRACTS`, and `left_out` says whether there are more.
    """

    def __init__(
        self, pages: Pages, chain: Chain, log_id: bytes, asked: bytes | None = None
    ) -> None:
        self.log_id = log_id
        self.block_number = chain.block().number
        self.docket: dict[bytes, EscrowRecord] = {}
        self.left_out = False
        anchor = chain.checkpoint(log_id, self.block_number)
        self.size, self.root = anchor.size, anchor.root
        self._tiles: list[bytes] = []
        self._chain, self._named = chain, set[bytes]()
        self._asked = None if asked is None else self._standing(asked)
        self._exits = ExitStack()
        try:
            self._file = self._exits.enter_context(_scratch())
            self._read(pages)
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

    def _read(self, pages: Pages) -> None:
        """Fetch the entries below the anchor, and compare their root with it."""
        tree, start = CompactRange(), 0
        while start < self.size:
            page = pages(start, min(PAGE, self.size - start))
            if not page:
                raise ReplayError(
                    "entries-short",
                    f"the server has {start} entries, but the chain holds the root of {self.size}; "
                    f"ask another server, or later",
                )
            self._keep(item.data for item in page)
            completed = tree.extend(leaf_hash(item.data) for item in page)
            self._tiles += [node.hash for node in completed if node.level == TILE_LEVELS]
            self._file.write(b"".join(map(_written, page)))
            start += len(page)
        if self.size and tree.root() != self.root:
            raise ReplayError(
                "root-differs",
                f"the server's entries give root 0x{tree.root().hex()} at size {self.size}, but "
                f"the chain holds 0x{self.root.hex()}; ask another server",
            )

    def _standing(self, asked: bytes) -> EscrowRecord:
        """What the escrow says of the named contract, which comes first in the docket."""
        found = self._chain.escrow_records([asked], self.block_number).get(asked)
        if found is None:
            raise NodeError(
                "node-lags", f"{self._chain.node.name} has forgotten a contract; try again"
            )
        self.docket[asked] = found
        return found

    def _keep(self, entries: Iterable[bytes]) -> None:
        """Ask the escrow for the contracts that a page speaks of, and keep those that matter.

        One that no settlement speaks of cannot be paid, one that the log did not see opened cannot
        come first. A name that is made up costs a question, and is forgotten.
        """
        kinds = (OPENED, SETTLEMENT) if self._asked is None else (OPENED,)
        said = (read_words(0, entry) for entry in entries)
        subjects = {entry.subject: None for entry in said if entry.kind in kinds}
        new = [name for name in subjects if name not in self.docket and name not in self._named]
        if len(self._named) + len(new) > MAX_CONTRACTS:
            self._named.clear()  # they are asked for again, which costs time and nothing else
        self._named.update(new)
        for name, found in self._chain.escrow_records(new, self.block_number).items():
            if found.log_id != self.log_id:
                continue
            if self._asked is not None:
                if found.market == self._asked.market:
                    self.docket[name] = found
            elif len(self.docket) < MAX_CONTRACTS:
                self.docket[name] = found
            else:
                self.left_out = True


@contextmanager
def _scratch() -> Iterator[IO[bytes]]:
    """A file without a name, gone with the process."""
    with tempfile.TemporaryFile() as file:
        yield file


def pages_of(server: Server) -> Pages:
    """The entries as a server gives them."""
    return partial(_page, server)


def _page(server: Server, start: int, limit: int) -> list[PublicEntry]:
    answer = server.get("/v1/log/entries", start=start, limit=limit)
    page: list[PublicEntry] = []
    try:
        for position, item in enumerate(answer["entries"], start):
            if item["position"] != position or len(page) == limit:
                raise ReplayError("entries-gap", f"the server did not give entry {position}")
            entry = from_hex(item["entry"], ENTRY_BYTES)
            page.append(PublicEntry(entry, _opening(item.get("opening"))))
    except _GARBLED:
        raise ReplayError(
            "entries-garbled", f"what the server gives from {start} on are no entries"
        ) from None
    return page


def _opening(given: Any) -> EventOpening | None:
    """Return the opening of an event as a server gives it; None for what is none.

    One that cannot be read proves nothing, and must not hide what the other entries prove.
    """
    try:
        return EventOpening.from_json(given)
    except _GARBLED:
        return None


def _written(item: PublicEntry) -> bytes:
    """An entry, and the words that an event's payload commits to; other commitments decide nothing.

    A wrong opening is dropped like a missing one. A case may need the right one (see
    `inquiry.lies`).
    """
    opening, words = item.opening, _NO_OPENING
    if isinstance(opening, EventOpening):
        try:
            if payload_of(opening) == item.data[-WORD_BYTES:]:
                words = opening.encode()
        except EntryError:
            pass  # Solidity could say it, and we cannot
    return item.data + words


def _item(data: bytes) -> PublicEntry:
    entry, rest = data[:ENTRY_BYTES], data[ENTRY_BYTES:]
    if rest == _NO_OPENING:
        return PublicEntry(entry)
    return PublicEntry(entry, EventOpening.decode(rest))
