"""The reasons for an outcome: what it follows from, how its amount is made, how far it is paid."""

from orchestrator.core.common.errors import WhyError
from orchestrator.core.log.entry import unpack_outcome, unpack_reversal, unpack_settlement
from orchestrator.core.why.lead import rival_reason
from orchestrator.core.why.reason import (
    Code,
    Reason,
    amount,
    cut,
    moment,
    party,
    percent,
    short,
)
from orchestrator.core.why.source import Filter, Placed, Source, entry_at, read_all
from orchestrator.core.why.story import OUTCOME_KINDS, Story, read_story
from orchestrator.core.world.contract import NEVER_MS, Contract


def why_outcome(source: Source, position: int) -> Reason:
    """Return what an outcome rests on, what it pays, and how far that is stated and paid.

    A reversal is answered by its outcome. Raises WhyError for any other entry.
    """
    placed = entry_at(source, position)
    if placed.entry.kind == "outcome.reversed":
        placed = entry_at(source, unpack_reversal(placed.entry.payload).outcome)
    entry = placed.entry
    if entry.kind not in OUTCOME_KINDS:
        raise WhyError(
            "not-an-outcome", f"entry {position} is of kind {entry.kind}, and no outcome"
        )
    contract = known_contract(source, entry.actor)
    story = read_story(source, entry.surface, entry.subject)
    parts = [*_ground(source, contract, placed), *_rivals(story, placed)]
    text = f"outcome {placed.position} of contract {short(entry.actor)}"
    paid = amount(entry.value, contract.rules.token, source.tokens)
    if entry.kind == "outcome.over":
        budget = amount(contract.rules.budget_units, contract.rules.token, source.tokens)
        text = (
            f"{text} is not paid: {paid} on top of what had been earned and not taken back would "
            f"have passed the budget of {budget}, and no outcome is paid in part"
        )
        numbers = {"over_units": entry.value, "budget_units": contract.rules.budget_units}
        at = (placed.position, contract.opened)
        return Reason(Code.OUTCOME_OVER_BUDGET, text, at, tuple(parts), numbers, entry.actor)
    parts += [*_stated(source, contract, placed), *_taken_back(source, contract, story, placed)]
    taken = story.reversed_units(placed.position)
    text = f"{text} pays {paid}"
    if taken:
        text += f", of which {amount(taken, contract.rules.token, source.tokens)} was taken back"
    numbers = {"earned_units": entry.value, "reversed_units": taken}
    return Reason(Code.OUTCOME_PAYS, text, (placed.position,), tuple(parts), numbers, entry.actor)


def known_contract(source: Source, contract_id: bytes) -> Contract:
    """Return a contract. Raises WhyError if its opening is not in the log."""
    found = source.contract(contract_id)
    if found is None:
        raise WhyError("contract-unknown", f"contract 0x{contract_id.hex()} is not in the log")
    return found


def _ground(source: Source, contract: Contract, outcome: Placed) -> list[Reason]:
    """Return the touch, the transition and the price that an outcome follows from."""
    facts, rules = unpack_outcome(outcome.entry.payload), contract.rules
    touch, transition = entry_at(source, facts.touch), entry_at(source, facts.transition)
    value = transition.entry.value
    share = rules.share_units(value)

    def shown(units: int) -> str:
        return amount(units, rules.token, source.tokens)

    price = f"{shown(outcome.entry.value)} is the price of {shown(rules.unit_price_units)}"
    if rules.revenue_share_bps:
        price += (
            f" and {percent(rules.revenue_share_bps)} of {shown(value)}, which is {shown(share)}"
        )
    numbers = {
        "price_units": rules.unit_price_units,
        "share_units": share,
        "share_bps": rules.revenue_share_bps,
        "value_units": value,
    }
    return [
        Reason(
            Code.OUTCOME_TRANSITION,
            f"the lead moved to {transition.entry.label!r} at {moment(transition.entry.time_ms)}",
            (facts.transition,),
        ),
        Reason(
            Code.OUTCOME_TOUCH,
            f"by {rules.attribution.replace('_', ' ')}, touch {touch.entry.label!r} of "
            f"{party(touch.entry.actor)} at {moment(touch.entry.time_ms)} is credited",
            (facts.touch,),
        ),
        Reason(Code.OUTCOME_AMOUNT, price, (facts.transition, contract.opened), numbers=numbers),
    ]


def _rivals(story: Story, outcome: Placed) -> tuple[Reason, ...]:
    """Return how the other contracts fared at the outcome's transition."""
    position = unpack_outcome(outcome.entry.payload).transition
    transition = next((one for one in story.transitions if one.position == position), None)
    if transition is None:
        return ()
    others = [
        rival_reason(story, transition, rival)
        for rival in story.rivals(transition)
        if rival.contract.rules.contract_id != outcome.entry.actor
        and rival.barred is not Code.UNTOUCHED
    ]
    return cut(others, len(others), "contracts")


def _stated(source: Source, contract: Contract, outcome: Placed) -> list[Reason]:
    """Return how far an outcome is stated, anchored and paid."""
    rules, name = contract.rules, contract.rules.contract_id
    after = Filter(subject=name, kind="settlement", after=outcome.position)
    settlement = next(iter(source.find(after, 1)), None)
    if settlement is None:
        return [unstated(source, contract, outcome.position)]
    facts, value = unpack_settlement(settlement.entry.payload), settlement.entry.value
    stated = Reason(
        Code.STATED,
        f"the verifier's statement at entry {settlement.position} covers it, with "
        f"{amount(value, rules.token, source.tokens)} earned and not taken back in all",
        (settlement.position,),
        numbers={"earned_units": facts.earned, "reversed_units": facts.reversed},
        subject=name,
    )
    return [stated, *_anchored(source, settlement.position), *_paid(source, contract, settlement)]


def _anchored(source: Source, position: int) -> list[Reason]:
    is_anchored = source.is_anchored(position)
    if is_anchored is None:
        return []
    if is_anchored:
        text = "the chain holds a root of the log that covers that statement"
        return [Reason(Code.ANCHORED, text, (position,))]
    text = "no root that covers that statement is known to be on the chain yet"
    return [Reason(Code.NOT_ANCHORED, text, (position,))]


def unstated(source: Source, contract: Contract, position: int) -> Reason:
    """Return why what stands at a position is in no statement, and whether it can still be."""
    rules = contract.rules
    if contract.closed_at_ms is not None:
        text = "the parties closed the contract before it was stated, and agreed what is payable"
        return Reason(Code.NEVER_STATED, text, (position,), subject=rules.contract_id)
    if source.now_ms > rules.statements_until_ms:
        text = (
            f"no statement covers it, and the escrow takes none of outcomes after "
            f"{moment(rules.statements_until_ms)}: where the terms allow it, claim it by proof"
        )
        return Reason(Code.NEVER_STATED, text, (position,), subject=rules.contract_id)
    text = "no statement covers it yet: the next settlement does"
    if rules.statements_until_ms < NEVER_MS:
        text += f", until {moment(rules.statements_until_ms)}"
    return Reason(Code.NOT_STATED, text, (position,), subject=rules.contract_id)


def _paid(source: Source, contract: Contract, settlement: Placed) -> list[Reason]:
    """Return how far a statement is paid: payments are of all that a contract owes together."""
    rules, due = contract.rules, settlement.entry.value
    payouts, is_cut = read_all(source, Filter(subject=rules.contract_id, kind="payout"))
    total, positions = 0, []
    for payout in payouts:
        total += payout.entry.value
        positions.append(payout.position)
        if total >= due:
            break
    shown = amount(total, rules.token, source.tokens)
    numbers, name = {"paid_units": total, "stated_units": due}, rules.contract_id
    if due and total >= due:
        text = f"with payout {positions[-1]} the contract had paid {shown}, all of that statement"
        return [Reason(Code.PAID, text, tuple(positions[-1:]), (), numbers, name)]
    if is_cut or not due:
        return []
    stated = amount(due, rules.token, source.tokens)
    if not total:
        text = (
            f"nothing of the {stated} is paid yet: the statement has to be anchored, signed and, "
            f"where the terms say so, open to challenge first"
        )
        return [Reason(Code.NOT_PAID, text, (settlement.position,), (), numbers, name)]
    text = (
        f"the contract has paid {shown} of the {stated}: the rest waits for a statement's "
        f"challenge, is held back while events can take outcomes back, or passes the rate cap"
    )
    return [Reason(Code.PAID_IN_PART, text, tuple(positions[-1:]), (), numbers, name)]


def _taken_back(source: Source, contract: Contract, story: Story, outcome: Placed) -> list[Reason]:
    """Return what was taken back of an outcome, and whether more can be."""
    rules, entry = contract.rules, outcome.entry
    found = [
        Reason(
            Code.REVERSED,
            f"{amount(one.entry.value, rules.token, source.tokens)} was taken back by the event at "
            f"entry {unpack_reversal(one.entry.payload).event}, of {moment(one.entry.time_ms)}",
            (unpack_reversal(one.entry.payload).event, one.position),
            numbers={"reversed_units": one.entry.value},
            subject=rules.contract_id,
        )
        for one in story.reversals.get(outcome.position, ())
    ]
    policy = story.market.policy_at(outcome.position)
    until_ms = entry.time_ms + rules.holdback_period_ms
    reported_ms = until_ms + policy.lateness_s * 1000
    if not policy.is_reversible(entry.label):
        text = f"no event of the policy takes outcomes into {entry.label!r} back"
        last = Reason(Code.NOT_REVERSIBLE, text, (outcome.position,))
    elif story.reversed_units(outcome.position) >= entry.value > 0:
        last = Reason(Code.NOT_REVERSIBLE, "all of it was taken back", (outcome.position,))
    elif source.now_ms > reported_ms:
        text = f"events after {moment(until_ms)} take nothing back, and none before it can come now"
        last = Reason(Code.NOT_REVERSIBLE, text, (outcome.position,))
    else:
        text = f"events up to {moment(until_ms)} can still take it back"
        last = Reason(Code.REVERSIBLE, text, (outcome.position,), numbers={"until_ms": until_ms})
    return [*cut(found, len(found), "reversals"), last]
