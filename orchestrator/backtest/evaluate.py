"""An evaluation of contracts on a recorded history, in memory.

The history runs through the same `decide` as the live log. Rows stream in and outcomes stream out
to a spool; memory grows with the number of leads, never with that of rows.
"""

import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import IO, NamedTuple

from orchestrator.backtest.inputs import ContractPlan, EventRow, RowCounts, TouchRow
from orchestrator.core.common.errors import RequestError
from orchestrator.core.common.units import format_time
from orchestrator.core.decisions.decide import decide, verdict_of
from orchestrator.core.entries.kinds import advance
from orchestrator.core.growth.observation import Observation
from orchestrator.core.log.entry import CLICK, TIME_MS_LIMIT, ZERO_WORD, Entry, unpack_outcome
from orchestrator.core.log.opening import CodeOpening, EventOpening, Record, TransitionOpening
from orchestrator.core.surface.attribution import forget_needless
from orchestrator.core.surface.policy import Policy, Verdict
from orchestrator.core.surface.surface_settings import (
    MAX_CODE_PERIOD_S,
    MAX_CODE_USES,
    MAX_LEADS_A_DAY,
    parse_settings,
)
from orchestrator.core.world.contract import Contract, ContractRules
from orchestrator.core.world.requests import (
    Arrival,
    OpenContract,
    ProductEvent,
    PublishPolicy,
    PublishSettings,
    Touch,
)
from orchestrator.core.world.world import World

SURFACE = b"surface"
OWNER = b"owner"
# A history says that its touches were made, and by which contracts they are judged. So its
# operators have the level that a contract gives, all their actions count as this one, and each has
# one code, by which all leads come that it brings.
HISTORY_ACTION = "touch"
HISTORY_SETTINGS = parse_settings(
    {
        "token": f"0x{1:040x}",
        "actions": {HISTORY_ACTION: {"level": 1}},
        "levels": [{"leads_a_day": MAX_LEADS_A_DAY}],
        "codes": {
            "level": 1,
            "max_uses": MAX_CODE_USES,
            "expires_s": MAX_CODE_PERIOD_S,
            "a_day": 1,
        },
    }
)


class OutcomeLine(NamedTuple):
    """One outcome of the report; money in token base units, 0 earned where it was over budget."""

    contract: str
    lead: str
    time_ns: int
    touch_time_ns: int
    value_units: int
    earned_units: int

    def to_json(self) -> dict[str, str]:
        return {
            "contract": self.contract,
            "lead": self.lead,
            "time": format_time(self.time_ns),
            "touch_time": format_time(self.touch_time_ns),
            "value_units": str(self.value_units),
            "earned_units": str(self.earned_units),
        }


SHOWN_PLACES = 5


@dataclass(slots=True)
class Report:
    """The totals of an evaluation. Its outcomes, which may be many, are in its spool.

    `places` are those of the first rows that each rule of the log, or the policy, turned away.
    """

    contracts: dict[str, Contract]
    events: Counter[Verdict] = field(default_factory=Counter)
    turned_away: Counter[str] = field(default_factory=Counter)  # by the rule of the log
    rows: RowCounts = field(default_factory=RowCounts)
    places: dict[str, list[int]] = field(default_factory=dict)
    operators: dict[str, str] = field(default_factory=dict)  # by contract
    seen: Observation | None = None  # there is none of a settled history

    def note_place(self, code: str, place: int) -> None:
        """Keep the place of a row that was turned away, if it is one of the first."""
        kept = self.places.setdefault(code, [])
        if len(kept) < SHOWN_PLACES:
            kept.append(place)

    def totals(self) -> dict[str, dict[str, object]]:
        return {
            name: {
                "outcomes": contract.outcomes,
                "reversed": contract.reversals,
                "earned_units": str(contract.earned_units),
                "reversed_units": str(contract.reversed_units),
                "over_budget_units": str(contract.over_units),
                "payable_units": str(contract.payable_units),
            }
            for name, contract in self.contracts.items()
        }

    def verdicts(self) -> dict[str, int]:
        return {verdict.value: self.events[verdict] for verdict in Verdict}


class Spool:
    """Outcome lines on disk, in order, as JSON Lines; read back once when the report is written."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self.count = 0

    def add(self, line: OutcomeLine) -> None:
        self._file.write(json.dumps(line.to_json()) + "\n")
        self.count += 1

    def lines(self) -> Iterator[str]:
        self._file.seek(0)
        for line in self._file:
            yield line.rstrip("\n")


@contextmanager
def open_spool() -> Iterator[Spool]:
    """Open a spool in the system's temporary folder, gone when the block ends."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as file:
        yield Spool(file)


def evaluate_history(
    rows: Iterable[EventRow | TouchRow],
    policy: Policy,
    plans: Iterable[ContractPlan],
    spool: Spool,
    counts: RowCounts | None = None,
) -> Report:
    """Evaluate `rows` (in time order) by `policy` and `plans` (in opening order).

    Pure but for the spool: no log, no chain, no clock. `counts` are those that reading them fills.
    """
    world = World()
    decide(world, PublishPolicy(SURFACE, OWNER, policy), 0)
    decide(world, PublishSettings(SURFACE, OWNER, HISTORY_SETTINGS), 0)
    rules_by_operator: dict[bytes, list[ContractRules]] = {}
    operators = {}
    for plan in plans:
        rules = plan.rules(SURFACE, OWNER, policy)
        decide(world, OpenContract(rules, ZERO_WORD), 0)
        if rules.operator not in rules_by_operator:
            _issue_code(world, rules.operator)
        rules_by_operator.setdefault(rules.operator, []).append(rules)
        operators[plan.id] = plan.operator
    seen = Observation(policy, dict.fromkeys(operators.values()), operators)
    report = Report(
        {name.decode(): contract for name, contract in world.contracts.items()},
        rows=counts or RowCounts(),
        operators=operators,
        seen=seen,
    )
    for row in rows:
        seen.see(row.time_ns)
        if isinstance(row, TouchRow):
            seen.touch(row.lead, row.operator)
            _record_touch(world, row, rules_by_operator, policy.attribution)
            continue
        event = policy.short_name(row.event)
        request: ProductEvent | Arrival = _product_event(row)
        operator = row.ref.encode()
        # Of operators without a contract there may be as many as rows, and they win nothing.
        if operator in rules_by_operator:
            code = _code_id(operator)
            request = Arrival(**request._asdict(), ref=code, is_alone=False, is_alias=False)
        # What the policy does not name changes nothing, but that a lead may come by it.
        elif not policy.names(event):
            report.events[Verdict.IGNORED] += 1
            continue
        try:
            records = decide(world, request, row.time_ns)
        except RequestError as error:
            report.turned_away[error.code] += 1
            report.note_place(error.code, row.place)
            continue
        verdict = verdict_of(records)
        report.events[verdict] += 1
        if verdict is Verdict.REFUSED:
            report.note_place("refused", row.place)
        if any(record.entry.kind == "touch.reported" for record in records):
            seen.touch(row.lead, row.ref)
        line = _observe(seen, world, row, event, records)
        if line is not None:
            spool.add(line)
        lead = world.leads.get(request.lead) if isinstance(request, Arrival) else None
        history = lead.touches.get(operator) if lead else None
        if history is not None:
            forget_needless(history, rules_by_operator[operator], policy.attribution)
    seen.finish()
    return report


def _issue_code(world: World, operator: bytes) -> None:
    """Give an operator its code, which is issued before the history and never expires.

    The fold takes it as it is: a history's times are nanoseconds, and no settings allow so many.
    """
    opening = CodeOpening(TIME_MS_LIMIT - 1, ZERO_WORD, ZERO_WORD)
    issued = Entry(
        "code.issued", SURFACE, operator, _code_id(operator), CLICK, MAX_CODE_USES, 0, ZERO_WORD
    )
    advance(world, Record(issued, opening))


def _code_id(operator: bytes) -> bytes:
    return sha256(operator).digest()


def _observe(
    seen: Observation, world: World, row: EventRow, event: str, records: Sequence[Record]
) -> OutcomeLine | None:
    """Count what an event's records say, and return the line for their outcome, if there is one."""
    seen.event(row.lead)
    motion = ""
    for place, (entry, opening) in enumerate(records):
        if entry.kind == "lead.transition" and isinstance(opening, TransitionOpening):
            motion = seen.move(row.lead, event, opening.from_state, entry.label, entry.value)
        elif entry.kind == "product.event" and isinstance(opening, EventOpening):
            seen.refund(
                _refunded_contract(world, row.lead.encode(), opening.of, records[place + 1 :]),
                opening.refunded_after_units - opening.refunded_before_units,
            )
    line = _outcome_line(world, records)
    if line is not None:
        is_paid = records[-1].entry.kind == "outcome"
        seen.pay(
            line.contract,
            motion,
            line.value_units,
            line.earned_units if is_paid else None,
            line.touch_time_ns,
            line.time_ns,
        )
    return line


def _refunded_contract(
    world: World, lead: bytes, position: int, following: Sequence[Record]
) -> str | None:
    """Return the contract that paid for a purchase, if one did, by the records behind its refund.

    Of a purchase that is spent the fold knows nothing more; its outcome is reversed right there.
    """
    for entry, _ in following[:1]:
        if entry.kind == "outcome.reversed":
            return entry.actor.decode()
    for purchase in world.leads[lead].purchases:
        if purchase.position == position and purchase.outcome is not None:
            return purchase.outcome.contract_id.decode()
    return None


def _product_event(row: EventRow) -> ProductEvent:
    """Return a row as the fold takes it; names stand in for the log's random words."""
    return ProductEvent(
        SURFACE,
        row.lead.encode(),
        row.event,
        row.value_units or 0,
        row.time_ns,
        order=sha256(row.order.encode()).digest() if row.order else ZERO_WORD,
        whole=row.value_units is None,
    )


def write_report(
    report: Report,
    outcomes: Iterable[str],
    file: IO[str],
    further: Mapping[str, object] | None = None,
) -> None:
    """Write the report as one JSON document, a line an outcome, without holding it in memory.

    `further` are members that stand before the outcomes.
    """
    file.write('{"contracts": ' + json.dumps(report.totals(), indent=1) + ",\n")
    file.write('"events": ' + json.dumps(report.verdicts()) + ",\n")
    file.write('"turned_away": ' + json.dumps(dict(sorted(report.turned_away.items()))) + ",\n")
    file.write(f'"equal_rows": {report.rows.equal}, "repeated_rows": {report.rows.repeated},\n')
    for name, value in (further or {}).items():
        file.write(f"{json.dumps(name)}: {json.dumps(value)},\n")
    file.write('"outcomes": [')
    separator = "\n"
    for line in outcomes:
        file.write(separator + line)
        separator = ",\n"
    file.write("\n]}\n")


def _record_touch(
    world: World,
    row: TouchRow,
    rules_by_operator: Mapping[bytes, list[ContractRules]],
    model: str,
) -> None:
    """Record a touch, and forget those of its trail that can no longer win anything."""
    lead, operator = row.lead.encode(), row.operator.encode()
    rules = rules_by_operator.get(operator)
    if rules is None:
        return  # It can win nothing, and a history may have as many such names as rows.
    try:
        decide(world, Touch(SURFACE, lead, operator, HISTORY_ACTION), row.time_ns)
    except RequestError:
        return  # One more than `touches_per_lead`: the log would have refused it too.
    forget_needless(world.leads[lead].touches[operator], rules, model)


def _outcome_line(world: World, records: Sequence[Record]) -> OutcomeLine | None:
    """Return the line for the outcome that an event's records end with, or None without one."""
    if not records or records[-1].entry.kind not in ("outcome", "outcome.over"):
        return None
    # The fold writes an outcome right after its transition, and nothing after it.
    transition, outcome = records[-2].entry, records[-1].entry
    contract = world.contracts[outcome.actor]
    touch_position = unpack_outcome(outcome.payload).touch
    history = world.leads[outcome.subject].touches[contract.rules.operator]
    return OutcomeLine(
        contract=contract.rules.contract_id.decode(),
        lead=outcome.subject.decode(),
        time_ns=outcome.time_ms,
        touch_time_ns=next(t.time_ms for t in history.touches if t.position == touch_position),
        value_units=transition.value,
        earned_units=outcome.value if outcome.kind == "outcome" else 0,
    )
