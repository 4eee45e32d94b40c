"""The shapes that go over the wire, made of the values in `api.words`."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from api.http.fields import (
    Address,
    Amount,
    Bps,
    ExternalId,
    Key,
    LeadCursor,
    Moment,
    Name,
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
from orchestrator.core.units import DAY_S


class Body(BaseModel):
    """What is sent to us: nothing that we do not know, nothing turned into another type."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


# --- Signing in -----------------------------------------------------------------------------------


class NonceRequest(Body):
    """Who wants to sign in, and as what; then the message comes ready to be signed."""

    address: Address
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=2, examples=[["operator"]])]


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


class SignIn(Body):
    """A signed EIP-4361 message. Its resources name the scopes: `urn:tallystick:scope:operator`."""

    message: Annotated[str, Field(min_length=1, max_length=1000)]
    signature: Signature


class SignedIn(BaseModel):
    """An API key. It is shown this once; we keep its hash."""

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
    """What became of a request to the log."""

    request_id: str
    status: Literal["waiting", "done", "refused"] = Field(
        description="`refused`: the rules turned it away and nothing was written."
    )
    href: str = Field(description="Where to ask again.", examples=["/v1/requests/…"])
    first_position: Position | None = Field(
        description="The first entry that it gave rise to; null if there is none."
    )
    count: Annotated[int, Field(ge=0)] = Field(description="How many entries it gave rise to.")
    verdict: Literal["accepted", "refused", "ignored"] | None = Field(
        description="For a product event that is done: what the policy made of it."
    )
    code: str | None = Field(description="Why it was refused.")
    detail: str | None


class LineStatus(RequestStatus):
    """What became of one line of a bulk request."""

    id: str


class BulkStatus(BaseModel):
    """What became of the lines of a bulk request, in their order. Send it again to ask again."""

    results: list[LineStatus]


# --- Surfaces and their leads ---------------------------------------------------------------------

_POLICY_EXAMPLE = {
    "initial": "new",
    "states": ["new", "signed_up", "activated", "subscribed"],
    "transitions": [
        {"on": "signup", "from": ["new"], "to": "signed_up", "motion": "acquisition"},
        {"on": "activate", "from": ["signed_up"], "to": "activated", "motion": "activation"},
        {"on": "subscribe", "from": ["activated"], "to": "subscribed", "motion": "conversion"},
    ],
    "reversals": [{"on": "refund", "of": "subscribed"}],
    "attribution": "last_touch",
    "actions": {"email": 0, "call": 0},
    "lateness_s": DAY_S,
}

_NAME_SCHEMA = {"type": "string", "pattern": r"^[!-~]([ -~]{0,30}[!-~])?$"}
# For readers: what is a policy and what is not, orchestrator/core/policy.py decides.
_DIGITS_SCHEMA = {"type": "string", "pattern": r"^[0-9]{1,18}$"}


def _whole_schema(least: int, most: int) -> dict[str, Any]:
    return {"anyOf": [{"type": "integer", "minimum": least, "maximum": most}, _DIGITS_SCHEMA]}


_POLICY_SCHEMA = {
    "required": ["initial", "states", "transitions", "attribution"],
    "properties": {
        "initial": _NAME_SCHEMA,
        "states": {"type": "array", "items": _NAME_SCHEMA, "minItems": 1, "maxItems": 256},
        "transitions": {
            "type": "array",
            "maxItems": 1024,
            "items": {
                "type": "object",
                "required": ["on", "from", "to", "motion"],
                "properties": {
                    "on": _NAME_SCHEMA,
                    "from": {"type": "array", "items": _NAME_SCHEMA, "minItems": 1},
                    "to": _NAME_SCHEMA,
                    "motion": {"enum": ["acquisition", "activation", "conversion", "expansion"]},
                },
            },
        },
        "reversals": {
            "type": ["array", "null"],
            "items": {
                "type": "object",
                "required": ["on", "of"],
                "properties": {"on": _NAME_SCHEMA, "of": _NAME_SCHEMA},
            },
        },
        "attribution": {"enum": ["first_touch", "last_touch"]},
        "actions": {
            "type": ["object", "null"],
            "description": "By action, the lowest trust level that may take it.",
            "additionalProperties": _whole_schema(0, 5),
        },
        "lateness_s": _whole_schema(0, 7_776_000),
        "touches_per_lead": {"anyOf": [_whole_schema(1, 10_000), {"type": "null"}]},
    },
    "additionalProperties": False,
}

PolicyDocument = Annotated[
    dict[str, Any],
    Field(
        description="The rules of a surface: its lead lifecycle, who may do what, attribution.",
        json_schema_extra=_POLICY_SCHEMA,
        examples=[_POLICY_EXAMPLE],
    ),
]


class NewSurface(Body):
    name: Name = Field(examples=["trial funnel"])
    policy: PolicyDocument


class NewPolicy(Body):
    policy: PolicyDocument


class SurfaceRequest(RequestStatus):
    """A surface on its way into the log."""

    surface: Word
    policy_hash: Word


class Surface(BaseModel):
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


class TermsParameters(BaseModel):
    """What terms for a contract on a surface must say, and the domain that their digest needs."""

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
    chain_id: int
    escrow: Address
    domain_name: str
    domain_version: str


class SurfaceDetail(Surface):
    policy: PolicyDocument
    terms: TermsParameters


class Surfaces(BaseModel):
    surfaces: list[Surface]
    next: Word | None = Field(description="Give it as `after` to go on; null at the end.")


class LeadSummary(BaseModel):
    """A lead as the caller may see it."""

    lead: Word
    state: str
    since_ms: TimeMs
    own_touches: int = Field(description="How often the caller has touched it.")
    external_id: str | None = Field(description="For the surface's owner alone.")


class Leads(BaseModel):
    leads: list[LeadSummary]
    next: LeadCursor | None = Field(description="Give it as `after` to go on; null at the end.")


class ProductEvent(Body):
    """Something that happened in the owner's product to one of its leads."""

    lead: ExternalId
    event: Name = Field(examples=["subscribe"])
    value: Amount | None = Field(default=None, description="Revenue that it brought, in tokens.")
    time: Moment


class BulkProductEvent(ProductEvent):
    id: Key


class Erasure(Body):
    """Of whom everything is to be forgotten that says who it is."""

    lead: ExternalId


class Touch(Body):
    """An action that an operator took on a lead."""

    lead: Word
    action: Name = Field(examples=["email"])


class BulkTouch(Touch):
    id: Key


# --- Contracts ------------------------------------------------------------------------------------


class TermsDocument(Body):
    """An outcome contract's terms, field by field as in the EIP-712 type `Terms`."""

    owner: Address
    operator: Address
    payee: Address
    token: Address
    verifier: Address
    arbiter: Address
    log_id: Word
    surface: Word
    policy: Word
    attribution: Literal["first_touch", "last_touch"]
    outcome: Name = Field(examples=["activated"])
    repeatable: bool
    exclusive: bool
    unit_price_units: Units
    revenue_share_bps: Bps
    budget_units: Units
    opens_at_s: TimeS
    deadline_s: TimeS
    attribution_window_s: TimeS
    lateness_s: TimeS
    grace_s: TimeS
    claim_period_s: TimeS
    challenge_period_s: TimeS
    arbitration_period_s: TimeS
    holdback_bps: Bps
    holdback_period_s: TimeS
    rate_cap_units: Units
    rate_period_s: TimeS
    fee_bps: Bps
    fee_recipient: Address
    agent_id_plus_one: Units
    salt: Word


class NewProposal(Body):
    """Terms that the operator has signed (EIP-712, the escrow's domain)."""

    terms: TermsDocument
    operator_signature: Signature


class Acceptance(Body):
    """The owner's signature over the same digest, the contract id."""

    owner_signature: Signature


class Proposal(BaseModel):
    contract_id: Word
    status: Literal["proposed", "accepted", "declined", "expired", "opened"]
    terms: TermsDocument
    operator_signature: Signature
    owner_signature: Signature | None
    created_ms: TimeMs
    accepted_ms: TimeMs | None
    declined_ms: TimeMs | None


class Proposals(BaseModel):
    proposals: list[Proposal]
    next: ProposalCursor | None = Field(description="Give it as `after` to go on; null at the end.")


class Contract(BaseModel):
    """A contract that was opened on chain, and its cumulative totals by the log."""

    contract_id: Word
    status: Literal["live", "ended", "closed"] = Field(
        description="`ended`: its deadline has passed. `closed`: before its time, on chain."
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
    over_units: Units = Field(description="What outcomes past the budget would have paid.")
    last_outcome: Position
    last_reversal: Position
    last_settlement: Position
    terms: TermsDocument | None = Field(
        description="Null for a contract that was not proposed here: ask the escrow's `termsOf`."
    )


class ContractDetail(Contract):
    paid_units: Units = Field(description="Gross, by the payouts that the log has recorded.")


class Contracts(BaseModel):
    contracts: list[Contract]
    next: Position | None = Field(description="Give it as `after` to go on; null at the end.")


class Payout(BaseModel):
    position: Position
    time_ms: TimeMs
    payee: Address
    label: Literal["paid", "credited"]
    gross_units: Units
    transaction: Word


class Payouts(BaseModel):
    payouts: list[Payout]
    next: Position | None = Field(description="Give it as `after` to go on; null at the end.")


class Endorsement(BaseModel):
    """A statement, and the verifier's signature with which it completes an ERC-8183 job.

    What is signed are the entries [first, first + count) of the tree (size, root), as EIP-712's
    `Verified` in the domain of the JobEvaluators contract.
    """

    position: Position
    entry: Annotated[str, Field(pattern=r"^0x([0-9a-f]{512})$", description="256 bytes.")]
    size: Size
    root: Word
    first: Position
    count: Size
    signature: Signature


class Endorsements(BaseModel):
    endorsements: list[Endorsement]
    next: Position | None = Field(description="Give it as `after` to go on; null at the end.")


# --- The log --------------------------------------------------------------------------------------


class Log(BaseModel):
    log_id: Word
    origin: str
    chain_id: int
    event_log: Address
    escrow: Address
    feedback: Address | None = Field(description="What writes ERC-8004 feedback; null for none.")
    evaluators: Address | None = Field(
        description="The factory of ERC-8183 evaluators, in whose domain statements are endorsed; "
        "null for none."
    )
    publisher: Address
    verifier: Address
    size: Position


class Checkpoint(BaseModel):
    """A signed state of the log. Anyone can anchor it with the publisher's signature."""

    log_id: Word
    size: Position
    root: Word
    time_ms: TimeMs
    signature: Signature


def _opening_shape(opening: Any) -> type[BaseModel]:
    """Return the shape of an opening over the wire: words in hex, whole numbers, a state's name."""
    types: dict[type, Any] = {bytes: Word, int: TimeMs, str: str}
    fields: Any = {name: (types[hint], ...) for name, hint in get_type_hints(opening).items()}
    text: str = opening.__doc__.partition("\n")[0]
    return create_model(opening.__name__, __doc__=text, **fields)


if TYPE_CHECKING:
    Opening = BaseModel
else:
    _OPENINGS = dict.fromkeys(kind.opening for kind in KINDS.values() if kind.opening)
    Opening = Union[tuple(_opening_shape(opening) for opening in _OPENINGS)]  # noqa: UP007


EntryHex = Annotated[
    str,
    Field(pattern=r"^0x[0-9a-f]{512}$", description="256 bytes: eight words, as the log has them."),
]


class LogEntry(BaseModel):
    index: Position
    entry: EntryHex
    opening: Opening | None


class Entries(BaseModel):
    entries: list[LogEntry]
    next: Position | None = Field(description="Give it as `start` to go on; null at the end.")


Hashes = Annotated[list[Word], Field(max_length=128)]


class InclusionProof(BaseModel):
    """RFC 9162 §2.1.3, from the leaf upwards."""

    index: Position
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
    size: Position
    root: Word
    signature: Signature
    anchored: bool = Field(description="Whether it was seen on chain; ask `rootAt` to be sure.")


class Receipt(BaseModel):
    """Everything that shows one outcome, reversal, settlement or payout; see docs/receipt.md."""

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
