"""The bodies that accounts send about what is theirs: keys, webhooks, profiles, memory, boards."""

from typing import Annotated

from pydantic import Field, JsonValue

from api.http.bodies import Body
from api.http.fields import (
    MAX_CAPABILITIES,
    MAX_KEY_SURFACES,
    MAX_MEMORY_BYTES,
    Address,
    Contact,
    DisplayName,
    Fence,
    KeyName,
    Name,
    Receiver,
    Signature,
    TimeMs,
    Units,
    WebhookEvent,
    Word,
    WorkItem,
)
from orchestrator.core.account.board import MAX_BODY_BYTES, MAX_LEASE_S, MessageKind
from orchestrator.core.account.outward_url import MAX_URL_BYTES
from orchestrator.core.account.scopes import Scope, ScopeSet
from orchestrator.core.account.sign_in import MAX_MESSAGE_BYTES
from orchestrator.core.common.units import DAY_S
from orchestrator.core.entries.kinds import Side
from orchestrator.core.entries.webhook import WEBHOOK_EVENTS

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


# --- Boards ---------------------------------------------------------------------------------------


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
