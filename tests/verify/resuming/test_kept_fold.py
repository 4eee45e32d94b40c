"""A replay goes on from what was kept of it, wherever that was; in any doubt it begins anew."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.decisions.replay import Replay
from orchestrator.core.entries.kinds import encode
from orchestrator.core.entries.replay_rules import Documents
from orchestrator.core.log.merkle import leaf_hash
from orchestrator.core.log.opening import Record
from orchestrator.core.world.requests import (
    Arrival,
    EndOwnCode,
    IssueCode,
    Request,
    SuspendOperator,
)
from orchestrator.core.world.world import World
from orchestrator.verify.resuming import kept_fold
from orchestrator.verify.resuming.kept_fold import Kept, KeptFold
from tests.support.depth import examples
from tests.support.worlds import (
    LEADS,
    OPERATORS,
    OWNER,
    SURFACE,
    begin,
    contract_lists,
    decided,
    policy,
    request_lists,
    rules,
    word,
)

SECRET, BINDING = b"secret", b"chain and log"


def documents_of(world: World) -> Documents:
    return Documents(
        world.policies.__getitem__, world.settings.__getitem__, world.rules.__getitem__
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "verifier.replay"


def kept(path: Path, secret: bytes = SECRET, binding: bytes = BINDING) -> KeptFold:
    return KeptFold(path, secret, binding)


def go_on(path: Path, world: World, records: list[Record], stops: set[int]) -> World:
    """Replay from where it was kept; keep it at the first place after each stop, and end there."""
    with kept(path) as fold:
        found = fold.open(documents_of(world))
        replay, tree = Replay(documents_of(world), world=found.world), found.tree
        for record in records[replay.size :]:
            replay.take(record)
            fold.note(record.entry)
            tree.append(leaf_hash(encode(record.entry)))
            if replay.expects_nothing and any(stop <= replay.size for stop in stops):
                stops.difference_update(range(replay.size + 1))
                fold.save(Kept(replay.world, tree, {}))
                return replay.world
        fold.save(Kept(replay.finish(), tree, {}))
        return replay.finish()


def whole(kept_world: World, like: World) -> World:
    """Return a world with all rows in memory that the other has."""
    return World(
        kept_world.size,
        kept_world.time_ms,
        rules=kept_world.rules,
        surfaces=kept_world.surfaces,
        leads={name: kept_world.leads[name] for name in like.leads},
        contracts=kept_world.contracts,
        operators=kept_world.operators,
        causes={position: kept_world.causes[position] for position in like.causes},
        codes={name: kept_world.codes.get(name) for name in _names(like.codes)},  # type: ignore[misc]
        standings={name: kept_world.standings.get(name) for name in _names(like.standings)},  # type: ignore[misc]
        _rivals=kept_world._rivals,
    )


def _names(rows: object) -> Iterator[bytes]:
    assert isinstance(rows, dict)
    return iter(rows)


@st.composite
def logs(draw: st.DrawFn) -> tuple[World, list[Record], set[int]]:
    governing = policy(attribution=draw(st.sampled_from(["first_touch", "last_touch"])))
    contracts = draw(contract_lists(governing))
    world, records = begin(governing, *contracts)
    for now, request in draw(request_lists(contracts)):
        records += decided(world, request, now)
    stops = draw(st.sets(st.integers(1, len(records)), max_size=4))
    return world, records, stops


def test_a_replay_that_stops_anywhere_gives_the_same_world(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_fold, "IN_MEMORY", 1)

    @examples(60)
    @given(logs())
    def stop(log: tuple[World, list[Record], set[int]]) -> None:
        world, records, stops = log
        path = tmp_path_factory.mktemp("kept") / "replay"
        while stops:
            go_on(path, world, records, stops)
        with kept(path) as fold:
            found = fold.open(documents_of(world))
            replay = Replay(documents_of(world), world=found.world)
            for record in records[replay.size :]:
                replay.take(record)
            assert whole(replay.finish(), world) == world

    stop()


def log_with_codes() -> tuple[World, list[Record]]:
    asked = (word("request"), word("commitment"))
    world, records = begin(policy(), rules("c", policy(), outcome="trial"))

    def arrive(lead: bytes, code: bytes, at_ms: int) -> Arrival:
        return Arrival(SURFACE, lead, code, False, False, "signup", 0, at_ms, *asked)

    steps: list[tuple[int, Request]] = [
        (1000, IssueCode(SURFACE, word("a"), OPERATORS[0], 9, 50_000, *asked)),
        (1100, IssueCode(SURFACE, word("b"), OPERATORS[0], 9, 50_000, *asked)),
        (2000, arrive(LEADS[0], word("a"), 2000)),
        (3000, arrive(LEADS[1], word("a"), 3000)),
        (3500, EndOwnCode(SURFACE, OPERATORS[0], word("b"), "over")),
        (4000, SuspendOperator(SURFACE, OWNER, OPERATORS[0], "complaints", *asked)),
    ]
    for now, request in steps:
        records += decided(world, request, now)
    return world, records


def test_codes_are_the_same_by_position_and_by_name(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_fold, "IN_MEMORY", 0)
    world, records = log_with_codes()
    for size in range(1, len(records)):
        go_on(path, world, records, {size})
    go_on(path, world, records, set())
    with kept(path) as fold:
        assert whole(fold.open(documents_of(world)).world, world) == world


# --- Doubts ---------------------------------------------------------------------------------------


def fill(path: Path) -> World:
    world, records = log_with_codes()
    go_on(path, world, records, set())
    return world


def size_of(path: Path, world: World, secret: bytes = SECRET, binding: bytes = BINDING) -> int:
    """Return the size from which a replay goes on."""
    with kept(path, secret, binding) as fold:
        return fold.open(documents_of(world)).world.size


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE rows SET text = replace(text, 'trial', 'paid') WHERE sort = 'leads'",
        "DELETE FROM rows WHERE sort = 'codes' AND text LIKE '%50000%' AND text LIKE '%true%'",
        "DELETE FROM rows WHERE sort = 'leads'",
        "INSERT INTO rows SELECT 'standings', name, text FROM rows WHERE sort = 'leads'",
        "UPDATE rows SET text = replace(text, '\"size\":', '\"size\":1') WHERE sort = 'state'",
        "DELETE FROM rows WHERE sort = 'seal'",
        "DELETE FROM rows WHERE sort = 'state'",
        "DROP TABLE rows",
    ],
)
def test_what_was_changed_is_not_gone_on_with(
    path: Path, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = fill(path)
    assert size_of(path, world) == world.size
    with closing(sqlite3.connect(path)) as other:
        if other.execute(change).rowcount == 0:
            pytest.fail("nothing was changed")
        other.commit()
    caplog.clear()
    assert size_of(path, world) == 0
    assert len(caplog.records) <= 1


def test_neither_is_what_another_code_key_or_chain_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for secret, binding, code in (
        (b"x", BINDING, b""),
        (SECRET, b"x", b""),
        (SECRET, BINDING, b"x"),
    ):
        world = fill(path)
        with monkeypatch.context() as patched:
            if code:
                patched.setattr(kept_fold, "code_digest", lambda code=code: code)
            caplog.clear()
            assert size_of(path, world, secret, binding) == 0
            (line,) = caplog.messages
            assert "replaying from the first entry" in line


def test_an_older_row_in_its_place_is_found(path: Path) -> None:
    """Each row alone is one that was written; only together they are what was kept."""
    world, records = log_with_codes()
    go_on(path, world, records, {8})
    with closing(sqlite3.connect(path)) as other:
        old = other.execute("SELECT text, name FROM rows WHERE sort = 'surfaces'").fetchone()
    go_on(path, world, records, set())
    assert size_of(path, world) == world.size
    with closing(sqlite3.connect(path)) as other:
        other.execute("UPDATE rows SET text = ? WHERE name = ? AND sort = 'surfaces'", old)
        other.commit()
    assert size_of(path, world) == 0
