"""What the log says about each request.

`decide(world, request, now_ms)` returns the log records that a request gives rise to, in log order:
the request's own entry and everything that follows from it (reversals, transition, outcome). It is
deterministic and does no I/O. `World.advance` is the other half, the fold: with it a stranger who
has only the entries, the policies and the terms rebuilds the same world.
"""

from typing import NamedTuple

from orchestrator.core import attribution
from orchestrator.core.attribution import TouchAt
from orchestrator.core.contract import Contract, ContractRules, latest_reversible
from orchestrator.core.entry import (
    ZERO_WORD,
    Entry,
    EventOpening,
    TouchOpening,
    event_payload,
    pack_outcome,
    pack_reversal,
    pack_settlement,
    touch_payload,
)
from orchestrator.core.errors import LogError, RequestError
from orchestrator.core.policy import Policy, Step, Verdict
from orchestrator.core.world import Lead, Surface, World

LOG_FORMAT = "tallystick/1"


# --- Requests: what may be asked of the log ------------------------------------------------------


class Genesis(NamedTuple):
    """Begin the log. It is entry 0, so that index 0 can mean "none" everywhere else."""

    log_id: bytes
    publisher: bytes


class RegisterOperator(NamedTuple):
    operator: bytes
    level: str
    commitment: bytes


class PublishPolicy(NamedTuple):
    """Open a surface with its first policy, or replace one that binds no contract any more."""

    surface: bytes
    owner: bytes
    policy: Policy


class Touch(NamedTuple):
    """An operator's action on a lead. It happens when the log takes it: its time is ours."""

    surface: bytes
    lead: bytes
    operator: bytes
    action: str
    request_hash: bytes = ZERO_WORD
    commitment: bytes = ZERO_WORD


class ProductEvent(NamedTuple):
    """An event of the owner's product, at the product's own time, with the revenue it brought."""

    surface: bytes
    lead: bytes
    event: str
    value_units: int
    time_ms: int
    request_hash: bytes = ZERO_WORD
    commitment: bytes = ZERO_WORD


class Erasure(NamedTuple):
    """The owner has had everything erased that said who a lead is; the log says that it was."""

    surface: bytes
    lead: bytes
    owner: bytes


class OpenContract(NamedTuple):
    """The escrow opened a contract, in this transaction."""

    rules: ContractRules
    transaction: bytes


class CloseContract(NamedTuple):
    """The escrow closed a contract before its time."""

    contract_id: bytes
    closed_at_ms: int
    transaction: bytes


class RecordPayout(NamedTuple):
    """The escrow paid (`paid`) or owes (`credited`) a gross amount; final on chain."""

    contract_id: bytes
    payee: bytes
    label: str
    gross_units: int
    transaction: bytes


class Settle(NamedTuple):
    """State the totals of every contract with anything new that the escrow would take."""


Request = (
    Genesis
    | RegisterOperator
    | PublishPolicy
    | Touch
    | ProductEvent
    | Erasure
    | OpenContract
    | CloseContract
    | RecordPayout
    | Settle
)
Opening = EventOpening | TouchOpening


class Record(NamedTuple):
    """An entry, and the public opening of its payload where the payload is a commitment."""

    entry: Entry
    opening: Opening | None = None


# --- Deciding -------------------------------------------------------------------------------------


def decide(world: World, request: Request, now_ms: int) -> list[Record]:
    """The records that `request` gives rise to at `now_ms`; the world is moved past them.

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
    match request:
        case Touch():
            _touch(writer, request)
        case ProductEvent():
            _product_event(writer, request)
        case Settle():
            _settle(writer)
        case Erasure():
            _erase(writer, request)
        case PublishPolicy():
            _publish_policy(writer, request)
        case RegisterOperator():
            _register_operator(writer, request)
        case OpenContract():
            _open_contract(writer, request)
        case CloseContract(contract_id, closed_at_ms, transaction):
            rules = _contract(world, contract_id).rules
            writer.add(
                "contract.closed",
                rules.surface,
                rules.owner,
                contract_id,
                rules.outcome,
                closed_at_ms,
                transaction,
            )
        case RecordPayout(contract_id, payee, label, gross_units, transaction):
            surface = _contract(world, contract_id).rules.surface
            writer.add("payout", surface, payee, contract_id, label, gross_units, transaction)
        case Genesis():
            _begin(writer, request)
    return writer.records


def verdict_of(records: list[Record]) -> Verdict:
    """What the policy made of a product event, read off the records it gave rise to."""
    kinds = {record.entry.kind for record in records}
    if "lead.refused" in kinds:
        return Verdict.REFUSED
    return Verdict.ACCEPTED if kinds & {"lead.transition", "product.event"} else Verdict.IGNORED


class Writer:
    """Collects a request's records and moves the world past each as it is written."""

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
        index = self.world.size
        at_ms = self.now_ms if time_ms is None else time_ms
        entry = Entry(kind, surface, actor, subject, label, value, at_ms, payload)
        self.world.advance(entry)
        self.records.append(Record(entry, opening))
        return index


def _begin(writer: Writer, request: Genesis) -> None:
    if writer.world.size:
        raise RequestError("genesis-twice", f"the log has {writer.world.size} entries already")
    writer.add("genesis", ZERO_WORD, request.publisher, request.log_id, LOG_FORMAT, 0, ZERO_WORD)


def _register_operator(writer: Writer, request: RegisterOperator) -> None:
    operator, level, commitment = request
    if operator in writer.world.operators:
        raise RequestError("operator-known", f"operator 0x{operator.hex()} is registered")
    writer.add("operator.registered", ZERO_WORD, operator, operator, level, 0, commitment)


def _touch(writer: Writer, request: Touch) -> None:
    here = _surface(writer.world, request.surface)
    known = writer.world.leads.get(request.lead)
    _check_home(known, request.surface, request.lead)
    trail = known.trails.get(request.operator) if known else None
    limit = here.policy.touches_per_lead
    if limit is not None and trail is not None and trail.count >= limit:
        raise RequestError(
            "touch-limit",
            f"operator 0x{request.operator.hex()} has touched this lead {trail.count} times, "
            f"the most that the policy allows",
        )
    if known is None:
        register_lead(writer, request.surface, request.lead)
    opening = TouchOpening(request.request_hash, request.commitment)
    writer.add(
        "touch",
        request.surface,
        request.operator,
        request.lead,
        request.action,
        1 + trail.latest if trail else 0,
        touch_payload(opening),
        opening=opening,
    )


def _product_event(writer: Writer, request: ProductEvent) -> None:
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
    step = here.policy.step(known.state if known else here.policy.initial, request.event)
    if step.verdict is Verdict.IGNORED:
        return
    if known is None:
        register_lead(writer, request.surface, request.lead)
    fact = ReportedEvent(
        request.surface,
        request.lead,
        request.value_units,
        request.time_ms,
        request.request_hash,
        request.commitment,
        writer.now_ms,
    )
    write_step(writer, fact, request.event, step)


class ReportedEvent(NamedTuple):
    """A product event as the log keeps it, whatever the policy makes of it."""

    surface: bytes
    lead: bytes
    value_units: int
    time_ms: int
    request_hash: bytes
    commitment: bytes
    received_ms: int

    def opening(self, from_state: str, nth: int) -> EventOpening:
        return EventOpening(from_state, nth, self.received_ms, self.request_hash, self.commitment)


def write_step(writer: Writer, fact: ReportedEvent, event: str, step: Step) -> None:
    """Write an event, what it reverses, the transition or refusal, and the outcome.

    The reversing half and the moving half are written apart, so that the public log alone says
    which event took an outcome back.
    """
    if step.reverses:
        _write_event(writer, fact, event, step.reverses)
    if step.to is not None:
        _write_transition(writer, fact, step.to, step.verdict)


def _write_event(
    writer: Writer, fact: ReportedEvent, event: str, reverses: tuple[str, ...]
) -> None:
    """Write a `product.event`, and the reversals that follow from it."""
    world = writer.world
    opening = fact.opening("", 0)
    event_index = _write_fact(writer, "product.event", fact, event, opening)
    for state in reverses:
        taken = latest_reversible(world.leads[fact.lead].paid, state, fact.time_ms)
        if taken is None:
            continue
        contract = world.contracts[taken.contract_id]
        # An operator has agreed to the reversals of the policy it signed, and to no later one's.
        if not world.surfaces[fact.surface].governs(contract.rules):
            continue
        writer.add(
            "outcome.reversed",
            fact.surface,
            taken.contract_id,
            fact.lead,
            state,
            taken.amount_units,
            pack_reversal(
                taken.position,
                event_index,
                contract.last_reversal,
                contract.reversals + 1,
                contract.reversed_units + taken.amount_units,
            ),
            time_ms=fact.time_ms,
        )


def _write_transition(writer: Writer, fact: ReportedEvent, to: str, verdict: Verdict) -> None:
    """Write a transition or its refusal, and the outcome that follows from a transition."""
    world = writer.world
    lead = world.leads[fact.lead]
    if verdict is Verdict.REFUSED:
        opening = fact.opening(lead.state, lead.visits.get(to, 0))
        _write_fact(writer, "lead.refused", fact, to, opening)
        return
    opening = fact.opening(lead.state, lead.visits.get(to, 0) + 1)
    transition = _write_fact(writer, "lead.transition", fact, to, opening)
    model = world.surfaces[fact.surface].policy.attribution
    claims = []
    for contract in world.rivals(fact.surface, to, fact.time_ms):
        trail = lead.trails.get(contract.rules.operator)
        if trail is None or contract.rules.contract_id in lead.counted:
            continue
        touch = attribution.qualifying_touch(trail.touches, contract.rules, fact.time_ms, model)
        if touch is not None:
            claims.append((contract, touch))
    won = attribution.winner(claims, model)
    if won is not None:
        _write_outcome(writer, fact, to, transition, *won)


def _write_outcome(
    writer: Writer,
    fact: ReportedEvent,
    state: str,
    transition: int,
    contract: Contract,
    touch: TouchAt,
) -> None:
    amount = contract.rules.amount_units(fact.value_units)
    kind, totals = "outcome.over", (0, 0, 0)
    if contract.has_room_for(amount):
        kind = "outcome"
        totals = (contract.last_outcome, contract.outcomes + 1, contract.earned_units + amount)
    writer.add(
        kind,
        fact.surface,
        contract.rules.contract_id,
        fact.lead,
        state,
        amount,
        pack_outcome(transition, touch.position, *totals),
        time_ms=fact.time_ms,
    )


def _write_fact(
    writer: Writer, kind: str, fact: ReportedEvent, label: str, opening: EventOpening
) -> int:
    return writer.add(
        kind,
        fact.surface,
        writer.world.surfaces[fact.surface].owner,
        fact.lead,
        label,
        fact.value_units,
        event_payload(opening),
        time_ms=fact.time_ms,
        opening=opening,
    )


def _settle(writer: Writer) -> None:
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


def _publish_policy(writer: Writer, request: PublishPolicy) -> None:
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


def _erase(writer: Writer, request: Erasure) -> None:
    surface, lead, owner = request
    if _surface(writer.world, surface).owner != owner:
        raise RequestError("surface-taken", f"surface 0x{surface.hex()} belongs to another owner")
    known = writer.world.leads.get(lead)
    _check_home(known, surface, lead)
    if known is not None:  # of others the log has never said anything
        writer.add("erasure", surface, owner, lead, "", 0, ZERO_WORD)


def _open_contract(writer: Writer, request: OpenContract) -> None:
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


def register_lead(writer: Writer, surface: bytes, lead: bytes) -> None:
    """Write that a lead is there, in its surface's initial state: the first that is heard of it."""
    here = writer.world.surfaces[surface]
    initial = here.policy.initial
    writer.add("lead.registered", surface, here.owner, lead, initial, 0, ZERO_WORD)


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
