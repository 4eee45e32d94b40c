"""The log's answer to each request.

`decide(world, request, received_ms)` returns the log records that a request gives rise to, in log
order: the request's own entry and everything that follows from it (reversals, transition, outcome).
It is deterministic and does no I/O. `kinds.advance` is the other half, the fold: with it a stranger
who has only the entries, the policies and the terms rebuilds the same world.
"""

from collections.abc import Callable
from typing import Any

from orchestrator.core.common.errors import RequestError, shown
from orchestrator.core.common.units import counted, format_ms
from orchestrator.core.decisions import acts, codes, errand
from orchestrator.core.decisions.writer import (
    Writer,
    check_home,
    contract_of,
    owned_surface,
    register_lead,
    surface_of,
)
from orchestrator.core.log.dispute import is_by_owner
from orchestrator.core.log.entry import ZERO_WORD, pack_outcome, pack_reversal, pack_settlement
from orchestrator.core.log.opening import EventOpening, Record, TransitionOpening
from orchestrator.core.surface import attribution
from orchestrator.core.surface.attribution import TouchAt
from orchestrator.core.surface.policy import Step, Verdict
from orchestrator.core.surface.surface_settings import SurfaceSettings
from orchestrator.core.world import requests
from orchestrator.core.world.contract import Contract
from orchestrator.core.world.purchase import (
    MAX_ORDERS,
    Taking,
    latest_purchase,
    purchase_of_order,
    taking,
)
from orchestrator.core.world.requests import ReportedEvent, Request
from orchestrator.core.world.world import Lead, Surface, World

LOG_FORMAT = "tallystick/1"

# --- Deciding -------------------------------------------------------------------------------------


def decide(world: World, request: Request | requests.OfEntries, received_ms: int) -> list[Record]:
    """Return the records that a request received then gives rise to; the world is moved past them.

    It is decided as it would have been at its receipt, however long it has waited since. Entries on
    the log's own clock have the time of receipt, or the last such time in the log if that is later.

    An empty list means that the log has nothing to say: a product event that the policy does not
    name, a settlement tick with nothing to settle, a lead erased that it never knew. Raises
    `RequestError` for a request that the rules turn away, before anything is changed.
    """
    errand.check_followed(world, request)
    writer = Writer(world, received_ms)
    _DECIDE[type(request)](writer, request)
    return writer.records


def verdict_of(records: list[Record]) -> Verdict:
    """Return what the policy made of a product event, read off the records it gave rise to."""
    kinds = {record.entry.kind for record in records}
    if "lead.refused" in kinds:
        return Verdict.REFUSED
    return Verdict.ACCEPTED if kinds & {"lead.transition", "product.event"} else Verdict.IGNORED


def _begin(writer: Writer, request: requests.Genesis) -> None:
    if writer.world.size:
        raise RequestError("genesis-twice", f"the log has {writer.world.size} entries already")
    writer.add("genesis", ZERO_WORD, request.publisher, request.log_id, LOG_FORMAT, 0, ZERO_WORD)


def _product_event(writer: Writer, request: requests.ProductEvent | requests.Arrival) -> None:
    here = surface_of(writer.world, request.surface)
    policy = here.policy
    known = writer.world.leads.get(request.lead)
    check_home(known, request.surface, request.lead)
    # The clock that stamps receipts may be set back; the order on a surface stands all the same.
    received_ms = max(writer.received_ms, here.received_ms)
    if request.time_ms > received_ms:
        raise RequestError(
            "event-ahead",
            f"an event of {format_ms(request.time_ms)} cannot have been received at "
            f"{format_ms(received_ms)}; correct its time, or send it again then",
        )
    at_ms = min(request.time_ms + request.span_ms, received_ms)
    earliest_ms = received_ms - policy.lateness_s * 1000
    if at_ms < earliest_ms:
        raise RequestError(
            "event-late",
            f"an event of {format_ms(at_ms)} was received at {format_ms(received_ms)}; "
            f"the policy takes it then if it is of {format_ms(earliest_ms)} or later",
        )
    event = policy.short_name(request.event)
    step = policy.step(known.state if known else policy.initial, event)
    _check_order(here, request.order, request.lead, known, step)
    # A lead arrives by its code whatever the policy makes of the event.
    if isinstance(request, requests.Arrival):
        codes.arrive(writer, request, at_ms, received_ms)
    if step.verdict is Verdict.IGNORED:
        return
    register_lead(writer, request.surface, request.lead)
    reported = ReportedEvent(
        request.surface,
        request.lead,
        request.value_units,
        at_ms,
        request.request_hash,
        request.commitment,
        received_ms,
        request.order,
        request.whole,
    )
    _apply_step(writer, requests.ApplyStep(reported, event, step))


def _check_order(here: Surface, order: bytes, name: bytes, lead: Lead | None, step: Step) -> None:
    """Raise RequestError for an order that the event cannot take back from, or cannot found."""
    if order == ZERO_WORD or step.verdict is not Verdict.ACCEPTED:
        return
    purchases = lead.purchases if lead else []
    founded = purchase_of_order(purchases, order)
    is_purchase = step.to is not None and here.policy.is_reversible(step.to)
    if step.reverses and is_purchase:
        raise RequestError(
            "order-ambiguous",
            "this event takes a purchase back and is one itself, so its order and its value would "
            "be of both; report the two as two events, or without an order",
        )
    if step.reverses:
        if founded is None and not (lead and order in lead.unfounded):
            raise RequestError(
                "order-unknown",
                f"no purchase of lead 0x{name.hex()} in the log names this order; send the event "
                f"again when the log has taken the purchase",
            )
    elif is_purchase:
        if founded is not None:
            raise RequestError(
                "order-taken",
                f"entry {founded.position} has founded this order already; each purchase has an "
                f"order of its own",
            )
        if sum(one.order != ZERO_WORD for one in purchases) >= MAX_ORDERS:
            raise RequestError(
                "order-limit",
                f"lead 0x{name.hex()} has {MAX_ORDERS} orders, the most that are kept apart; send "
                f"further purchases without an order",
            )


def _apply_step(writer: Writer, request: requests.ApplyStep) -> None:
    """Write an event, what it takes back, the transition or refusal, and the outcome.

    The taking half and the moving half are written apart, so that the public log alone says which
    event took an outcome back.
    """
    reported, name, step = request
    here = writer.world.surfaces[reported.surface]
    lead = writer.world.leads[reported.lead]
    _check_order(here, reported.order, reported.lead, lead, step)
    if step.to is not None and step.verdict is Verdict.ACCEPTED:
        errand.write_touches(writer, reported)
    if step.reverses:
        _write_event(writer, reported, name, step.reverses)
    if step.to is not None:
        _write_transition(writer, reported, step.to, step.verdict)


def _write_event(
    writer: Writer, reported: ReportedEvent, name: str, reverses: tuple[str, ...]
) -> None:
    """Write a `product.event` for each purchase that the event takes back from, or one for none."""
    found = _takings(writer.world, reported, reverses)
    for taken in found:
        _write_taking(writer, reported, name, taken)
    if not found:
        opening = EventOpening(
            reported.received_ms,
            reported.order,
            0,
            0,
            0,
            0,
            whole=False,
            request_hash=reported.request_hash,
            commitment=reported.commitment,
        )
        _write_reported(writer, "product.event", reported, name, opening)


def _takings(world: World, reported: ReportedEvent, reverses: tuple[str, ...]) -> list[Taking]:
    """Return what an event takes back, of purchases into these states."""
    purchases = world.leads[reported.lead].purchases
    here = world.surfaces[reported.surface]
    if reported.order != ZERO_WORD:
        founded = purchase_of_order(purchases, reported.order)
        named = [founded] if founded is not None and founded.state in reverses else []
    else:
        latest = (latest_purchase(purchases, state) for state in reverses)
        named = [purchase for purchase in latest if purchase is not None]
    found = []
    for purchase in named:
        paid = purchase.outcome
        rules = world.contracts[paid.contract_id].rules if paid is not None else None
        # An operator has agreed to the reversals of the policy it signed, and to no later one's.
        if purchase.is_open(reported.time_ms) and (rules is None or here.governs(rules)):
            whole = reported.whole or reported.order == ZERO_WORD
            found.append(taking(purchase, rules, reported.value_units, whole=whole))
    return found


def _write_taking(writer: Writer, reported: ReportedEvent, name: str, taken: Taking) -> None:
    """Write an event that takes back from a purchase, and the reversal of its outcome."""
    purchase, after, amount, whole = taken
    opening = EventOpening(
        reported.received_ms,
        reported.order,
        purchase.position,
        purchase.last_refund,
        purchase.refunded_units,
        after,
        whole,
        reported.request_hash,
        reported.commitment,
    )
    event = _write_reported(writer, "product.event", reported, name, opening)
    is_last_part = after >= purchase.value_units
    if purchase.outcome is None or not (amount or is_last_part):
        return
    contract = writer.world.contracts[purchase.outcome.contract_id]
    writer.add(
        "outcome.reversed",
        reported.surface,
        purchase.outcome.contract_id,
        reported.lead,
        purchase.state,
        amount,
        pack_reversal(
            purchase.outcome.position,
            event,
            contract.last_reversal,
            contract.reversals + 1,
            contract.reversed_units + amount,
        ),
        time_ms=reported.time_ms,
    )


def _write_transition(writer: Writer, reported: ReportedEvent, to: str, verdict: Verdict) -> None:
    """Write a transition or its refusal, and the outcome that follows from a transition."""
    world = writer.world
    lead = world.leads[reported.lead]
    opening = TransitionOpening(
        lead.state,
        lead.counted_at.get(to, 0),
        reported.received_ms,
        reported.order,
        reported.request_hash,
        reported.commitment,
    )
    if verdict is Verdict.REFUSED:
        _write_reported(writer, "lead.refused", reported, to, opening)
        return
    transition = _write_reported(writer, "lead.transition", reported, to, opening)
    model = world.surfaces[reported.surface].policy.attribution
    claims = []
    for contract in world.rivals(reported.surface, to, reported.time_ms):
        history = lead.touches.get(contract.rules.operator)
        if history is None or contract.rules.contract_id in lead.counted:
            continue
        touch = attribution.qualifying_touch(
            history.touches, contract.rules, reported.time_ms, model
        )
        if touch is not None:
            claims.append((contract, touch))
    won = attribution.winner(claims, model)
    if won is not None:
        _write_outcome(writer, reported, to, transition, *won)


def _write_outcome(
    writer: Writer,
    reported: ReportedEvent,
    state: str,
    transition: int,
    contract: Contract,
    touch: TouchAt,
) -> None:
    amount = contract.rules.amount_units(reported.value_units)
    kind, totals = "outcome.over", (0, 0, 0)
    if contract.has_room_for(amount):
        kind = "outcome"
        totals = (contract.last_outcome, contract.outcomes + 1, contract.earned_units + amount)
    writer.add(
        kind,
        reported.surface,
        contract.rules.contract_id,
        reported.lead,
        state,
        amount,
        pack_outcome(transition, touch.position, *totals),
        time_ms=reported.time_ms,
    )


def _write_reported(
    writer: Writer,
    kind: str,
    reported: ReportedEvent,
    label: str,
    opening: EventOpening | TransitionOpening,
) -> int:
    return writer.add(
        kind,
        reported.surface,
        writer.world.surfaces[reported.surface].owner,
        reported.lead,
        label,
        reported.value_units,
        time_ms=reported.time_ms,
        opening=opening,
    )


def _settle(writer: Writer, _request: requests.Settle) -> None:
    contracts = writer.world.contracts.values()
    due = [contract for contract in contracts if contract.is_statement_due(writer.now_ms)]
    due.sort(key=lambda contract: (contract.rules.statement_group, contract.opened))
    # What is to be stated is new evidence, too. Levels come first: statements stay together.
    for surface, operator in dict.fromkeys(
        (contract.rules.surface, contract.rules.operator) for contract in due
    ):
        if surface in writer.world.surfaces:
            acts.judge_trust(writer, requests.JudgeTrust(surface, operator))
    for contract in due:
        writer.add(
            "settlement",
            contract.rules.surface,
            contract.rules.verifier,
            contract.rules.contract_id,
            contract.rules.outcome,
            contract.payable_units,
            pack_settlement(
                contract.earned_units,
                contract.reversed_units,
                contract.last_outcome,
                contract.last_reversal,
            ),
        )


def _publish_policy(writer: Writer, request: requests.PublishPolicy) -> None:
    world = writer.world
    here = world.surfaces.get(request.surface)
    if here is not None:
        if here.owner != request.owner:
            raise RequestError(
                "surface-taken", f"surface 0x{request.surface.hex()} belongs to another owner"
            )
        earliest_ms = writer.now_ms - here.policy.lateness_s * 1000
        # Anyone can open a contract that names a surface; only its owner's own pin the policy.
        bound = sum(
            contract.rules.surface == request.surface
            and here.governs(contract.rules)
            and contract.is_binding(earliest_ms)
            for contract in world.contracts.values()
        )
        if bound:
            raise RequestError(
                "policy-in-force",
                f"{counted(bound, 'contract was', 'contracts were')} signed under the policy in "
                f"force; a new one can be published when all their deadlines and holdback periods "
                f"have passed",
            )
        dropped = sorted(set(here.policy.states) - set(request.policy.states))
        if dropped:
            raise RequestError(
                "policy-drops-state",
                f"leads may be in state {dropped[0]!r}, which the new policy does not have",
            )
    version = here.version + 1 if here else 1
    policy = request.policy
    world.policies[policy.hash] = policy
    writer.add(
        "policy.published",
        request.surface,
        request.owner,
        policy.hash,
        f"v{version}",
        version,
        ZERO_WORD,
    )


def _publish_settings(writer: Writer, request: requests.PublishSettings) -> None:
    here = owned_surface(writer.world, request.surface, request.owner)
    _check_questions(here, request.settings)
    version = here.settings_version + 1
    writer.world.settings[request.settings.hash] = request.settings
    writer.add(
        "settings.published",
        request.surface,
        request.owner,
        request.settings.hash,
        f"v{version}",
        version,
    )


def _check_questions(here: Surface, settings: SurfaceSettings) -> None:
    """Raise RequestError for a question about a state that the policy in force does not have."""
    for question in settings.forecasts.questions if settings.forecasts else ():
        for state in (question.from_state, question.to_state):
            if state not in here.policy.states:
                raise RequestError(
                    "question-state-unknown",
                    f"the settings ask about {shown(state)}, which is no state of the policy",
                )


def _erase(writer: Writer, request: requests.Erasure) -> None:
    surface, lead, owner = request
    owned_surface(writer.world, surface, owner)
    known = writer.world.leads.get(lead)
    check_home(known, surface, lead)
    if known is not None:  # of others the log has never said anything
        writer.add("erasure", surface, owner, lead, "", 0, ZERO_WORD)


def _open_contract(writer: Writer, request: requests.OpenContract) -> None:
    rules = request.rules
    if rules.contract_id in writer.world.contracts:
        raise RequestError("contract-known", f"contract 0x{rules.contract_id.hex()} is open")
    writer.world.rules[rules.contract_id] = rules
    writer.add(
        "contract.opened",
        rules.surface,
        rules.owner,
        rules.contract_id,
        rules.outcome,
        rules.budget_units,
        request.transaction,
    )
    if rules.surface in writer.world.surfaces:
        acts.judge_trust(writer, requests.JudgeTrust(rules.surface, rules.operator))


def _register_lead(writer: Writer, request: requests.RegisterLead) -> None:
    by = codes.code_at(writer.world, request.surface, request.code) if request.code else None
    register_lead(writer, request.surface, request.lead, by)


def _close_contract(writer: Writer, request: requests.CloseContract) -> None:
    contract_id, closed_at_ms, transaction = request
    rules = contract_of(writer.world, contract_id).rules
    writer.add(
        "contract.closed",
        rules.surface,
        rules.owner,
        contract_id,
        rules.outcome,
        closed_at_ms,
        transaction,
    )


def _record_payout(writer: Writer, request: requests.RecordPayout) -> None:
    contract_id, payee, label, gross_units, transaction = request
    surface = contract_of(writer.world, contract_id).rules.surface
    writer.add("payout", surface, payee, contract_id, label, gross_units, transaction)


def _record_dispute(writer: Writer, request: requests.RecordDispute) -> None:
    contract_id, party, label, stated_units, transaction = request
    rules = contract_of(writer.world, contract_id).rules
    if party != (rules.owner if is_by_owner(label) else rules.operator):
        raise RequestError(
            "party-false",
            f"0x{party.hex()} is not the party of contract 0x{contract_id.hex()} that {label!r} "
            f"names",
        )
    writer.add(
        "dispute.opened", rules.surface, party, contract_id, label, stated_units, transaction
    )


def _record_ruling(writer: Writer, request: requests.RecordRuling) -> None:
    contract_id, arbiter, label, ruled_units, transaction = request
    rules = contract_of(writer.world, contract_id).rules
    writer.add(
        "dispute.ruled", rules.surface, arbiter, contract_id, label, ruled_units, transaction
    )
    if rules.surface in writer.world.surfaces:
        acts.judge_trust(writer, requests.JudgeTrust(rules.surface, rules.operator))


_DECIDE: dict[type, Callable[[Writer, Any], None]] = {
    requests.Touch: acts.touch,
    requests.RequestAction: acts.request_action,
    requests.AnswerAction: errand.answer,
    requests.ConfirmAction: errand.confirm,
    requests.ExpireAction: errand.expire,
    requests.ProductEvent: _product_event,
    requests.Arrival: _product_event,
    requests.IssueCode: codes.issue_code,
    requests.EndOwnCode: codes.end_own_code,
    requests.EndCode: codes.end_code,
    requests.Settle: _settle,
    requests.Erasure: _erase,
    requests.PublishPolicy: _publish_policy,
    requests.PublishSettings: _publish_settings,
    requests.SuspendOperator: acts.suspend_operator,
    requests.RestoreOperator: acts.restore_operator,
    requests.JudgeTrust: acts.judge_trust,
    requests.MakeForecast: acts.make_forecast,
    requests.ScoreForecast: acts.score_forecast,
    requests.RegisterOperator: acts.register_operator,
    requests.OpenContract: _open_contract,
    requests.CloseContract: _close_contract,
    requests.RecordPayout: _record_payout,
    requests.RecordDispute: _record_dispute,
    requests.RecordRuling: _record_ruling,
    requests.Genesis: _begin,
    requests.RegisterLead: _register_lead,
    requests.ApplyStep: _apply_step,
    requests.ReportTouch: acts.report_touch,
}
