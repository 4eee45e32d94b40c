"""A copy of the public log, for cases at the escrow: its entries, their proofs, its contracts.

Entries come from any source, byte for byte as they are given, and count only because they hash to
the root that the chain holds; they may be lies, and are not judged here. The escrow's record of
each contract comes from the chain, all of them as of one block. Proofs are made from the entries.

A log can name contracts that do not exist, and a stranger can open tiny ones. So what is kept is
bounded by what was paid for: contracts that the escrow knows, and for named contracts only those
that compete with one of them. No entry makes a command fail.
"""

import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from typing import IO

from orchestrator.chain.deployment import Chain
from orchestrator.chain.rpc import NodeError
from orchestrator.client.http import PAGE, Client
from orchestrator.client.log_server import served_bundle
from orchestrator.core.common.errors import EntryError, ReplayError, ServerError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.entries.kinds import opening_of_word
from orchestrator.core.evidence.exhibits import (
    OPENED,
    SETTLEMENT,
    Case,
    EscrowRecord,
    Exhibit,
    read_words,
)
from orchestrator.core.evidence.history import PublicEntry
from orchestrator.core.log.bundle import MAX_BUNDLE
from orchestrator.core.log.entry import ENTRY_BYTES, WORD_BYTES
from orchestrator.core.log.merkle import (
    TILE_LEVELS,
    CompactRange,
    inclusion_proof,
    leaf_hash,
    root_of,
)
from orchestrator.core.log.opening import MAX_OPENING_WORDS, decode_opening
from orchestrator.core.resource import ResourceGroup
from orchestrator.verify.log_replay import Told, say_nothing

# The most contracts that are kept in memory, and the most names that are remembered as asked for.
MAX_CONTRACTS = 100_000
# Every entry takes as many bytes in the file, with its opening and zeros, so that its position
# alone finds it.
_OPENING_BYTES = MAX_OPENING_WORDS * WORD_BYTES
_ITEM_BYTES = ENTRY_BYTES + 1 + _OPENING_BYTES

# Returns the log's entries from a position on, at most so many; none where it has no more.
Pages = Callable[[int, int], list[PublicEntry]]


class LogCopy(ResourceGroup):
    """A log up to its last anchor, in a temporary file, and the escrow's records of its contracts.

    It is read whole at once, and forgotten at the end of its `with` block. Raises `ReplayError` if
    the entries of `pages` are not those that are anchored. `block_number` is the block as of which
    the chain was asked.

    `contracts` holds the contracts of these names and their competitors; without names the log's
    first `MAX_CONTRACTS`, and `left_out` says whether there are more.
    """

    def __init__(
        self,
        pages: Pages,
        chain: Chain,
        log_id: bytes,
        names: Collection[bytes] | None = None,
        told: Told = say_nothing,
    ) -> None:
        super().__init__()
        self._told = told
        self.log_id = log_id
        self.block_number = chain.block().number
        self.contracts: dict[bytes, EscrowRecord] = {}
        self.left_out = False
        anchor = chain.checkpoint(log_id, self.block_number)
        self.size, self.root = anchor.size, anchor.root
        # The roots of the whole tiles: 32 bytes for 256 entries, so that a proof hashes no more
        # than a tile of entries.
        self._tiles: list[bytes] = []
        self._chain, self._asked = chain, set[bytes]()
        self._markets = None if names is None else self._keep_named(names)
        with self._opening():
            self._file = self._exits.enter_context(_nameless_file())
            self._read(pages)

    def entries(self) -> Iterator[PublicEntry]:
        """Yield all entries, from the first on. Other methods may be called in between."""
        for start in range(0, self.size, PAGE):
            self._file.seek(start * _ITEM_BYTES)
            page = self._file.read(PAGE * _ITEM_BYTES)
            for at in range(0, len(page), _ITEM_BYTES):
                yield _unpack(page[at : at + _ITEM_BYTES])

    def at(self, position: int) -> PublicEntry:
        """Return the entry at a position below the size."""
        self._file.seek(position * _ITEM_BYTES)
        return _unpack(self._file.read(_ITEM_BYTES))

    def exhibit(self, position: int) -> Exhibit:
        """Return the entry at a position, with its proof."""
        return Exhibit(position, self.at(position).data, proof=tuple(self._prove(position)))

    def proven(self, case: Case) -> Case:
        """Return the case with its exhibits' proofs."""
        return case.with_proofs(self._prove)

    def _prove(self, position: int) -> list[bytes]:
        return inclusion_proof(position, self.size, self._node)

    def _node(self, level: int, number: int) -> bytes:
        """Return the root of a perfect subtree, from whole tiles or else from its entries."""
        if level >= TILE_LEVELS:
            width = level - TILE_LEVELS
            return root_of(self._tiles[number << width : (number + 1) << width])
        first = number << level
        return root_of(leaf_hash(self.at(first + n).data) for n in range(1 << level))

    def _read(self, pages: Pages) -> None:
        """Fetch the entries below the anchor, and compare their root with it."""
        tree, start = CompactRange(), 0
        while start < self.size:
            page = pages(start, min(MAX_BUNDLE, self.size - start))
            if not page:
                raise ReplayError(
                    "entries-short",
                    f"the server has {start} entries, but the chain holds the root of {self.size}; "
                    f"ask another server, or later",
                )
            self._keep_contracts(item.data for item in page)
            completed = tree.extend(leaf_hash(item.data) for item in page)
            self._tiles += [node.hash for node in completed if node.level == TILE_LEVELS]
            self._file.write(b"".join(map(_pack, page)))
            start += len(page)
            self._told(start, self.size)
        if self.size and tree.root() != self.root:
            raise ReplayError(
                "root-differs",
                f"the server's entries give root {to_hex(tree.root())} at size {self.size}, but "
                f"the chain holds {to_hex(self.root)}; ask another server",
            )

    def _keep_named(self, names: Collection[bytes]) -> set[object]:
        """Keep the named contracts, before all others, and return their markets."""
        self.contracts |= self._chain.escrow_records([*names], self.block_number)
        if len(self.contracts) < len(set(names)):
            raise NodeError(
                "node-lags", f"{self._chain.node.name} has forgotten a contract; try again"
            )
        return {record.market for record in self.contracts.values()}

    def _keep_contracts(self, entries: Iterable[bytes]) -> None:
        """Ask the escrow for the contracts that a page names, and keep those that matter.

        A contract without a settlement has nothing to disprove; one whose opening is not in the log
        cannot win a transition. A made-up contract costs one question, and is forgotten.
        """
        kinds = (OPENED, SETTLEMENT) if self._markets is None else (OPENED,)
        entry_words = (read_words(0, entry) for entry in entries)
        subjects = {entry.subject: None for entry in entry_words if entry.kind in kinds}
        new = [name for name in subjects if name not in self.contracts and name not in self._asked]
        if len(self._asked) + len(new) > MAX_CONTRACTS:
            self._asked.clear()  # they are asked for again, which costs time and nothing else
        self._asked.update(new)
        for name, record in self._chain.escrow_records(new, self.block_number).items():
            if record.log_id != self.log_id:
                continue
            if self._markets is not None:
                if record.market in self._markets:
                    self.contracts[name] = record
            elif len(self.contracts) < MAX_CONTRACTS:
                self.contracts[name] = record
            else:
                self.left_out = True


@contextmanager
def _nameless_file() -> Iterator[IO[bytes]]:
    """Open a file without a name, which is gone with the process."""
    with tempfile.TemporaryFile() as file:
        yield file


def pages_of(client: Client) -> Pages:
    """Return the source of entries that a server's public API is."""
    return partial(_public_entries, client)


def _public_entries(client: Client, start: int, limit: int) -> list[PublicEntry]:
    try:
        served = served_bundle(client, start, limit)
    except ServerError as error:
        if error.code != "answer-garbled":
            raise
        # What stands where an entry should is no silence: the log, as served, is not what it says.
        raise ReplayError("entries-garbled", error.message) from None
    return [PublicEntry(item.data, _opening_of(item)) for item in served]


def _opening_of(item: PublicEntry) -> bytes:
    """Return the words that the entry's payload commits to, as a server gives them, or none.

    A wrong opening is dropped like a missing one: a case may need the right one, and the search for
    cases says which entries lack theirs. It must not hide what the other entries prove.
    """
    opened = opening_of_word(item.data[:WORD_BYTES])
    if opened is None or sha256(item.opening).digest() != item.data[-WORD_BYTES:]:
        return b""
    try:
        decode_opening(opened, item.opening)
    except EntryError:
        return b""
    return item.opening


def _pack(item: PublicEntry) -> bytes:
    """Return an entry, the number of its opening's words, and the words, filled up with zeros."""
    count = len(item.opening) // WORD_BYTES
    return item.data + bytes([count]) + item.opening.ljust(_OPENING_BYTES, b"\0")


def _unpack(data: bytes) -> PublicEntry:
    end = ENTRY_BYTES + 1 + data[ENTRY_BYTES] * WORD_BYTES
    return PublicEntry(data[:ENTRY_BYTES], data[ENTRY_BYTES + 1 : end])
