"""Folds: an entry's effect on the world, one function for each kind that has one, of its name.

Each takes the world, the entry's position and the record. The table of kinds names them, and its
`advance` alone calls them: it refuses unknown kinds and moves size and clock on.
"""

from typing import TypeVar

from orchestrator.core.common.errors import EntryError
from orchestrator.core.log.dispute import is_lost
from orchestrator.core.log.entry import (
    CLICK,
    EXPIRED,
    TAKEN,
    ZERO_WORD,
    Entry,
    ascii_text,
    unpack_outcome,
)
from orchestrator.core.log.opening import (
    ActOpening,
    CodeOpening,
    EventOpening,
    ForecastOpening,
    Opening,
    Record,
    ReportedTouchOpening,
    TransitionOpening,
    TrustOpening,
)
from orchestrator.core.surface import trust
from orchestrator.core.surface.attribution import TouchAt, TouchHistory
from orchestrator.core.surface.forecast import Baseline, Cohort, Question, forecast_day, score
from orchestrator.core.surface.surface_settings import SurfaceSettings
from orchestrator.core.surface.trust import PendingForecast
from orchestrator.core.world.contract import Contract, ContractRules
from orchestrator.core.world.purchase import (
    MAX_UNFOUNDED,
    PaidOutcome,
    Purchase,
    forget_needless,
    next_sweep,
    untaken_purchase,
)
from orchestrator.core.world.tally import ANSWERED, PAID_AFTER, STATED_AFTER, Subject, motion_of
from orchestrator.core.world.world import (
    Errand,
    Lead,
    Operator,
    OperatorCode,
    Reporting,
    Surface,
    World,
)


def nothing(_world: World, _position: int, _record: Record) -> None:
    """Leave the world as it is: the entry is a fact that no rule rests on."""


def touch(world: World, position: int, record: Record) -> None:
    _count_act(world, record.entry)
    _add_touch(world, position, record.entry)


def touch_reported(world: World, position: int, record: Record) -> None:
    entry, opening = record.entry, _opened(record, ReportedTouchOpening)
    _add_touch(world, position, entry)
    if entry.label == CLICK:
        code = world.causes[opening.cause]
        code.count_use(max(world.time_ms, opening.received_ms), is_repeat=entry.value > 0)
        code.brought += world.arriving is not None
        world.used_codes[code.code] = None
        world.arriving = None
        return
    lead = world.leads[entry.subject]
    lead.errands = [one for one in lead.errands if one.position != opening.cause]
    world.reporting = Reporting(
        entry.subject, opening.received_ms, opening.request_hash, opening.commitment
    )


def _add_touch(world: World, position: int, entry: Entry) -> None:
    history = world.leads[entry.subject].touches.setdefault(entry.actor, TouchHistory())
    history.add(TouchAt(position, entry.time_ms))


def _count_act(world: World, entry: Entry) -> None:
    """Count an act of an operator on a lead against what its level allows a day."""
    history = world.leads[entry.subject].touches.setdefault(entry.actor, TouchHistory())
    today = trust.day_of(entry.time_ms)
    is_new_lead = history.day != today
    history.day = today
    standing = world.moved_standing(entry.surface, entry.actor)
    if is_new_lead:
        standing.count_lead(entry.time_ms)
    if standing.ground == trust.FORECASTS:
        world.surfaces[entry.surface].pool.count_touch(entry.time_ms, is_new_lead=is_new_lead)


def code_issued(world: World, position: int, record: Record) -> None:
    entry, until_ms = record.entry, _opened(record, CodeOpening).expires_ms
    issued = OperatorCode(
        entry.surface,
        entry.actor,
        entry.time_ms,
        until_ms,
        entry.value,
        entry.subject,
        position,
        entry.value,
    )
    world.causes[position] = world.codes[entry.subject] = issued
    world.used_codes[entry.subject] = None
    standing = world.moved_standing(entry.surface, entry.actor)
    standing.count_code(entry.time_ms)
    if standing.ground == trust.FORECASTS:
        pool = world.surfaces[entry.surface].pool
        pool.count_touch(entry.time_ms, is_new_lead=False, touches=entry.value)


def code_ended(world: World, _position: int, record: Record) -> None:
    ended = world.codes.get(record.entry.subject)
    if ended is None:
        raise LookupError(f"code 0x{record.entry.subject.hex()} is not in the log")
    ended.is_ended, ended.uses_left = True, 0
    world.used_codes[ended.code] = None


def action_requested(world: World, position: int, record: Record) -> None:
    entry, here = record.entry, world.surfaces[record.entry.surface]
    _count_act(world, entry)
    world.leads[entry.subject].errands.append(
        Errand(position, entry.actor, entry.label, entry.time_ms, entry.value)
    )
    world.moved_standing(entry.surface, entry.actor).errands += 1
    here.errands += 1
    # A report never bears a receipt from before what it reports.
    here.received_ms = max(here.received_ms, entry.time_ms)


def action_answered(world: World, position: int, record: Record) -> None:
    entry, lead = record.entry, world.leads[record.entry.subject]
    (at,) = (at for at, one in enumerate(lead.errands) if one.position == entry.value)
    answered = lead.errands.pop(at)
    if not answered.is_taken:
        if entry.label != EXPIRED:
            world.tallies.add(Subject(entry.surface, answered.operator, ANSWERED), position)
        world.surfaces[entry.surface].errands -= 1
        world.moved_standing(entry.surface, answered.operator).errands -= 1
    if entry.label == TAKEN:
        lead.errands.insert(at, answered._replace(is_taken=True))


def lead_registered(world: World, _position: int, record: Record) -> None:
    entry = record.entry
    if entry.value:
        world.arriving = entry.subject, entry.value
    cohorts = world.surfaces[entry.surface].cohorts
    began_ms = cohorts.enter(entry.label, max(world.time_ms, entry.time_ms))
    world.leads[entry.subject] = Lead(entry.surface, entry.label, entry.time_ms, began_ms)


def lead_transition(world: World, position: int, record: Record) -> None:
    entry = record.entry
    lead = world.leads[entry.subject]
    here = world.surfaces[entry.surface]
    opening = _opened(record, TransitionOpening)
    at_ms = max(world.time_ms, opening.received_ms)
    lead.stay_ms = here.cohorts.move(lead.state, entry.label, lead.stay_ms, at_ms)
    lead.state, lead.since_ms = entry.label, entry.time_ms
    world.reporting = None
    if not here.policy.is_reversible(entry.label):
        _note_unfounded(here, lead, entry, opening.order)
        return
    # An order is founded once: an event that takes back something founds none.
    order = opening.order
    if order != ZERO_WORD and any(one.order == order for one in lead.purchases):
        order = ZERO_WORD
    # Its outcome would have come right behind it.
    if lead.purchases and lead.purchases[-1].is_needless:
        lead.purchases.pop()
    lead.purchases.append(Purchase(position, entry.label, entry.value, order))
    if len(lead.purchases) >= lead.sweep_at:
        horizon_ms = here.received_ms - here.policy.lateness_s * 1000
        lead.purchases[:-1] = forget_needless(lead.purchases[:-1], horizon_ms)
        lead.sweep_at = next_sweep(len(lead.purchases))


def lead_refused(world: World, _position: int, record: Record) -> None:
    entry = record.entry
    here, lead = world.surfaces[entry.surface], world.leads[entry.subject]
    _note_unfounded(here, lead, entry, _opened(record, TransitionOpening).order)


def _note_unfounded(here: Surface, lead: Lead, entry: Entry, order: bytes) -> None:
    """Remember the order of a purchase that founds none, so that a refund of it is understood."""
    if order != ZERO_WORD and here.policy.is_of_purchase(entry.label):
        others = (one for one in lead.unfounded if one != order)
        lead.unfounded = (*others, order)[-MAX_UNFOUNDED:]


def product_event(world: World, position: int, record: Record) -> None:
    opening, lead = _opened(record, EventOpening), world.leads[record.entry.subject]
    for purchase in lead.purchases:
        if purchase.position == opening.of != 0:
            purchase.refunded_units = opening.refunded_after_units
            purchase.last_refund = position
            purchase.is_spent = opening.refunded_after_units >= purchase.value_units
            if purchase.is_needless:
                lead.purchases.remove(purchase)
            return
    _count_untaken(world, position, record.entry, opening, lead)


def _count_untaken(
    world: World, position: int, entry: Entry, opening: EventOpening, lead: Lead
) -> None:
    """Count what an event would have taken, had it come in time: it is evidence all the same.

    So is one in time of a contract that both parties closed, after its policy.
    """
    here = world.surfaces[entry.surface]
    purchase = untaken_purchase(
        lead.purchases,
        opening.order,
        here.policy.reverses(entry.label),
        entry.time_ms,
        lambda name: here.governs(world.contracts[name].rules),
    )
    if purchase is None or purchase.outcome is None:
        return
    rules = world.contracts[purchase.outcome.contract_id].rules
    # An operator has agreed to the reversals of the policy it signed, and to no later one's; to
    # those for good, or the next policy would wash what it sold under the last one.
    if purchase.state in world.policies[rules.policy_hash].reverses(entry.label):
        # As in time, one that names no order is of all that is left.
        value_units = entry.value if opening.order != ZERO_WORD else 0
        amount = purchase.take_late(rules, value_units)
        _count_reversal(world, position, rules, amount)


def _count_reversal(world: World, position: int, rules: ContractRules, amount: int) -> None:
    settings = _settings_for(world, rules)
    if settings is not None:
        standing = world.moved_standing(rules.surface, rules.operator)
        standing.add_reversal(position, world.time_ms, amount, settings.bucket_s)


def _settings_for(world: World, rules: ContractRules) -> SurfaceSettings | None:
    """Return the settings by which a contract's results are evidence; None where they are none."""
    settings = world.surfaces[rules.surface].settings
    return settings if settings is not None and settings.token == rules.token else None


def outcome(world: World, position: int, record: Record) -> None:
    entry = record.entry
    contract = world.contracts[entry.actor]
    contract.add_outcome(position, entry.value)
    # By the receipt of its event, which the log's own clock has reached.
    contract.unstated_ms = contract.unstated_ms or world.time_ms
    world.tallies.add_of(contract, entry.kind, position, entry.value)
    _count_lead(world, contract, position, entry)
    settings = _settings_for(world, contract.rules)
    if settings is not None:
        standing = world.moved_standing(entry.surface, contract.rules.operator)
        standing.add_outcome(position, world.time_ms, entry.value, settings.bucket_s)
    expires_ms = entry.time_ms + contract.rules.holdback_period_ms
    paid = PaidOutcome(entry.actor, position, entry.value, expires_ms)
    transition = unpack_outcome(entry.payload).transition
    for purchase in world.leads[entry.subject].purchases[-1:]:
        if purchase.position == transition:
            purchase.outcome = paid


def outcome_over(world: World, position: int, record: Record) -> None:
    entry = record.entry
    contract = world.contracts[entry.actor]
    contract.over_units += entry.value
    world.tallies.add_of(contract, entry.kind, position, entry.value)
    _count_lead(world, contract, position, entry)


def outcome_reversed(world: World, position: int, record: Record) -> None:
    contract = world.contracts[record.entry.actor]
    contract.add_reversal(position, record.entry.value)
    world.tallies.add_of(contract, record.entry.kind, position, record.entry.value)
    _count_reversal(world, position, contract.rules, record.entry.value)


def settlement(world: World, position: int, record: Record) -> None:
    entry = record.entry
    contract = world.contracts[entry.subject]
    contract.last_settlement = position
    # Of what is payable the settlement states so much more than the last one, or less.
    world.tallies.add_of(contract, entry.kind, position, entry.value - contract.stated_units)
    contract.stated_units = entry.value
    if contract.unstated_ms:
        waited_ms = entry.time_ms - contract.unstated_ms
        world.tallies.add_time(contract, STATED_AFTER, position, waited_ms)
        contract.unpaid_ms = contract.unpaid_ms or contract.unstated_ms
        contract.unstated_ms = 0


def payout(world: World, position: int, record: Record) -> None:
    entry = record.entry
    contract = world.contracts[entry.subject]
    world.tallies.add_of(contract, entry.kind, position, entry.value)
    if contract.unpaid_ms:
        world.tallies.add_time(contract, PAID_AFTER, position, entry.time_ms - contract.unpaid_ms)
        contract.unpaid_ms = 0


def contract_opened(world: World, position: int, record: Record) -> None:
    rules = world.rules[record.entry.subject]
    contract = Contract(rules, position)
    world.add_contract(contract)
    here = world.surfaces.get(rules.surface)
    # Anyone can open a contract that names a surface; its owner's own are a judgement of trust.
    if here is not None and here.governs(rules):
        contract.motion = motion_of(here.policy, rules.outcome)
        world.tallies.add_of(contract, record.entry.kind, position, rules.budget_units)
        standing = world.moved_standing(rules.surface, rules.operator)
        standing.policy = rules.policy_hash
        standing.counted_to = position
        if not standing.partner_since_ms:
            standing.partner_since_ms = record.entry.time_ms


def contract_closed(world: World, position: int, record: Record) -> None:
    contract = world.contracts[record.entry.subject]
    contract.closed_at_ms = record.entry.value
    world.tallies.add_of(contract, record.entry.kind, position, 0)


def dispute_ruled(world: World, position: int, record: Record) -> None:
    rules = world.contracts[record.entry.subject].rules
    here = world.surfaces.get(rules.surface)
    # It counts under whichever policy: the operator has signed what it was ruled about.
    if is_lost(record.entry.label) and here is not None and rules.owner == here.owner:
        standing = world.moved_standing(rules.surface, rules.operator)
        standing.disputes_lost += 1
        standing.counted_to = position


def policy_published(world: World, _position: int, record: Record) -> None:
    entry = record.entry
    here = world.surfaces.get(entry.surface)
    if here is None:
        here = Surface(entry.actor, entry.subject, entry.value, world.policies, world.settings)
        world.surfaces[entry.surface] = here
    here.policy_hash, here.version = entry.subject, entry.value
    # What a policy is published for has passed: nothing that follows was received before it.
    here.received_ms = entry.time_ms
    _ask_questions(here, entry.time_ms)


def settings_published(world: World, _position: int, record: Record) -> None:
    here = world.surfaces[record.entry.surface]
    here.settings_hash, here.settings_version = record.entry.subject, record.entry.value
    _ask_questions(here, record.entry.time_ms)


def _ask_questions(here: Surface, at_ms: int) -> None:
    asked = here.settings.forecasts if here.settings else None
    here.cohorts.ask(here.policy.states, asked.questions if asked else (), at_ms)


def operator_registered(world: World, position: int, record: Record) -> None:
    world.operators[record.entry.subject] = Operator(position)


def trust_changed(world: World, _position: int, record: Record) -> None:
    entry, opening = record.entry, _opened(record, TrustOpening)
    here = world.surfaces[entry.surface]
    standing = world.moved_standing(entry.surface, entry.subject)
    standing.level, standing.ground = int(entry.label), opening.ground
    standing.changed_ms = entry.time_ms
    here.pool.leave(entry.subject)
    if opening.ground == trust.FORECASTS and here.settings and here.settings.pool:
        until_ms = entry.time_ms + here.settings.pool.lasts_s * 1000
        here.pool.take_place(entry.subject, entry.time_ms, until_ms)


def forecast_made(world: World, position: int, record: Record) -> None:
    entry = record.entry
    question = Question(ascii_text(entry.subject), entry.label, entry.value)
    day = forecast_day(entry.time_ms)
    standing = world.moved_standing(entry.surface, entry.actor)
    standing.skill.commit(question, day, entry.time_ms)
    sealed = _opened(record, ActOpening).commitment
    # One that was not opened in time is forfeited, and can be opened no more.
    standing.forecasts = [
        one for one in standing.forecasts if one.question.end(one.day) in standing.skill.unopened
    ]
    standing.forecasts.append(PendingForecast(position, question, day, sealed))


def forecast_scored(world: World, position: int, record: Record) -> None:
    entry, opening = record.entry, _opened(record, ForecastOpening)
    standing = world.moved_standing(entry.surface, entry.subject)
    world.surfaces[entry.surface].cohorts.at(entry.time_ms)
    (scored,) = (one for one in standing.forecasts if one.position == entry.value)
    standing.forecasts.remove(scored)
    standing.counted_to = position
    found = None
    if opening.n:
        found = score(
            Cohort(opening.n, opening.moved),
            Baseline(
                Cohort(opening.latest_n, opening.latest_moved),
                Cohort(opening.pooled_n, opening.pooled_moved),
            ),
            opening.probability_bps,
        )
    standing.skill.add(scored.question, scored.day, found, entry.time_ms)


def operator_suspended(world: World, _position: int, record: Record) -> None:
    world.moved_standing(record.entry.surface, record.entry.subject).is_suspended = True


def operator_restored(world: World, _position: int, record: Record) -> None:
    world.moved_standing(record.entry.surface, record.entry.subject).is_suspended = False


def _count_lead(world: World, contract: Contract, position: int, entry: Entry) -> None:
    lead = world.leads[entry.subject]
    lead.counted_at[entry.label] = position
    if not contract.rules.repeatable:
        lead.counted += (contract.rules.contract_id,)


Opened = TypeVar("Opened", bound=Opening)


def _opened(record: Record, kind: type[Opened]) -> Opened:
    """Return the opening of a record. Raises EntryError if it is none of this kind."""
    if not isinstance(record.opening, kind):
        raise EntryError(
            "opening-missing", f"{record.entry.kind} is folded with its opening, which is not there"
        )
    return record.opening
