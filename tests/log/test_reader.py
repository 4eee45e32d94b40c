"""The reader: entries, pages, proofs, contracts and leads of a stored log."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from orchestrator.core.common.errors import DomainError, LogError
from orchestrator.core.log.merkle import (
    EMPTY_ROOT,
    leaf_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
    verify_run,
)
from orchestrator.core.world.requests import ProductEvent, Settle, Touch
from tests.support.ledger import (
    CONTRACT,
    OWNER_WORD,
    Ledger,
    journey,
    ledger,
    open_market,
)
from tests.support.worlds import (
    LEADS,
    OPERATORS,
    SURFACE,
    word,
)


@pytest.fixture(scope="module")
def long(module_database_url: str) -> Iterator[Ledger]:
    """A log of 700 entries, in drains of uneven sizes: more than two tiles."""
    with ledger(module_database_url) as log:
        open_market(log)
        with log.sequencer() as sequencer:
            size = 6
            for step in (1, 250, 3, 200, 100, 140):
                touches = [Touch(SURFACE, word(f"{size}"), OPERATORS[0], "email")] * step
                log.submit(*touches[1:])
                log.drain(sequencer)
                size += step
        yield log


def test_proofs_hold_for_every_checkpoint(long: Ledger) -> None:
    entries = long.entries()
    leaves = [leaf_hash(stored.data) for stored in entries]
    sizes = [size for size in range(1, 702) if long.reader.checkpoint(size)]
    assert len(sizes) > 5
    for size in sizes:
        checkpoint = long.reader.checkpoint(size)
        assert checkpoint is not None
        assert checkpoint.root == root_of(leaves[:size])
        for position in {0, 1, size // 2, size - 1}:
            path = long.reader.inclusion_proof(position, size)
            verify_inclusion(leaves[position], position, size, path, checkpoint.root)
        first, count_ = size // 3, size // 2
        if count_:
            proof = long.reader.run_proof(first, count_, size)
            verify_run(leaves[first : first + count_], first, size, proof, checkpoint.root)
        for old in sizes:
            if old <= size:
                proof = long.reader.consistency_proof(old, size)
                old_root = root_of(leaves[:old])
                verify_consistency(old, old_root, size, checkpoint.root, proof)
    assert long.reader.consistency_proof(0, sizes[-1]) == []
    verify_consistency(0, EMPTY_ROOT, sizes[-1], root_of(leaves[: sizes[-1]]), [])


def test_tiles_hold_the_hashes_of_their_level(long: Ledger) -> None:
    leaves = [leaf_hash(stored.data) for stored in long.entries()]
    assert long.reader.tile(0, 1) == leaves[256:512]
    assert long.reader.tile(0, 2, 7) == leaves[512:519]
    assert long.reader.tile(1, 0, 2) == [root_of(leaves[:256]), root_of(leaves[256:512])]
    for missing in ((0, 9, 1), (1, 0, 3), (0, 0, 0), (2, 0, 1)):
        with pytest.raises(LogError, match="tile"):
            long.reader.tile(*missing)


def test_what_is_not_in_the_log_has_no_proof(long: Ledger) -> None:
    size = len(long.entries())
    with pytest.raises(DomainError):
        long.reader.inclusion_proof(size, size)
    with pytest.raises(DomainError):
        long.reader.inclusion_proof(size, size + 1)
    with pytest.raises(DomainError):
        long.reader.consistency_proof(size, size + 1000)
    assert long.reader.checkpoint(size + 1) is None


def test_entries_come_in_bounded_pages(long: Ledger) -> None:
    entries = long.entries()
    assert [stored.position for stored in entries] == list(range(len(entries)))
    assert long.reader.entries(5, 3) == entries[5:8]
    assert long.reader.entries(len(entries), 3) == []
    assert long.reader.entries(0, -1) == []
    assert long.reader.rehashed(6) == long.reader.checkpoint()
    with pytest.raises(LogError, match="no checkpoint"):
        long.reader.rehashed(4)


def test_entries_are_found_by_kind_subject_and_contract(running: Ledger) -> None:
    running.submit(*journey(LEADS[0]), *journey(LEADS[1]), Settle())
    running.submit(ProductEvent(SURFACE, LEADS[0], "refund", 0, 0), Settle())
    running.drain()
    entries = running.entries()
    reader = running.reader

    def where(test: Callable[[Any], bool]) -> list[int]:
        return [stored.position for stored in entries if test(stored.entry)]

    settlements = reader.of_kind("settlement", 0, 10)
    assert [s.position for s in settlements] == where(lambda e: e.kind == "settlement")
    assert len(settlements) == 2
    assert reader.of_kind("settlement", settlements[0].position, 10) == settlements[1:]
    about = reader.about(LEADS[0], 0, 100)
    assert [s.position for s in about] == where(lambda e: e.subject == LEADS[0])
    contract = CONTRACT.contract_id
    outcomes = reader.outcomes_of(contract, 0, 100)
    assert [s.position for s in outcomes] == where(
        lambda e: e.actor == contract and e.kind.startswith("outcome")
    )
    assert {s.entry.kind for s in outcomes} == {"outcome", "outcome.reversed"}
    found = reader.contract(contract)
    assert found is not None
    assert (found.earned_units, found.reversed_units, found.outcomes) == (20, 10, 2)
    assert reader.contracts(0, 10, owner=OWNER_WORD) == [found]
    assert reader.contracts(found.opened, 10) == []
    assert reader.contracts(0, 10, operator=OPERATORS[1]) == []
