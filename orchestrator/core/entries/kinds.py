"""The kinds of log entries: one table that says all there is to say of each.

A row says which clock an entry carries, which opening its payload has, how the fold moves past it,
which request a replay judges it by, which stored projections it changes, and what its words mean.
A kind that has no row is refused wherever an entry is written, read, folded or replayed. To add a
kind, add its row, and the functions of its name in `folds` and `replay_rules`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import cached_property
from struct import Struct
from typing import Any, Literal, NamedTuple

from orchestrator.core.common.errors import EntryError
from orchestrator.core.entries import folds, replay_rules
from orchestrator.core.entries.replay_rules import Documents
from orchestrator.core.log.entry import (
    ENTRY_BYTES,
    TIME_MS_LIMIT,
    VALUE_LIMIT,
    WORD_BYTES,
    ZERO_WORD,
    Entry,
    ascii_text,
    ascii_word,
    check_word,
    shown_integer,
)
from orchestrator.core.log.opening import (
    ActOpening,
    AnswerOpening,
    CodeOpening,
    EventOpening,
    ForecastOpening,
    Opening,
    Record,
    ReportedTouchOpening,
    TransitionOpening,
    TrustOpening,
    payload_of,
    receipt_ms,
)
from orchestrator.core.world.tally import Subject
from orchestrator.core.world.world import World


class Clock(Enum):
    """The clock that an entry's time is read from."""

    LOG = "the log's own: when the request was received, or the last such time if that is later"
    PRODUCT = "the product's, within the policy's lateness; what follows from its events repeats it"
    CAUSE = "that of what is reported: the action's request, or the click as the product has it"


class Projection(StrEnum):
    """The stored tables that are a cache of the fold.

    The standings are not among them: an entry can change one that none of its fields names, so the
    world itself says which have changed.
    """

    # Each entry looks some up, and an enumeration's own hash is computed in Python.
    __hash__ = str.__hash__

    LEAD = "leads"
    CONTRACT = "contracts"
    POLICY = "policies"
    SETTINGS = "settings"
    SURFACE = "surfaces"
    OPERATOR = "operators"


class Topic(StrEnum):
    """The subject of the question "why" that is asked of an entry by its position."""

    TOUCH = "a touch"
    ACTION = "an action that the surface carries out"
    OUTCOME = "an outcome, or what was taken back of it"
    STEP = "a step of a lead's path"
    LEAD = "the lead"
    CONTRACT = "the contract"
    LEVEL = "the operator's level"


class RowChange(NamedTuple):
    """A row of a projection that an entry changes: the one that this field of the entry names."""

    projection: Projection
    field: str


class Meanings(NamedTuple):
    """The meaning of an entry's words, for readers; the surface word is the surface, or zero."""

    actor: str
    subject: str
    label: str
    value: str
    payload: str


class ReceiptRoles(NamedTuple):
    """The roles in the receipt of one kind of entry: those that are always there, and the others.

    The others are there where the log has them.
    """

    always: tuple[str, ...]
    others: tuple[str, ...]


Fold = Callable[[World, int, Record], None]
# Any request that `decide` takes, those that only a replay makes among them; None where nothing
# gives cause for the entry.
ReplayRule = Callable[[World, Record, Documents], Any]


# A side of a surface: its owner, or the operators.
Side = Literal["owner", "operator"]
_BOTH: tuple[Side, ...] = ("owner", "operator")


@dataclass(frozen=True)
class Kind:
    """One kind of entry.

    `replay` gives the request that the entry was written for; without one, the entry is lawful only
    where it follows from those before it. `role` names it in receipts, and `receipt` the roles in
    its own; None where it has none. Entries of a kind that is `listed` are found by their kind; a
    kind of which there are as many as leads, or more, is not: its entries are found by their
    subject. `topic` says what is answered of its entries. One that `moves_action` says what has
    become of a requested action. `told_to` are the sides of a surface whose webhooks are told of
    such entries. `news` is what the front page says of one; of a kind without, its name.
    """

    name: str
    clock: Clock
    words: Meanings
    fold: Fold
    replay: ReplayRule | None
    opening: type[Opening] | None = None
    changes: tuple[RowChange, ...] = ()
    role: str = ""
    receipt: ReceiptRoles | None = None
    listed: bool = True
    topic: Topic | None = None
    moves_action: bool = False
    told_to: tuple[Side, ...] = ()
    news: str = ""

    @property
    def word(self) -> bytes:
        """The entry's first word."""
        return ascii_word(self.name)

    def field_of(self, meaning: str) -> str | None:
        """Return the field whose word means this (`operator`, `contract id`); None for none."""
        if self.words.actor == meaning:
            return "actor"
        return "subject" if self.words.subject == meaning else None

    @cached_property
    def operator_field(self) -> str | None:
        """The field that names the operator; None for none."""
        return self.field_of("operator")

    @cached_property
    def is_of_contract(self) -> bool:
        """True of entries about a contract."""
        return self.field_of("contract id") is not None

    def fits(self, entry: Entry, opening: Opening | None) -> bool:
        """Return whether an entry of this kind commits to this opening, or to none."""
        if self.opening is None or opening is None:
            return self.opening is None and opening is None
        return type(opening) is self.opening and payload_of(opening) == entry.payload


# --- Reading, writing and folding entries ---------------------------------------------------------

_WORDS = Struct("32s" * 8)


def kind_of(entry: Entry) -> Kind:
    """Return the kind of an entry. Raises EntryError `kind-unknown`."""
    kind = KINDS.get(entry.kind)
    if kind is None:
        raise EntryError("kind-unknown", f"{entry.kind!r} is not a kind of entry")
    return kind


def opening_of_word(word: bytes) -> type[Opening] | None:
    """Return the opening that entries with this first word have; None for none, or no kind."""
    kind = KINDS.get(_KIND_OF_WORD.get(word, ""))
    return None if kind is None else kind.opening


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


def advance(world: World, record: Record) -> None:
    """Move a world past `record`, the log's next: in log order, each record exactly once.

    Raises EntryError `kind-unknown`, before anything is changed.
    """
    entry = record.entry
    kind, position = kind_of(entry), world.size
    kind.fold(world, position, record)
    if not kind.is_of_contract:
        actor = getattr(entry, kind.operator_field) if kind.operator_field else ZERO_WORD
        world.tallies.add(Subject(entry.surface, actor, kind.name), position)
    received_ms = _pass_by(world, kind, record)
    if received_ms is not None:
        here = world.surfaces[entry.surface]
        here.received_ms = max(here.received_ms, received_ms)


def pass_by(world: World, record: Record) -> None:
    """Move a world's size and clock past `record` alone: that of a surface it does not follow.

    Raises EntryError `kind-unknown`, before anything is changed.
    """
    _pass_by(world, kind_of(record.entry), record)


def _pass_by(world: World, kind: Kind, record: Record) -> int | None:
    """Move a world's size and clock past a record, and return when its report was received."""
    received_ms = receipt_ms(record.opening)
    world.size += 1
    if kind.clock is Clock.LOG:
        world.time_ms = max(world.time_ms, record.entry.time_ms)
    if received_ms is not None:
        world.time_ms = max(world.time_ms, received_ms)
    return received_ms


# --- The table ------------------------------------------------------------------------------------

_LEAD = RowChange(Projection.LEAD, "subject")
_CONTRACT = RowChange(Projection.CONTRACT, "subject")
_RECEIPT = _SURFACE = RowChange(Projection.SURFACE, "surface")
_CONTRACT_OF_OUTCOME = RowChange(Projection.CONTRACT, "actor")
_COMMITMENT = "SHA-256 of the opening"
_PREVIOUS_TOUCH = "1 + position of the operator's previous touch of the lead; 0: none"

_TABLE = (
    Kind(
        "genesis",
        Clock.LOG,
        Meanings("publisher", "log id", "format of the log", "0", "zero"),
        folds.nothing,
        replay_rules.genesis,
    ),
    Kind(
        "touch",
        Clock.LOG,
        Meanings(
            "operator",
            "lead",
            "action",
            _PREVIOUS_TOUCH,
            _COMMITMENT,
        ),
        folds.touch,
        replay_rules.touch,
        opening=ActOpening,
        changes=(_LEAD, _SURFACE),
        role="touch",
        listed=False,
        topic=Topic.TOUCH,
        news="an agent acted on a lead",
    ),
    Kind(
        "touch.reported",
        Clock.CAUSE,
        Meanings("operator", "lead", "action, or click", _PREVIOUS_TOUCH, _COMMITMENT),
        folds.touch_reported,
        replay_rules.touch_reported,
        opening=ReportedTouchOpening,
        changes=(_LEAD, _RECEIPT),
        role="touch",
        listed=False,
        topic=Topic.TOUCH,
        moves_action=True,
        news="an action on a lead was carried out",
    ),
    Kind(
        "action.requested",
        Clock.LOG,
        Meanings("operator", "lead", "action", "expiry, UTC ms", _COMMITMENT),
        folds.action_requested,
        replay_rules.action_requested,
        opening=ActOpening,
        changes=(_LEAD, _SURFACE),
        listed=False,
        topic=Topic.ACTION,
        moves_action=True,
        told_to=("owner",),
        news="an agent asked for an action on a lead",
    ),
    Kind(
        "action.answered",
        Clock.LOG,
        Meanings(
            "owner; zero if expired",
            "lead",
            "taken, failed or expired",
            "position of the request",
            _COMMITMENT,
        ),
        folds.action_answered,
        replay_rules.action_answered,
        opening=AnswerOpening,
        changes=(_LEAD, _SURFACE),
        listed=False,
        topic=Topic.ACTION,
        moves_action=True,
        told_to=_BOTH,
        news="an owner answered a requested action",
    ),
    Kind(
        "code.issued",
        Clock.LOG,
        Meanings("operator", "random id of the code", "click", "most uses", _COMMITMENT),
        folds.code_issued,
        replay_rules.code_issued,
        opening=CodeOpening,
        changes=(_SURFACE,),
        listed=False,
    ),
    Kind(
        "code.ended",
        Clock.LOG,
        Meanings(
            "operator or owner", "random id of the code", "code of the reason", "uses", "zero"
        ),
        folds.code_ended,
        replay_rules.code_ended,
        listed=False,
    ),
    Kind(
        "lead.registered",
        Clock.LOG,
        Meanings(
            "operator by whose code it came, else owner",
            "lead",
            "initial state",
            "position of the code's issue; 0: none",
            "zero",
        ),
        folds.lead_registered,
        replay_rules.lead_registered,
        changes=(_LEAD, _SURFACE),
        listed=False,
        topic=Topic.LEAD,
        news="a lead came",
    ),
    Kind(
        "lead.transition",
        Clock.PRODUCT,
        Meanings("owner", "lead", "state entered", "revenue, base units", _COMMITMENT),
        folds.lead_transition,
        replay_rules.lead_transition,
        opening=TransitionOpening,
        changes=(_LEAD, _RECEIPT),
        role="transition",
        listed=False,
        topic=Topic.STEP,
        news="a lead moved on",
    ),
    Kind(
        "lead.refused",
        Clock.PRODUCT,
        Meanings("owner", "lead", "state not entered", "revenue, base units", _COMMITMENT),
        folds.lead_refused,
        replay_rules.lead_refused,
        opening=TransitionOpening,
        changes=(_LEAD, _RECEIPT),
        listed=False,
        topic=Topic.STEP,
    ),
    Kind(
        "product.event",
        Clock.PRODUCT,
        Meanings("owner", "lead", "event", "revenue, base units", _COMMITMENT),
        folds.product_event,
        replay_rules.product_event,
        opening=EventOpening,
        changes=(_LEAD, _RECEIPT),
        role="event",
        listed=False,
        topic=Topic.STEP,
        news="an owner reported an event",
    ),
    Kind(
        "outcome",
        Clock.PRODUCT,
        Meanings(
            "contract id",
            "lead",
            "state entered",
            "amount, base units",
            "transition u40, touch u40, prev u40, n u40, earned after u80, 0 u16",
        ),
        folds.outcome,
        None,
        changes=(_LEAD, _CONTRACT_OF_OUTCOME),
        role="outcome",
        receipt=ReceiptRoles(("touch", "transition", "outcome"), ("settlement", "payout")),
        listed=False,
        topic=Topic.OUTCOME,
        news="an outcome was earned",
    ),
    Kind(
        "outcome.over",
        Clock.PRODUCT,
        Meanings(
            "contract id",
            "lead",
            "state entered",
            "amount past the budget, base units",
            "transition u40, touch u40, 0",
        ),
        folds.outcome_over,
        None,
        changes=(_LEAD, _CONTRACT_OF_OUTCOME),
        listed=False,
        topic=Topic.OUTCOME,
        news="an outcome came after its budget was used up",
    ),
    Kind(
        "outcome.reversed",
        Clock.PRODUCT,
        Meanings(
            "contract id",
            "lead",
            "state of the outcome",
            "amount, base units",
            "outcome u40, event u40, prev u40, n u40, reversed after u80, 0 u16",
        ),
        folds.outcome_reversed,
        None,
        changes=(_CONTRACT_OF_OUTCOME,),
        role="reversal",
        receipt=ReceiptRoles(
            ("transition", "outcome", "event", "reversal"), ("settlement", "payout")
        ),
        listed=False,
        topic=Topic.OUTCOME,
        news="an outcome was taken back",
    ),
    Kind(
        "settlement",
        Clock.LOG,
        Meanings(
            "verifier",
            "contract id",
            "state that the contract pays for",
            "earned - reversed, base units",
            "earned u80, reversed u80, last outcome u48, last reversal u48",
        ),
        folds.settlement,
        replay_rules.settlement,
        changes=(_CONTRACT,),
        role="settlement",
        receipt=ReceiptRoles(("settlement",), ("payout",)),
        topic=Topic.CONTRACT,
        news="a contract's earnings were stated",
    ),
    Kind(
        "payout",
        Clock.LOG,
        Meanings(
            "payee", "contract id", "paid or credited", "gross amount, base units", "transaction"
        ),
        folds.payout,
        replay_rules.payout,
        changes=(_CONTRACT,),
        role="payout",
        receipt=ReceiptRoles(("payout",), ("settlement",)),
        topic=Topic.CONTRACT,
        told_to=_BOTH,
        news="an agent was paid",
    ),
    Kind(
        "contract.opened",
        Clock.LOG,
        Meanings(
            "owner",
            "contract id",
            "state that the contract pays for",
            "budget, base units",
            "transaction",
        ),
        folds.contract_opened,
        replay_rules.contract_opened,
        changes=(_CONTRACT,),
        topic=Topic.CONTRACT,
        told_to=_BOTH,
        news="a contract was opened and its budget escrowed",
    ),
    Kind(
        "contract.closed",
        Clock.LOG,
        Meanings(
            "owner",
            "contract id",
            "state that the contract pays for",
            "time of the closing, UTC ms",
            "transaction",
        ),
        folds.contract_closed,
        replay_rules.contract_closed,
        changes=(_CONTRACT,),
        topic=Topic.CONTRACT,
        told_to=_BOTH,
        news="a contract was closed by both parties",
    ),
    Kind(
        "dispute.opened",
        Clock.LOG,
        Meanings(
            "party",
            "contract id",
            "side that disputes",
            "net stated, base units",
            "transaction",
        ),
        folds.nothing,
        replay_rules.dispute_opened,
        topic=Topic.CONTRACT,
        told_to=_BOTH,
        news="a statement was disputed",
    ),
    Kind(
        "dispute.ruled",
        Clock.LOG,
        Meanings(
            "arbiter",
            "contract id",
            "what the ruling did",
            "net ruled, base units",
            "transaction",
        ),
        folds.dispute_ruled,
        replay_rules.dispute_ruled,
        topic=Topic.CONTRACT,
        told_to=_BOTH,
        news="an arbiter ruled",
    ),
    Kind(
        "operator.registered",
        Clock.LOG,
        Meanings("operator", "operator", "empty", "0", "commitment to the registration"),
        folds.operator_registered,
        replay_rules.operator_registered,
        changes=(RowChange(Projection.OPERATOR, "subject"),),
        news="an agent came",
    ),
    Kind(
        "policy.published",
        Clock.LOG,
        Meanings("owner", "hash of the policy", "v and the version", "version", "zero"),
        folds.policy_published,
        replay_rules.policy_published,
        changes=(RowChange(Projection.POLICY, "subject"), _SURFACE),
        news="an owner published a policy",
    ),
    Kind(
        "settings.published",
        Clock.LOG,
        Meanings("owner", "hash of the settings", "v and the version", "version", "zero"),
        folds.settings_published,
        replay_rules.settings_published,
        changes=(RowChange(Projection.SETTINGS, "subject"), _SURFACE),
        news="an owner published settings",
    ),
    Kind(
        "forecast.made",
        Clock.LOG,
        Meanings("operator", "state to leave", "state to enter", "horizon in days", _COMMITMENT),
        folds.forecast_made,
        replay_rules.forecast_made,
        opening=ActOpening,
        news="an agent made a forecast",
    ),
    Kind(
        "forecast.scored",
        Clock.LOG,
        Meanings("zero", "operator", "state to enter", "position of the forecast", _COMMITMENT),
        folds.forecast_scored,
        replay_rules.forecast_scored,
        opening=ForecastOpening,
        changes=(_SURFACE,),
        news="a forecast was scored",
    ),
    Kind(
        "trust.changed",
        Clock.LOG,
        Meanings("zero", "operator", "new level", "position of the newest evidence", _COMMITMENT),
        folds.trust_changed,
        replay_rules.trust_changed,
        opening=TrustOpening,
        changes=(_SURFACE,),
        topic=Topic.LEVEL,
        told_to=("operator",),
        news="an agent's level changed",
    ),
    Kind(
        "operator.suspended",
        Clock.LOG,
        Meanings("owner", "operator", "code of the reason", "0", _COMMITMENT),
        folds.operator_suspended,
        replay_rules.operator_suspended,
        opening=ActOpening,
        topic=Topic.LEVEL,
        told_to=("operator",),
        news="an owner suspended an agent",
    ),
    Kind(
        "operator.restored",
        Clock.LOG,
        Meanings("owner", "operator", "code of the reason", "0", _COMMITMENT),
        folds.operator_restored,
        replay_rules.operator_restored,
        opening=ActOpening,
        topic=Topic.LEVEL,
        told_to=("operator",),
        news="an owner restored an agent",
    ),
    Kind(
        "erasure",
        Clock.LOG,
        Meanings("owner", "lead", "empty", "0", "zero"),
        folds.nothing,
        replay_rules.erasure,
        topic=Topic.STEP,
        news="a lead was erased",
    ),
)

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _TABLE}
# The parts that an entry can play in a receipt, by name, with the kinds that can play them.
ROLES: Mapping[str, tuple[Kind, ...]] = {
    role: tuple(kind for kind in _TABLE if kind.role == role)
    for role in dict.fromkeys(kind.role for kind in _TABLE if kind.role)
}
_WORD_OF_KIND = {kind.name: kind.word for kind in _TABLE}
_KIND_OF_WORD = {kind.word: kind.name for kind in _TABLE}
