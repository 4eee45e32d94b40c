"""The bodies of requests: no unknown member, and no value turned into another type."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.http.fields import (
    NAME_PATTERN,
    Address,
    Amount,
    Bps,
    EventName,
    ExternalId,
    Key,
    Moment,
    Name,
    OrderId,
    Scope,
    Signature,
    TimeS,
    Units,
    Word,
)
from api.http.problems import MAX_FAULTS
from orchestrator.core import policy
from orchestrator.core.units import DAY_S


class Body(BaseModel):
    """A request's body: strict, and silent about its values when it is refused."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def refuse_many_unknown(cls, document: Any) -> Any:
        """Refuse a flood of unknown members as one fault: each costs as much as it is long."""
        if isinstance(document, dict):
            unknown = len(document.keys() - cls.model_fields.keys())
            if unknown > MAX_FAULTS:
                raise ValueError(f"has {unknown} members that are not known here")
        return document


# --- Signing in -----------------------------------------------------------------------------------


class NonceRequest(Body):
    """An account that wants to sign in, and its scopes; the answer has the message to sign."""

    address: Address
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=2, examples=[["operator"]])]


class SignIn(Body):
    """A signed EIP-4361 message. Its resources name the scopes: `urn:tallystick:scope:operator`."""

    message: Annotated[str, Field(min_length=1, max_length=1000)]
    signature: Signature


# --- Policies -------------------------------------------------------------------------------------


_POLICY_EXAMPLE = {
    "initial": "new",
    "states": ["new", "signed_up", "activated", "subscribed"],
    "transitions": [
        {"on": "signup", "from": ["new"], "to": "signed_up", "motion": "acquisition"},
        {"on": "activate", "from": ["signed_up"], "to": "activated", "motion": "activation"},
        {"on": "subscribe", "from": ["activated"], "to": "subscribed", "motion": "conversion"},
    ],
    "reversals": [{"on": "refund", "of": "subscribed"}],
    "events": {"Subscription Started": "subscribe"},
    "attribution": "last_touch",
    "actions": {"email": 0, "call": 0},
    "lateness_s": DAY_S,
}


# For readers of the description alone: orchestrator/core/policy.py decides what a policy is, and
# bounds its steps and its size as no schema can.
_NAME_SCHEMA = {"type": "string", "pattern": NAME_PATTERN}
_DIGITS_SCHEMA = {"type": "string", "pattern": r"^[0-9]{1,18}$"}


def _whole_schema(least: int, most: int) -> dict[str, Any]:
    return {"anyOf": [{"type": "integer", "minimum": least, "maximum": most}, _DIGITS_SCHEMA]}


_POLICY_SCHEMA = {
    "required": ["initial", "states", "transitions", "attribution"],
    "properties": {
        "initial": _NAME_SCHEMA,
        "states": {
            "type": "array",
            "items": _NAME_SCHEMA,
            "minItems": 1,
            "maxItems": policy.MAX_STATES,
        },
        "transitions": {
            "type": "array",
            "maxItems": policy.MAX_TRANSITIONS,
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
        "lateness_s": _whole_schema(policy.MIN_LATENESS_S, policy.MAX_LATENESS_S),
        "events": {
            "type": ["object", "null"],
            "description": "By the product's own name of an event, the short name that transitions "
            "and reversals are on. Events that the policy names itself need none.",
            "maxProperties": policy.MAX_EVENTS,
            "additionalProperties": _NAME_SCHEMA,
        },
        "touches_per_lead": {"anyOf": [_whole_schema(1, 10_000), {"type": "null"}]},
    },
    "additionalProperties": False,
}


PolicyDocument = Annotated[
    dict[str, Any],
    Field(
        description="The rules of a surface: its lead lifecycle, its actions, its attribution. "
        f"At most {policy.MAX_STEPS} steps, counting each state that a transition starts from, and "
        f"{policy.MAX_DOCUMENT_BYTES} bytes of canonical JSON.",
        json_schema_extra=_POLICY_SCHEMA,
        examples=[_POLICY_EXAMPLE],
    ),
]


# --- Surfaces and their leads ---------------------------------------------------------------------


class NewSurface(Body):
    """A surface to open: its name, which is the owner's to choose, and its first policy."""

    name: Name = Field(examples=["trial funnel"])
    policy: PolicyDocument


class NewPolicy(Body):
    """The next version of a surface's policy."""

    policy: PolicyDocument


class ProductEvent(Body):
    """An event of the owner's product that concerns one of its leads."""

    lead: ExternalId
    event: EventName
    value: Amount | None = Field(
        default=None,
        description="The revenue that it brought, in tokens; of a refund, how much was given back "
        "of the order. A refund without a value is of all that is left.",
    )
    order: OrderId | None = Field(
        default=None,
        description="Your id of the order that it is about. A purchase founds the order, and a "
        "refund of the order takes back from that purchase; one without an order takes all that is "
        "left of the lead's latest.",
        examples=["order-1001"],
    )
    time: Moment = Field(
        description="When it happened, RFC 3339 with a time zone. Without a fraction of a second "
        "it counts at the end of that second, or when it is received if that is earlier. Up to 5 "
        "seconds ahead of our clock it is waited for; further ahead it is refused."
    )


class BulkProductEvent(ProductEvent):
    """A line of a bulk report; `id` is its idempotency key."""

    id: Key


class Erasure(Body):
    """The lead whose identity, and what was reported of it, is to be deleted."""

    lead: ExternalId


class Touch(Body):
    """An action that an operator took on a lead."""

    lead: Word
    action: Name = Field(examples=["email"])


class BulkTouch(Touch):
    """A line of touches in bulk; `id` is its idempotency key."""

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
