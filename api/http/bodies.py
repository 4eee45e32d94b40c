"""The bodies of requests: no unknown member, and no value turned into another type."""

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from api.http.fields import Key
from api.http.problems import MAX_FAULTS


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


class BulkLine(Body):
    """A line of a bulk request; `id` is its idempotency key."""

    id: Key
