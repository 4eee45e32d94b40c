"""Requests: what may be asked of the log.

The union `Request` lists them. Each is a NamedTuple whose annotations say how a field is stored
(`orchestrator.core.surface.fields`); its name in the inbox is the name of its class in snake case.
The lead that a request is about is its field `lead`: by that the sequencer loads it in time.
"""

from typing import NamedTuple

from orchestrator.core.log.entry import ZERO_WORD
from orchestrator.core.surface.fields import (
    Answer,
    Count,
    DisputeLabel,
    EventName,
    Name,
    NameOrNone,
    PayoutLabel,
    PolicyDocument,
    RulingLabel,
    SettingsDocument,
    Share,
    SpanMs,
    TimeMs,
    Truth,
    Units,
    Word,
)
from orchestrator.core.surface.policy import Step
from orchestrator.core.world.contract import ContractRules


class Genesis(NamedTuple):
    """The beginning of the log. It is entry 0, so that position 0 can mean "none" elsewhere."""

    log_id: Word
    publisher: Word


class RegisterOperator(NamedTuple):
    """The registration of an operator, which its first act brings about if nothing did before."""

    operator: Word
    commitment: Word


class PublishPolicy(NamedTuple):
    """A surface's first policy, or the next one where the last binds no contract any more."""

    surface: Word
    owner: Word
    policy: PolicyDocument


class PublishSettings(NamedTuple):
    """A surface's first settings, or the next ones: its owner changes them whenever it likes."""

    surface: Word
    owner: Word
    settings: SettingsDocument


class SuspendOperator(NamedTuple):
    """The owner's order that an operator act no more on its surface, with a code of the reason."""

    surface: Word
    owner: Word
    operator: Word
    reason: Name
    request_hash: Word = ZERO_WORD
    commitment: Word = ZERO_WORD
    key: Word = ZERO_WORD


class RestoreOperator(NamedTuple):
    """The end of a suspension, by the owner, with a code of the reason."""

    surface: Word
    owner: Word
    operator: Word
    reason: Name
    request_hash: Word = ZERO_WORD
    commitment: Word = ZERO_WORD
    key: Word = ZERO_WORD


class JudgeTrust(NamedTuple):
    """An operator's wish that its level on a surface be judged now, and not at its next act."""

    surface: Word
    operator: Word


class MakeForecast(NamedTuple):
    """An operator's forecast for the cohort of the next midnight.

    The commitment is to its probability, which is kept apart until the forecast can be scored.
    """

    surface: Word
    operator: Word
    from_state: Name
    to_state: Name
    horizon_days: Count
    request_hash: Word
    commitment: Word
    key: Word = ZERO_WORD


class ScoreForecast(NamedTuple):
    """The opening of a forecast, and its score, once its window has passed."""

    surface: Word
    operator: Word
    forecast: Count
    probability_bps: Share
    salt: Word


class Touch(NamedTuple):
    """An operator's action on a lead. It happens when it is received: its time is ours."""

    surface: Word
    lead: Word
    operator: Word
    action: Name
    request_hash: Word = ZERO_WORD
    commitment: Word = ZERO_WORD
    key: Word = ZERO_WORD


class RequestAction(NamedTuple):
    """An operator's request that the surface act on a lead; it lasts so long if it is not taken."""

    surface: Word
    lead: Word
    operator: Word
    action: Name
    lasts_ms: Count
    request_hash: Word = ZERO_WORD
    commitment: Word = ZERO_WORD
    key: Word = ZERO_WORD


class AnswerAction(NamedTuple):
    """The owner's answer to a requested action, by the request's position: it took it, or failed.

    `reason` is a code of the reason for which it failed, empty for none.
    """

    surface: Word
    lead: Word
    owner: Word
    position: Count
    answer: Answer
    reason: NameOrNone = ""
    request_hash: Word = ZERO_WORD


class ConfirmAction(NamedTuple):
    """The word of the owner's own endpoint that it has taken a requested action."""

    surface: Word
    lead: Word
    position: Count


class ExpireAction(NamedTuple):
    """The end of a requested action that was not taken in its time."""

    surface: Word
    lead: Word
    position: Count


class ProductEvent(NamedTuple):
    """An event of the owner's product, at the product's own time, with the revenue it brought.

    `event` is the product's own name of it, for which the policy may have a short one. It may have
    happened up to `span_ms` later than `time_ms`, where the product's clock knows whole seconds
    alone; it counts at the end of that span, or at its receipt if that is earlier. `order` is the
    random word of the order that it is about, zero for none. An event that takes back from an order
    takes its value, or all that is left if it is about the `whole` order.
    """

    surface: Word
    lead: Word
    event: EventName
    value_units: Units
    time_ms: TimeMs
    request_hash: Word = ZERO_WORD
    commitment: Word = ZERO_WORD
    order: Word = ZERO_WORD
    whole: Truth = True
    span_ms: SpanMs = 0


class Arrival(NamedTuple):
    """A product event with the code that its lead came by.

    `ref` is the random id of that code, or a word that is no code's. Of an event that came with a
    code alone (`is_alone`) the owner's own id of the lead is not known yet, and `lead` is one that
    waits for it; `is_alias` says that the id has just become that of such a lead. The rest is as
    for a `ProductEvent`.
    """

    surface: Word
    lead: Word
    ref: Word
    is_alone: Truth
    is_alias: Truth
    event: EventName
    value_units: Units
    time_ms: TimeMs
    request_hash: Word = ZERO_WORD
    commitment: Word = ZERO_WORD
    order: Word = ZERO_WORD
    whole: Truth = True
    span_ms: SpanMs = 0


class IssueCode(NamedTuple):
    """The issue of a code by whose use leads arrive; `code` is its random id, never the code."""

    surface: Word
    code: Word
    operator: Word
    most_uses: Count
    expires_ms: TimeMs
    request_hash: Word
    commitment: Word
    key: Word = ZERO_WORD


class EndOwnCode(NamedTuple):
    """The end of a code by the operator that it was given to, with a code of the reason."""

    surface: Word
    operator: Word
    code: Word
    reason: Name


class EndCode(NamedTuple):
    """The end of a code by the surface's owner, with a code of the reason."""

    surface: Word
    owner: Word
    code: Word
    reason: Name


class Erasure(NamedTuple):
    """The erasure of all that said who a lead is, by the owner; the log says that it happened."""

    surface: Word
    lead: Word
    owner: Word


class OpenContract(NamedTuple):
    """The opening of a contract by the escrow, in this transaction."""

    rules: ContractRules
    transaction: Word


class CloseContract(NamedTuple):
    """The closing of a contract by the escrow, before its time."""

    contract_id: Word
    closed_at_ms: TimeMs
    transaction: Word


class RecordPayout(NamedTuple):
    """A gross amount that the escrow paid (`paid`) or owes (`credited`); final on chain."""

    contract_id: Word
    payee: Word
    label: PayoutLabel
    gross_units: Units
    transaction: Word


class RecordDispute(NamedTuple):
    """A party's dispute of what a contract's pending statement, or its claims, come to."""

    contract_id: Word
    party: Word
    label: DisputeLabel
    stated_units: Units
    transaction: Word


class RecordRuling(NamedTuple):
    """The arbiter's ruling on such a dispute: what is payable, and what that did."""

    contract_id: Word
    arbiter: Word
    label: RulingLabel
    ruled_units: Units
    transaction: Word


class Settle(NamedTuple):
    """A settlement tick: state the totals of every contract that has new ones."""


Request = (
    Genesis
    | RegisterOperator
    | PublishPolicy
    | PublishSettings
    | SuspendOperator
    | RestoreOperator
    | JudgeTrust
    | MakeForecast
    | ScoreForecast
    | Touch
    | RequestAction
    | AnswerAction
    | ConfirmAction
    | ExpireAction
    | ProductEvent
    | Arrival
    | IssueCode
    | EndOwnCode
    | EndCode
    | Erasure
    | OpenContract
    | CloseContract
    | RecordPayout
    | RecordDispute
    | RecordRuling
    | Settle
)


# The refusals that time changes: the same request can be taken later, as it stands. All others are
# the last word on a request.
RETRYABLE = frozenset(
    {
        "code-limit",  # tomorrow is another day
        "codes-unoffered",  # the owner may publish settings that offer some
        "action-early",  # its time will pass
        "action-limit",  # the owner may take some, and others expire
        "contract-unknown",  # its opening may come into the log
        "event-ahead",  # its time will come
        "forecast-overlaps",  # the window before it will end
        "lead-limit",  # tomorrow is another day
        "level-too-low",  # the operator may rise
        "log-unbegun",  # the genesis will come into the log
        "opening-early",  # the forecast's window will end
        "operator-restored",  # it may be suspended
        "operator-suspended",  # it may be restored
        "order-unknown",  # the purchase that founds it may come into the log
        "policy-in-force",  # the contracts that it binds will end
        "pool-limit",  # tomorrow is another day
        "settings-missing",  # the owner may publish some
        "surface-unknown",  # its first policy may come into the log
    }
)


# --- Requests that a replay makes of entries; no caller can ask for them --------------------------


class ReportedEvent(NamedTuple):
    """A product event as the log keeps it, whatever the policy makes of it."""

    surface: bytes
    lead: bytes
    value_units: int
    time_ms: int
    request_hash: bytes
    commitment: bytes
    received_ms: int
    order: bytes = ZERO_WORD
    whole: bool = True


class RegisterLead(NamedTuple):
    """The first that the log hears of a lead; `code` is the position of the code that it came by.

    It is zero where the lead came by none.
    """

    surface: bytes
    lead: bytes
    code: int = 0


class ApplyStep(NamedTuple):
    """An event with what the policy makes of it; `name` is its short one, empty where unknown."""

    reported: ReportedEvent
    name: str
    step: Step


class ReportTouch(NamedTuple):
    """A touch that others report: what its cause, a code or a requested action, has brought."""

    surface: bytes
    lead: bytes
    operator: bytes
    action: str
    time_ms: int
    cause: int
    received_ms: int
    request_hash: bytes
    commitment: bytes


OfEntries = RegisterLead | ApplyStep | ReportTouch
