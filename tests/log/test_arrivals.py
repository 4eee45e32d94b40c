"""Arrivals: which lead an event is about, whatever names it comes with."""

from collections.abc import Iterator
from itertools import count

import psycopg
import pytest

from orchestrator.core.log.entry import address_word
from orchestrator.core.world.requests import PublishPolicy
from orchestrator.log.arrivals import Bound, EventNames, bind
from tests.support.ledger import OPERATOR, OWNER, Ledger, genesis
from tests.support.worlds import SURFACE, policy, word

REF, OTHER = "a" * 32, "b" * 32


@pytest.fixture
def surface(log: Ledger) -> Ledger:
    """A log with a surface and two codes that were handed out."""
    log.submit_and_drain(genesis(log), PublishPolicy(SURFACE, address_word(OWNER), policy()))
    with psycopg.connect(log.url) as admin:
        for ref in (REF, OTHER):
            admin.execute(
                "INSERT INTO code_names VALUES (%s, %s, %s, %s, %s, gen_random_uuid(), NULL)",
                (log.log_id, word(ref[0]), SURFACE, OPERATOR.lower(), ref),
            )
    return log


@pytest.fixture
def words() -> Iterator[bytes]:
    return (word(f"lead {number}") for number in count(1))


def bound(
    log: Ledger, words: Iterator[bytes], *events: tuple[str | None, str | None]
) -> list[Bound]:
    with log.session(OWNER) as session:
        named = [EventNames(*event) for event in events]
        return bind(session, log.log_id, SURFACE, named, lambda: next(words))


def test_an_id_has_one_lead_with_a_code_and_without(
    surface: Ledger, words: Iterator[bytes]
) -> None:
    one, two = word("lead 1"), word("lead 2")
    assert bound(surface, words, ("x", None), ("y", REF), ("x", REF)) == [
        Bound(one, None),
        Bound(two, word("a")),
        Bound(one, word("a")),
    ]
    assert bound(surface, words, ("y", None), ("x", "no code")) == [
        Bound(two, None),
        Bound(one, None),
    ]


def test_the_next_new_id_is_that_of_the_lead_that_waits(
    surface: Ledger, words: Iterator[bytes]
) -> None:
    known, waits, apart = (word(f"lead {number}") for number in (1, 2, 3))
    assert bound(surface, words, ("known", None), (None, REF), (None, OTHER)) == [
        Bound(known, None),
        Bound(waits, word("a")),
        Bound(apart, word("b")),
    ]
    # In a transaction of its own, as in the same: it waits, however often it comes.
    for _ in range(2):
        assert bound(surface, words, (None, REF)) == [Bound(waits, word("a"))]
    assert bound(surface, words, ("known", REF), ("new", REF), ("new", REF), (None, REF)) == [
        Bound(known, word("a")),
        Bound(waits, word("a"), is_alias=True),
        Bound(waits, word("a")),
        Bound(word("lead 4"), word("a")),
    ]
    assert bound(surface, words, ("new", None), ("newer", OTHER)) == [
        Bound(waits, None),
        Bound(apart, word("b"), is_alias=True),
    ]


def test_what_is_no_code_brings_another_lead_each_time(
    surface: Ledger, words: Iterator[bytes]
) -> None:
    assert bound(surface, words, (None, "none"), (None, "none")) == [
        Bound(word("lead 1"), None),
        Bound(word("lead 2"), None),
    ]


def test_only_the_surfaces_owner_binds_its_codes(surface: Ledger, words: Iterator[bytes]) -> None:
    with surface.session(OPERATOR) as session, pytest.raises(psycopg.errors.InsufficientPrivilege):
        bind(session, surface.log_id, SURFACE, [EventNames(None, REF)], lambda: next(words))
