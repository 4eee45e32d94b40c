"""An open contract: amounts to the unit, budgets and times to their edges, reversals."""

import dataclasses
import hashlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.common.units import AMOUNT_LIMIT
from orchestrator.core.deals.escrow_model import EscrowedContract
from orchestrator.core.log.entry import address_word, unpack_settlement
from orchestrator.core.world.contract import Contract, goes_before, rules_of
from orchestrator.core.world.requests import ProductEvent, Settle
from tests.support.depth import examples
from tests.support.histories import History, history
from tests.support.terms import FULL, OWNER, PLAIN
from tests.support.worlds import (
    LEADS,
    SURFACE,
    contract_lists,
    policy,
    request_lists,
    rules,
    seeds,
)

RULES = rules("a", policy())
MAX_UNITS = AMOUNT_LIMIT - 1
OWNER_WORD = address_word(OWNER)


def contract() -> Contract:
    """Return a contract over [100, 200] with a budget of 50 and a holdback period of 30."""
    terms = RULES._replace(budget_units=50, opens_at_ms=100, deadline_ms=200, holdback_period_ms=30)
    return Contract(terms, opened=1)


@pytest.mark.parametrize(
    ("price", "share_bps", "value", "amount"),
    [
        (0, 0, 10**30, 0),
        (7, 0, 10**30, 7),
        (7, 250, 0, 7),
        # rounded down
        (0, 250, 39, 0),
        (0, 250, 40, 1),
        (0, 250, 79, 1),
        (0, 250, 80, 2),
        (0, 1, 9_999, 0),
        (0, 1, 10_000, 1),
        (0, 9_999, 1, 0),
        (3, 10_000, 8, 11),
        (8_100_000, 250, 1_500_000, 8_137_500),
        (MAX_UNITS, 10_000, 2**256, MAX_UNITS + 2**256),
    ],
)
def test_amounts(price: int, share_bps: int, value: int, amount: int) -> None:
    priced = RULES._replace(unit_price_units=price, revenue_share_bps=share_bps)
    assert priced.amount_units(value) == amount


@pytest.mark.parametrize(
    ("earned", "taken", "amount", "fits"),
    [
        (0, 0, 0, True),
        (0, 0, 50, True),
        (0, 0, 51, False),
        (50, 0, 0, True),
        (50, 0, 1, False),
        (49, 0, 1, True),
        (49, 0, 2, False),
        # what was reversed is free again, although it stays earned
        (50, 20, 20, True),
        (50, 20, 21, False),
        (70, 20, 0, True),
        (50, 50, 50, True),
        # what the escrow can count
        (MAX_UNITS - 10, MAX_UNITS - 10, 10, True),
        (MAX_UNITS - 10, MAX_UNITS - 10, 11, False),
    ],
)
def test_room_in_the_budget(earned: int, taken: int, amount: int, fits: bool) -> None:
    found = contract()
    found.earned_units, found.reversed_units = earned, taken
    assert found.payable_units == earned - taken
    assert found.has_room_for(amount) is fits


@pytest.mark.parametrize(
    ("at", "closed_at", "covers", "live", "binding"),
    [
        (99, None, False, True, True),
        (100, None, True, True, True),
        (200, None, True, True, True),
        (201, None, False, False, True),
        (230, None, False, False, True),
        (231, None, False, False, False),
        # closed: a transition counts up to that moment, and nothing can follow any more
        (149, 150, True, False, False),
        (150, 150, True, False, False),
        (151, 150, False, False, False),
        (99, 150, False, False, False),
        (100, 0, False, False, False),
        (200, 999, True, False, False),
        (201, 999, False, False, False),
    ],
)
def test_times(at: int, closed_at: int | None, covers: bool, live: bool, binding: bool) -> None:
    found = contract()
    found.closed_at_ms = closed_at
    assert found.covers(at) is covers
    assert found.is_live(at) is live
    assert found.is_binding(at) is binding


@pytest.mark.parametrize(
    ("outcome", "reversal", "settlement", "due"),
    [
        (0, 0, 0, False),
        (5, 0, 0, True),
        (5, 0, 6, False),
        (5, 7, 6, True),
        (5, 7, 8, False),
        (9, 7, 8, True),
        (9, 7, 10, False),
    ],
)
def test_when_a_statement_is_due(outcome: int, reversal: int, settlement: int, due: bool) -> None:
    found = contract()
    found.last_outcome, found.last_reversal = outcome, reversal
    found.last_settlement = settlement
    assert found.is_statement_due(0) is due
    found.closed_at_ms = 150
    assert not found.is_statement_due(0)


@pytest.mark.parametrize(
    ("now", "outcome", "reversal", "due"),
    [
        # stated until 300: outcomes, reversals, both
        (300, 9, 0, True),
        (300, 5, 9, True),
        (300, 9, 10, True),
        # for 30 more what is taken back, if all outcomes were stated
        (301, 9, 0, False),
        (301, 5, 9, True),
        (301, 9, 10, False),
        (330, 5, 9, True),
        (331, 5, 9, False),
    ],
)
def test_what_the_escrow_takes_after_the_end(
    now: int, outcome: int, reversal: int, due: bool
) -> None:
    found = contract()
    found.rules = found.rules._replace(statements_until_ms=300)
    found.last_settlement, found.last_outcome, found.last_reversal = 8, outcome, reversal
    assert found.is_statement_due(now) is due


def test_totals_only_grow() -> None:
    found = contract()
    found.add_outcome(4, 10)
    found.add_outcome(6, 15)
    found.add_reversal(8, 10)
    assert found == Contract(
        found.rules,
        opened=1,
        earned_units=25,
        reversed_units=10,
        outcomes=2,
        reversals=1,
        last_outcome=6,
        last_reversal=8,
    )
    assert found.payable_units == 15


# --- From signed terms ----------------------------------------------------------------------------


def test_the_rules_of_terms() -> None:
    found = rules_of(FULL, b"\x09" * 32)
    assert found._asdict() == {
        "contract_id": b"\x09" * 32,
        "surface": FULL.surface,
        "owner": address_word(FULL.owner),
        "operator": address_word(FULL.operator),
        "verifier": address_word(FULL.verifier),
        "policy_hash": FULL.policy,
        "attribution": "last_touch",
        "outcome": "activated",
        "repeatable": False,
        "unit_price_units": 8_000_000,
        "revenue_share_bps": 1_000,
        "budget_units": 400_000_000,
        "opens_at_ms": 1_900_000_000_000,
        "deadline_ms": 1_900_000_000_000 + 14 * 86_400_000,
        "attribution_window_ms": 7 * 86_400_000,
        "holdback_period_ms": 15 * 86_400_000,
        "statement_group": hashlib.sha256(
            address_word(FULL.token)
            + address_word(FULL.verifier)
            + address_word(FULL.fee_recipient)
            + b"\x00\xfa"
        ).digest(),
        "statements_until_ms": (FULL.deadline_s + FULL.grace_s) * 1000,
        "token": address_word(FULL.token),
    }


@pytest.mark.parametrize(
    ("changes", "is_same"),
    [
        ({"token": OWNER}, False),
        ({"verifier": OWNER}, False),
        ({"fee_recipient": OWNER}, False),
        ({"fee_bps": 251}, False),
        ({"payee": OWNER, "salt": bytes(32), "unit_price_units": 1, "surface": bytes(32)}, True),
    ],
)
def test_one_group_is_what_the_escrow_settles_in_one_call(
    changes: dict[str, object], is_same: bool
) -> None:
    plain = dataclasses.replace(PLAIN, fee_recipient=FULL.fee_recipient, fee_bps=250)
    # `replace` takes any field; mypy cannot see which.
    other = dataclasses.replace(plain, **changes)  # type: ignore[arg-type]
    groups = [rules_of(terms, bytes(32)).statement_group for terms in (plain, other)]
    assert (groups[0] == groups[1]) is is_same


# --- What the log states, the escrow takes --------------------------------------------------------


@st.composite
def late_histories(draw: st.DrawFn) -> History:
    """Draw markets whose contracts end half way, with refunds behind their ends."""
    random = draw(seeds)
    governing = policy()
    contracts = [
        rules_._replace(
            outcome="paid",
            budget_units=1000,
            opens_at_ms=0,
            deadline_ms=25_000,
            attribution_window_ms=90_000,
            statements_until_ms=random.choice([25_000, 27_000]),
            holdback_period_ms=random.choice([0, 5000, 20_000]),
        )
        for rules_ in draw(contract_lists(governing))
    ]
    steps = draw(request_lists(contracts))
    for at in range(len(steps), 0, -2):
        now = steps[at - 1][0]
        if now >= 20_000:
            refund = ProductEvent(SURFACE, random.choice(LEADS), "refund", 0, now)
            steps[at:at] = [(now, refund), (now, Settle())]
    return history(governing, contracts, *steps)


def test_the_escrow_refuses_no_statement_of_an_honest_log() -> None:
    """Brought at once where nothing is pending, each statement of the fold is taken."""
    seen: Counter[str] = Counter()

    @examples(500)
    @given(late_histories())
    def bring(found: History) -> None:
        for name, record in found.contracts.items():
            rules_ = record.rules
            escrowed = EscrowedContract(
                dataclasses.replace(
                    PLAIN,
                    unit_price_units=rules_.unit_price_units,
                    revenue_share_bps=rules_.revenue_share_bps,
                    budget_units=rules_.budget_units,
                    opens_at_s=0,
                    deadline_s=rules_.deadline_ms // 1000,
                    grace_s=(rules_.statements_until_ms - rules_.deadline_ms) // 1000,
                    holdback_period_s=rules_.holdback_period_ms // 1000,
                    challenge_period_s=0,
                )
            )
            for at, (entry, _) in enumerate(found.records):
                if entry.kind != "settlement" or entry.subject != name:
                    continue
                said = unpack_settlement(entry.payload)
                late = entry.time_ms > rules_.statements_until_ms
                if late and said.reversed == escrowed.reversed_units:
                    continue  # it takes back outcomes that were worth nothing
                taken = escrowed.settle(entry.time_ms // 1000, at, said.earned, said.reversed)
                assert taken.refusal == ""
                seen["late" if late else "in time"] += 1

    bring()
    assert min(seen["late"], seen["in time"]) >= 3, seen


@pytest.mark.parametrize(
    ("changes", "since_ms", "does"),
    [
        ({}, 150, True),
        ({"unit_price_units": 9, "attribution_window_ms": 1}, 150, True),
        ({"opens_at_ms": 200}, 0, True),
        ({"opens_at_ms": 201}, 0, False),
        ({}, 201, False),
        ({"deadline_ms": 99}, 0, False),
        ({"outcome": "trial"}, 150, False),
        ({"operator": OWNER_WORD}, 150, False),
        ({"surface": OWNER_WORD}, 150, False),
        ({"policy_hash": OWNER_WORD}, 150, False),
        ({"owner": LEADS[0]}, 150, False),
    ],
)
def test_an_older_contract_goes_before_a_later_one_for_as_long_as_both_count(
    changes: dict[str, object], since_ms: int, does: bool
) -> None:
    later = contract().rules._replace(**changes)  # type: ignore[arg-type]
    assert goes_before(contract(), later, since_ms) == does


def test_a_closed_contract_goes_before_none() -> None:
    closed = dataclasses.replace(contract(), closed_at_ms=120)
    assert not goes_before(closed, contract().rules, 150)
