"""A copy of a log keeps what the chain vouches for, whatever else the server's entries say."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from types import SimpleNamespace
from typing import Any, cast

import pytest

from orchestrator.chain.deployment import Anchor, Chain
from orchestrator.chain.rpc import Block, NodeError
from orchestrator.client.http import Client
from orchestrator.core.common.errors import DomainError
from orchestrator.core.entries.kinds import encode
from orchestrator.core.evidence.exhibits import Case, EscrowRecord, Exhibit, escrow_record_of
from orchestrator.core.log.bundle import write_bundle
from orchestrator.core.log.entry import Entry
from orchestrator.core.log.merkle import CompactRange, leaf_hash, verify_inclusion
from orchestrator.core.log.opening import TransitionOpening, encode_opening, payload_of
from orchestrator.verify import log_copy
from orchestrator.verify.log_copy import LogCopy, pages_of
from tests.support.terms import OPERATOR, OWNER, PLAIN

LOG = PLAIN.log_id


def word(number: int) -> bytes:
    return number.to_bytes(32)


def record(number: int, **changes: Any) -> EscrowRecord:
    return escrow_record_of(dataclasses.replace(PLAIN, **changes), word(number), number)


SHOWN = TransitionOpening("trial", 1, 2000, word(6), word(7), word(8))
SHOWN_WORDS = encode_opening(SHOWN)
PAYLOAD = payload_of(SHOWN)


class Log:
    """A log with a settlement and an opening about each of these names: a server, and its chain."""

    node = SimpleNamespace(name="the node at x")
    server = "the API at x"

    def __init__(
        self,
        names: Iterable[int],
        contracts: dict[bytes, EscrowRecord],
        kinds: tuple[str, ...] = ("settlement", "contract.opened"),
    ) -> None:
        about = [(kind, word(name)) for name in names for kind in kinds]
        self.entries = [
            encode(Entry(kind, bytes(32), bytes(32), name, "x", 0, 0, PAYLOAD))
            for kind, name in about
        ]
        self.anchor()
        self.contracts = contracts
        self.openings: dict[int, bytes] = {}
        self.asked: list[bytes] = []

    def anchor(self) -> None:
        tree = CompactRange()
        tree.extend(leaf_hash(entry) for entry in self.entries)
        self._anchor = Anchor(len(self.entries), tree.root(), 1)

    def items(self, start: int, limit: int) -> list[tuple[bytes, bytes]]:
        shown = self.entries[start : start + min(limit, 10)]
        return [(entry, self.openings.get(n, b"")) for n, entry in enumerate(shown, start)]

    def get_bytes(self, _: str, start: int, limit: int) -> bytes:
        return write_bundle(self.items(start, limit))

    def block(self) -> Block:
        return Block(1, b"", 1)

    def checkpoint(self, *_: object) -> Anchor:
        return self._anchor

    def escrow_records(self, names: Sequence[bytes], _: int) -> dict[bytes, EscrowRecord]:
        self.asked += names
        return {name: self.contracts[name] for name in names if name in self.contracts}

    def read(self, *asked: bytes) -> LogCopy:
        return LogCopy(pages_of(cast(Client, self)), cast(Chain, self), LOG, asked or None)


@pytest.mark.parametrize("asked", [[], [word(99)]])
def test_made_up_contracts_are_forgotten(
    asked: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_copy, "MAX_CONTRACTS", 8)
    known = {word(n): record(n) for n in (3, 50, 99)}
    log = Log(range(1, 100), known)
    with log.read(*asked) as copy:
        assert set(copy.contracts) == set(known)
        assert not copy.left_out
        assert copy.size == 198
        assert len(copy._asked) <= 8
    assert len(log.asked) <= 100


def test_the_chain_is_asked_for_a_contract_once() -> None:
    log = Log([1, 2, 3] * 50, {word(1): record(1)})
    with log.read() as copy:
        assert list(copy.contracts) == [word(1)]
    assert sorted(log.asked) == [word(1), word(2), word(3)]


def test_a_named_contract_and_its_market_are_kept_however_many_others_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_copy, "MAX_CONTRACTS", 8)
    others = {word(n): record(n, owner=OPERATOR, operator=OWNER) for n in range(1, 40)}
    market = {word(n): record(n) for n in range(40, 60)}
    elsewhere = {word(60): record(60, log_id=word(1))}
    log = Log(range(1, 61), {**others, **market, **elsewhere})
    with log.read(word(59)) as copy:
        assert set(copy.contracts) == set(market)
    # One copy serves several of them, each with its own market.
    with log.read(word(59), word(39)) as copy:
        assert set(copy.contracts) == {*market, *others}
    # Without a name it is the first ones, and that there are more is known.
    with log.read() as copy:
        assert (set(copy.contracts), copy.left_out) == ({word(n) for n in range(1, 9)}, True)


def test_a_named_contract_that_the_node_does_not_know_is_an_error() -> None:
    with pytest.raises(NodeError, match="has forgotten a contract"):
        Log([1, 2], {word(1): record(1)}).read(word(1), word(2))


@pytest.mark.parametrize(
    "opening",
    [b"", SHOWN_WORDS[32:], SHOWN_WORDS + bytes(32), bytes(len(SHOWN_WORDS)), b"\xff" * 192],
    ids=["none", "short", "long", "zero", "ones"],
)
def test_an_opening_that_is_not_the_entrys_is_missing_and_hides_no_other(opening: bytes) -> None:
    log = Log([1, 2], {}, ("lead.transition", "lead.refused"))
    log.openings = {0: SHOWN_WORDS, 1: opening, 2: SHOWN_WORDS}
    with log.read() as copy:
        assert [copy.at(position).data for position in range(4)] == log.entries
        openings = [item.opening for item in copy.entries()]
    assert openings == [SHOWN_WORDS, b"", SHOWN_WORDS, b""]


@pytest.mark.parametrize("words", [b"\xff" * 32 * 6, bytes(32 * 9), bytes(288 * 3), bytes(7)])
def test_an_entry_may_commit_to_what_is_no_opening(words: bytes) -> None:
    """A publisher can hash anything; what fits no opening is dropped, however long it is."""
    entry = Entry("lead.transition", bytes(32), bytes(32), word(1), "x", 0, 0, b"")
    log = Log([1], {})
    log.entries = [encode(entry._replace(payload=sha256(words).digest()))]
    log.anchor()
    log.openings = {0: words[:288]}
    with log.read() as copy:
        assert copy.at(0).opening == b""


def test_how_far_it_is_is_told() -> None:
    log, told = Log(range(1, 20), {}), list[tuple[int, int]]()
    pages = pages_of(cast(Client, log))
    with LogCopy(pages, cast(Chain, log), LOG, told=lambda *at: told.append(at)):
        assert told == [(10, 38), (20, 38), (30, 38), (38, 38)]


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda items: items[1:], "root-differs"),
        (lambda items: items * 2, "entries-many"),
        (lambda items: [(items[0][0][1:], b""), *items[1:]], "entries-garbled"),
        (lambda items: items[:0], "entries-short"),
        (lambda items: [items[1], items[0]], "root-differs"),
    ],
)
def test_a_bundle_that_is_not_the_logs_is_refused(
    spoil: Callable[[list[Any]], list[Any]], code: str
) -> None:
    log = Log([1], {})

    def get_bytes(path: str, start: int, limit: int) -> bytes:
        items = log.items(start, limit)
        return write_bundle(spoil(items) if start == 0 else items)

    client = cast(Client, SimpleNamespace(get_bytes=get_bytes, server=log.server))
    with pytest.raises(DomainError) as refused:
        LogCopy(pages_of(client), cast(Chain, log), LOG)
    assert refused.value.code == code


def test_every_entry_has_a_proof_under_the_anchored_root() -> None:
    """The log is longer than a tile, so that proofs come from tiles and from entries."""
    log = Log([1] * 300, {word(1): record(1)})
    with log.read() as copy:
        assert copy.size == 600
        for position in (0, 255, 256, 511, 512, 599):
            shown = copy.exhibit(position)
            leaf = leaf_hash(shown.entry)
            verify_inclusion(leaf, position, copy.size, shown.proof, copy.root)
            case = Case(word(1), "sum", (Exhibit(position, shown.entry),))
            assert copy.proven(case).exhibits == (shown,)
