"""The reasons for what a contract has come to, and what it can still earn."""

from orchestrator.core.common.units import counted
from orchestrator.core.log.dispute import KEPT, is_about_claims, is_by_owner, is_lost
from orchestrator.core.log.entry import unpack_settlement
from orchestrator.core.surface.policy import Policy
from orchestrator.core.why.level import Trust, no_settings, read_trust, suspended
from orchestrator.core.why.outcome import known_contract, unstated
from orchestrator.core.why.reason import (
    MAX_PARTS,
    Code,
    Reason,
    amount,
    moment,
    party,
    short,
)
from orchestrator.core.why.source import Filter, Source, entry_at, newest
from orchestrator.core.why.story import Market
from orchestrator.core.world.contract import Contract, goes_before


def why_contract(source: Source, contract_id: bytes) -> Reason:
    """Return what a contract has earned, what of it is stated, and what it can still earn."""
    contract = known_contract(source, contract_id)
    rules = contract.rules
    parts = [*_totals(source, contract), _prospect(source, contract)]
    text = (
        f"contract {short(contract_id)} of {party(rules.operator)} pays "
        f"{amount(rules.unit_price_units, rules.token, source.tokens)}"
    )
    if rules.revenue_share_bps:
        text += f" and {rules.revenue_share_bps / 100:g} % of revenue"
    budget = amount(rules.budget_units, rules.token, source.tokens)
    text += f" for {rules.outcome!r}, up to {budget}"
    return Reason(Code.CONTRACT, text, (contract.opened,), tuple(parts), subject=contract_id)


# --- What it has come to --------------------------------------------------------------------------


def _totals(source: Source, contract: Contract) -> list[Reason]:
    token, name = contract.rules.token, contract.rules.contract_id

    def shown(units: int) -> str:
        return amount(units, token, source.tokens)

    def reason(code: Code, text: str, position: int, **numbers: int) -> Reason:
        return Reason(code, text, (position,) if position else (), (), numbers, name)

    found = [
        reason(
            Code.EARNED,
            f"{counted(contract.outcomes, 'outcome')} earned {shown(contract.earned_units)}",
            contract.last_outcome,
            outcomes=contract.outcomes,
            earned_units=contract.earned_units,
        )
    ]
    if contract.reversals:
        text = (
            f"{counted(contract.reversals, 'reversal')} took {shown(contract.reversed_units)} back"
        )
        units = contract.reversed_units
        found.append(reason(Code.REVERSED, text, contract.last_reversal, reversed_units=units))
    if contract.over_units:
        text = f"outcomes worth {shown(contract.over_units)} passed the budget, and are not paid"
        found.append(reason(Code.OVER, text, contract.opened, over_units=contract.over_units))
    if contract.last_settlement:
        facts = unpack_settlement(entry_at(source, contract.last_settlement).entry.payload)
        text = (
            f"the last statement has {shown(facts.earned)} earned, {shown(facts.reversed)} reversed"
        )
        units = facts.earned - facts.reversed
        found.append(reason(Code.STATED, text, contract.last_settlement, stated_units=units))
    found += _disputes(source, contract)
    last = max(contract.last_outcome, contract.last_reversal)
    if last > contract.last_settlement:
        found.append(unstated(source, contract, last))
    text = f"{shown(contract.payable_units)} is payable by the log: earned less taken back"
    units = contract.payable_units
    return [*found, reason(Code.PAYABLE, text, last or contract.opened, payable_units=units)]


def _disputes(source: Source, contract: Contract) -> list[Reason]:
    """Return the newest disputes of a contract and the rulings on them, as the chain told them."""
    rules, token = contract.rules, contract.rules.token
    found = []
    for kind in ("dispute.opened", "dispute.ruled"):
        wanted = Filter(rules.contract_id, rules.surface, kind, newest=True)
        found += source.find(wanted, MAX_PARTS)
    found.sort(key=lambda placed: placed.position)
    reasons = []
    for position, (entry, _) in found:
        about = "claims" if is_about_claims(entry.label) else "a statement"
        shown = amount(entry.value, token, source.tokens)
        if entry.kind == "dispute.opened":
            side = "owner" if is_by_owner(entry.label) else "operator"
            code, numbers = Code.DISPUTED, {"stated_units": entry.value}
            text = f"the {side} disputed {about} of {shown}; until when is on chain"
        else:
            code, numbers = Code.RULED, {"ruled_units": entry.value}
            did = "kept" if entry.label.endswith(KEPT) else "raised"
            did = "lowered" if is_lost(entry.label) else did
            text = f"the arbiter {party(entry.actor)} {did} {about}: {shown} is owed by its ruling"
        reasons.append(Reason(code, text, (position,), (), numbers, rules.contract_id))
    return reasons


# --- What it can still earn -----------------------------------------------------------------------


def _prospect(source: Source, contract: Contract) -> Reason:
    """Return what a contract can still earn, with all that stands against it."""
    rules = contract.rules
    if newest(source, Filter(surface=rules.surface, kind="policy.published")) is None:
        text = "it can earn nothing: it names a surface that has published no policy in the log"
        at = (contract.opened,)
        return Reason(Code.NO_SURFACE, text, at, subject=rules.contract_id)
    market = Market(source, rules.surface)
    policy = market.policy_in_force()
    trust = read_trust(source, market, rules.operator)
    barred = _barred(source, market, contract, policy)
    slowed = _slowed(source, market, contract, policy, trust)
    room = max(0, rules.budget_units - contract.payable_units)
    numbers, name = {"room_units": room}, rules.contract_id
    if barred:
        text = (
            f"it can earn nothing more: {counted(len(barred), 'thing rules', 'things rule')} it out"
        )
        parts = (*barred, *slowed)
        return Reason(Code.CAN_EARN_NOTHING, text, (contract.opened,), parts, numbers, name)
    text = (
        f"it can still earn {amount(room, rules.token, source.tokens)}, for events up to "
        f"{moment(rules.deadline_ms)}"
    )
    return Reason(Code.CAN_EARN, text, (contract.opened,), tuple(slowed), numbers, name)


def _barred(source: Source, market: Market, contract: Contract, policy: Policy) -> list[Reason]:
    """Return what rules out that a contract earns anything more."""
    rules, opened = contract.rules, contract.opened
    published = market.published[-1].position
    room = rules.budget_units - contract.payable_units
    least = rules.unit_price_units or 1
    closing = market.closing_of(contract)
    reported_ms = rules.deadline_ms + policy.lateness_s * 1000
    checks = (
        (
            rules.owner != market.owner,
            Code.OWNER_OTHER,
            "it was opened by another account than the surface's owner, and competes for nothing",
            (opened, market.published[0].position),
        ),
        (
            rules.owner == market.owner and not market.governs(contract, policy),
            Code.OTHER_POLICY,
            "it was signed under another policy than the one in force",
            (opened, published),
        ),
        (
            contract.closed_at_ms is not None,
            Code.CONTRACT_CLOSED,
            f"its parties closed it at {moment(contract.closed_at_ms or 0)}",
            (closing,) if closing else (),
        ),
        (
            source.now_ms > reported_ms,
            Code.DEADLINE_PASSED,
            f"its deadline was {moment(rules.deadline_ms)}; reports ended {moment(reported_ms)}",
            (opened,),
        ),
        (
            room < least <= rules.budget_units,
            Code.BUDGET_USED,
            f"{amount(max(0, room), rules.token, source.tokens)} of its budget is left: too little",
            (contract.last_outcome or opened,),
        ),
        (
            _earns_nothing(contract, policy) is not None,
            Code.TERMS_EARN_NOTHING,
            _earns_nothing(contract, policy) or "",
            (opened,),
        ),
    )
    name = rules.contract_id
    return [Reason(code, text, at, subject=name) for is_so, code, text, at in checks if is_so]


def _earns_nothing(contract: Contract, policy: Policy) -> str | None:
    """Return why terms can earn nothing at all; None where they can."""
    rules = contract.rules
    if not rules.unit_price_units and not rules.revenue_share_bps:
        return "its terms have neither a price nor a share of revenue"
    if rules.unit_price_units > rules.budget_units:
        return "its price is above its budget, so that the first outcome already passes it"
    if rules.opens_at_ms > rules.deadline_ms:
        return "its deadline is before the time from which it counts"
    if rules.policy_hash == policy.hash and not policy.states_before(rules.outcome):
        return f"the policy has no transition into {rules.outcome!r}"
    return None


def _slowed(
    source: Source, market: Market, contract: Contract, policy: Policy, trust: Trust
) -> list[Reason]:
    """Return what keeps a contract from earning for now, or from new touches."""
    rules = contract.rules
    found = []
    if source.now_ms < rules.opens_at_ms:
        text = f"touches and events count from {moment(rules.opens_at_ms)} on, none before it"
        numbers = {"opens_at_ms": rules.opens_at_ms}
        found.append(Reason(Code.NOT_YET_OPEN, text, (contract.opened,), numbers=numbers))
    if trust.standing.is_suspended:
        found.append(suspended(trust))
    if trust.settings is None:
        found.append(no_settings(trust))
    else:
        least = min((action.level for action in trust.settings.actions.values()), default=None)
        if least is None or trust.due.level < least:
            text = (
                f"the operator has level {trust.due.level}, and every action of the settings needs "
                f"level {least} or more; touches made before still count"
                if least is not None
                else "the settings offer no action; touches made before still count"
            )
            found.append(Reason(Code.LEVEL_TOO_LOW, text, (trust.published,)))
    states = policy.states_before(rules.outcome)
    leads = source.cohorts(market.surface).counts()
    if states and not any(leads.get(state) for state in states):
        places = " or ".join(map(repr, states))
        text = f"no lead is in {places}, from where {rules.outcome!r} is reached"
        found.append(Reason(Code.NO_LEADS, text))
    return [*found, *_older(source, market, contract)]


def _older(source: Source, market: Market, contract: Contract) -> list[Reason]:
    """Return the contracts of the same operator that take the same outcomes first."""
    found = []
    for other in market.contracts:
        rules, is_older = other.rules, other.opened < contract.opened
        if is_older and goes_before(other, contract.rules, source.now_ms):
            units = max(0, rules.budget_units - other.payable_units)
            text = (
                f"contract {short(rules.contract_id)} of the same operator for the same outcome "
                f"was opened first, is open until {moment(rules.deadline_ms)} and takes outcomes "
                f"first ({amount(units, rules.token, source.tokens)} of its budget is left, and it "
                f"takes them even without): until then this one earns nothing of a lead that both "
                f"can count"
            )
            numbers = {"room_units": units, "deadline_ms": rules.deadline_ms}
            at, name = (other.opened, contract.opened), rules.contract_id
            found.append(Reason(Code.OLDER_CONTRACT_FIRST, text, at, numbers=numbers, subject=name))
    return found[:MAX_PARTS]
