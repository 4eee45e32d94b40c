"""The log's answers: entries and their proofs, contracts and payouts, reasons and receipts."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_type_hints

from pydantic import BaseModel, Field, create_model

from api.http.answers import NEXT_AFTER
from api.http.fields import (
    Address,
    Bps,
    CheckpointSignature,
    Count,
    DurationMs,
    EntryHex,
    EntryKind,
    Hashes,
    InclusionPath,
    Position,
    PositionOrNone,
    Signature,
    Size,
    TimeMs,
    TreeSize,
    Units,
    Word,
)
from api.routes.deals.bodies import TermsDocument
from api.routes.surfaces.answers import Token
from api.routes.surfaces.documents import PolicyDocument, SettingsDocument
from orchestrator.core.entries.kinds import KINDS, ROLES
from orchestrator.core.why.reason import Code

# --- Contracts ------------------------------------------------------------------------------------


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
    attribution_window_ms: DurationMs
    holdback_period_ms: DurationMs
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
        description="Null for a contract that was not proposed here: its terms "
        "stand in the escrow's event `Opened`."
    )


class ContractDetail(Contract):
    """A contract, and the sum of its payouts."""

    paid_units: Units = Field(
        description="The sum of the payouts that the log has recorded, gross."
    )


class Contracts(BaseModel):
    contracts: list[Contract]
    next: Annotated[Position | None, NEXT_AFTER]


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
    next: Annotated[Position | None, NEXT_AFTER]


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
    next: Annotated[Position | None, NEXT_AFTER]


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
    size: TreeSize
    forked_at_s: int | None = Field(
        description="When the chain had the log marked as forked, UTC seconds; null if it has not. "
        "The publisher of a forked log has told two histories; nothing more is anchored."
    )


class Checkpoint(BaseModel):
    """A signed state of the log. Any account can anchor it with the publisher's signature."""

    log_id: Word
    size: TreeSize
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


class PolicyView(BaseModel):
    """A policy, and the SHA-256 of its document as canonical JSON."""

    hash: Word
    document: PolicyDocument


class SettingsView(BaseModel):
    """A surface's settings, and the SHA-256 of their document as canonical JSON."""

    hash: Word
    document: SettingsDocument


# --- Entries --------------------------------------------------------------------------------------


# The fields of openings that are positions, and the ends of the names of amounts, times, shares.
POSITIONS = frozenset({"cause", "counted", "of", "previous"})
_NUMBERS = {"_units": Units, "_ms": TimeMs, "_bps": Bps}


def _opening_model(opening: Any) -> type[BaseModel]:
    """Return the model of an opening's JSON: words in hex, numbers, amounts, a state's name."""
    types: dict[type, Any] = {bytes: Word, str: str, bool: bool}
    fields: Any = {
        name: (_number_type(name) if hint is int else types[hint], ...)
        for name, hint in get_type_hints(opening).items()
    }
    text: str = opening.__doc__.partition("\n")[0]
    return create_model(opening.__name__, __doc__=text, **fields)


def _number_type(name: str) -> Any:
    """Return the type of an opening's number, which its name tells."""
    if name in POSITIONS:
        return PositionOrNone
    return next((found for end, found in _NUMBERS.items() if name.endswith(end)), Count)


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
    next: Annotated[Position | None, NEXT_AFTER]


class InclusionProof(BaseModel):
    """RFC 9162 §2.1.3, from the leaf upwards."""

    position: Position
    size: TreeSize
    root: Word
    path: Hashes


class ConsistencyProof(BaseModel):
    """RFC 9162 §2.1.4."""

    old_size: TreeSize
    old_root: Word
    new_size: TreeSize
    new_root: Word
    path: Hashes


class RunProof(BaseModel):
    """One proof of the entries [first, first + count)."""

    first: Position
    count: int
    size: TreeSize
    root: Word
    path: Hashes


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
    path: InclusionPath


class ReceiptCheckpoint(BaseModel):
    """The signed checkpoint under which a receipt's entries are proven."""

    size: TreeSize
    root: Word
    signature: CheckpointSignature


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
