"""Running totals: an honest chain shows nothing, and each link that is changed shows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.entries.kinds import encode
from orchestrator.core.evidence.exhibits import Case, EscrowRecord, Exhibit, open_case
from orchestrator.core.evidence.totals import is_total_false
from orchestrator.core.log.entry import Entry, pack_outcome, pack_settlement
from tests.support.worlds import LEADS, SURFACE, VERIFIER, policy, rules, word

NAME = word("ann")
RULES = rules("ann", policy(), budget_units=100)
CONTRACTS = {NAME: EscrowRecord(RULES, word("log"), 0, 1, last_signed=1000)}


def outcome(value: int, facts: tuple[int, int, int], *, kind: str = "outcome") -> bytes:
    """Return an outcome with these `prev`, `n` and `earned_after`."""
    payload = pack_outcome(2, 1, *facts)
    return encode(Entry(kind, SURFACE, NAME, LEADS[0], "paid", value, 0, payload))


def settlement(*facts: int) -> bytes:
    payload = pack_settlement(*facts)
    return encode(Entry("settlement", SURFACE, VERIFIER, NAME, "", 0, 0, payload))


def is_false(*shown: tuple[int, bytes]) -> bool:
    exhibits = tuple(Exhibit(position, data) for position, data in shown)
    return is_total_false(open_case(Case(NAME, "sum", exhibits), CONTRACTS))


FIRST, SECOND = (3, outcome(10, (0, 1, 10))), (6, outcome(7, (3, 2, 17)))
OVER = (5, outcome(91, (0, 0, 0), kind="outcome.over"))


@given(st.lists(st.integers(0, 50), min_size=1, max_size=6))
def test_an_honest_chain_shows_nothing(values: list[int]) -> None:
    chain, prev, total = [], 0, 0
    for n, value in enumerate(values, 1):
        total += value
        chain.append((3 * n, outcome(value, (prev, n, total))))
        prev = 3 * n
    stated = (100, settlement(total, 0, prev, 0))
    for first in (*chain, stated):
        assert not is_false(first)
        assert not any(is_false(first, other) for other in chain)


@pytest.mark.parametrize(
    "shown",
    [
        # the first of a chain begins with itself, and none names one above it
        [(3, outcome(10, (0, 2, 10)))],
        [(3, outcome(10, (0, 1, 11)))],
        [(3, outcome(10, (3, 2, 20)))],
        # the next follows on the one that it names
        [(6, outcome(7, (3, 3, 17))), FIRST],
        [(6, outcome(7, (3, 2, 18))), FIRST],
        [(6, outcome(7, (5, 2, 17))), OVER],
        # and skips none between
        [(9, outcome(7, (3, 2, 17))), SECOND],
        # a statement names what was last, and its total
        [(9, settlement(17, 0, 9, 0))],
        [(9, settlement(17, 0, 0, 0))],
        [(9, settlement(18, 0, 6, 0)), SECOND],
        [(9, settlement(10, 0, 3, 0)), SECOND],
        # what is called over fitted into the budget
        [(9, settlement(9, 0, 6, 0)), OVER],
    ],
)
def test_a_changed_link_shows(shown: list[tuple[int, bytes]]) -> None:
    assert is_false(*shown)


@pytest.mark.parametrize(
    "shown",
    [
        [SECOND, FIRST],
        [(9, settlement(17, 0, 6, 0)), SECOND],
        [(9, settlement(17, 0, 6, 0)), FIRST],
        # 10 earned and 91 more are past the budget of 100
        [(9, settlement(10, 0, 3, 0)), OVER],
        [(4, settlement(9, 0, 3, 0)), OVER],
    ],
)
def test_what_is_true_shows_nothing(shown: list[tuple[int, bytes]]) -> None:
    assert not is_false(*shown)
