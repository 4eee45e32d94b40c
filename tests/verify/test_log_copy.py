"""What a casebook keeps of a log that speaks of more contracts than there are."""

import dataclasses
from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from orchestrator.chain.deployment import Anchor, Chain
from orchestrator.chain.rpc import Block, NodeError
from orchestrator.core.entry import Entry
from orchestrator.core.evidence.exhibits import EscrowRecord, escrow_record_of
from orchestrator.core.kinds import encode
from orchestrator.core.merkle import CompactRange, leaf_hash
from orchestrator.core.opening import EventOpening, payload_of
from orchestrator.verify import log_copy as casebook
from orchestrator.verify.log_copy import LogCopy, Server, pages_of
from tests.support.terms import OPERATOR, OWNER, PLAIN

LOG = PLAIN.log_id


def word(number: int) -> bytes:
    return number.to_bytes(32)


def standing(number: int, **changes: Any) -> EscrowRecord:
    return escrow_record_of(dataclasses.replace(PLAIN, **changes), word(number), number)


OPENING: dict[str, Any] = {
    "from_state": "trial",
    "nth": 1,
    "received_ms": 2000,
    "request_hash": f"0x{word(7).hex()}",
    "commitment": f"0x{word(8).hex()}",
}
PAYLOAD = payload_of(EventOpening("trial", 1, 2000, word(7), word(8)))


class Log:
    """A log with a settlement and an opening about each of these names: a server, and its chain."""

    node = SimpleNamespace(name="the node at x")

    def __init__(self, names: Iterable[int], contracts: dict[bytes, EscrowRecord]) -> None:
        about = [(kind, word(name)) for name in names for kind in ("settlement", "contract.opened")]
        self.entries = [
            encode(Entry(kind, bytes(32), bytes(32), name, "x", 0, 0, PAYLOAD))
            for kind, name in about
        ]
        tree = CompactRange()
        tree.extend(leaf_hash(entry) for entry in self.entries)
        self._anchor = Anchor(len(self.entries), tree.root(), 1)
        self.contracts = contracts
        self.openings: dict[int, object] = {}
        self.asked: list[bytes] = []

    def get(self, _: str, start: int, limit: int) -> object:
        shown = self.entries[start : start + min(limit, 10)]
        items = [
            {"index": n, "entry": f"0x{entry.hex()}", "opening": self.openings.get(n)}
            for n, entry in enumerate(shown, start)
        ]
        return {"entries": items}

    def block(self) -> Block:
        return Block(1, b"", 1)

    def checkpoint(self, *_: object) -> Anchor:
        return self._anchor

    def standings(self, names: Sequence[bytes], _: int) -> dict[bytes, EscrowRecord]:
        self.asked += names
        return {name: self.contracts[name] for name in names if name in self.contracts}

    def read(self, asked: bytes | None = None) -> LogCopy:
        return LogCopy(pages_of(cast(Server, self)), cast(Chain, self), LOG, asked)


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


@pytest.mark.parametrize(
    "given",
    [
        # What Solidity could have written into a payload, and we cannot.
        {**OPENING, "received_ms": 1 << 63},
        {**OPENING, "received_ms": (1 << 256) - 1},
        {**OPENING, "nth": 1 << 40},
        {**OPENING, "nth": -1},
        {**OPENING, "from_state": "\xff" * 32},
        {**OPENING, "from_state": "tr\0al"},
        {**OPENING, "from_state": "t" * 33},
        # What no payload commits to.
        {**OPENING, "from_state": "new"},
        {**OPENING, "received_ms": "9" * 5000},
        {**OPENING, "received_ms": float("inf")},
        {**OPENING, "received_ms": None},
        {**OPENING, "nth": [1]},
        {**OPENING, "request_hash": "0x07"},
        {**OPENING, "commitment": 8},
        {**OPENING, "commitment": "no hex"},
        {name: value for name, value in OPENING.items() if name != "nth"},
        {"request_hash": OPENING["request_hash"], "commitment": OPENING["commitment"]},
        {},
        [],
        "from_state",
        5,
        None,
    ],
    ids=lambda given: str(given)[:80],
)
def test_an_opening_that_cannot_be_read_is_missing_and_hides_no_other(given: object) -> None:
    log = Log([1, 2], {})
    log.openings = {0: OPENING, 1: given, 2: OPENING}
    with log.read() as book:
        assert [book.at(position).data for position in range(4)] == log.entries
        openings = [item.opening for item in book.entries()]
    shown = EventOpening("trial", 1, 2000, word(7), word(8))
    assert openings == [shown, None, shown, None]


def test_entries_may_come_without_a_word_about_openings() -> None:
    log = Log([1], {})

    def get(path: str, start: int, limit: int) -> object:
        items = cast(dict[str, Any], Log.get(log, path, start, limit))["entries"]
        return {"entries": [{name: item[name] for name in ("index", "entry")} for item in items]}

    client = SimpleNamespace(get=get)
    with LogCopy(pages_of(client), cast(Chain, log), LOG) as book:
        assert [item.opening for item in book.entries()] == [None, None]
