"""The bodies of requests: no unknown member, and no value turned into another type."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from api.http.fields import (
    MAX_CAPABILITIES,
    MAX_KEY_SURFACES,
    MAX_MEMORY_BYTES,
    NAME_PATTERN,
    SECRET_PATTERN,
    Address,
    Amount,
    Bps,
    Contact,
    DisplayName,
    EventName,
    ExternalId,
    Fence,
    Key,
    KeyName,
    Moment,
    Name,
    OrderId,
    Receiver,
    Ref,
    Signature,
    TimeMs,
    TimeS,
    Units,
    WebhookEvent,
    Word,
    WorkItem,
)
from api.http.problems import MAX_FAULTS
from orchestrator.core import policy, surface_settings
from orchestrator.core.board import MAX_BODY_BYTES, MAX_LEASE_S, MessageKind
from orchestrator.core.document import MAX_DOCUMENT_BYTES
from orchestrator.core.forecast import MAX_HORIZON_DAYS, MAX_QUESTIONS
from orchestrator.core.intake.currency import MAX_CURRENCIES
from orchestrator.core.intake.mapping import SOURCES
from orchestrator.core.kinds import Side
from orchestrator.core.outward_url import MAX_URL_BYTES
from orchestrator.core.qualification import MAX_FIELDS
from orchestrator.core.scopes import Scope, ScopeSet
from orchestrator.core.sign_in import MAX_MESSAGE_BYTES
from orchestrator.core.surface_settings import MAX_CODE_USES
from orchestrator.core.units import DAY_S
from orchestrator.core.webhook import WEBHOOK_EVENTS


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
    scopes: Annotated[
        list[Scope | ScopeSet], Field(min_length=1, max_length=16, examples=[["operator"]])
    ]


class SignIn(Body):
    """A signed EIP-4361 message.

    Its resources name the scopes of the key, as in `urn:tallystick:scope:operator:touch`, and its
    statement says the same in words.
    """

    message: Annotated[str, Field(min_length=1, max_length=MAX_MESSAGE_BYTES)]
    signature: Signature
    name: KeyName = "sign-in"


class NewKey(Body):
    """A delegate's key, with no more than your own key has."""

    name: KeyName
    scopes: Annotated[
        list[Scope | ScopeSet], Field(min_length=1, max_length=16, examples=[["operator:touch"]])
    ]
    surfaces: Annotated[list[Word], Field(min_length=1, max_length=MAX_KEY_SURFACES)] | None = (
        Field(
            default=None,
            description="The surfaces that it is limited to; null for all of your own's.",
        )
    )
    expires_ms: TimeMs | None = Field(
        default=None, description="When it expires: no later than your own key, and then if null."
    )


class Rotation(Body):
    """The exchange of a delegate's key for a new one."""

    overlap_s: Annotated[int, Field(ge=0, le=7 * DAY_S)] = Field(
        default=0, description="How long the old key still works."
    )
    expires_ms: TimeMs | None = Field(
        default=None, description="When the new key expires; null: when the old one would have."
    )


class KeyChange(Body):
    """Another name for a key."""

    name: KeyName


# --- Webhooks -------------------------------------------------------------------------------------

WebhookTarget = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_URL_BYTES,
        description="An https URL of a host of the public Internet.",
        examples=["https://example.com/tallystick"],
    ),
]
WebhookEvents = Annotated[
    list[WebhookEvent],
    Field(min_length=1, max_length=len(WEBHOOK_EVENTS), examples=[["action.requested"]]),
]


class NewWebhook(Body):
    """A URL of yours that is told of what the log says."""

    url: WebhookTarget
    audience: Side = Field(
        description="What you hear of: surfaces that you own, or your own work as an operator."
    )
    surface: Word | None = Field(default=None, description="One surface; null for all.")
    events: WebhookEvents | None = Field(
        default=None, description="Kinds of entries; null for all that your side hears of."
    )


class WebhookChange(Body):
    """Another URL, or other events, of a webhook; it goes on if it was disabled."""

    url: WebhookTarget | None = None
    events: WebhookEvents | None = None


class SecretRotation(Body):
    """The exchange of a webhook's secret for a new one."""

    overlap_s: Annotated[int, Field(ge=0, le=7 * DAY_S)] = Field(
        default=DAY_S, description="How long messages are signed with the old secret as well."
    )


# --- Operators ------------------------------------------------------------------------------------


class Profile(Body):
    """An operator's description of itself, off the log; `DELETE` erases it."""

    display_name: DisplayName
    contact: Contact | None = None
    capabilities: Annotated[list[Name], Field(max_length=MAX_CAPABILITIES)] = Field(
        default_factory=list, examples=[["email", "onboarding"]]
    )
    agent_id: Units | None = Field(
        default=None,
        description="Your agent in ERC-8004's identity registry: you must be its owner or its "
        "wallet, which is checked on chain.",
    )
    is_public: bool = Field(
        default=False,
        description="True to have all but the contact on your agent card, for all the world.",
    )


class MemoryEntry(Body):
    """An entry of an operator's memory."""

    value: JsonValue = Field(
        description=f"Any JSON of at most {MAX_MEMORY_BYTES} bytes in ASCII; decimals as text."
    )
    lead: Word | None = Field(
        default=None, description="The lead that it is about: it is erased with the lead."
    )


_SAID = f"A JSON object of at most {MAX_BODY_BYTES} bytes in ASCII; decimals as text."


class LeaseWish(Body):
    """A wish to work on an item for a time, or to go on doing so."""

    ttl_s: Annotated[int, Field(ge=1, le=MAX_LEASE_S)] = Field(
        default=900,
        description="How long from now, by the service's clock; then it ends by itself.",
    )
    fence: Fence | None = Field(
        default=None, description="That of a lease that you hold, to renew it."
    )


class LeaseRelease(Body):
    """The early end of a lease, or its handover."""

    fence: Fence
    to: Receiver | None = Field(
        default=None,
        description="Hand it over, until it ends, instead: to a key by its id or, of your own "
        "account, by its name; or to any key of an account that is on the board, by its address.",
    )
    note: dict[str, JsonValue] | None = Field(
        default=None, description=f"What the receiver of a handover is told. {_SAID}"
    )


class NewMessage(Body):
    """A message to all who are on a board."""

    kind: MessageKind
    item: WorkItem
    to: Receiver | None = Field(default=None, description="The key that it is meant for.")
    body: dict[str, JsonValue] = Field(default_factory=dict, description=_SAID)


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
    "lateness_s": DAY_S,
    "touches_per_lead": 10,
}
_SETTINGS_EXAMPLE = {
    "token": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    "actions": {"email": {"level": 1}, "call": {"level": 2}},
    "levels": [
        {"leads_a_day": 50},
        {
            "leads_a_day": 500,
            "outcomes": 20,
            "units": "100000000",
            "age_s": 30 * DAY_S,
            "reversed_bps": 500,
            "keep_reversed_bps": 1000,
            "disputes_lost": 0,
        },
    ],
}


# For readers of the description alone: orchestrator/core/policy.py decides what a policy is, and
# bounds its steps and its size as no schema can.
_NAME_SCHEMA = {"type": "string", "pattern": NAME_PATTERN}
_DIGITS_SCHEMA = {"type": "string", "pattern": r"^[0-9]{1,18}$"}


def _whole_schema(least: int, most: int) -> dict[str, Any]:
    return {"anyOf": [{"type": "integer", "minimum": least, "maximum": most}, _DIGITS_SCHEMA]}


_POLICY_SCHEMA = {
    "required": ["initial", "states", "transitions", "attribution", "touches_per_lead"],
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
        "lateness_s": _whole_schema(policy.MIN_LATENESS_S, policy.MAX_LATENESS_S),
        "events": {
            "type": ["object", "null"],
            "description": "By the product's own name of an event, the short name that transitions "
            "and reversals are on. Events that the policy names itself need none.",
            "maxProperties": policy.MAX_EVENTS,
            "additionalProperties": _NAME_SCHEMA,
        },
        "touches_per_lead": _whole_schema(1, policy.MAX_TOUCHES_PER_LEAD),
    },
    "additionalProperties": False,
}


PolicyDocument = Annotated[
    dict[str, Any],
    Field(
        description="The rules of a surface, which terms pin: its lead lifecycle, its attribution. "
        f"At most {policy.MAX_STEPS} steps, counting each state that a transition starts from, and "
        f"{MAX_DOCUMENT_BYTES} bytes of canonical JSON.",
        json_schema_extra=_POLICY_SCHEMA,
        examples=[_POLICY_EXAMPLE],
    ),
]


# orchestrator/core/surface_settings.py decides what settings are.
_RESULTS_SCHEMA = {
    "outcomes": _whole_schema(1, surface_settings.MAX_OUTCOMES),
    "units": {"type": ["string", "integer"]},
    "age_s": _whole_schema(0, surface_settings.MAX_PERIOD_S),
    "reversed_bps": _whole_schema(0, 10_000),
    "keep_reversed_bps": _whole_schema(0, 10_000),
    "disputes_lost": _whole_schema(0, surface_settings.MAX_OUTCOMES),
}
_PERIOD_SCHEMA = _whole_schema(0, surface_settings.MAX_PERIOD_S)
_LEADS_A_DAY_SCHEMA = _whole_schema(1, surface_settings.MAX_LEADS_A_DAY)
_SETTINGS_SCHEMA = {
    "required": ["token", "actions", "levels"],
    "properties": {
        "token": {
            "type": "string",
            "pattern": "^0x[0-9a-fA-F]{40}$",
            "description": "The token in which results are counted: outcomes of contracts that pay "
            "in it are evidence.",
        },
        "actions": {
            "type": "object",
            "description": "What operators may do, each from a level on; level 0 touches nothing.",
            "maxProperties": surface_settings.MAX_ACTIONS,
            "additionalProperties": {
                "type": "object",
                "required": ["level"],
                "properties": {
                    "level": _whole_schema(1, surface_settings.MAX_LEVEL),
                    "by": {
                        "enum": [*surface_settings.CARRIERS],
                        "description": "Who carries it out. What the surface carries out is "
                        "requested of it; the rest stands with that alone.",
                    },
                    "expires_s": _whole_schema(1, surface_settings.MAX_EXPIRY_S),
                    "parameters": {
                        "type": "object",
                        "description": "A JSON schema of an object: type, properties, required, "
                        "items, enum, bounds of lengths and numbers, title and description.",
                    },
                    "returns": {
                        "type": "array",
                        "maxItems": surface_settings.MAX_RETURNS,
                        "items": _NAME_SCHEMA,
                    },
                },
                "additionalProperties": False,
            },
        },
        "open_actions": {
            "type": "object",
            "description": "The most actions that are open at one time: of an operator for a lead, "
            "of an operator, of all.",
            "properties": {
                name: _whole_schema(1, most) for name, most in surface_settings.MAX_OPEN.items()
            },
            "additionalProperties": False,
        },
        "levels": {
            "type": "array",
            "description": "What each level from 1 on allows and, from 2 on, the results that earn "
            "it.",
            "minItems": 1,
            "maxItems": surface_settings.MAX_LEVEL,
            "items": {
                "type": "object",
                "required": ["leads_a_day"],
                "properties": {"leads_a_day": _LEADS_A_DAY_SCHEMA, **_RESULTS_SCHEMA},
                "additionalProperties": False,
            },
        },
        "currencies": {
            "type": ["object", "null"],
            "description": "By currency, the tokens that one unit of it is worth: decimal text, or "
            "a list of rates with the day from which each holds.",
            "maxProperties": MAX_CURRENCIES,
        },
        "sources": {
            "type": ["object", "null"],
            "description": "By source (segment, stripe, posthog, csv), which of its events is "
            "which of the policy's, and where their fields are.",
            "maxProperties": len(SOURCES),
            "additionalProperties": {"type": "object", "required": ["events"]},
        },
        "ripening_s": _PERIOD_SCHEMA,
        "bucket_s": _PERIOD_SCHEMA,
        "pause_s": _PERIOD_SCHEMA,
        "pool": {
            "type": ["object", "null"],
            "description": "What all operators share whose level comes from forecasts alone.",
            "required": ["places", "leads_a_day", "touches_a_day", "lasts_s"],
            "properties": {
                "places": _whole_schema(1, surface_settings.MAX_PLACES),
                "leads_a_day": _LEADS_A_DAY_SCHEMA,
                "touches_a_day": _LEADS_A_DAY_SCHEMA,
                "lasts_s": _PERIOD_SCHEMA,
            },
            "additionalProperties": False,
        },
        "codes": {
            "type": ["object", "null"],
            "description": "The codes that operators are given from a level on: how often and how "
            "long each can be used, how many a day, and the fields that come with one.",
            "required": ["level", "max_uses", "expires_s", "a_day"],
            "properties": {
                "level": _whole_schema(1, surface_settings.MAX_LEVEL),
                "max_uses": _whole_schema(1, surface_settings.MAX_CODE_USES),
                "expires_s": _whole_schema(1, surface_settings.MAX_CODE_PERIOD_S),
                "a_day": _whole_schema(1, surface_settings.MAX_CODES_A_DAY),
                "fields": {"type": "object", "required": ["properties"]},
            },
            "additionalProperties": False,
        },
        "deals": {
            "type": ["object", "null"],
            "description": "The terms that drafts and offers have where they say nothing: the "
            "attribution window, how long a contract is open, for how long how much is held back, "
            "how long a statement can be challenged.",
            "properties": {
                "window_s": _PERIOD_SCHEMA,
                "lasts_s": _PERIOD_SCHEMA,
                "hold_s": _PERIOD_SCHEMA,
                "hold_bps": _whole_schema(0, 10_000),
                "challenge_s": _PERIOD_SCHEMA,
            },
            "additionalProperties": False,
        },
        "forecasts": {
            "type": ["object", "null"],
            "description": "The questions that operators may forecast, and what earns level 1.",
            "required": ["questions"],
            "properties": {
                "questions": {
                    "type": "array",
                    "maxItems": MAX_QUESTIONS,
                    "items": {
                        "type": "object",
                        "required": ["from", "to", "horizon_days"],
                        "properties": {
                            "from": _NAME_SCHEMA,
                            "to": _NAME_SCHEMA,
                            "horizon_days": _whole_schema(1, MAX_HORIZON_DAYS),
                        },
                        "additionalProperties": False,
                    },
                },
                "min_counted": _whole_schema(1, 1_000),
                "min_leads": _whole_schema(30, 10_000),
                "skill_bps": _whole_schema(1, 10_000),
            },
            "additionalProperties": False,
        },
    },
    "additionalProperties": False,
}

SettingsDocument = Annotated[
    dict[str, Any],
    Field(
        description="What a surface's owner changes freely: the actions it offers, what each trust "
        f"level allows, what earns it. At most {MAX_DOCUMENT_BYTES} bytes of canonical JSON.",
        json_schema_extra=_SETTINGS_SCHEMA,
        examples=[_SETTINGS_EXAMPLE],
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


class NewSettings(Body):
    """The next version of a surface's settings."""

    settings: SettingsDocument


class Reason(Body):
    """The reason for a suspension or its end: a code that the log shows, and a text beside it."""

    reason: Name = Field(examples=["spam"])
    text: Annotated[str, Field(max_length=2_000)] | None = None


class NewCode(Body):
    """A code to hand out: by its use leads arrive that you have brought."""

    max_uses: Annotated[int, Field(ge=1, le=MAX_CODE_USES)]
    expires_ms: TimeMs = Field(description="When it expires, within what the settings allow.")


class CodeEnd(Body):
    """The reason for which a code ends, as the log shows it."""

    reason: Name = Field(examples=["leaked"])


class NewForecast(Body):
    """A forecast: the share of the leads in a state at the next 00:00 UTC that moves on in time."""

    from_state: Name = Field(examples=["trial"])
    to_state: Name = Field(examples=["activated"])
    horizon_days: Annotated[int, Field(ge=1, le=MAX_HORIZON_DAYS)]
    probability_bps: Bps = Field(
        description="The probability, in hundredths of a percent. It is kept secret until the "
        "forecast is scored."
    )


class ProductEvent(Body):
    """An event of the owner's product that concerns one of its leads, named by id, code or both."""

    lead: ExternalId | None = Field(default=None, examples=["user-1842"])
    ref: Ref | None = None
    fields: Annotated[dict[Name, str | int | bool], Field(max_length=MAX_FIELDS)] | None = Field(
        default=None,
        description="What the surface's settings ask for with a code. It is kept apart from the "
        "log and can be erased with the lead.",
    )
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

    @model_validator(mode="after")
    def _has_a_name(self) -> Self:
        if self.lead is None and self.ref is None:
            raise ValueError("an event names its lead by `lead`, by `ref`, or by both")
        return self


class BulkProductEvent(ProductEvent):
    """A line of a bulk report; `id` is its idempotency key."""

    id: Key


class Erasure(Body):
    """The lead whose identity, and what was reported of it, is to be deleted.

    One that has come by a code alone, and has no id yet, is named by the code.
    """

    lead: ExternalId | None = Field(default=None, examples=["user-1842"])
    ref: Ref | None = None

    @model_validator(mode="after")
    def _has_one_name(self) -> Self:
        if (self.lead is None) == (self.ref is None):
            raise ValueError("name the lead by `lead` or by `ref`, and by one of them alone")
        return self


class Touch(Body):
    """An action that an operator took on a lead."""

    lead: Word
    action: Name = Field(examples=["email"])


HeldFence = Annotated[
    Fence | None,
    Field(
        description="Your lease's fence on the lead, on your own board of the surface: without it "
        "the request is refused once that has ended. The key needs `operator:coordinate` for it."
    ),
]


class FencedTouch(Touch):
    """A touch that is taken only while you hold the lead, if you say so."""

    fence: HeldFence = None


class NewAction(Body):
    """An action that the surface shall carry out on a lead."""

    lead: Word
    fence: HeldFence = None
    action: Name = Field(examples=["letter"])
    parameters: dict[str, Any] = Field(
        default={}, description="As the catalogue's schema demands. The log commits to them alone."
    )
    expires_s: Annotated[int, Field(ge=1, le=surface_settings.MAX_EXPIRY_S)] | None = Field(
        default=None, description="By default, as long as the catalogue allows."
    )


class TakenAction(Body):
    """The owner's word that it has taken an action, and what the operator is told of the lead."""

    result: dict[Name, str | int | bool] | None = None


class FailedAction(Body):
    """The owner's word that an action failed."""

    reason: Name = Field(description="A code; it stands in the public log.", examples=["bounced"])


class SourceSecret(Body):
    """The secret that a source signs its reports to this surface with."""

    secret: Annotated[
        str,
        Field(
            pattern=SECRET_PATTERN,
            description="Stripe's signing secret of the webhook endpoint, or the shared secret of "
            "Segment's webhook. It is kept apart, and no answer shows it.",
            examples=["whsec_8KqJ2vTnGm4XyZ0aBcDeFgHi"],
        ),
    ]


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


Words = Annotated[str, Field(min_length=1, max_length=80)]


class Deal(Body):
    """A short deal in plain units: amounts and shares as text, times as durations or RFC 3339.

    Only `outcome`, a price or a share, and a budget are needed. Whatever else is left out has a
    default, and the draft tells each.
    """

    model_config = ConfigDict(populate_by_name=True)

    outcome: Name = Field(examples=["activated"], description="The state that is paid for.")
    from_state: Name | None = Field(
        default=None,
        alias="from",
        examples=["signed_up"],
        description="The state that leads come from, for a check: refused if the policy has no "
        "such transition. Terms hold the outcome alone.",
    )
    price: Words | None = Field(
        default=None, examples=["8.00 USDC"], description="For each outcome, in tokens."
    )
    share: Words | None = Field(
        default=None, examples=["10 %"], description="Of the value of the outcome's event."
    )
    at_most: Annotated[int, Field(ge=1, le=10**12)] | None = Field(
        default=None, examples=[50], description="How many outcomes the budget pays for."
    )
    budget: Words | None = Field(default=None, examples=["400.00"], description="Or the budget.")
    token: Words | None = Field(default=None, examples=["USDC"], description="Symbol or address.")
    opens_in: Words | None = Field(default=None, examples=["1 day"], description="From now.")
    opens_at: Words | None = Field(default=None, description="Or RFC 3339.")
    closes_in: Words | None = Field(default=None, examples=["14 days"], description="From now.")
    closes_at: Words | None = Field(default=None, description="Or RFC 3339.")
    window: Words | None = Field(
        default=None, examples=["7 days"], description="The longest time from touch to outcome."
    )
    repeatable: bool | None = Field(default=None, description="Whether a lead may count again.")
    exclusive: bool | None = None
    hold: Words | None = Field(
        default=None, examples=["3 days"], description="How long earnings are held for refunds."
    )
    hold_share: Words | None = Field(default=None, description="How much of them: all if not told.")
    challenge: Words | None = None
    arbitration: Words | None = None
    arbiter: Words | None = Field(default=None, description="An address, or `none`.")
    claims: Words | None = None
    grace: Words | None = None
    rate_cap: Words | None = None
    rate_period: Words | None = None
    payee: Words | None = Field(default=None, description="The operator if not told.")
    agent_id: Words | None = Field(default=None, description="An ERC-8004 id, or `none`.")


class NewDraft(Body):
    """A short deal to be made into complete terms."""

    deal: Deal
    operator: Address | None = Field(
        default=None, description="The operator it is for; an operator drafts for itself."
    )
    salt: Word | None = Field(
        default=None, description="Thirty-two bytes that make the terms unique; random if null."
    )


class NewProposal(Body):
    """Terms that the operator has signed (EIP-712, the escrow's domain)."""

    terms: TermsDocument
    operator_signature: Signature
    answers: Word | None = Field(
        default=None,
        description="The proposal that this is the next version of; that one ends. At most 10.",
    )
    offer: Word | None = Field(
        default=None, description="The standing offer that this is made from."
    )


class NewCounter(Body):
    """An owner's answer to a proposal: a deal that it would sign instead, unsigned as yet."""

    deal: Deal


class NewOffer(Body):
    """A standing offer: a deal for as many operators as it has places.

    The deal's `budget` (or `at_most`) is what an operator may have once it has used its first.
    `closes_in` says how long each contract is open.
    """

    deal: Deal
    first_budget: Words | None = Field(
        default=None,
        examples=["40.00"],
        description="An operator's first budget; a tenth of the other if it is not told, or one "
        "outcome.",
    )
    places: Annotated[int, Field(ge=1, le=1_000)] = Field(
        default=1, description="How many operators can take it."
    )
    level: Annotated[int, Field(ge=1, le=3)] = Field(
        default=1, description="The least trust level of a taker."
    )
    ends_in: Words = Field(default="90 days", examples=["90 days"])


class OfferTaking(Body):
    """A draft from a standing offer: what an operator may choose."""

    payee: Address | None = None
    agent_id: Units | None = None
    opens_in: Words | None = Field(default=None, examples=["1 day"], description="7 days at most.")
    budget: Words | None = Field(default=None, description="The most that you may have, if null.")
    salt: Word | None = None


class Acceptance(Body):
    """The owner's signature over the same digest, the contract id."""

    owner_signature: Signature
