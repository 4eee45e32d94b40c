"""The log's answer to each request.

`decide(world, request, now_ms)` returns the log records that a request gives rise to, in log order:
the request's own entry and everything that follows from it (reversals, transition, outcome). It is
deterministic and does no I/O. `kinds.advance` is the other half, the fold: with it a stranger who
has only the entries, the policies and the terms rebuilds the same world.
"""

from collections.abc import Callable
from typing import Any

from orchestrator.core import attribution, requests
from orchestrator.core.attribution import TouchAt
from orchestrator.core.contract import Contract, latest_reversible
from orchestrator.core.entry import (
    ZERO_WORD,
    Entry,
    pack_outcome,
    pack_reversal,
    pack_settlement,
)
from orchestrator.core.errors import LogError, RequestError
from orchestrator.core.kinds import advance
from orchestrator.core.opening import EventOpening, Opening, Record, TouchOpening, payload_of
from orchestrator.core.policy import Verdict
from orchestrator.core.requests import ReportedEvent, Request
from orchestrator.core.world import Lead, Surface, World

LOG_FORMAT = "tallystick/1"

# --- Deciding -------------------------------------------------------------------------------------


def decide(
    world: World, request: Request | requests.RegisterLead | requests.ApplyStep, now_ms: int
) -> list[Record]:
    """Return the records that `request` gives rise to at `now_ms`; the world is moved past them.

    An empty list means that the log has nothing to say: a product event that the policy does not
    name, a settlement tick with nothing to settle, a lead erased that it never knew. Raises
    `RequestError` for a request that the rules turn away, before anything is changed, and
    `LogError` if our clock went backwards. That it does not after a product event either, whose
    entries carry the product's clock, is for the caller to see to.
    """
    if now_ms < world.time_ms:
        raise LogError(
            "clock-regressed",
            f"the clock says {now_ms} ms, but the log is already at {world.time_ms} ms",
        )
    writer = Writer(world, now_ms)
    _DECIDE[type(request)](writer, request)
    return writer.records


def verdict_of(records: list[Record]) -> Verdict:
    """Return what the policy made of a product event, read off the records it gave rise to."""
    kinds = {record.entry.kind for record in records}
    if "lead.refused" in kinds:
        return Verdict.REFUSED
    return Verdict.ACCEPTED if kinds & {"lead.transition", "product.event"} else Verdict.IGNORED


class Writer:
    """The records of one request; the world is moved past each as it is written."""

    __slots__ = ("now_ms", "records", "world")

    def __init__(self, world: World, now_ms: int) -> None:
        self.world = world
        self.now_ms = now_ms
        self.records: list[Record] = []

    def add(
        self,
        kind: str,
        surface: bytes,
        actor: bytes,
        subject: bytes,
        label: str,
        value: int,
        payload: bytes,
        time_ms: int | None = None,
        opening: Opening | None = None,
    ) -> int:
        """Write an entry, at our time if none is given; returns its position."""
        position = self.world.size
        at_ms = self.now_ms if time_ms is None else time_ms
        entry = Entry(kind, surface, actor, subject, label, value, at_ms, payload)
        advance(self.world, entry)
        self.records.append(Record(entry, opening))
        return position


def _begin(writer: Writer, request: requests.Genesis) -> None:
    if writer.world.size:
        raise RequestError("genesis-twice", f"the log has {writer.world.size} entries already")
    writer.add("genesis", ZERO_WORD, request.publisher, request.log_id, LOG_FORMAT, 0, ZERO_WORD)


def _register_operator(writer: Writer, request: requests.RegisterOperator) -> None:
    operator, level, commitment = request
    if operator in writer.world.operators:
        raise RequestError("operator-known", f"operator 0x{operator.hex()} is registered")
    writer.add("operator.registered", ZERO_WORD, operator, operator, level, 0, commitment)


def _touch(writer: Writer, request: requests.Touch) -> None:
    here = _surface(writer.world, request.surface)
    known = writer.world.leads.get(request.lead)
    _check_home(known, request.surface, request.lead)
    touches = known.touches.get(request.operator) if known else None
    limit = here.policy.touches_per_lead
    if limit is not None and touches is not None and touches.count >= limit:
        raise RequestError(
            "touch-limit",
            f"operator 0x{request.operator.hex()} has touched this lead {touches.count} times, "
            f"the most that the policy allows",
        )
    if known is None:
        _register_lead(writer, requests.RegisterLead(request.surface, request.lead))
    opening = TouchOpening(request.request_hash, request.commitment)
    writer.add(
        "touch",
        request.surface,
        request.operator,
        request.lead,
        request.action,
        1 + touches.latest if touches else 0,
        payload_of(opening),
        opening=opening,
    )


def _product_event(writer: Writer, request: requests.ProductEvent) -> None:
    here = _surface(writer.world, request.surface)
    known = writer.world.leads.get(request.lead)
    _check_home(known, request.surface, request.lead)
    earliest_ms = writer.now_ms - here.policy.lateness_s * 1000
    if not earliest_ms <= request.time_ms <= writer.now_ms:
        raise RequestError(
            "event-time",
            f"an event of {request.time_ms} ms cannot be taken at {writer.now_ms} ms; "
            f"the policy allows it from {earliest_ms} ms on, and none from the future",
        )
    event = here.policy.short_name(request.event)
    step = here.policy.step(known.state if known else here.policy.initial, event)
    if step.verdict is Verdict.IGNORED:
        return
    if known is None:
        _register_lead(writer, requests.RegisterLead(request.surface, request.lead))
    reported = ReportedEvent(
        request.surface,
        request.lead,
        request.value_units,
        request.time_ms,
        request.request_hash,
        request.commitment,
        writer.now_ms,
    )
    _apply_step(writer, requests.ApplyStep(reported, event, step))


def _apply_step(writer: Writer, request: requests.ApplyStep) -> None:
    """Write an event, what it reverses, the transition or refusal, and the outcome.

    The reversing half and the moving half are written apart, so that the public log alone says
    which event took an outcome back.
    """
    reported, name, step = request
    if step.reverses:
        _write_event(writer, reported, name, step.reverses)
    if step.to is not None:
        _write_transition(writer, reported, step.to, step.verdict)


def _write_event(
    writer: Writer, reported: ReportedEvent, event: str, reverses: tuple[str, ...]
) -> None:
    """Write a `product.event`, and the reversals that follow from it."""
    world = writer.world
    opening = reported.opening("", 0)
    event_position = _write_reported(writer, "product.event", reported, event, opening)
    for state in reverses:
        taken = latest_reversible(world.leads[reported.lead].paid, state, reported.time_ms)
        if taken is None:
            continue
        contract = world.contracts[taken.contract_id]
        # An operator has agreed to the reversals of the policy it signed, and to no later one's.
        if not world.surfaces[reported.surface].governs(contract.rules):
            continue
        writer.add(
            "outcome.reversed",
            reported.surface,
            taken.contract_id,
            reported.lead,
            state,
            taken.amount_units,
            pack_reversal(
                taken.position,
                event_position,
                contract.last_reversal,
                contract.reversals + 1,
                contract.reversed_units + taken.amount_units,
            ),
            time_ms=reported.time_ms,
        )


def _write_transition(writer: Writer, reported: ReportedEvent, to: str, verdict: Verdict) -> None:
    """Write a transition or its refusal, and the outcome that follows from a transition."""
    world = writer.world
    lead = world.leads[reported.lead]
    if verdict is Verdict.REFUSED:
        opening = reported.opening(lead.state, lead.visits.get(to, 0))
        _write_reported(writer, "lead.refused", reported, to, opening)
        return
    opening = reported.opening(lead.state, lead.visits.get(to, 0) + 1)
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
    writer: Writer, kind: str, reported: ReportedEvent, label: str, opening: EventOpening
) -> int:
    return writer.add(
        kind,
        reported.surface,
        writer.world.surfaces[reported.surface].owner,
        reported.lead,
        label,
        reported.value_units,
        payload_of(opening),
        time_ms=reported.time_ms,
        opening=opening,
    )


def _settle(writer: Writer, _request: requests.Settle) -> None:
    contracts = writer.world.contracts.values()
    due = [contract for contract in contracts if contract.is_statement_due(writer.now_ms)]
    due.sort(key=lambda contract: (contract.rules.statement_group, contract.opened))
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
                f"{bound} contracts were signed under the policy in force; a new one can be "
                f"published when their deadlines and holdback periods have passed",
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


def _erase(writer: Writer, request: requests.Erasure) -> None:
    surface, lead, owner = request
    if _surface(writer.world, surface).owner != owner:
        raise RequestError("surface-taken", f"surface 0x{surface.hex()} belongs to another owner")
    known = writer.world.leads.get(lead)
    _check_home(known, surface, lead)
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


def _register_lead(writer: Writer, request: requests.RegisterLead) -> None:
    """Write that a lead is there, in its surface's initial state, unless the log has it."""
    surface, lead = request
    if lead in writer.world.leads:
        return
    here = writer.world.surfaces[surface]
    initial = here.policy.initial
    writer.add("lead.registered", surface, here.owner, lead, initial, 0, ZERO_WORD)


def _close_contract(writer: Writer, request: requests.CloseContract) -> None:
    contract_id, closed_at_ms, transaction = request
    rules = _contract(writer.world, contract_id).rules
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
    surface = _contract(writer.world, contract_id).rules.surface
    writer.add("payout", surface, payee, contract_id, label, gross_units, transaction)


def _surface(world: World, surface: bytes) -> Surface:
    here = world.surfaces.get(surface)
    if here is None:
        raise RequestError("surface-unknown", f"surface 0x{surface.hex()} has published no policy")
    return here


def _contract(world: World, contract_id: bytes) -> Contract:
    contract = world.contracts.get(contract_id)
    if contract is None:
        raise RequestError("contract-unknown", f"contract 0x{contract_id.hex()} is not in the log")
    return contract


def _check_home(lead: Lead | None, surface: bytes, name: bytes) -> None:
    if lead is not None and lead.surface != surface:
        raise RequestError(
            "lead-elsewhere", f"lead 0x{name.hex()} belongs to another surface than the request"
        )


_DECIDE: dict[type, Callable[[Writer, Any], None]] = {
    requests.Touch: _touch,
    requests.ProductEvent: _product_event,
    requests.Settle: _settle,
    requests.Erasure: _erase,
    requests.PublishPolicy: _publish_policy,
    requests.RegisterOperator: _register_operator,
    requests.OpenContract: _open_contract,
    requests.CloseContract: _close_contract,
    requests.RecordPayout: _record_payout,
    requests.Genesis: _begin,
    requests.RegisterLead: _register_lead,
    requests.ApplyStep: _apply_step,
}
