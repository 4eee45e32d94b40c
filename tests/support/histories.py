"""Honest histories of a whole market, and dishonest logs made from one."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from hypothesis import strategies as st

from orchestrator.core.decisions.decide import decide
from orchestrator.core.evidence.exhibits import ContractIndex, EscrowRecord
from orchestrator.core.evidence.history import PublicEntry, public_entry
from orchestrator.core.log.entry import (
    ZERO_WORD,
    Entry,
    pack_outcome,
    pack_reversal,
    pack_settlement,
    unpack_outcome,
    unpack_reversal,
)
from orchestrator.core.log.opening import Record, payload_of
from orchestrator.core.world.contract import ContractRules
from orchestrator.core.world.requests import (
    AnswerAction,
    Arrival,
    CloseContract,
    EndCode,
    Genesis,
    IssueCode,
    OpenContract,
    ProductEvent,
    PublishPolicy,
    PublishSettings,
    RecordPayout,
    RegisterOperator,
    ReportTouch,
    Request,
    RequestAction,
    Settle,
    Touch,
)
from orchestrator.core.world.world import World
from tests.support.worlds import (
    LEADS,
    OPERATORS,
    OWNER,
    SURFACE,
    VERIFIER,
    contract_lists,
    decided,
    partner,
    policy,
    request_lists,
    rules,
    seeds,
    settings,
    word,
)

LOG = word("log")
# A request, or what makes one of the world that it meets.
Step = Request | Callable[[World], Any]


class History(NamedTuple):
    """A log, the escrow's records of its contracts, and the world that it leads to."""

    records: list[Record]
    contracts: dict[bytes, EscrowRecord]
    world: World

    @property
    def public(self) -> list[PublicEntry]:
        return [public_entry(record) for record in self.records]

    def signed(self, *, last_final: int = 0) -> dict[bytes, EscrowRecord]:
        """Return the contracts once every verifier has signed for all entries."""
        return signed_up_to(self.contracts, len(self.records) - 1, last_final=last_final)


def signed_up_to(
    contracts: ContractIndex, position: int, *, last_final: int = 0
) -> dict[bytes, EscrowRecord]:
    """Return the contracts once every verifier has signed for all entries up to this position."""
    return {
        name: record._replace(last_signed=position, last_final=last_final)
        for name, record in contracts.items()
    }


def history(
    governing: Any, contracts: Sequence[ContractRules], *steps: tuple[int, Step]
) -> History:
    """Return what `decide` writes for contracts that open at once and these steps."""
    openings: list[tuple[int, Step]] = [
        (0, OpenContract(contract, word("transaction"))) for contract in contracts
    ]
    return write_history(governing, [*openings, *steps])


def write_history(governing: Any, steps: Sequence[tuple[int, Step]]) -> History:
    """Return what `decide` writes for these steps and a settlement, with the escrow's records.

    Its operators have level 1 from the beginning.
    """
    world = World()
    begin: list[Request] = [
        Genesis(LOG, word("publisher")),
        PublishPolicy(SURFACE, OWNER, governing),
        PublishSettings(SURFACE, OWNER, settings()),
        *(RegisterOperator(operator, word("profile")) for operator in OPERATORS),
    ]
    records = [record for request in begin for record in decide(world, request, 0)]
    contracts: dict[bytes, EscrowRecord] = {}
    partners: list[tuple[int, Step]] = [
        (0, OpenContract(partner(governing, operator), word("opening"))) for operator in OPERATORS
    ]
    for now, step in [*partners, *steps, (steps[-1][0], Settle())]:
        request: Any = step(world) if callable(step) else step
        records += decided(world, request, now)
        if isinstance(request, OpenContract):
            opened = request.rules
            contracts[opened.contract_id] = EscrowRecord(
                opened, LOG, governing.lateness_s * 1000, len(contracts) + 1
            )
        elif isinstance(request, CloseContract):
            record = contracts[request.contract_id]
            closed_at_s = request.closed_at_ms // 1000
            contracts[request.contract_id] = record._replace(closed_at_s=closed_at_s)
    return History(records, contracts, world)


@st.composite
def histories(draw: st.DrawFn, *, closings: bool = True) -> History:
    """Draw a market of two to five contracts that open, compete and are closed at any time."""
    random = draw(seeds)
    governing = policy(attribution=random.choice(["first_touch", "last_touch"]))
    contracts = [
        one._replace(
            budget_units=max(one.budget_units, 1),
            statements_until_ms=one.deadline_ms + random.choice([0, 10_000]),
        )
        for one in draw(contract_lists(governing))
    ]
    if random.random() < 0.5:  # a crowded market, in which most transitions have rivals
        contracts = [
            one._replace(
                outcome="paid",
                budget_units=1000,
                deadline_ms=90_000,
                statements_until_ms=90_000,
            )
            for one in contracts
        ]
    steps: list[tuple[int, Step]] = [*draw(request_lists(contracts))]
    for at in sorted(random.sample(range(len(steps)), len(steps) // 5), reverse=True):
        steps.insert(at, (steps[at][0], _reporting(random, steps[at][0])))
    now = 0
    for one in contracts:
        # The log may learn of an opening only when something has happened already.
        at = random.choice([0, 0, 0, random.randint(0, len(steps))])
        now = steps[at - 1][0] if at else 0
        steps.insert(at, (now, OpenContract(one, word("opening"))))
        if closings and now < steps[-1][0] and random.random() < 0.2:
            _close(random, steps, one.contract_id, at + 1)
    return write_history(
        governing, [step for at, step in enumerate(steps) if _is_opened(steps, at)]
    )


@st.composite
def refunded_histories(draw: st.DrawFn) -> History:
    """Draw purchases with orders, of which refunds give back one part after another.

    Not all fit into the budget, and a refund may be heard of later than it happened.
    """
    random = draw(seeds)
    governing = policy()
    contract = rules(
        "c",
        governing,
        repeatable=True,
        unit_price_units=random.choice([0, 10, 10]),
        revenue_share_bps=random.choice([500, 3333, 10_000]),
        budget_units=random.choice([20, 1000]),
        holdback_period_ms=random.choice([2000, 90_000]),
    )
    steps: list[tuple[int, Step]] = [
        (0, Touch(SURFACE, LEADS[0], OPERATORS[0], "email")),
        (0, ProductEvent(SURFACE, LEADS[0], "signup", 0, 0)),
    ]
    orders = [bytes(32)]
    for now in range(1000, 12_000, random.choice([500, 1000])):
        if random.random() < 0.4:
            name, value, at = "buy", random.choice([0, 7, 40, 99]), now
            orders.append(random.choice([bytes(32), word(f"order {now}")]))
            order = orders[-1]
        else:
            name, value, order = "refund", random.randint(0, 60), random.choice(orders)
            at = max(0, now - random.choice([0, 0, 0, 1, 2500]))
        whole = random.random() < 0.2
        event = ProductEvent(SURFACE, LEADS[0], name, value, at, order=order, whole=whole)
        steps.append((now, event))
    return history(governing, [contract], *steps)


def _reporting(random: Any, now: int) -> Step:
    """Return a step that issues or ends a code, asks for an action, or tells what these bring.

    That is a touch, an answer, or the arrival of a lead with an event.
    """

    def make(
        world: World,
    ) -> IssueCode | EndCode | RequestAction | AnswerAction | ReportTouch | Arrival:
        lead, operator, nothing = random.choice(LEADS), random.choice(OPERATORS), (ZERO_WORD,) * 3
        kinds = ["code", "request", "request", *["answer"] * 3, *["report"] * 3, "end"]
        kind = random.choice([*kinds, *["arrive"] * 4])
        waiting = [
            (name, errand)
            for name, known in world.leads.items()
            for errand in known.errands
            if not errand.is_taken
        ]
        if kind == "request":
            return RequestAction(SURFACE, lead, operator, "letter", 90_000, *nothing)
        if kind == "answer" and waiting:
            name, errand = random.choice(waiting)
            answer = random.choice(["taken", "taken", "failed"])
            return AnswerAction(SURFACE, name, OWNER, errand.position, answer)
        if kind == "code" or not world.causes:
            uses, lasts_ms = random.choice([1, 9, 9]), random.choice([4000, 90_000, 90_000])
            return IssueCode(SURFACE, word(f"code {now}"), operator, uses, now + lasts_ms, *nothing)
        position, cause = random.choice(list(world.causes.items()))
        if kind == "end":
            return EndCode(SURFACE, OWNER, cause.code, "spam")
        if kind == "arrive":
            name = random.choice(["signup", "buy", "refund", "noise"])
            value, at = random.choice([0, 9]), max(0, now - random.choice([0, 99, 4000]))
            return Arrival(SURFACE, lead, cause.code, False, False, name, value, at)
        at = max(cause.since_ms, now - random.choice([0, 0, 1, 4000]))
        told = (position, now, ZERO_WORD, ZERO_WORD)
        return ReportTouch(SURFACE, lead, cause.operator, "click", at, *told)

    return make


def _close(random: Any, steps: list[tuple[int, Step]], contract_id: bytes, after: int) -> None:
    """Close a contract on chain, where time has whole seconds; the log learns of it later."""
    closed = random.randint(after, len(steps) - 1)
    recorded = random.randint(closed, min(len(steps) - 1, closed + 5))
    closed_at_ms = steps[closed][0] // 1000 * 1000
    if closed_at_ms:
        close = CloseContract(contract_id, closed_at_ms, word("closing"))
        steps.insert(recorded + 1, (steps[recorded][0], close))


def _is_opened(steps: Sequence[tuple[int, Step]], at: int) -> bool:
    """Return whether the contract of a payout is known; any other step may stand anywhere."""
    request = steps[at][1]
    return not isinstance(request, RecordPayout) or any(
        isinstance(found, OpenContract) and found.rules.contract_id == request.contract_id
        for _, found in steps[:at]
    )


def rethread(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries with the running totals, counts and links that follow from them."""
    outcomes: dict[bytes, tuple[int, int, int]] = {}
    reversals: dict[bytes, tuple[int, int, int]] = {}
    threaded = []
    for position, entry in enumerate(entries):
        payload = entry.payload
        if entry.kind == "outcome":
            facts = unpack_outcome(payload)
            prev, n, total = outcomes.get(entry.actor, (0, 0, 0))
            total += entry.value
            outcomes[entry.actor] = (position, n + 1, total)
            payload = pack_outcome(facts.transition, facts.touch, prev, n + 1, total)
        elif entry.kind == "outcome.reversed":
            taken = unpack_reversal(payload)
            prev, n, total = reversals.get(entry.actor, (0, 0, 0))
            total += entry.value
            reversals[entry.actor] = (position, n + 1, total)
            payload = pack_reversal(taken.outcome, taken.event, prev, n + 1, total)
        elif entry.kind == "settlement":
            last, _, earned = outcomes.get(entry.subject, (0, 0, 0))
            last_reversal, _, reversed_ = reversals.get(entry.subject, (0, 0, 0))
            payload = pack_settlement(earned, reversed_, last, last_reversal)
        threaded.append(entry._replace(payload=payload))
    return threaded


def forge(honest: History, entries: Sequence[Entry]) -> tuple[list[PublicEntry], ContractIndex]:
    """Serve these entries as a log that every verifier has signed as a whole.

    Entries at positions of the honest log keep their openings.
    """
    records = [
        Record(entry, honest.records[at].opening if at < len(honest.records) else None)
        for at, entry in enumerate(entries)
    ]
    contracts = signed_up_to(honest.contracts, len(records) - 1)
    return [public_entry(record) for record in records], contracts


def pick(random: Any, entries: Sequence[Entry], kind: str) -> int | None:
    """Return the position of a random entry of this kind."""
    places = [at for at, entry in enumerate(entries) if entry.kind == kind]
    return random.choice(places) if places else None


def reopened(record: Record, **changes: Any) -> Record:
    """Return a record that commits to another opening."""
    if record.opening is None:
        raise ValueError(f"{record.entry.kind} commits to nothing")
    opening = record.opening._replace(**changes)
    return Record(record.entry._replace(payload=payload_of(opening)), opening)


def restate(entries: list[Entry], at: int, **facts: Any) -> None:
    """Change facts of an outcome's payload; its totals are threaded again afterwards."""
    changed = unpack_outcome(entries[at].payload)._replace(**facts)
    entries[at] = entries[at]._replace(payload=pack_outcome(*changed))


def append_stated(entries: list[Entry], entry: Entry) -> None:
    """Append an entry of a contract, and a settlement that covers it."""
    entries.append(entry)
    settlement = Entry(
        "settlement", SURFACE, VERIFIER, entry.actor, "paid", 0, entry.time_ms, bytes(32)
    )
    entries.append(settlement)


def no_source(position: int) -> PublicEntry:
    """Fail: a search asked for an entry that it has just read."""
    raise AssertionError(f"entry {position} was asked for")


# --- A market of two ------------------------------------------------------------------------------

ANN, BOB = OPERATORS
X = LEADS[0]
STEPS: list[tuple[int, Request]] = [
    (1000, Touch(SURFACE, X, ANN, "email")),
    (2000, Touch(SURFACE, X, BOB, "email")),
    (3000, ProductEvent(SURFACE, X, "signup", 0, 3000)),
    (4000, ProductEvent(SURFACE, X, "buy", 0, 4000)),
]


class Rivalry(NamedTuple):
    """A log in which Ann and Bob touch x before it buys; the position of the outcome."""

    found: History
    paid: int


def rivalry(*, ann_repeatable: bool = True) -> Rivalry:
    """Return a log in which Ann is paid for the purchase, by first touch."""
    governing = policy(attribution="first_touch")
    terms = [
        rules("ann", governing, repeatable=ann_repeatable),
        rules("bob", governing, operator=BOB, repeatable=True),
    ]
    found = history(governing, terms, *STEPS)
    return Rivalry(found, [record.entry.kind for record in found.records].index("outcome"))


def misattributed(market: Rivalry) -> tuple[list[PublicEntry], ContractIndex]:
    """Return the log in which the purchase is paid to Bob."""
    entries = [record.entry for record in market.found.records]
    bob = next(at for at, entry in enumerate(entries) if entry.actor == BOB and at > 4)
    restate(entries, market.paid, touch=bob)
    entries[market.paid] = entries[market.paid]._replace(actor=word("bob"))
    return forge(market.found, rethread(entries))
