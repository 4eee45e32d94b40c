"""The answers about a surface: terms, leads, codes, and its operators' actions and trust."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from api.http.answers import NEXT_AFTER, RequestStatus
from api.http.fields import (
    ActionState,
    Address,
    Bps,
    LeadCursor,
    Position,
    TimeMs,
    TimeS,
    Units,
    Word,
)
from api.routes.surfaces.documents import PolicyDocument, SettingsDocument

# --- Surfaces and their leads ---------------------------------------------------------------------


class SurfaceRequest(RequestStatus):
    """A surface on its way into the log."""

    surface: Word
    policy_hash: Word


class Surface(BaseModel):
    """A surface under its policy in force."""

    surface: Word
    name: str | None = Field(description="The id is SHA-256(owner word ‖ name word).")
    owner: Address
    version: int
    policy_hash: Word
    attribution: Literal["first_touch", "last_touch"]


class Token(BaseModel):
    address: Address
    symbol: str
    decimals: int
    least_budget_units: Units = Field(
        description="The least budget in it with which this service pays for the opening."
    )


class TermsParameters(BaseModel):
    """The terms that a surface sets for its contracts, and the domain that their digest needs."""

    owner: Address
    log_id: Word
    surface: Word
    policy: Word
    attribution: Literal["first_touch", "last_touch"]
    lateness_s: TimeS
    verifier: Address
    fee_bps: Bps
    fee_recipient: Address
    tokens: list[Token]
    openings_paid: bool = Field(
        description="Whether this service pays for opening contracts, of the least budgets above "
        "and up to its limits a day. Else the parties open theirs, with both signatures."
    )
    chain_id: int
    escrow: Address
    domain_name: str
    domain_version: str


class SettingsRequest(RequestStatus):
    """A surface's settings on their way into the log."""

    settings_hash: Word


class SurfaceDetail(Surface):
    """A surface with its policy and settings, and all that terms for a contract on it must say."""

    policy: PolicyDocument
    settings: SettingsDocument | None = Field(
        description="Null before the first are published: until then it offers no action."
    )
    settings_hash: Word | None
    settings_version: int
    terms: TermsParameters


class LeadSummary(BaseModel):
    """A lead as the caller may see it."""

    lead: Word
    state: str
    since_ms: TimeMs
    own_touches: int = Field(description="The number of the caller's touches.")
    external_id: str | None = Field(description="For the surface's owner alone.")


class Leads(BaseModel):
    leads: list[LeadSummary]
    next: Annotated[LeadCursor | None, NEXT_AFTER]


# --- Codes ----------------------------------------------------------------------------------------


class CodeRequest(RequestStatus):
    """A code on its way into the log: its random id there, and what you hand out."""

    code_id: Word
    ref: str = Field(
        description="The code itself: your product puts it into `ref`.",
        examples=["9f86d081884c7d659a2feaa0c55ad015"],
    )


class IssuedCode(BaseModel):
    """A code, and the leads that came by it.

    `flags` say what may be wrong: `fast` (30 clicks in a minute or more), `own_operator` (its
    operator is the surface's owner), `repeated` (leads clicked that its operator had touched
    before, by a code or otherwise).
    """

    code_id: Word
    ref: str | None = Field(description="The code itself; its operator alone is shown it.")
    operator: Address
    position: Position
    issued_ms: TimeMs
    expires_ms: TimeMs
    max_uses: int
    is_ended: bool
    clicks: int
    leads: int = Field(description="How many of the clicks brought a lead that was new.")
    repeats: int
    most_in_a_minute: int
    flags: list[Literal["fast", "own_operator", "repeated"]]


class IssuedCodes(BaseModel):
    """Codes in the order of their issue."""

    codes: list[IssuedCode]
    next: Position | None = NEXT_AFTER


class CodeClick(BaseModel):
    """A click: a lead that came by a code."""

    position: Position
    lead: Word
    time_ms: TimeMs
    is_new_lead: bool


class CodeClicks(BaseModel):
    """Clicks in the order of the log."""

    clicks: list[CodeClick]
    next: Position | None = NEXT_AFTER


# --- Actions --------------------------------------------------------------------------------------


class Action(BaseModel):
    """An action that an operator has requested of a surface."""

    position: Position
    lead: Word
    external_id: str | None = Field(description="The owner's own id, for the owner alone.")
    operator: Address
    action: str
    state: ActionState = Field(
        description="`taken` is `done` from the lead's next transition on, unless it failed before."
    )
    requested_ms: TimeMs
    expires_ms: TimeMs
    answered_ms: TimeMs | None
    reason: str | None = Field(description="A code of the reason for which it failed.")
    touch: Position | None = Field(description="The touch that it has become.")
    parameters: dict[str, Any] | None = Field(description="Null once they are erased.")
    result: dict[str, Any] | None = Field(description="What the owner told of the lead.")


class Actions(BaseModel):
    """A page of actions, oldest first."""

    actions: list[Action]
    next: Annotated[Position | None, NEXT_AFTER]


class AnswerTime(BaseModel):
    """Figures of the newest requests of one action; a failed one counts as answered."""

    action: str
    requested: int
    answered: int
    failed: int
    expired: int
    median_ms: int | None = Field(description="The median time to the first answer.")


class AnswerTimes(BaseModel):
    """A surface's answers to requested actions, by action."""

    actions: list[AnswerTime]


# --- Trust ----------------------------------------------------------------------------------------


class Evidence(BaseModel):
    """The results that count for an operator now, in base units of the settings' token."""

    outcomes: int = Field(description="Of ripe outcomes: old enough that they may count.")
    units: Units = Field(description="What the ripe outcomes are worth.")
    earned_units: Units = Field(description="Of all outcomes that are remembered, ripe or not.")
    reversed_units: Units = Field(description="Of these, what events have taken back.")
    disputes_lost: int
    age_s: int = Field(description="Since the owner's first contract with the operator.")


class AllowedAction(BaseModel):
    """An action of the settings' catalogue that an operator's level allows."""

    action: str
    by: Literal["self", "surface"] = Field(
        description="`self`: you do it and report a touch. `surface`: you request it of the owner."
    )


class Standing(BaseModel):
    """An operator's trust level on a surface."""

    operator: Address
    level: int = Field(ge=0, le=3)
    ground: Literal["none", "contract", "forecasts", "results"]
    due_level: int = Field(
        description="The level that a judgement would give now: it comes before the next act."
    )
    allowed: list[AllowedAction] = Field(
        description="What it allows by now, those that operators do themselves first."
    )
    is_suspended: bool
    changed_ms: TimeMs | None
    counted_to: Position | None = Field(description="The position of the newest evidence.")
    leads_a_day: int
    leads_today: int
    evidence: Evidence | None = Field(description="Null on a surface without settings.")
    forecasts_counted: int = Field(description="Of those that were scored.")
    skill_bps: int | None = Field(
        description="Against the better baseline; null before there is anything to measure by. It "
        "may be below zero."
    )


class Standings(BaseModel):
    standings: list[Standing]
    next: Annotated[Word | None, NEXT_AFTER]


class FunnelState(BaseModel):
    """A state of the lead lifecycle, and how many leads are in it."""

    state: str
    leads: int


class Funnel(BaseModel):
    """The leads of a surface by state."""

    states: list[FunnelState]


class CohortDay(BaseModel):
    """The leads in a question's first state at a midnight, and those that moved in time."""

    day: str = Field(
        description="The day that began at that midnight, UTC.", examples=["2026-03-01"]
    )
    leads: int
    moved: int
    is_final: bool = Field(description="False while its window has not passed: more may move.")


class QuestionHistory(BaseModel):
    """A question that can be forecast, with the cohorts that are kept, the oldest first."""

    from_state: str
    to_state: str
    horizon_days: int
    days: list[CohortDay]


class History(BaseModel):
    """The record that forecasts can build on: all of it follows from the public log."""

    questions: list[QuestionHistory]
