"""The answers to accounts about what is theirs: keys, webhooks, profiles, memory, boards."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from api.http.answers import NEXT_AFTER
from api.http.fields import (
    Address,
    DeliveryState,
    Fence,
    MessageNumber,
    Position,
    TimeMs,
    Units,
    Word,
    WorkItem,
)
from orchestrator.core.account.board import MessageKind
from orchestrator.core.account.scopes import Scope
from orchestrator.core.entries.kinds import Side

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
    next: WorkItem | None = NEXT_AFTER


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
