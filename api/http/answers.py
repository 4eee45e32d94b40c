"""The bodies of answers, and the cursors between their pages."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, JsonValue, create_model

from api.http.bodies import PolicyDocument, SettingsDocument, TermsDocument
from api.http.fields import (
    ActionState,
    Address,
    Bps,
    DeliveryState,
    EntryHex,
    EntryKind,
    Fence,
    Hashes,
    LeadCursor,
    MessageNumber,
    Position,
    ProposalCursor,
    Signature,
    Size,
    TimeMs,
    TimeS,
    Units,
    Word,
    WorkItem,
)
from orchestrator.core.board import MessageKind
from orchestrator.core.kinds import KINDS, ROLES, Side
from orchestrator.core.scopes import Scope
from orchestrator.core.why.reason import Code

Item = TypeVar("Item")
Cursor = TypeVar("Cursor")

_NEXT_AFTER = Field(description="Give it as `after` to go on; null at the end.")


def next_cursor(
    items: Sequence[Item], limit: int, cursor_of: Callable[[Item], Cursor]
) -> Cursor | None:
    """Return the cursor behind a full page's last item, or None at the end."""
    return cursor_of(items[-1]) if len(items) == limit else None


# --- Signing in -----------------------------------------------------------------------------------


class Nonce(BaseModel):
    """A nonce that can be used once."""

    nonce: str
    time_ms: TimeMs = Field(description="The service's clock: a message is issued at this time.")
    expires_ms: TimeMs
    domain: str
    uri: str
    chain_id: int
    message: str | None = Field(
        description="The EIP-4361 message to sign, if address and scopes were given."
    )


class SignedIn(BaseModel):
    """A wallet's API key. It is shown this once; we keep a hash of it."""

    # An error about this model must not carry the key.
    model_config = ConfigDict(hide_input_in_errors=True)

    key: str
    id: Word = Field(description="Its random id, by which it is listed and revoked.")
    account: Address
    scopes: list[Scope]
    expires_ms: TimeMs


class Me(BaseModel):
    """The caller, as its key has it."""

    account: Address
    key: Word = Field(description="The key's random id.")
    scopes: list[Scope]
    surfaces: list[Word] | None = Field(description="The surfaces that it is limited to, if any.")
    expires_ms: TimeMs
    highest_level: int = Field(
        ge=0,
        le=3,
        description="The highest trust level on any of these surfaces where it is not suspended.",
    )
    acts: list[Literal["touch", "request", "issue"]] = Field(
        description="What its levels allow on one of these surfaces at least: to report touches, "
        "to request actions, to issue codes. Each act is judged again by the level there."
    )
    disabled_webhooks: int = Field(
        description="How many of your webhooks were disabled, since they failed for too long."
    )


class KeyInfo(BaseModel):
    """A key, without what makes it work."""

    id: Word = Field(description="As openings of the log have it where a delegate acted by it.")
    parent: Word | None = Field(description="The key that made it; null for a wallet's own.")
    name: str
    scopes: list[Scope]
    surfaces: list[Word] | None = Field(description="The surfaces that it is limited to, if any.")
    created_ms: TimeMs
    expires_ms: TimeMs
    revoked_ms: TimeMs | None


class FreshKey(KeyInfo):
    """A delegate's key. It is shown this once; we keep a hash of it."""

    # An error about this model must not carry the key.
    model_config = ConfigDict(hide_input_in_errors=True)

    key: str


class Keys(BaseModel):
    """A page of keys, oldest first; those that have ended are kept for a while."""

    keys: list[KeyInfo]
    next: str | None = Field(description="The cursor of the next page; null on the last.")


# --- Webhooks -------------------------------------------------------------------------------------


class Webhook(BaseModel):
    """A webhook, without its secret."""

    webhook: Word
    url: str
    audience: Side
    surface: Word | None = Field(description="The surface that it is about; null for all.")
    events: list[str]
    created_ms: TimeMs
    failing_since_ms: TimeMs | None = Field(
        description="The first failure since the last success; null while it works."
    )
    disabled_ms: TimeMs | None = Field(description="When it was disabled; `PATCH` has it go on.")
    reason: str | None = Field(
        description="Why it was disabled: `failing`, or `gone`, by its own answer 410."
    )
    old_secret_until_ms: TimeMs | None = Field(
        description="Until when messages bear a signature by the former secret too."
    )
    waiting: int = Field(description="How many deliveries wait; what else there is waits unread.")
    dead: int = Field(description="How many were given up, of those that are kept.")


class FreshWebhook(Webhook):
    """A webhook with its secret, which is shown this once."""

    # An error about this model must not carry the secret.
    model_config = ConfigDict(hide_input_in_errors=True)

    secret: str = Field(description="The key of its signatures, as Standard Webhooks writes it.")


class Webhooks(BaseModel):
    """The webhooks of an account, oldest first."""

    webhooks: list[Webhook]


class Delivery(BaseModel):
    """A message about an entry, on its way to a webhook or no more."""

    message: str = Field(description="Its `webhook-id`, the same for each try.")
    position: Position | None = Field(description="The entry that it is about; null for an offer.")
    offer: Word | None
    event: str
    state: DeliveryState = Field(
        description="`dead`: given up; `moot`: what it asked for was answered, or is over."
    )
    tries: int
    created_ms: TimeMs
    tried_ms: TimeMs | None
    next_ms: TimeMs | None = Field(description="When it is tried next.")
    status: int | None = Field(description="The status of the last answer.")
    fault: str | None = Field(description="Why the last try failed.")


class Deliveries(BaseModel):
    """Deliveries, newest first. The newest that are over are kept."""

    deliveries: list[Delivery]


# --- Operators ------------------------------------------------------------------------------------


class Agent(BaseModel):
    """An ERC-8004 agent that the chain showed to be the operator's: its owner, or its wallet."""

    agent_id: Units
    checked_ms: TimeMs


class Profile(BaseModel):
    """An operator's description of itself."""

    operator: Address
    display_name: str
    contact: str | None = Field(description="Null, too, for an owner whom it has not proposed to.")
    capabilities: list[str]
    agent: Agent | None
    is_public: bool = Field(description="Whether the agent card shows all of it but the contact.")
    updated_ms: TimeMs


class MemoryEntry(BaseModel):
    """An entry of an operator's memory."""

    key: str
    value: JsonValue
    lead: Word | None
    updated_ms: TimeMs


class Memory(BaseModel):
    """A page of an operator's memory on a surface, in the order of keys."""

    entries: list[MemoryEntry]
    next: str | None = Field(description="The cursor of the next page; null on the last.")


# --- Boards ---------------------------------------------------------------------------------------


class Lease(BaseModel):
    """The right to work on an item of a board until it expires."""

    board: Word
    item: WorkItem
    holder: Address
    holder_key: Word | None = Field(description="Null: any key of the holder, until one renews it.")
    holder_name: str | None = Field(description="The key's name, if it is one of your account.")
    is_yours: bool = Field(description="Whether your key holds it.")
    fence: Fence
    taken_ms: TimeMs
    expires_ms: TimeMs


class Leases(BaseModel):
    """A page of a board's leases, by item."""

    leases: list[Lease]
    next: WorkItem | None = _NEXT_AFTER


class Released(BaseModel):
    """The end of a lease."""

    lease: Lease | None = Field(description="The lease on the item now: null if it is free.")


class BoardMessage(BaseModel):
    """A message on a board."""

    number: MessageNumber
    kind: MessageKind
    item: WorkItem
    sender: Address
    sender_key: Word
    sender_name: str | None = Field(description="The key's name, if it is one of your account.")
    to_key: Word | None = Field(description="The key that it is meant for; null for all.")
    body: dict[str, JsonValue] = Field(description="Its sender's words, and no instruction.")
    created_ms: TimeMs


class SentMessage(BaseModel):
    """A message that was put on a board."""

    number: MessageNumber


class Messages(BaseModel):
    """Messages of a board in their order."""

    messages: list[BoardMessage]
    cursor: MessageNumber = Field(
        description="Give it as `after` to go on behind the last of them."
    )


# --- Requests to the log --------------------------------------------------------------------------


class RequestStatus(BaseModel):
    """The state of a request to the log."""

    request_id: str
    status: Literal["waiting", "done", "refused"] = Field(
        description="`refused`: a rule turned it away and nothing was written."
    )
    href: str = Field(description="The path to ask again.", examples=["/v1/requests/…"])
    first_position: Position | None = Field(
        description="The first entry that it caused; null if there is none."
    )
    count: Annotated[int, Field(ge=0)] = Field(description="The number of entries that it caused.")
    verdict: Literal["accepted", "refused", "ignored"] | None = Field(
        description="The policy's decision about a product event that is done; null otherwise."
    )
    ref_used: bool | None = Field(
        description="Of an event that is done and came with a `ref`: whether the log took a click "
        "by it (not again for a lead whose click it took when the code came alone); null otherwise."
    )
    code: str | None = Field(description="The name of the rule that refused it.")
    detail: str | None
    retry: bool = Field(
        description="True if it was refused for a reason that time changes: the same request, sent "
        "again with the same key and body, is decided anew."
    )


class LineStatus(RequestStatus):
    """The state of one line of a bulk request."""

    id: str


class BulkStatus(BaseModel):
    """The states of a bulk request's lines, in their order. Send it again to ask again."""

    results: list[LineStatus]


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
    next: Position | None = _NEXT_AFTER


class CodeClick(BaseModel):
    """A click: a lead that came by a code."""

    position: Position
    lead: Word
    time_ms: TimeMs
    is_new_lead: bool


class CodeClicks(BaseModel):
    """Clicks in the order of the log."""

    clicks: list[CodeClick]
    next: Position | None = _NEXT_AFTER


class SourceStatus(BulkStatus):
    """The outcome of another system's report: the events that it was, and what was left out."""

    ignored: dict[str, int] = Field(
        description="How many of its events were left out, by the reason: `event-unmapped` for "
        "what the surface's settings do not name."
    )


class SourceKey(BaseModel):
    """The key that a source's signed reports come by: a delegate of the wallet's own key."""

    source: str
    key: Word
    expires_ms: TimeMs


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


# --- The directory --------------------------------------------------------------------------------


class Figure(BaseModel):
    """A number of the directory, and the entries behind it."""

    count: int
    units: Units | None = Field(description="The sum, in base units; null where there is none.")
    positions: list[Position] = Field(description="The newest of the entries, the last first.")
    href: str = Field(description="The stream of all of them.")


class Share(BaseModel):
    """A part of a whole, in basis points; null of nothing."""

    part: Figure
    whole: Figure
    bps: Bps | None


class Delay(BaseModel):
    """The median of times, by the bounds of the class that holds it: an eighth apart at most."""

    at_least_s: int
    at_most_s: int
    times: Figure


class Disputes(BaseModel):
    """The contracts, of the newest 200, that a party has disputed on chain, in final blocks."""

    contracts: int
    disputed: int
    bps: Bps | None
    transactions: list[Word] = Field(description="Transactions that disputed, at most 5.")


class BudgetSize(BaseModel):
    """A class of contracts by their budgets: those of one number of digits."""

    at_least_units: Units
    below_units: Units


class MoneyLine(BaseModel):
    """The sums of contracts of one motion, token and size."""

    motion: Literal["acquisition", "activation", "conversion", "expansion", "several"] = Field(
        description="Of the transitions into the state that they pay for."
    )
    token: Address
    size: BudgetSize | None = Field(description="Null where all sizes are together.")
    opened: Figure = Field(description="Contracts, with their budgets.")
    closed: Figure = Field(description="Contracts that both parties closed.")
    outcomes: Figure
    over: Figure = Field(description="Outcomes that were over a budget.")
    reversed: Figure
    stated: Figure = Field(description="Statements; their sum is what they say is payable.")
    paid: Figure = Field(description="Payouts, gross.")


class LiveContracts(BaseModel):
    """The live ones of a surface's newest 200 contracts. Each budget is escrowed in full."""

    token: Address
    contracts: int
    budget_units: Units
    owed_units: Units = Field(description="Earned less reversed, whether stated or paid or not.")
    positions: list[Position] = Field(description="The newest openings, the last first.")


class Keeping(BaseModel):
    """The keeping of contracts, by the log and the chain alone."""

    verification: Delay | None = Field(
        description="From the receipt of the oldest outcome that a statement newly states, to it."
    )
    payout: Delay | None = Field(
        description="From the receipt of the oldest outcome that was stated and followed by no "
        "payout, to the next payout."
    )
    reversals: Share
    disputes: Disputes


class ListedSurface(Surface, Keeping):
    """A surface of the directory."""

    motions: list[Literal["acquisition", "activation", "conversion", "expansion"]]
    live: list[LiveContracts]
    acknowledged: Share = Field(description="Requested actions that the owner's side carried out.")


class Surfaces(BaseModel):
    surfaces: list[ListedSurface]
    next: Annotated[Word | None, _NEXT_AFTER]


class SurfaceTotals(BaseModel):
    """The spending of a surface by motion, and the counts of what happened on it."""

    surface: Word
    spend: list[MoneyLine]
    events: dict[str, Figure] = Field(description="By kind of entry.")


class ListedOperator(Keeping):
    """An operator of the directory."""

    operator: Address
    registered: Position
    outcomes: Figure = Field(description="Of all motions and tokens: units of different tokens.")
    acts: dict[str, Figure] = Field(description="By kind of entry.")


class Operators(BaseModel):
    operators: list[ListedOperator]
    next: Annotated[Word | None, _NEXT_AFTER]


class RecordOnSurface(BaseModel):
    """The work of an operator on a surface, and its level there."""

    surface: Word
    level: int = Field(ge=0, le=3)
    ground: Literal["none", "contract", "forecasts", "results"]
    is_suspended: bool
    forecasts_counted: int
    skill_bps: int | None
    money: list[MoneyLine]
    acts: dict[str, Figure] = Field(description="By kind of entry.")


class OperatorRecord(ListedOperator):
    """An operator's record: all surfaces together, and a page of them one by one."""

    money: list[MoneyLine]
    surfaces: list[RecordOnSurface]
    next: Annotated[Word | None, _NEXT_AFTER]


class LeadSummary(BaseModel):
    """A lead as the caller may see it."""

    lead: Word
    state: str
    since_ms: TimeMs
    own_touches: int = Field(description="The number of the caller's touches.")
    external_id: str | None = Field(description="For the surface's owner alone.")


class Leads(BaseModel):
    leads: list[LeadSummary]
    next: Annotated[LeadCursor | None, _NEXT_AFTER]


# --- Trust ----------------------------------------------------------------------------------------


class Evidence(BaseModel):
    """The results that count for an operator now, in base units of the settings' token."""

    outcomes: int = Field(description="Of ripe outcomes: old enough that they may count.")
    units: Units = Field(description="What the ripe outcomes are worth.")
    earned_units: Units = Field(description="Of all outcomes that are remembered, ripe or not.")
    reversed_units: Units = Field(description="Of these, what events have taken back.")
    disputes_lost: int
    age_s: int = Field(description="Since the owner's first contract with the operator.")


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
    next: Annotated[Position | None, _NEXT_AFTER]


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


class Standings(BaseModel):
    standings: list[Standing]
    next: Annotated[Word | None, _NEXT_AFTER]


# --- Contracts ------------------------------------------------------------------------------------


class TermDefault(BaseModel):
    """A term that a deal left open, and what it became."""

    term: str
    value: str | bool
    source: Literal["settings", "usual"] = Field(
        description="`settings`: of the surface. `usual`: everywhere."
    )


class Consent(BaseModel):
    """A message that a party signs, ready for any wallet, and what it says in words."""

    digest: Word
    typed_data: dict[str, JsonValue] = Field(description="For `eth_signTypedData_v4`, as it is.")
    sentences: list[str]
    costs_at_most_units: Units = Field(description="The most that the signature can cost.")


class Acceptance(Consent):
    """An owner's consent to a proposal, and whether its budget can be taken."""

    lacking: str | None = Field(
        description="What to do before the escrow can take the budget; null if it can."
    )


class Draft(BaseModel):
    """Complete terms that no party has signed, in every form that one could want."""

    contract_id: Word
    terms: TermsDocument
    deal: dict[str, str | bool] = Field(description="The same in plain units, with all defaults.")
    defaults: list[TermDefault]
    sentences: list[str]
    cautions: list[str] = Field(description="What a signer should look at first.")
    operator: Consent
    owner: Consent


class TermChange(BaseModel):
    """A term that differs, in plain units."""

    term: str
    before: str | bool
    after: str | bool


class OpeningState(BaseModel):
    """The state of opening on chain a contract that both parties have signed."""

    tries: int
    reason: str | None = Field(description="Why the last try that ended came to nothing.")
    waits_for: str | None = Field(
        description="The limit for which the service has put it off, if it has."
    )
    next_ms: TimeMs | None = Field(
        description="When it is looked at next; null while a try is under way, and after the last."
    )


class Proposal(BaseModel):
    """Terms that an operator has signed, and what became of them."""

    contract_id: Word
    status: Literal[
        "proposed", "accepted", "declined", "withdrawn", "expired", "lapsed", "opened"
    ] = Field(
        description="`expired`: its time to open has come. `lapsed`: the surface's policy is "
        "another by now. Neither is opened any more."
    )
    terms: TermsDocument
    operator_signature: Signature
    owner_signature: Signature | None
    answers: Word | None = Field(description="The proposal that this is the next version of.")
    version: int
    offer: Word | None = Field(description="The standing offer that it was made from.")
    created_ms: TimeMs
    accepted_ms: TimeMs | None
    declined_ms: TimeMs | None
    withdrawn_ms: TimeMs | None
    opened_by: Literal["service", "parties"] = Field(
        description="Who opens it on chain, and pays for that, once both have signed."
    )
    opening: OpeningState | None = Field(
        description="Null before the service has looked at opening it."
    )


class ReviewedProposal(Proposal):
    """A proposal in words, and what its signers should look at: what nothing on chain checks.

    `cautions` is null once the proposal is decided.
    """

    sentences: list[str]
    deal: dict[str, str | bool]
    cautions: list[str] | None
    since_answered: list[TermChange] | None = Field(
        description="What differs from the version before it; null for the first."
    )
    since_offer: list[TermChange] | None = Field(
        description="What differs from the standing offer that it was made from."
    )
    counter: TermsDocument | None = Field(
        description="The terms that the owner would sign instead, if it has answered: sign them, "
        "and propose them with `answers`."
    )
    counter_changes: list[TermChange] | None
    answered_by: Word | None = Field(description="The next version, if there is one.")


class Offer(BaseModel):
    """An owner's standing offer, and what of it is taken."""

    offer: Word
    surface: Word
    owner: Address
    status: Literal["open", "taken", "ended", "withdrawn", "lapsed"] = Field(
        description="`taken`: no place is free now. `lapsed`: the surface's policy is another."
    )
    deal: dict[str, str | bool]
    terms: dict[str, str | int | bool] = Field(
        description="The terms that every contract from it has, as they are signed."
    )
    lasts_s: TimeS = Field(description="The longest time from a contract's opening to its end.")
    first_budget_units: Units
    budget_units: Units
    places: int
    places_left: int
    leads: int = Field(description="How many are in a state now from which its outcome is entered.")
    level: int
    ends_ms: TimeMs
    created_ms: TimeMs


class Offers(BaseModel):
    offers: list[Offer]
    next: Annotated[ProposalCursor | None, _NEXT_AFTER]


class Proposals(BaseModel):
    proposals: list[Proposal]
    next: Annotated[ProposalCursor | None, _NEXT_AFTER]


class ContractRules(BaseModel):
    """The part of a contract's terms that decides what an outcome pays."""

    verifier: Address
    token: Address
    policy_hash: Word
    attribution: Literal["first_touch", "last_touch"]
    outcome: str = Field(description="The state that it pays for.")
    repeatable: bool
    unit_price_units: Units
    revenue_share_bps: Bps
    budget_units: Units
    opens_at_ms: TimeMs
    deadline_ms: TimeMs
    attribution_window_ms: TimeMs
    holdback_period_ms: TimeMs
    statements_until_ms: TimeMs = Field(
        description="After it the escrow takes statements of reversals alone."
    )


class Contract(BaseModel):
    """A contract that was opened on chain, and its cumulative totals by the log."""

    contract_id: Word
    status: Literal["live", "ended", "closed"] = Field(
        description="`ended`: its deadline has passed. `closed`: ended on chain before that."
    )
    surface: Word
    owner: Address
    operator: Address
    opened: Position
    closed_at_ms: TimeMs | None
    outcomes: int
    reversals: int
    earned_units: Units
    reversed_units: Units
    over_units: Units = Field(
        description="The price of outcomes past the budget, which are not paid."
    )
    last_outcome: Position
    last_reversal: Position
    last_settlement: Position
    rules: ContractRules
    terms: TermsDocument | None = Field(
        description="Null for a contract that was not proposed here: ask the escrow's `termsOf`."
    )


class ContractDetail(Contract):
    """A contract, and the sum of its payouts."""

    paid_units: Units = Field(
        description="The sum of the payouts that the log has recorded, gross."
    )


class Contracts(BaseModel):
    contracts: list[Contract]
    next: Annotated[Position | None, _NEXT_AFTER]


class Payout(BaseModel):
    """A transfer out of the escrow to a payee, or a credit that the payee can withdraw."""

    position: Position
    time_ms: TimeMs
    payee: Address
    label: Literal["paid", "credited"]
    gross_units: Units
    transaction: Word


class Payouts(BaseModel):
    payouts: list[Payout]
    next: Annotated[Position | None, _NEXT_AFTER]


class Endorsement(BaseModel):
    """A statement, and the verifier's signature with which it completes an ERC-8183 job.

    The signature covers the entries [first, first + count) of the tree (size, root), as EIP-712's
    `Verified` in the domain of the JobEvaluators contract.
    """

    position: Position
    entry: EntryHex
    size: Size
    root: Word
    first: Position
    count: Size
    signature: Signature


class Endorsements(BaseModel):
    endorsements: list[Endorsement]
    next: Annotated[Position | None, _NEXT_AFTER]


# --- The log --------------------------------------------------------------------------------------


class Clock(BaseModel):
    """The service's clock, by which terms and events are judged."""

    time_ms: TimeMs
    speed: Annotated[int, Field(ge=0)] = Field(
        description="How many of its seconds one of real time has: 1 wherever money is real, more "
        "in a sandbox, 0 where it is moved by hand."
    )
    has_come: bool | None = Field(description="Whether `until_s` has come; null without it.")


class Log(BaseModel):
    """The log, the contracts that anchor it and pay by it, and its newest checkpoint's size."""

    log_id: Word
    origin: str
    chain_id: int
    event_log: Address
    escrow: Address
    lens: Address | None = Field(
        description="The contract that tells what the escrow's contracts owe; null for none."
    )
    feedback: Address | None = Field(
        description="The contract that writes ERC-8004 feedback; null for none."
    )
    evaluators: Address | None = Field(
        description="The factory of ERC-8183 evaluators, in whose domain statements are endorsed; "
        "null for none."
    )
    splits: Address | None = Field(
        description="The factory of splits, which pay each of their payees a share; null for none."
    )
    publisher: Address
    verifier: Address
    tokens: list[Token]
    size: Position
    forked_at_s: int | None = Field(
        description="When the chain had the log marked as forked, UTC seconds; null if it has not. "
        "The publisher of a forked log has told two histories; nothing more is anchored."
    )


class Checkpoint(BaseModel):
    """A signed state of the log. Any account can anchor it with the publisher's signature."""

    log_id: Word
    size: Position
    root: Word
    time_ms: TimeMs = Field(description="The log's own clock: the last receipt that it shows.")
    signature: Signature


class Anchor(BaseModel):
    """A checkpoint on chain, in a final block: an event `Published` of the event log."""

    size: Size
    root: Word
    transaction: Word
    block_number: int
    time_s: int = Field(description="The block's time, UTC seconds.")


class Anchors(BaseModel):
    anchors: list[Anchor]
    next: Size | None = Field(description="Give it as `after` to go on; null at the end.")


def _opening_model(opening: Any) -> type[BaseModel]:
    """Return the model of an opening's JSON: words in hex, numbers, amounts, a state's name."""
    types: dict[type, Any] = {bytes: Word, int: TimeMs, str: str, bool: bool}
    fields: Any = {
        name: (Units if name.endswith("_units") else types[hint], ...)
        for name, hint in get_type_hints(opening).items()
    }
    text: str = opening.__doc__.partition("\n")[0]
    return create_model(opening.__name__, __doc__=text, **fields)


# The table of kinds lists the openings, so the union is made at run time, where mypy cannot see it.
if TYPE_CHECKING:
    Opening = BaseModel
else:
    _OPENINGS = dict.fromkeys(kind.opening for kind in KINDS.values() if kind.opening)
    Opening = Union[tuple(_opening_model(opening) for opening in _OPENINGS)]  # noqa: UP007


class LogEntry(BaseModel):
    """An entry, and the opening of its payload where that is a commitment."""

    position: Position
    entry: EntryHex
    opening: Opening | None


class Entries(BaseModel):
    entries: list[LogEntry]
    next: Position | None = Field(description="Give it as `start` to go on; null at the end.")


class CoveringCheckpoint(BaseModel):
    """A checkpoint that covers an entry."""

    size: Size
    root: Word


class LogEvent(BaseModel):
    """An entry decoded, and whom it is about.

    `contract` and `operator` are those that the entry names, or that its contract has; null for
    none. `value` is decimal text, since it can be of 256 bits.
    """

    position: Position
    kind: EntryKind
    surface: Word
    actor: Word
    subject: Word
    label: str
    value: str
    time_ms: TimeMs
    payload: Word
    contract: Word | None
    operator: Address | None


class LogEvents(BaseModel):
    """A page of events behind a position, of what was asked for."""

    events: list[LogEvent]
    next: Position = Field(description="Give it as `after` to go on, now or later.")
    has_more: bool = Field(description="Whether the log goes on behind `next`; then ask again.")


class StreamedEntry(LogEvent, LogEntry):
    """An entry as a stream tells it: as it was hashed, decoded, and whom it is about."""

    checkpoint: CoveringCheckpoint


class Resume(BaseModel):
    """The end of a stream: connect again, and go on behind `after`."""

    after: Position
    reason: str


class FoundEntries(BaseModel):
    """Entries about a subject, or on a surface."""

    entries: list[LogEntry]
    next: Annotated[Position | None, _NEXT_AFTER]


class InclusionProof(BaseModel):
    """RFC 9162 §2.1.3, from the leaf upwards."""

    position: Position
    size: Position
    root: Word
    path: Hashes


class ConsistencyProof(BaseModel):
    """RFC 9162 §2.1.4."""

    old_size: Position
    old_root: Word
    new_size: Position
    new_root: Word
    path: Hashes


class RunProof(BaseModel):
    """One proof of the entries [first, first + count)."""

    first: Position
    count: int
    size: Position
    root: Word
    path: Hashes


class PolicyView(BaseModel):
    """A policy, and the SHA-256 of its document as canonical JSON."""

    hash: Word
    document: PolicyDocument


class SettingsView(BaseModel):
    """A surface's settings, and the SHA-256 of their document as canonical JSON."""

    hash: Word
    document: SettingsDocument


# --- Why ------------------------------------------------------------------------------------------


class ReasonTree(BaseModel):
    """A reason with those below it; docs/why.md says what each code means."""

    code: str = Field(
        description="Its stable name.",
        json_schema_extra={"enum": [code.value for code in Code]},
    )
    text: str = Field(description="The fact as a sentence.")
    positions: list[Position] = Field(description="The entries behind it.")
    contract_id: Word | None = Field(description="The contract that it is about, if it is of one.")
    numbers: dict[str, int | str] = Field(
        description="The numbers of the text; amounts (`…_units`) are text."
    )
    parts: list["ReasonTree"]


# --- Receipts -------------------------------------------------------------------------------------


class ReceiptEntry(LogEntry):
    """An entry with the proof that it is in the checkpoint's tree."""

    role: str = Field(
        description="Its part in this receipt.", json_schema_extra={"enum": list(ROLES)}
    )
    path: Hashes


class ReceiptCheckpoint(BaseModel):
    """The signed checkpoint under which a receipt's entries are proven."""

    size: Position
    root: Word
    signature: Signature


class PendingEntry(BaseModel):
    """An entry of the log that belongs to a receipt, and that no anchor covers yet."""

    role: str = Field(
        description="Its part in this receipt.", json_schema_extra={"enum": list(ROLES)}
    )
    position: Position


class Receipt(BaseModel):
    """The evidence of one outcome, reversal, settlement or payout; see docs/receipt.md."""

    format: Literal["tallystick-receipt-1"]
    position: Position
    log_id: Word
    origin: str
    chain_id: int
    event_log: Address
    escrow: Address
    contract_id: Word
    checkpoint: ReceiptCheckpoint
    entries: list[ReceiptEntry]
    pending: list[PendingEntry]
