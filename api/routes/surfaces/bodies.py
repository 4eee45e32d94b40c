"""The bodies that are sent to a surface, by its owner and by operators."""

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from api.http.bodies import Body, BulkLine
from api.http.fields import (
    Amount,
    Bps,
    EventName,
    ExternalId,
    Fence,
    Moment,
    Name,
    OrderId,
    Ref,
    TimeMs,
    Word,
)
from api.routes.surfaces.documents import PolicyDocument, SettingsDocument
from orchestrator.core.surface.forecast import MAX_HORIZON_DAYS
from orchestrator.core.surface.qualification import MAX_FIELDS
from orchestrator.core.surface.surface_settings import MAX_CODE_USES, MAX_EXPIRY_S

# --- The surface ----------------------------------------------------------------------------------


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


# --- What happens to leads ------------------------------------------------------------------------


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


class BulkProductEvent(BulkLine, ProductEvent):
    """A line of a bulk report; `id` is its idempotency key."""


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


class BulkTouch(BulkLine, Touch):
    """A line of touches in bulk; `id` is its idempotency key."""


class NewCode(Body):
    """A code to hand out: by its use leads arrive that you have brought."""

    max_uses: Annotated[int, Field(ge=1, le=MAX_CODE_USES)]
    expires_ms: TimeMs = Field(description="When it expires, within what the settings allow.")


class CodeEnd(Body):
    """The reason for which a code ends, as the log shows it."""

    reason: Name = Field(examples=["leaked"])


# --- Actions --------------------------------------------------------------------------------------


class NewAction(Body):
    """An action that the surface shall carry out on a lead."""

    lead: Word
    fence: HeldFence = None
    action: Name = Field(examples=["letter"])
    parameters: dict[str, Any] = Field(
        default={}, description="As the catalogue's schema demands. The log commits to them alone."
    )
    expires_s: Annotated[int, Field(ge=1, le=MAX_EXPIRY_S)] | None = Field(
        default=None, description="By default, as long as the catalogue allows."
    )


class TakenAction(Body):
    """The owner's word that it has taken an action, and what the operator is told of the lead."""

    result: dict[Name, str | int | bool] | None = None


class FailedAction(Body):
    """The owner's word that an action failed."""

    reason: Name = Field(description="A code; it stands in the public log.", examples=["bounced"])


# --- Forecasts ------------------------------------------------------------------------------------


class NewForecast(Body):
    """A forecast: the share of the leads in a state at the next 00:00 UTC that moves on in time."""

    from_state: Name = Field(examples=["trial"])
    to_state: Name = Field(examples=["activated"])
    horizon_days: Annotated[int, Field(ge=1, le=MAX_HORIZON_DAYS)]
    probability_bps: Bps = Field(
        description="The probability, in hundredths of a percent. It is kept secret until the "
        "forecast is scored."
    )
