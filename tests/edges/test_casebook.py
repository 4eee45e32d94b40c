"""What a casebook keeps of a log that speaks of more contracts than there are."""

import dataclasses
from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from orchestrator import casebook
from orchestrator.actors import Client
from orchestrator.casebook import Casebook
from orchestrator.chain import Chain, Checkpoint
from orchestrator.core.case import Standing, standing_of
from orchestrator.core.entry import Entry, encode
from orchestrator.core.merkle import CompactRange, leaf_hash
from orchestrator.node import Block, NodeError
from tests.core.test_terms import OPERATOR, OWNER, PLAIN

LOG = PLAIN.log_id


def word(number: int) -> bytes:
    return number.to_bytes(32)


def standing(number: int, **changes: Any) -> Standing:
    return standing_of(dataclasses.replace(PLAIN, **changes), word(number), number)


class Log:
    """A log with a settlement and an opening about each of these names: a server, and its chain."""

    node = SimpleNamespace(name="the node at x")

    def __init__(self, names: Iterable[int], contracts: dict[bytes, Standing]) -> None:
        about = [(kind, word(name)) for name in names for kind in ("settlement", "contract.opened")]
        self.entries = [
            encode(Entry(kind, bytes(32), bytes(32), name, "x", 0, 0, bytes(32)))
            for kind, name in about
        ]
        tree = CompactRange()
        tree.extend(leaf_hash(entry) for entry in self.entries)
        self._anchor = Checkpoint(len(self.entries), tree.root(), 1)
        self.contracts = contracts
        self.asked: list[bytes] = []

    def get(self, _: str, start: int, limit: int) -> object:
        shown = self.entries[start : start + min(limit, 10)]
        items = [
            {"index": start + n, "entry": f"0x{entry.hex()}", "opening": None}
            for n, entry in enumerate(shown)
        ]
        return {"entries": items}

    def block(self) -> Block:
        return Block(1, b"", 1)

    def checkpoint(self, *_: object) -> Checkpoint:
        return self._anchor

    def standings(self, names: Sequence[bytes], _: int) -> dict[bytes, Standing]:
        self.asked += names
        return {name: self.contracts[name] for name in names if name in self.contracts}

    def read(self, asked: bytes | None = None) -> Casebook:
        return Casebook(cast(Client, self), cast(Chain, self), LOG, asked)


@pytest.mark.parametrize("asked", [None, word(99)])
def test_names_that_are_made_up_are_forgotten(
    asked: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(casebook, "MAX_CONTRACTS", 8)
    known = {word(n): standing(n) for n in (3, 50, 99)}
    log = Log(range(1, 100), known)
    with log.read(asked) as book:
        assert set(book.docket) == set(known)
        assert not book.left_out
        assert book.size == 198
        assert len(book._named) <= 8
    assert len(log.asked) <= 100


def test_a_name_is_asked_for_once() -> None:
    log = Log([1, 2, 3] * 50, {word(1): standing(1)})
    with log.read() as book:
        assert list(book.docket) == [word(1)]
    assert sorted(log.asked) == [word(1), word(2), word(3)]


def test_a_named_contract_and_its_market_are_kept_however_many_others_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(casebook, "MAX_CONTRACTS", 8)
    others = {word(n): standing(n, owner=OPERATOR, operator=OWNER) for n in range(1, 40)}
    market = {word(n): standing(n) for n in range(40, 60)}
    elsewhere = {word(60): standing(60, log_id=word(1))}
    log = Log(range(1, 61), {**others, **market, **elsewhere})
    with log.read(word(59)) as book:
        assert set(book.docket) == set(market)
    # Without a name it is the first ones, and that there are more is known.
    with log.read() as book:
        assert (set(book.docket), book.left_out) == ({word(n) for n in range(1, 9)}, True)


def test_a_contract_that_the_node_has_forgotten() -> None:
    with pytest.raises(NodeError, match="has forgotten a contract"):
        Log([1], {}).read(word(1))
