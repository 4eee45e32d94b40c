"""The answers that routes of all kinds give: states of requests to the log, and pages' cursors."""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, Field

from api.http.fields import Position

Item = TypeVar("Item")

Cursor = TypeVar("Cursor")

NEXT_AFTER = Field(description="Give it as `after` to go on; null at the end.")


def next_cursor(
    items: Sequence[Item], limit: int, cursor_of: Callable[[Item], Cursor]
) -> Cursor | None:
    """Return the cursor behind a full page's last item, or None at the end."""
    return cursor_of(items[-1]) if len(items) == limit else None


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
