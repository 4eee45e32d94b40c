"""A stranger's replay: the public entries, judged again from the first to the last.

It needs what anyone can get: the entries with their openings, the policies by hash, and the terms
of each contract from the chain. Every entry that follows from another is computed anew and must
stand in the log word for word; whatever the log adds, omits or alters is a `ReplayError` that names
the entry. What no replay can see (withheld events, lies told consistently) it does not claim to.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from orchestrator.core.contract import ContractRules
from orchestrator.core.decide import (
    CloseContract,
    Erasure,
    Genesis,
    OpenContract,
    PublishPolicy,
    Record,
    RecordPayout,
    RegisterOperator,
    ReportedEvent,
    Request,
    Settle,
    Touch,
    Writer,
    decide,
    register_lead,
    write_step,
)
from orchestrator.core.entry import Entry, EventOpening, TouchOpening, event_payload, touch_payload
from orchestrator.core.errors import ChainError, DomainError, ReplayError, ServerError
from orchestrator.core.policy import Policy, Step, Verdict
from orchestrator.core.world import PRODUCT_TIMED, World


class Documents(NamedTuple):
    """How a replay gets what entries refer to: a policy by its hash, a contract's terms by its id.

    Both hashes are checked where the documents come from: the entry that follows from the policy
    names its hash, and a contract id is the digest of the terms that the chain gives for it.

    `opening_number` (1, 2, … in the order of opening) and `closed_at_s` (None: open) are what the
    escrow says of a contract. Whoever signs for a log must compare them: attribution rests on
    both, and the escrow judges by its own. None: there is no chain to ask.
    """

    policy: Callable[[bytes], Policy]
    rules: Callable[[bytes], ContractRules]
    opening_number: Callable[[bytes], int] | None = None
    closed_at_s: Callable[[bytes], int | None] | None = None


class Replay:
    """A replay in progress: `take` every record in log order, then `finish`.

    Raises `ReplayError` at the first entry that the rules do not give, and is of no use after that.
    """

    def __init__(self, documents: Documents) -> None:
        self.world = World()
        self._documents = documents
        self._clock = _Clock()
        self._expected: list[Record] = []

    @property
    def size(self) -> int:
        """How many entries have been taken."""
        return self.world.size - len(self._expected)

    def take(self, record: Record) -> None:
        """Judge the log's next record."""
        position = self.size
        if not self._expected:
            self._expected = _consequences(self.world, record, self._documents, self._clock)
            self._expected.reverse()
        if not self._expected:
            raise ReplayError(
                "entry-unfounded",
                f"entry {position} is {_shown(record.entry)}, "
                f"for which nothing before it gives cause",
            )
        wanted = self._expected.pop()
        if wanted.entry != record.entry:
            raise ReplayError(
                "entry-differs",
                f"entry {position} is {_shown(record.entry)}, "
                f"but the rules give {_shown(wanted.entry)}",
            )

    def finish(self) -> World:
        """The world after the last record; an error if the rules demand that more follow."""
        if self._expected:
            raise ReplayError(
                "entry-missing",
                f"the log ends at {self.size} entries, "
                f"but {_shown(self._expected[-1].entry)} must follow",
            )
        return self.world


def replay(records: Iterable[Record], documents: Documents) -> World:
    """Judge `records`, the whole log from entry 0, and return the world after the last one."""
    judged = Replay(documents)
    for record in records:
        judged.take(record)
    return judged.finish()


class _Clock:
    """The log's own clock: of what we did by the entry, of what a product reported by its opening.

    It never goes back. So a report that is dated ahead, past a deadline say, dates ahead all that
    the log says after it.
    """

    def __init__(self) -> None:
        self._ms = 0

    def advance(self, to_ms: int, position: int, entry: Entry) -> None:
        if to_ms < self._ms:
            raise ReplayError(
                "clock-regressed",
                f"entry {position} is {_shown(entry)}, taken at {to_ms} ms, "
                f"but the log is already at {self._ms} ms",
            )
        self._ms = to_ms


def _consequences(
    world: World, record: Record, documents: Documents, clock: _Clock
) -> list[Record]:
    """What the log must say from `record` on: itself, and all that follows from it."""
    entry, position = record.entry, world.size
    if position == 0 and entry.kind != "genesis":
        raise ReplayError("genesis-missing", f"entry 0 is {_shown(entry)}, not the genesis")
    if entry.kind not in PRODUCT_TIMED:
        clock.advance(entry.time_ms, position, entry)
    try:
        _check_chain(world, entry, documents)
        if entry.kind in ("lead.transition", "lead.refused", "product.event"):
            return _event(world, record, clock)
        if entry.kind == "lead.registered":
            return _new_lead(world, entry)
        request = _request(record, documents)
        if request is not None:
            return decide(world, request, entry.time_ms)
    except ReplayError:
        raise
    except (DomainError, LookupError) as error:
        # What the escrow does not know cannot be; that somebody did not answer says nothing.
        if isinstance(error, ChainError | ServerError) and error.code != "call-reverted":
            raise
        raise ReplayError(
            "entry-impossible", f"entry {position} is {_shown(entry)}, which cannot be: {error}"
        ) from None
    if entry.kind in _DERIVED:
        return []
    world.advance(entry)
    return [record]


# What follows from other entries. This log refuses no outcome by hand, so nobody may write that.
_DERIVED = frozenset({"outcome", "outcome.over", "outcome.refused", "outcome.reversed"})


def _check_chain(world: World, entry: Entry, documents: Documents) -> None:
    """Compare an opening's place and a closing's time with what the escrow says of the contract."""
    if entry.kind == "contract.opened" and documents.opening_number is not None:
        before = next(reversed(world.contracts), None)
        number = documents.opening_number(entry.subject)
        if before is not None and number <= documents.opening_number(before):
            raise ReplayError(
                "opening-order",
                f"entry {world.size} is {_shown(entry)}, which the escrow opened before "
                f"0x{before.hex()[:16]}, the last in the log",
            )
    elif entry.kind == "contract.closed" and documents.closed_at_s is not None:
        closed_at_s = documents.closed_at_s(entry.subject)
        if closed_at_s is None or entry.value != closed_at_s * 1000:
            raise ReplayError(
                "closing-false",
                f"entry {world.size} is {_shown(entry)} ms, "
                f"but the escrow says {closed_at_s * 1000 if closed_at_s else 'that it is open'}",
            )


def _request(record: Record, documents: Documents) -> Request | None:
    """The request that an entry was written for, where the entry says all of it."""
    entry = record.entry
    request: Request | None = None
    match entry.kind:
        case "touch":
            request = _touch(record)
        case "settlement":
            request = Settle()
        case "payout":
            request = RecordPayout(
                entry.subject, entry.actor, entry.label, entry.value, entry.payload
            )
        case "contract.opened":
            request = OpenContract(documents.rules(entry.subject), entry.payload)
        case "contract.closed":
            request = CloseContract(entry.subject, entry.value, entry.payload)
        case "operator.registered":
            request = RegisterOperator(entry.actor, entry.label, entry.payload)
        case "policy.published":
            request = PublishPolicy(entry.surface, entry.actor, documents.policy(entry.subject))
        case "erasure":
            request = Erasure(entry.surface, entry.subject, entry.actor)
        case "genesis":
            request = Genesis(entry.subject, entry.actor)
        case _:
            pass
    return request


def _new_lead(world: World, entry: Entry) -> list[Record]:
    writer = Writer(world, entry.time_ms)
    if entry.subject not in world.leads:
        register_lead(writer, entry.surface, entry.subject)
    return writer.records


def _touch(record: Record) -> Touch:
    entry, opening = record
    if not isinstance(opening, TouchOpening) or touch_payload(opening) != entry.payload:
        raise ReplayError("opening-false", f"the opening of {_shown(entry)} does not match it")
    return Touch(entry.surface, entry.subject, entry.actor, entry.label, *opening)


def _event(world: World, record: Record, clock: _Clock) -> list[Record]:
    entry, opening = record
    if not isinstance(opening, EventOpening) or event_payload(opening) != entry.payload:
        raise ReplayError("opening-false", f"the opening of {_shown(entry)} does not match it")
    clock.advance(opening.received_ms, world.size, entry)
    policy = world.surfaces[entry.surface].policy
    lead = world.leads[entry.subject]
    if lead.surface != entry.surface:
        raise ReplayError(
            "lead-elsewhere",
            f"entry {world.size} is {_shown(entry)}, which is a lead of another surface",
        )
    earliest_ms = opening.received_ms - policy.lateness_s * 1000
    if not earliest_ms <= entry.time_ms <= opening.received_ms:
        raise ReplayError(
            "event-time",
            f"entry {world.size} is {_shown(entry)} of {entry.time_ms} ms, "
            f"received at {opening.received_ms} ms: too late, or from the future",
        )
    writer = Writer(world, opening.received_ms)
    fact = ReportedEvent(
        entry.surface,
        entry.subject,
        entry.value,
        entry.time_ms,
        opening.request_hash,
        opening.commitment,
        opening.received_ms,
    )
    if entry.kind == "product.event":
        step = policy.step(lead.state, entry.label)
        if step.reverses:
            write_step(writer, fact, entry.label, step)
        return writer.records
    moved = entry.kind == "lead.transition"
    lawful = policy.enters if moved else policy.refuses
    if not lawful(lead.state, entry.label):
        raise ReplayError(
            "transition-unlawful",
            f"entry {world.size} is {_shown(entry)}, which the policy does not give "
            f"to a lead in state {lead.state!r}",
        )
    verdict = Verdict.ACCEPTED if moved else Verdict.REFUSED
    write_step(writer, fact, "", Step(verdict, to=entry.label))
    return writer.records


def _shown(entry: Entry) -> str:
    return f"{entry.kind} {entry.label!r} of 0x{entry.subject.hex()[:16]}, value {entry.value}"
