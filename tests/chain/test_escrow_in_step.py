"""The deployed escrow and the model of it in step: the same refusals, and the same units."""

import dataclasses
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import Phase, given, settings

from orchestrator.chain.deployment import Chain
from orchestrator.core.common.units import DAY_S
from orchestrator.core.deals.escrow_model import times_of
from orchestrator.core.deals.terms import Terms
from orchestrator.runtime.local_chain import Deployment, LocalChainClock
from orchestrator.runtime.local_servers import LocalAnvil
from tests.support.chain_deal import STRANGER, USD, AnchoredLog, deal_terms
from tests.support.depth import PROFILE, examples
from tests.support.escrow_pair import EscrowPair, Purchase
from tests.support.worlds import seeds

HOUR_S = 3600
VALUE = 20 * USD
STEPS = 30
REFUSALS = {
    "settle stale",
    "settle pending",
    "settle ended",
    "settle reversed-fell",
    "prove already-recorded",
    "prove already-stated",
    "prove event-does-not-reverse",
    "prove more-than-outcome",
    "prove not-held",
    "prove not-settled",
}


@pytest.fixture(scope="module")
def deployed(
    module_anvil: LocalAnvil, deployment: Deployment, clock: LocalChainClock
) -> Iterator[Chain]:
    clock.node.call("evm_setAutomine", False)
    with Chain(module_anvil.rpc_url, deployment.addresses) as chain:
        yield chain
    clock.node.call("evm_setAutomine", True)


@contextmanager
def opened(
    chain: Chain, clock: LocalChainClock, deployment: Deployment, **changes: Any
) -> Iterator[EscrowPair]:
    """Open a contract in both escrows; put the chain back afterwards."""
    before = clock.node.call("evm_snapshot")
    log = AnchoredLog(chain, deployment.log_id)
    terms = guarded(deal_terms(deployment, clock.now_s()), **changes)
    try:
        yield EscrowPair(chain, clock, log, terms)
    finally:
        assert clock.node.call("evm_revert", before)


def guarded(plain: Terms, **changes: Any) -> Terms:
    """Return terms with a share of revenue, statements to challenge, and half of it held back."""
    terms = dataclasses.replace(
        plain,
        deadline_s=plain.opens_at_s + 20 * DAY_S,
        unit_price_units=USD,
        revenue_share_bps=1000,
        budget_units=30 * USD,
        arbiter=STRANGER,
        lateness_s=HOUR_S,
        challenge_period_s=2 * HOUR_S,
        arbitration_period_s=HOUR_S,
        holdback_bps=5000,
        holdback_period_s=5 * DAY_S,
    )
    terms = dataclasses.replace(terms, **changes)
    dispute_s = terms.challenge_period_s + terms.arbitration_period_s
    return dataclasses.replace(terms, grace_s=terms.lateness_s + DAY_S + dispute_s)


# --- One after the other --------------------------------------------------------------------------


def test_each_event_counts_once_and_only_while_money_is_held(
    deployed: Chain, clock: LocalChainClock, deployment: Deployment
) -> None:
    """Of an outcome of 3.00, refunds of a quarter take 0.50 each, and the last one the rest."""
    with opened(deployed, clock, deployment) as pair:
        first, late = buy(pair), buy(pair)
        early = quarter(pair, first)
        assert pair.prove(early) == "not-settled"
        stated = pair.state(pair.earned_units, 500_000)
        assert pair.settle(stated) == ""
        pair.pass_to(pair.now_s + pair.terms.challenge_period_s)
        assert pair.prove(early) == "not-settled"
        pair.pass_to(pair.now_s + 1)
        assert pair.prove(early) == "already-stated"
        assert pair.release() == ""
        assert pair.model.paid_units == 2_750_000

        second, third = quarter(pair, first), quarter(pair, first)
        below = pair.state(pair.earned_units, 500_000)
        rest = quarter(pair, first)
        assert pair.prove(rest) == pair.prove(third) == pair.prove(second) == ""
        assert pair.prove(third) == "already-recorded"
        assert pair.model.net_units(pair.now_s) == 3_000_000
        # The verifier said 0.50 of the first outcome, before the escrow knew of any event.
        forgotten = quarter(pair, first, forgets=True)
        assert pair.prove(forgotten) == ""
        assert pair.prove(quarter(pair, first, forgets=True)) == "more-than-outcome"
        assert pair.settle(below) == "stale"
        assert pair.settle(pair.state(pair.earned_units, 3_000_000)) == ""
        above = quarter(pair, late)
        assert pair.prove(above) == ""
        pair.pass_to(pair.now_s + pair.terms.challenge_period_s + 1)
        assert pair.model.net_units(pair.now_s) == 2_500_000
        assert pair.release() == ""

        free_s = pair.terms.holdback_period_s + pair.terms.lateness_s
        last = quarter(pair, late)
        pair.pass_to(pair.model.final_totals[0].since_s + free_s - 1)
        assert pair.prove(quarter(pair, late)) == ""
        pair.pass_to(pair.now_s + 1)
        assert pair.prove(last) == "not-held"
        assert pair.release() == ""
        pair.pass_to(times_of(pair.terms).claims_until_s + 1)
        assert pair.refund() == ""
        assert pair.model.paid_units + pair.model.refunded_units == pair.terms.budget_units
        pair.recount()


def test_a_statement_that_is_refused_releases_what_is_due_but_for_claims(
    deployed: Chain, clock: LocalChainClock, deployment: Deployment
) -> None:
    """The second outcome was claimed. A recount knows the payment from one by a release."""
    with opened(deployed, clock, deployment, claim_period_s=4 * DAY_S) as pair:
        first, second = buy(pair), buy(pair)
        pair.settle(pair.state(first.amount_units, 0))
        pair.pass_to(times_of(pair.terms).statements_until_s + 1)
        assert pair.claim(second) == ""
        assert pair.claim(second) == "already-claimed"
        pair.pass_to(times_of(pair.terms).refutable_until_s + 1)
        assert pair.settle(pair.state(pair.earned_units, 0)) == "ended"
        assert pair.model.paid_units == first.amount_units
        pair.recount()
        assert pair.release() == ""
        assert pair.model.paid_units == pair.earned_units
        pair.recount()


def test_an_outcome_looks_no_older_for_a_ruling(
    deployed: Chain, clock: LocalChainClock, deployment: Deployment
) -> None:
    """The arbiter makes 8.00 of 3.00; the next 3.00 must not pass for a part of what is old."""
    with opened(deployed, clock, deployment) as pair:
        first = buy(pair)
        stated = pair.state(pair.earned_units, 0)
        pair.settle(stated)
        assert pair.dispute(stated, by_owner=False) == ""
        assert pair.rule(stated, 8 * USD) == ""
        free_s = pair.now_s + pair.terms.holdback_period_s + pair.terms.lateness_s
        second = buy(pair)
        pair.settle(pair.state(pair.earned_units, 0))
        pair.pass_to(free_s)
        assert pair.prove(quarter(pair, first)) == "not-held"
        assert pair.prove(quarter(pair, second)) == ""
        assert pair.model.net_units(pair.now_s) == 10_500_000
        pair.recount()


def test_what_is_refused_changes_nothing(
    deployed: Chain, clock: LocalChainClock, deployment: Deployment
) -> None:
    """A call that reverts has made no statement final: the next one finds it matured."""
    with opened(deployed, clock, deployment, holdback_bps=0, holdback_period_s=0) as pair:
        buy(pair)
        stated = pair.state(pair.earned_units, 0)
        pair.settle(stated)
        pair.pass_to(pair.now_s + pair.terms.challenge_period_s + 1)
        assert pair.dispute(stated, by_owner=True) == "not-pending"
        assert pair.settle(stated) == "already-settled"
        assert pair.model.paid_units == pair.earned_units
        pair.recount()


def test_a_closed_contract_is_closed_before_all_else(
    deployed: Chain, clock: LocalChainClock, deployment: Deployment
) -> None:
    with opened(deployed, clock, deployment) as pair:
        refund = quarter(pair, buy(pair))
        # A statement that takes back, and names no reversal, contradicts itself.
        stated = pair.state(pair.earned_units, 500_000)
        assert pair.disprove(stated) == "not-vouched-for"
        pair.settle(stated)
        pair.pass_to(pair.now_s + pair.terms.challenge_period_s + 1)
        assert pair.disprove(stated) == ""
        assert pair.disprove(stated) == "already-retired"
        above = quarter(pair, refund.purchase)
        assert pair.close(pair.model.paid_units) == ""
        assert pair.disprove(stated) == pair.prove(above) == "already-closed"
        pair.recount()


def buy(pair: EscrowPair, value_units: int = VALUE) -> Purchase:
    number = len(pair.purchases)
    return pair.buy(value_units, pair.terms.opens_at_s * 1000 + number, bytes([number + 1]) * 32)


def quarter(pair: EscrowPair, purchase: Purchase, **how: bool) -> Any:
    at_ms = purchase.time_ms + 1
    return pair.give_back(purchase, purchase.value_units // 4, at_ms, at_ms, **how)


# --- Any order ------------------------------------------------------------------------------------


def deal(random: Any) -> dict[str, Any]:
    """Return changes of the guarded terms: other shares and delays, and some without."""
    pick = random.choice
    return {
        "unit_price_units": (unit := pick([0, USD, USD, 7])),
        "revenue_share_bps": pick([1000, 3333, 10_000] if not unit else [0, 1000, 3333, 3333]),
        "budget_units": pick([5, 30, 30, 300]) * USD,
        "claim_period_s": pick([0, 0, 4 * DAY_S]),
        "challenge_period_s": pick([0, 2 * HOUR_S, 2 * HOUR_S]),
        "lateness_s": pick([0, HOUR_S]),
        "holdback_bps": pick([0, 1, 2500, 5000, 5000, 10_000, 10_000, 10_000]),
        "holdback_period_s": pick([1, 5, 5]) * DAY_S,
        "rate_cap_units": (cap := pick([0, 0, 3 * USD])),
        "rate_period_s": DAY_S if cap else 0,
    }


def write(pair: EscrowPair, random: Any) -> None:
    """Append something to the log: mostly what is true."""
    pick, terms = random.choice, pair.terms
    match pick(["buy"] + ["refund"] * 4 + ["state"] * 3):
        case "refund":
            whole = [one for one in pair.purchases if not is_spent(one)]
            purchase = pick(whole or pair.purchases)
            value, late_ms = purchase.value_units, terms.holdback_period_s * 1000 + 1
            part = pick([1, value // 7, value // 3, value // 2, VALUE, VALUE * 9])
            at_ms = purchase.time_ms + pick([0] + [1] * 9 + [1000, late_ms])
            received_ms = at_ms + pick([0] * 9 + [terms.lateness_s * 1000 + 1])
            has_order, forgets = random.random() < 0.85, random.random() < 0.2
            pair.give_back(purchase, part, at_ms, received_ms, has_order=has_order, forgets=forgets)
        case "state":
            true = pair.earned_units, taken(pair)
            silent = pair.earned_units, pair.model.reversed_units
            false = pick([USD, 0, pair.earned_units]), pick([0, taken(pair) // 2])
            earned, reversed_ = pick([true, true, silent, silent, false])
            pair.state(earned, min(earned, reversed_))
        case _:
            buy(pair, pick([0, 7, VALUE, VALUE, VALUE + 9]))


def is_spent(purchase: Purchase) -> bool:
    """Return whether the last refund says that nothing is left."""
    said = [refund.opening.refunded_after_units for refund in purchase.refunds[-1:]]
    return said == [purchase.value_units]


def taken(pair: EscrowPair) -> int:
    """Return what an honest verifier would say that all refunds took back so far."""
    total = 0
    for purchase in pair.purchases:
        refunded = max(
            (refund.opening.refunded_after_units for refund in purchase.refunds), default=0
        )
        is_all = refunded >= purchase.value_units and purchase.refunds
        total += purchase.amount_units if is_all else pair.rules.share_units(refunded)
    return total


def act(pair: EscrowPair, random: Any, *, late: bool) -> None:
    """Do one step on both, mostly one that they may take. What ends contracts comes late."""
    pick, model, terms = random.choice, pair.model, pair.terms
    position = model.last_signed()
    now_s, ends = pair.now_s, times_of(terms)
    if ends.statements_until_s < now_s <= ends.claims_until_s and random.random() < 0.6:
        pair.claim(pick(pair.purchases))
        return
    match pick(
        ["settle"] * 4 + ["prove"] * 7 + ["pass"] * 3 + ["release", "money"] + ["contest"] * 2
    ):
        case "settle":
            pair.settle(pick([*pair.statements][-3:]))
        case "prove":
            final = model.last_final(now_s)
            settled = [one for one in pair.purchases if one.outcome <= final and not is_spent(one)]
            due = [
                one
                for one in pair.refunds
                if one.purchase.outcome <= final < one.position not in pair.shown
            ]
            if settled and (not due or random.random() < 0.3):
                due = [quarter(pair, pick(settled))]
            if pair.refunds:
                pair.prove(pick(due if due and random.random() < 0.8 else pair.refunds))
        case "pass":
            pair.pass_to(now_s + pick(waits(pair, late=late)))
        case "money":
            if random.random() < 0.3:
                pair.refund()
            else:
                pair.withdraw(pick([0, 1, 1, model.paid_units * terms.fee_bps // 10_000]))
        case "contest" if position:
            amount, n = random.randint(0, model.budget_units), random.randrange(6)
            if late and n < 2:
                pair.disprove(position)
            elif late and n == 2:
                pair.close(amount)
            else:
                pair.dispute(position, by_owner=n % 2 == 0)
                pair.rule(position, amount if n == 5 else model.net_units(now_s))
        case _:
            pair.release()


def begin(pair: EscrowPair, random: Any) -> None:
    """Let a statement of two outcomes become final."""
    for _ in range(2):
        buy(pair, random.choice([7, VALUE, VALUE, VALUE + 9]))
    pair.settle(pair.state(pair.earned_units, 0))
    if pair.model.pending:
        pair.pass_to(pair.model.pending.resolves_at_s + 1)


def waits(pair: EscrowPair, *, late: bool) -> list[int]:
    """Return seconds to wait: to the ends of what is under way, and just past them."""
    terms, now_s = pair.terms, pair.now_s
    free_s = terms.holdback_period_s + terms.lateness_s
    ends = [*times_of(terms)] * 2 if late else []
    if pair.model.pending:
        ends += [pair.model.pending.resolves_at_s] * 6
    ends += [total.since_s + free_s - 1 for total in pair.model.final_totals[-1:]]
    ends += [pair.model.releasable_at_s(now_s)]
    return [0, 1, HOUR_S, *(end - now_s + past for end in ends for past in (0, 1) if end >= now_s)]


def test_both_agree_after_every_step(
    deployed: Chain, clock: LocalChainClock, deployment: Deployment
) -> None:
    seen: Counter[str] = Counter()

    # A seed that fails has no smaller one, and each try is a contract's whole life.
    @settings(examples(8, deep=150), phases=[Phase.generate])
    @given(seeds)
    def run(random: Any) -> None:
        with opened(deployed, clock, deployment, **deal(random)) as pair:
            begin(pair, random)
            for step in range(STEPS):
                write(pair, random)
                act(pair, random, late=step > STEPS // 2)
            ends_s = times_of(pair.terms).refutable_until_s + pair.terms.holdback_period_s + DAY_S
            pair.pass_to(max(pair.now_s, ends_s))
            while pair.model.owed_units(pair.now_s):
                pair.pass_to(max(pair.now_s + 1, pair.model.releasable_at_s(pair.now_s)))
                pair.release()
            pair.refund()
            pair.recount()
            assert pair.model.paid_units + pair.model.refunded_units == pair.terms.budget_units
            seen.update(pair.seen)

    run()
    kinds = {"settle", "prove", "release", "refund"}
    if PROFILE == "deep":
        kinds |= {"withdraw", "dispute", "rule", "claim"} | REFUSALS
    assert kinds <= seen.keys(), kinds - seen.keys()
    assert seen["prove"] >= 5, seen
