"""The kinds of log entries: one table that says all there is to say of each.

A row says which clock an entry carries, which opening its payload has, how the fold moves past it,
which request a replay judges it by, which stored projections it changes, and what its words mean.
A kind that has no row is refused wherever an entry is written, read, folded or replayed. To add a
kind, add its row and the functions that the row names.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from struct import Struct
from typing import Any, NamedTuple

from orchestrator.core import requests
from orchestrator.core.attribution import TouchAt, TouchHistory
from orchestrator.core.contract import Contract, ContractRules, PaidOutcome, forget_expired
from orchestrator.core.entry import (
    ENTRY_BYTES,
    TIME_MS_LIMIT,
    VALUE_LIMIT,
    WORD_BYTES,
    Entry,
    ascii_text,
    ascii_word,
    check_word,
    described,
    shown_integer,
    unpack_reversal,
)
from orchestrator.core.errors import EntryError, ReplayError
from orchestrator.core.opening import EventOpening, Opening, Record, TouchOpening, payload_of
from orchestrator.core.policy import Policy, Step, Verdict
from orchestrator.core.world import Lead, Operator, Surface, World


class Clock(Enum):
    """The clock that an entry's time is read from."""

    LOG = "the log's own, which never goes back"
    PRODUCT = "the product's, within the policy's lateness; what follows from its events repeats it"


class Projection(StrEnum):
    """The stored tables that are a cache of the fold."""

    LEAD = "leads"
    CONTRACT = "contracts"
    POLICY = "policies"
    SURFACE = "surfaces"
    OPERATOR = "operators"


class Change(NamedTuple):
    """A row of a projection that an entry changes: the one named by this word of the entry."""

    projection: Projection
    word: str


class Words(NamedTuple):
    """The meaning of an entry's words, for readers; the surface word is the surface, or zero."""

    actor: str
    subject: str
    label: str
    value: str
    payload: str


class Documents(NamedTuple):
    """The sources of what entries refer to: policies by hash, and the rules of contracts by id.

    Both hashes are checked where the documents come from: the entry that follows from the policy
    names its hash, and a contract id is the digest of the terms that the chain gives for it.

    `opening_number` (1, 2, … in the order of opening) and `closed_at_s` (None: open) are what the
    escrow says of a contract. A verifier must compare them before it signs for a log: attribution
    rests on both, and the escrow judges by its own. None: there is no chain to ask.
    """

    policy: Callable[[bytes], Policy]
    rules: Callable[[bytes], ContractRules]
    opening_number: Callable[[bytes], int] | None = None
    closed_at_s: Callable[[bytes], int | None] | None = None


Fold = Callable[[World, int, Entry], None]
# Any request that `decide` takes, those that only a replay makes among them; None where nothing
# gives cause for the entry.
ReplayRule = Callable[[World, Record, Documents], Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of entry.

    `replay` gives the request that the entry was written for; without one, the entry is lawful only
    where it follows from those before it. `role` names it in receipts. A kind of which most of the
    log consists is not `listed`: its entries are found by their subject, not by their kind.
    """

    name: str
    clock: Clock
    words: Words
    fold: Fold
    replay: ReplayRule | None
    opening: type[EventOpening] | type[TouchOpening] | None = None
    changes: tuple[Change, ...] = ()
    role: str = ""
    listed: bool = True

    @property
    def word(self) -> bytes:
        """The entry's first word."""
        return ascii_word(self.name)

    def fits(self, entry: Entry, opening: Opening | None) -> bool:
        """Return whether an entry of this kind commits to this opening, or to none."""
        if self.opening is None or opening is None:
            return self.opening is None and opening is None
        return isinstance(opening, self.opening) and payload_of(opening) == entry.payload


# --- Reading, writing and folding entries ---------------------------------------------------------

_WORDS = Struct("32s" * 8)


def kind_of(entry: Entry) -> Kind:
    """Return the kind of an entry. Raises EntryError `kind-unknown`."""
    kind = KINDS.get(entry.kind)
    if kind is None:
        raise EntryError("kind-unknown", f"{entry.kind!r} is not a kind of entry")
    return kind


def encode(entry: Entry) -> bytes:
    """Return the 256 bytes of an entry, the leaf data of the log. Raises EntryError."""
    kind, surface, actor, subject, label, value, time_ms, payload = entry
    kind_word = _WORD_OF_KIND.get(kind)
    if kind_word is None:
        raise EntryError("kind-unknown", f"{kind!r} is not a kind of entry")
    if not len(surface) == len(actor) == len(subject) == len(payload) == WORD_BYTES:
        for name in ("surface", "actor", "subject", "payload"):
            check_word(name, getattr(entry, name))
    if not 0 <= value < VALUE_LIMIT:
        raise EntryError("value-range", f"value {shown_integer(value)} is not in [0, 2^256)")
    if not 0 <= time_ms < TIME_MS_LIMIT:
        raise EntryError("time-range", f"time_ms {shown_integer(time_ms)} is not in [0, 2^63)")
    return b"".join(
        (
            kind_word,
            surface,
            actor,
            subject,
            ascii_word(label),
            value.to_bytes(WORD_BYTES),
            time_ms.to_bytes(WORD_BYTES),
            payload,
        )
    )


def decode(data: bytes) -> Entry:
    """Return the entry of 256 bytes. Raises EntryError for what `encode` would not have written."""
    if len(data) != ENTRY_BYTES:
        raise EntryError("entry-length", f"an entry has 256 bytes, not {len(data)}")
    kind_word, surface, actor, subject, label_word, value_word, time_word, payload = _WORDS.unpack(
        data
    )
    kind = _KIND_OF_WORD.get(kind_word)
    if kind is None:
        raise EntryError("kind-unknown", f"word 0x{kind_word.hex()} is not a kind of entry")
    time_ms = int.from_bytes(time_word)
    if time_ms >= TIME_MS_LIMIT:
        raise EntryError("time-range", f"time_ms {time_ms} is not in [0, 2^63)")
    value = int.from_bytes(value_word)
    return Entry(kind, surface, actor, subject, ascii_text(label_word), value, time_ms, payload)


def advance(world: World, entry: Entry) -> None:
    """Move a world past `entry`, the log's next: in log order, each entry exactly once.

    Raises EntryError `kind-unknown`, before anything is changed.
    """
    kind, position = kind_of(entry), world.size
    kind.fold(world, position, entry)
    world.size = position + 1
    if kind.clock is Clock.LOG:
        world.time_ms = entry.time_ms


# --- Folds: an entry's effect on the world --------------------------------------------------------


def _fold_nothing(_world: World, _position: int, _entry: Entry) -> None:
    """Leave the world as it is: the entry is a fact that no rule rests on."""


def _fold_touch(world: World, position: int, entry: Entry) -> None:
    history = world.leads[entry.subject].touches.setdefault(entry.actor, TouchHistory())
    history.add(TouchAt(position, entry.time_ms))


def _fold_lead(world: World, _position: int, entry: Entry) -> None:
    world.leads[entry.subject] = Lead(entry.surface, entry.label, entry.time_ms)


def _fold_transition(world: World, _position: int, entry: Entry) -> None:
    lead = world.leads[entry.subject]
    lead.state, lead.since_ms = entry.label, entry.time_ms
    lead.visits[entry.label] = lead.visits.get(entry.label, 0) + 1


def _fold_outcome(world: World, position: int, entry: Entry) -> None:
    contract = world.contracts[entry.actor]
    contract.add_outcome(position, entry.value)
    _count_lead(world, contract, entry.subject)
    policy = world.surfaces[entry.surface].policy
    if not policy.is_reversible(entry.label):
        return
    lead = world.leads[entry.subject]
    expires_ms = entry.time_ms + contract.rules.holdback_period_ms
    lead.paid.append(
        PaidOutcome(entry.actor, entry.label, position, entry.time_ms, entry.value, expires_ms)
    )
    if len(lead.paid) >= lead.sweep_at:
        lead.paid = forget_expired(lead.paid, world.time_ms - policy.lateness_s * 1000)
        lead.sweep_at = 2 * len(lead.paid) + 8


def _fold_over(world: World, _position: int, entry: Entry) -> None:
    contract = world.contracts[entry.actor]
    contract.over_units += entry.value
    _count_lead(world, contract, entry.subject)


def _fold_reversal(world: World, position: int, entry: Entry) -> None:
    world.contracts[entry.actor].add_reversal(position, entry.value)
    lead = world.leads[entry.subject]
    reversed_outcome = unpack_reversal(entry.payload).outcome
    lead.paid = [outcome for outcome in lead.paid if outcome.position != reversed_outcome]


def _fold_settlement(world: World, position: int, entry: Entry) -> None:
    world.contracts[entry.subject].last_settlement = position


def _fold_opening(world: World, position: int, entry: Entry) -> None:
    world.add_contract(Contract(world.rules[entry.subject], position))


def _fold_closing(world: World, _position: int, entry: Entry) -> None:
    world.contracts[entry.subject].closed_at_ms = entry.value


def _fold_policy(world: World, _position: int, entry: Entry) -> None:
    policy = world.policies[entry.subject]
    world.surfaces[entry.surface] = Surface(entry.actor, policy, entry.value)


def _fold_operator(world: World, position: int, entry: Entry) -> None:
    world.operators[entry.subject] = Operator(entry.label, position)


def _count_lead(world: World, contract: Contract, lead: bytes) -> None:
    if not contract.rules.repeatable:
        world.leads[lead].counted += (contract.rules.contract_id,)


# --- Replay rules: the request that an entry was written for --------------------------------------


def _replay_touch(_world: World, record: Record, _documents: Documents) -> requests.Touch:
    entry, opening = record
    if not isinstance(opening, TouchOpening):
        raise TypeError("a touch has its opening; it was checked")
    return requests.Touch(entry.surface, entry.subject, entry.actor, entry.label, *opening)


def _replay_lead(_world: World, record: Record, _documents: Documents) -> requests.RegisterLead:
    return requests.RegisterLead(record.entry.surface, record.entry.subject)


def _replay_event(world: World, record: Record, _documents: Documents) -> Any:
    """Return the step by which this event reversed something; None if it reverses nothing."""
    reported, policy, lead = _reported_event(world, record)
    step = policy.step(lead.state, record.entry.label)
    return requests.ApplyStep(reported, record.entry.label, step) if step.reverses else None


def _replay_transition(world: World, record: Record, _documents: Documents) -> requests.ApplyStep:
    reported, policy, lead = _reported_event(world, record)
    return _lawful_step(world, record, reported, lead, Verdict.ACCEPTED, policy.enters)


def _replay_refusal(world: World, record: Record, _documents: Documents) -> requests.ApplyStep:
    reported, policy, lead = _reported_event(world, record)
    return _lawful_step(world, record, reported, lead, Verdict.REFUSED, policy.refuses)


def _lawful_step(
    world: World,
    record: Record,
    reported: requests.ReportedEvent,
    lead: Lead,
    verdict: Verdict,
    lawful: Callable[[str, str], bool],
) -> requests.ApplyStep:
    to = record.entry.label
    if not lawful(lead.state, to):
        raise ReplayError(
            "transition-unlawful",
            f"entry {world.size} is {described(record.entry)}, which the policy does not give "
            f"to a lead in state {lead.state!r}",
        )
    return requests.ApplyStep(reported, "", Step(verdict, to=to))


def _reported_event(world: World, record: Record) -> tuple[requests.ReportedEvent, Policy, Lead]:
    """Return the event behind an entry, its policy and its lead, within the policy's lateness."""
    entry, opening = record
    if not isinstance(opening, EventOpening):
        raise TypeError("an event has its opening; it was checked")
    policy = world.surfaces[entry.surface].policy
    lead = world.leads[entry.subject]
    if lead.surface != entry.surface:
        raise ReplayError(
            "lead-elsewhere",
            f"entry {world.size} is {described(entry)}, which is a lead of another surface",
        )
    earliest_ms = opening.received_ms - policy.lateness_s * 1000
    if not earliest_ms <= entry.time_ms <= opening.received_ms:
        raise ReplayError(
            "event-time",
            f"entry {world.size} is {described(entry)} of {entry.time_ms} ms, "
            f"received at {opening.received_ms} ms: too late, or from the future",
        )
    reported = requests.ReportedEvent(
        entry.surface,
        entry.subject,
        entry.value,
        entry.time_ms,
        opening.request_hash,
        opening.commitment,
        opening.received_ms,
    )
    return reported, policy, lead


def _replay_settlement(_world: World, _record: Record, _documents: Documents) -> requests.Settle:
    return requests.Settle()


def _replay_payout(_world: World, record: Record, _documents: Documents) -> requests.RecordPayout:
    entry = record.entry
    return requests.RecordPayout(
        entry.subject, entry.actor, entry.label, entry.value, entry.payload
    )


def _replay_opening(world: World, record: Record, documents: Documents) -> requests.OpenContract:
    """Compare the opening's place with the escrow's order of openings."""
    entry = record.entry
    if documents.opening_number is not None:
        before = next(reversed(world.contracts), None)
        number = documents.opening_number(entry.subject)
        if before is not None and number <= documents.opening_number(before):
            raise ReplayError(
                "opening-order",
                f"entry {world.size} is {described(entry)}, which the escrow opened before "
                f"0x{before.hex()[:16]}, the last in the log",
            )
    return requests.OpenContract(documents.rules(entry.subject), entry.payload)


def _replay_closing(world: World, record: Record, documents: Documents) -> requests.CloseContract:
    """Compare the closing's time with what the escrow says of the contract."""
    entry = record.entry
    if documents.closed_at_s is not None:
        closed_at_s = documents.closed_at_s(entry.subject)
        if closed_at_s is None or entry.value != closed_at_s * 1000:
            raise ReplayError(
                "closing-false",
                f"entry {world.size} is {described(entry)} ms, "
                f"but the escrow says {closed_at_s * 1000 if closed_at_s else 'that it is open'}",
            )
    return requests.CloseContract(entry.subject, entry.value, entry.payload)


def _replay_operator(
    _world: World, record: Record, _documents: Documents
) -> requests.RegisterOperator:
    entry = record.entry
    return requests.RegisterOperator(entry.actor, entry.label, entry.payload)


def _replay_policy(_world: World, record: Record, documents: Documents) -> requests.PublishPolicy:
    entry = record.entry
    return requests.PublishPolicy(entry.surface, entry.actor, documents.policy(entry.subject))


def _replay_erasure(_world: World, record: Record, _documents: Documents) -> requests.Erasure:
    entry = record.entry
    return requests.Erasure(entry.surface, entry.subject, entry.actor)


def _replay_genesis(_world: World, record: Record, _documents: Documents) -> requests.Genesis:
    return requests.Genesis(record.entry.subject, record.entry.actor)


# --- The table ------------------------------------------------------------------------------------

_LEAD = Change(Projection.LEAD, "subject")
_CONTRACT = Change(Projection.CONTRACT, "subject")
_CONTRACT_OF_OUTCOME = Change(Projection.CONTRACT, "actor")
_COMMITMENT = "SHA-256 of the opening"

_TABLE = (
    Kind(
        "genesis",
        Clock.LOG,
        Words("publisher", "log id", "format of the log", "0", "zero"),
        _fold_nothing,
        _replay_genesis,
    ),
    Kind(
        "touch",
        Clock.LOG,
        Words(
            "operator",
            "lead",
            "action",
            "1 + position of the operator's previous touch of the lead; 0: none",
            _COMMITMENT,
        ),
        _fold_touch,
        _replay_touch,
        opening=TouchOpening,
        changes=(_LEAD,),
        role="touch",
        listed=False,
    ),
    Kind(
        "lead.registered",
        Clock.LOG,
        Words("owner", "lead", "initial state", "0", "zero"),
        _fold_lead,
        _replay_lead,
        changes=(_LEAD,),
        listed=False,
    ),
    Kind(
        "lead.transition",
        Clock.PRODUCT,
        Words("owner", "lead", "state entered", "revenue, base units", _COMMITMENT),
        _fold_transition,
        _replay_transition,
        opening=EventOpening,
        changes=(_LEAD,),
        role="transition",
        listed=False,
    ),
    Kind(
        "lead.refused",
        Clock.PRODUCT,
        Words("owner", "lead", "state not entered", "revenue, base units", _COMMITMENT),
        _fold_nothing,
        _replay_refusal,
        opening=EventOpening,
        listed=False,
    ),
    Kind(
        "product.event",
        Clock.PRODUCT,
        Words("owner", "lead", "event", "revenue, base units", _COMMITMENT),
        _fold_nothing,
        _replay_event,
        opening=EventOpening,
        role="event",
        listed=False,
    ),
    Kind(
        "outcome",
        Clock.PRODUCT,
        Words(
            "contract id",
            "lead",
            "state entered",
            "amount, base units",
            "transition u40, touch u40, prev u40, n u40, earned after u80, 0 u16",
        ),
        _fold_outcome,
        None,
        changes=(_LEAD, _CONTRACT_OF_OUTCOME),
        role="outcome",
        listed=False,
    ),
    Kind(
        "outcome.over",
        Clock.PRODUCT,
        Words(
            "contract id",
            "lead",
            "state entered",
            "amount past the budget, base units",
            "transition u40, touch u40, 0",
        ),
        _fold_over,
        None,
        changes=(_LEAD, _CONTRACT_OF_OUTCOME),
        listed=False,
    ),
    Kind(
        "outcome.reversed",
        Clock.PRODUCT,
        Words(
            "contract id",
            "lead",
            "state of the outcome",
            "amount, base units",
            "outcome u40, event u40, prev u40, n u40, reversed after u80, 0 u16",
        ),
        _fold_reversal,
        None,
        changes=(_LEAD, _CONTRACT_OF_OUTCOME),
        role="reversal",
        listed=False,
    ),
    Kind(
        "settlement",
        Clock.LOG,
        Words(
            "verifier",
            "contract id",
            "state that the contract pays for",
            "earned - reversed, base units",
            "earned u80, reversed u80, last outcome u48, last reversal u48",
        ),
        _fold_settlement,
        _replay_settlement,
        changes=(_CONTRACT,),
        role="settlement",
    ),
    Kind(
        "payout",
        Clock.LOG,
        Words(
            "payee", "contract id", "paid or credited", "gross amount, base units", "transaction"
        ),
        _fold_nothing,
        _replay_payout,
        role="payout",
    ),
    Kind(
        "contract.opened",
        Clock.LOG,
        Words(
            "owner",
            "contract id",
            "state that the contract pays for",
            "budget, base units",
            "transaction",
        ),
        _fold_opening,
        _replay_opening,
        changes=(_CONTRACT,),
    ),
    Kind(
        "contract.closed",
        Clock.LOG,
        Words(
            "owner",
            "contract id",
            "state that the contract pays for",
            "time of the closing, UTC ms",
            "transaction",
        ),
        _fold_closing,
        _replay_closing,
        changes=(_CONTRACT,),
    ),
    Kind(
        "operator.registered",
        Clock.LOG,
        Words("operator", "operator", "level", "0", "commitment to the registration"),
        _fold_operator,
        _replay_operator,
        changes=(Change(Projection.OPERATOR, "subject"),),
    ),
    Kind(
        "policy.published",
        Clock.LOG,
        Words("owner", "hash of the policy", "v and the version", "version", "zero"),
        _fold_policy,
        _replay_policy,
        changes=(Change(Projection.POLICY, "subject"), Change(Projection.SURFACE, "surface")),
    ),
    Kind(
        "erasure",
        Clock.LOG,
        Words("owner", "lead", "empty", "0", "zero"),
        _fold_nothing,
        _replay_erasure,
    ),
)

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _TABLE}
# The parts that an entry can play in a receipt, by name.
ROLES: Mapping[str, Kind] = {kind.role: kind for kind in _TABLE if kind.role}
_WORD_OF_KIND = {kind.name: kind.word for kind in _TABLE}
_KIND_OF_WORD = {kind.word: kind.name for kind in _TABLE}
