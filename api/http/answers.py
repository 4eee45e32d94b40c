"""The bodies of answers, and the cursors between their pages."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from api.http.bodies import PolicyDocument, TermsDocument
from api.http.fields import (
    Address,
    Bps,
    EntryHex,
    Hashes,
    LeadCursor,
    Position,
    ProposalCursor,
    Scope,
    Signature,
    Size,
    TimeMs,
    TimeS,
    Units,
    Word,
)
from orchestrator.core.kinds import KINDS, ROLES

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
    expires_ms: TimeMs
    domain: str
    uri: str
    chain_id: int
    message: str | None = Field(
        description="The EIP-4361 message to sign, if address and scopes were given."
    )


class SignedIn(BaseModel):
    """An API key. It is shown this once; we keep its hash."""

    # An error about this model must not carry the key.
    model_config = ConfigDict(hide_input_in_errors=True)

    key: str
    account: Address
    scopes: list[Scope]
    expires_ms: TimeMs
    registration: "RequestStatus | None" = Field(
        description="The request that registers a new operator; null if there is none."
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


class SurfaceDetail(Surface):
    """A surface with its policy, and all that terms for a contract on it must say."""

    policy: PolicyDocument
    terms: TermsParameters


class Surfaces(BaseModel):
    surfaces: list[Surface]
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


# --- Contracts ------------------------------------------------------------------------------------


class Proposal(BaseModel):
    """Terms that an operator has signed, and the owner's decision about them."""

    contract_id: Word
    status: Literal["proposed", "accepted", "declined", "expired", "opened"]
    terms: TermsDocument
    operator_signature: Signature
    owner_signature: Signature | None
    created_ms: TimeMs
    accepted_ms: TimeMs | None
    declined_ms: TimeMs | None
    opened_by: Literal["service", "parties"] = Field(
        description="Who opens it on chain, and pays for that, once both have signed."
    )
    opening_waits_for: str | None = Field(
        description="The limit for which the service has put the opening off, if it has."
    )


class Proposals(BaseModel):
    proposals: list[Proposal]
    next: Annotated[ProposalCursor | None, _NEXT_AFTER]


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
    publisher: Address
    verifier: Address
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
    anchored: bool = Field(
        description="True if a final block was seen to have it; ask `rootAt` to be sure."
    )


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
