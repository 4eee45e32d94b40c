"""Honest histories of a whole market, and how a dishonest log is made from one."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from hypothesis import strategies as st

from orchestrator.core.contract import ContractRules
from orchestrator.core.decide import decide
from orchestrator.core.entry import (
    Entry,
    pack_outcome,
    pack_reversal,
    pack_settlement,
    unpack_outcome,
    unpack_reversal,
)
from orchestrator.core.evidence.exhibits import ContractIndex, EscrowRecord
from orchestrator.core.evidence.search import PublicEntry, public
from orchestrator.core.opening import Record
from orchestrator.core.requests import (
    CloseContract,
    Genesis,
    OpenContract,
    PublishPolicy,
    RecordPayout,
    RegisterOperator,
    Request,
    Settle,
)
from orchestrator.core.world import World
from tests.support.worlds import (
    OPERATORS,
    OWNER,
    SURFACE,
    contract_lists,
    policy,
    request_lists,
    seeds,
    word,
)

LOG = word("log")


class History(NamedTuple):
    """A log, what the chain says of its contracts, and the world that it leads to."""

    records: list[Record]
    docket: dict[bytes, EscrowRecord]
    world: World

    @property
    def public(self) -> list[PublicEntry]:
        return [public(record) for record in self.records]

    def vouched(self, reach: int | None = None, floor: int = 0) -> dict[bytes, EscrowRecord]:
        """The docket when every verifier vouches for all entries up to `reach` (all of them)."""
        top = len(self.records) - 1 if reach is None else reach
        return {
            name: standing._replace(reach=top, floor=floor)
            for name, standing in self.docket.items()
        }


def history(
    governing: Any, contracts: Sequence[ContractRules], *steps: tuple[int, Request]
) -> History:
    """What `decide` writes for contracts that open at once and these steps, then a settlement."""
    openings: list[tuple[int, Request]] = [
        (0, OpenContract(contract, word("transaction"))) for contract in contracts
    ]
    return written(governing, [*openings, *steps])


def written(governing: Any, steps: Sequence[tuple[int, Request]]) -> History:
    """What `decide` writes for these steps, and what the chain says of the contracts."""
    world = World()
    begin: list[Request] = [
        Genesis(LOG, word("publisher")),
        PublishPolicy(SURFACE, OWNER, governing),
        *(RegisterOperator(operator, "0", word("profile")) for operator in OPERATORS),
    ]
    records = [record for request in begin for record in decide(world, request, 0)]
    docket: dict[bytes, EscrowRecord] = {}
    for now, request in [*steps, (steps[-1][0], Settle())]:
        records += decide(world, request, now)
        if isinstance(request, OpenContract):
            rules = request.rules
            docket[rules.contract_id] = EscrowRecord(rules, LOG, len(docket) + 1)
        elif isinstance(request, CloseContract):
            standing = docket[request.contract_id]
            closed_at_s = request.closed_at_ms // 1000
            docket[request.contract_id] = standing._replace(closed_at_s=closed_at_s)
    return History(records, docket, world)


@st.composite
def histories(draw: st.DrawFn, *, closings: bool = True) -> History:
    """Markets of two to five contracts that open, compete and are closed at any time."""
    random = draw(seeds)
    governing = policy(attribution=random.choice(["first_touch", "last_touch"]))
    contracts = [
        rules._replace(
            budget_units=max(rules.budget_units, 1),
            statements_until_ms=rules.deadline_ms + random.choice([0, 10_000]),
        )
        for rules in draw(contract_lists(governing))
    ]
    if random.random() < 0.5:  # a crowded market, in which most transitions have rivals
        contracts = [
            rules._replace(
                outcome="paid",
                budget_units=1000,
                deadline_ms=90_000,
                statements_until_ms=90_000,
            )
            for rules in contracts
        ]
    steps = draw(request_lists(contracts))
    now = 0
    for rules in contracts:
        # The log may learn of an opening only when something has happened already.
        at = random.choice([0, 0, 0, random.randint(0, len(steps))])
        now = steps[at - 1][0] if at else 0
        steps.insert(at, (now, OpenContract(rules, word("opening"))))
        if closings and now < steps[-1][0] and random.random() < 0.2:
            _close(random, steps, rules.contract_id, at + 1)
    return written(governing, [step for at, step in enumerate(steps) if _is_opened(steps, at)])


def _close(random: Any, steps: list[tuple[int, Request]], contract_id: bytes, after: int) -> None:
    """Close a contract on chain, where time has whole seconds; the log learns of it later."""
    closed = random.randint(after, len(steps) - 1)
    told = random.randint(closed, min(len(steps) - 1, closed + 5))
    closed_at_ms = steps[closed][0] // 1000 * 1000
    if closed_at_ms:
        close = CloseContract(contract_id, closed_at_ms, word("closing"))
        steps.insert(told + 1, (steps[told][0], close))


def _is_opened(steps: Sequence[tuple[int, Request]], at: int) -> bool:
    """Whether the contract of a payout is known; all else may stand anywhere."""
    request = steps[at][1]
    return not isinstance(request, RecordPayout) or any(
        isinstance(found, OpenContract) and found.rules.contract_id == request.contract_id
        for _, found in steps[:at]
    )


def rethread(entries: Sequence[Entry]) -> list[Entry]:
    """The same entries with the running totals, counts and links that follow from them."""
    outcomes: dict[bytes, tuple[int, int, int]] = {}
    reversals: dict[bytes, tuple[int, int, int]] = {}
    threaded = []
    for index, entry in enumerate(entries):
        payload = entry.payload
        if entry.kind == "outcome":
            said = unpack_outcome(payload)
            prev, n, total = outcomes.get(entry.actor, (0, 0, 0))
            total += entry.value
            outcomes[entry.actor] = (index, n + 1, total)
            payload = pack_outcome(said.transition, said.touch, prev, n + 1, total)
        elif entry.kind == "outcome.reversed":
            taken = unpack_reversal(payload)
            prev, n, total = reversals.get(entry.actor, (0, 0, 0))
            total += entry.value
            reversals[entry.actor] = (index, n + 1, total)
            payload = pack_reversal(taken.outcome, taken.event, prev, n + 1, total)
        elif entry.kind == "settlement":
            last, _, earned = outcomes.get(entry.subject, (0, 0, 0))
            last_reversal, _, reversed_ = reversals.get(entry.subject, (0, 0, 0))
            payload = pack_settlement(earned, reversed_, last, last_reversal)
        threaded.append(entry._replace(payload=payload))
    return threaded


def told(history_: History, entries: Sequence[Entry]) -> tuple[list[PublicEntry], ContractIndex]:
    """A dishonest log made of these entries: as the public reads it, vouched for as a whole."""
    records = [
        Record(entry, history_.records[at].opening if at < len(history_.records) else None)
        for at, entry in enumerate(entries)
    ]
    top = len(records) - 1
    docket = {
        name: standing._replace(reach=top, floor=0) for name, standing in history_.docket.items()
    }
    return [public(record) for record in records], docket
