"""A recount of payments: what the escrow does passes, and nothing that is one unit off does."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.chain.abi import (
    ChainEvent,
    Claimed,
    ClaimLowered,
    ClaimsDisputed,
    ClaimsRuled,
    Closed,
    Credited,
    Disproved,
    Disputed,
    Event,
    Final,
    Opened,
    Paid,
    Pending,
    Refunded,
    Refused,
    ReversalRecorded,
    Ruled,
    Settled,
)
from orchestrator.core.common.errors import ReplayError
from orchestrator.core.deals.escrow_model import EscrowedContract, times_of
from orchestrator.core.deals.terms import Terms
from orchestrator.verify.recount import Totals, recount
from tests.support.terms import ARBITER, terms

ID = b"\7" * 32
KEY = b"\5" * 32
STATEMENTS = {5: Totals(40, 0), 9: Totals(60, 0), 12: Totals(60, 10)}
FEE = {"fee_bps": 1000, "fee_recipient": ARBITER}
PLAIN = terms(**FEE)
# Statements wait 50 s; a fifth is held back for 200 s; claims are made from 1000 s to 1100 s.
GUARDED = terms(
    **FEE,
    arbiter=ARBITER,
    challenge_period_s=50,
    arbitration_period_s=30,
    holdback_bps=2000,
    holdback_period_s=200,
    claim_period_s=100,
)
LAST = times_of(GUARDED).refutable_until_s  # claims are paid then
Steps = list[tuple[int, Event]]


def paid(amount: int, fee: int) -> Paid:
    return Paid(ID, amount, fee)


def count(
    deal: Terms, steps: Steps, statements: dict[int, Totals] | None = None
) -> EscrowedContract:
    events = [ChainEvent(n, b"", b"", 0, at_s, event) for n, (at_s, event) in enumerate(steps)]
    return recount(ID, deal, events, STATEMENTS if statements is None else statements).contract


OPENED = (0, Opened(ID, PLAIN.owner, PLAIN.operator, PLAIN))
# A plain contract: paid at once; a reversal pays nothing; a transfer that failed is a credit.
AT_ONCE: Steps = [
    OPENED,
    (100, Settled(ID, 5, 40, 0)),
    (100, paid(36, 4)),
    (100, Credited(ID, PLAIN.payee, 36)),
    (200, Refused(ID, 5, "already_settled")),
    (300, Settled(ID, 9, 60, 0)),
    (300, paid(18, 2)),
    (400, Settled(ID, 12, 60, 10)),
    (1001, Refunded(ID, PLAIN.owner, 40)),
]
# A guarded one: paid 40 less a fifth, then the next statement's, then what was held.
IN_TIME: Steps = [
    OPENED,
    (100, Settled(ID, 5, 40, 0)),
    (100, Pending(ID, 5, 150)),
    (160, Final(ID, 5, 40, 150)),
    (160, paid(29, 3)),
    (200, Settled(ID, 9, 60, 0)),
    (200, Pending(ID, 9, 250)),
    (260, Final(ID, 9, 60, 250)),
    (260, paid(15, 1)),
    (500, paid(10, 2)),
    (1101, Refunded(ID, PLAIN.owner, 40)),
]
DISPUTED: Steps = [
    (100, Settled(ID, 5, 40, 0)),
    (120, Disputed(ID, PLAIN.owner, 180)),
    (130, Ruled(ID, 30)),
    (130, Final(ID, 5, 30, 130)),
    (130, paid(22, 2)),
]
DISPROVED: Steps = [
    (100, Settled(ID, 5, 40, 0)),
    (120, Disproved(ID, "duplicate")),
    (1050, Claimed(ID, KEY, b"", 3, 2, 800_000, 1)),
    (LAST + 1, paid(1, 0)),
    (LAST + 1, Refunded(ID, PLAIN.owner, 99)),
]
# Of two claims, 50 together, the arbiter leaves 40; the log refutes the larger one after that.
CLAIMED: Steps = [
    (1050, Claimed(ID, KEY, b"", 3, 2, 800_000, 30)),
    (1051, Claimed(ID, ID, b"", 5, 4, 900_000, 20)),
    (1101, ClaimsDisputed(ID, PLAIN.operator)),
    (1101, ClaimsRuled(ID, 40)),
    (1102, Refunded(ID, PLAIN.owner, 60)),
    (1200, ClaimLowered(ID, KEY, 0, "answered")),
    (1200, Refunded(ID, PLAIN.owner, 20)),
    (LAST + 1, paid(18, 2)),
]
# Events that no statement has take twelve, then three more, of the outcome at entry 3.
TAKEN_BACK: Steps = [
    (100, Settled(ID, 5, 40, 0)),
    (100, Pending(ID, 5, 150)),
    (160, Final(ID, 5, 40, 150)),
    (160, ReversalRecorded(ID, 8, 3, 25, 40, 12)),
    (160, ReversalRecorded(ID, 7, 3, 25, 40, 3)),
    (160, paid(18, 2)),
    (200, Settled(ID, 9, 60, 0)),
    (200, Disproved(ID, "duplicate")),
    (500, paid(5, 0)),
    (1050, Claimed(ID, KEY, b"", 3, 2, 800_000, 30)),
    (1100, ClaimLowered(ID, KEY, 20, "reversed")),
    (LAST + 1, paid(18, 2)),
    (LAST + 1, Refunded(ID, PLAIN.owner, 55)),
]
# Brought late, a statement is refused, and what is due but for the claim is paid with it.
REFUSED: Steps = [
    (100, Settled(ID, 5, 40, 0)),
    (100, Pending(ID, 5, 150)),
    (1050, Claimed(ID, KEY, b"", 3, 2, 800_000, 20)),
    (LAST + 1, Final(ID, 5, 40, 150)),
    (LAST + 1, paid(36, 4)),
    (LAST + 1, Refused(ID, 9, "ended")),
    (LAST + 1, paid(18, 2)),
]
AGREED: Steps = [
    (100, Settled(ID, 5, 40, 0)),
    (120, Closed(ID, 20)),
    (120, paid(18, 2)),
    (120, Refunded(ID, PLAIN.owner, 80)),
]


@pytest.mark.parametrize(
    ("deal", "steps", "paid_units", "refunded_units"),
    [
        (PLAIN, AT_ONCE, 60, 40),
        (GUARDED, IN_TIME, 60, 40),
        (GUARDED, DISPUTED, 24, 0),
        (GUARDED, DISPROVED, 1, 99),
        (GUARDED, CLAIMED, 20, 80),
        (GUARDED, TAKEN_BACK, 45, 55),
        (GUARDED, REFUSED, 60, 0),
        (GUARDED, AGREED, 20, 80),
        (PLAIN, [], 0, 0),
    ],
    ids=[
        "at once",
        "in time",
        "disputed",
        "disproved",
        "claimed",
        "taken back",
        "refused",
        "agreed",
        "nothing",
    ],
)
def test_what_the_escrow_does_is_what_is_counted(
    deal: Terms, steps: Steps, paid_units: int, refunded_units: int
) -> None:
    contract = count(deal, steps)
    assert (contract.paid_units, contract.refunded_units) == (paid_units, refunded_units)


@pytest.mark.parametrize(
    "deal_and_steps", [(PLAIN, AT_ONCE), (GUARDED, IN_TIME), (GUARDED, AGREED)]
)
def test_one_unit_more_or_less_is_found(deal_and_steps: tuple[Terms, Steps]) -> None:
    deal, steps = deal_and_steps
    names = {Paid: ("amount_units", "fee_units"), Refunded: ("amount_units",)}
    tried = 0
    for place, (at_s, event) in enumerate(steps):
        for name in names.get(type(event), ()):
            for change in (-1, 1):
                forged: Any = replace(event, **{name: getattr(event, name) + change})
                with pytest.raises(ReplayError, match="the rules give"):
                    count(deal, [*steps[:place], (at_s, forged), *steps[place + 1 :]])
                tried += 1
    assert tried >= 6


def without(place: int) -> Callable[[Steps], Steps]:
    return lambda steps: steps[:place] + steps[place + 1 :]


def instead(place: int, **changes: Any) -> Callable[[Steps], Steps]:
    def change(steps: Steps) -> Steps:
        at_s, event = steps[place]
        forged: Any = replace(event, **changes)
        return [*steps[:place], (at_s, forged), *steps[place + 1 :]]

    return change


def at(place: int, at_s: int) -> Callable[[Steps], Steps]:
    return lambda steps: [*steps[:place], (at_s, steps[place][1]), *steps[place + 1 :]]


@pytest.mark.parametrize(
    ("deal", "steps", "forge", "complaint"),
    [
        (PLAIN, AT_ONCE, instead(1, position=6), "entry 6 is no statement"),
        (PLAIN, AT_ONCE, without(1), "the rules give 0"),
        (PLAIN, AT_ONCE, without(2), "40 units .* were due, and not paid"),
        (PLAIN, AT_ONCE, at(7, 1001), "must be refused: ended"),
        (PLAIN, AT_ONCE, at(8, 1000), "nothing is refunded until"),
        (PLAIN, AT_ONCE, instead(7, earned_units=61), "states other totals"),
        (GUARDED, TAKEN_BACK, without(4), "the rules give"),
        (GUARDED, TAKEN_BACK, instead(4, amount_units=4), "the rules give"),
        (GUARDED, TAKEN_BACK, instead(4, happened=8), "was shown before"),
        (GUARDED, TAKEN_BACK, instead(4, amount_units=14), "26 would be taken back of the 25"),
        (GUARDED, TAKEN_BACK, instead(4, happened=5), "last final statement is at entry 5"),
        (GUARDED, TAKEN_BACK, instead(4, outcome=6), "last final statement is at entry 5"),
        (GUARDED, TAKEN_BACK, instead(4, sum_units=0), "nothing is held back"),
        (GUARDED, TAKEN_BACK, instead(10, left_units=30), "not less than"),
        (GUARDED, IN_TIME, instead(1, reversed_units=1), "states other totals"),
        (GUARDED, IN_TIME, at(4, 150), "the rules give 0"),
        (GUARDED, IN_TIME, without(1), "the rules give 0"),
        (GUARDED, IN_TIME, without(8), "the rules give"),
        (GUARDED, IN_TIME, at(9, 350), "the rules give 8"),
        (GUARDED, IN_TIME, at(9, 349), "the rules give 0"),
        (GUARDED, DISPUTED, without(1), "is not disputed"),
        (GUARDED, DISPUTED, without(4), "24 units .* were due, and not paid"),
        (GUARDED, DISPUTED, at(1, 151), "not pending"),
        (GUARDED, DISPUTED, instead(2, payable_units=101), "not from 0 to 100"),
        (GUARDED, DISPROVED, without(1), "more than|pending|the rules give"),
        (GUARDED, DISPROVED, at(3, LAST), "the rules give 0"),
        (GUARDED, DISPROVED, at(2, 1000), "possible after"),
        (GUARDED, REFUSED, instead(4, amount_units=35), "the rules give"),
        (GUARDED, REFUSED, instead(4, amount_units=54, fee_units=6), "the rules give 0"),
        (GUARDED, AGREED, without(3), "80 units .* were due, and not paid"),
        (GUARDED, AGREED, instead(1, payable_units=101), "not from"),
    ],
)
def test_what_the_rules_do_not_give_is_found(
    deal: Terms, steps: Steps, forge: Callable[[Steps], Steps], complaint: str
) -> None:
    with pytest.raises(ReplayError, match=complaint) as caught:
        count(deal, forge(steps))
    assert "\n" not in caught.value.message
    assert ID.hex() in caught.value.message


def test_a_statement_that_the_log_does_not_have_pays_nothing() -> None:
    with pytest.raises(ReplayError, match="no statement about this contract"):
        count(PLAIN, AT_ONCE, {})


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        (DISPUTED, [("dispute.opened", "owner", 40), ("dispute.ruled", "lowered", 30)]),
        (
            CLAIMED,
            [("dispute.opened", "claims by operator", 50), ("dispute.ruled", "claims lowered", 40)],
        ),
    ],
)
def test_disputes_are_told_with_what_was_stated(
    steps: Steps, told: list[tuple[str, str, int]]
) -> None:
    events = [ChainEvent(n, b"", b"", 0, at_s, event) for n, (at_s, event) in enumerate(steps)]
    found = recount(ID, GUARDED, events, STATEMENTS).disputes
    assert [(one.kind, one.label, one.units) for one in found] == told
    assert [one.actor[12:].hex() for one in found] == [
        (PLAIN.owner if steps is DISPUTED else PLAIN.operator)[2:].lower(),
        ARBITER[2:].lower(),
    ]
