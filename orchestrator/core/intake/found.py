"""Findings: what an adapter makes of one payload: an event, or the reason that it is none.

Nothing is dropped without a word: a payload is taken, or it is left out with a reason
(`SkippedError`), or it is refused by a rule (`IntakeError`).
"""

from typing import NamedTuple

from orchestrator.core.common.errors import DomainError
from orchestrator.core.common.units import NS_PER_MS, TOKEN_DECIMALS, WHOLE_SECOND_MS, format_time


class IntakeError(DomainError):
    """A payload that a mapping takes for an event, and that cannot be one."""


class SkippedError(DomainError):
    """A payload that a mapping leaves out: `code` says why, the message what it was."""


class FoundEvent(NamedTuple):
    """An event that an adapter found. `value_units` are of the token, None where none is told.

    `is_whole_second` where the source's clock knows whole seconds alone: the event may have
    happened at any time of that second.
    """

    id: str
    lead: str
    event: str
    value_units: int | None
    order: str
    time_ns: int
    is_whole_second: bool

    @property
    def latest_ns(self) -> int:
        """Return the latest time that it may mean, which is the one that counts."""
        return self.time_ns + (WHOLE_SECOND_MS * NS_PER_MS if self.is_whole_second else 0)

    def value_text(self) -> str | None:
        """Return the value as a decimal amount of tokens."""
        if self.value_units is None:
            return None
        whole, rest = divmod(self.value_units, 10**TOKEN_DECIMALS)
        return f"{whole}.{rest:0{TOKEN_DECIMALS}}"

    def time_text(self) -> str:
        """Return the time in RFC 3339: without a fraction where whole seconds are meant."""
        text = format_time(self.time_ns)
        if self.is_whole_second or "." in text:
            return text
        return f"{text[:-1]}.000Z"
