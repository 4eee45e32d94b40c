"""The limits of a deployment: a name and a number for each thing that costs and can be asked for.

Every limit that a caller can meet stands in `Limits`, and nowhere else; `docs/operating.md` has the
same table. A deployment changes some by a file, and `limits_for` is where a caller's own differ.
"""

from collections.abc import Mapping
from typing import NamedTuple

from orchestrator.core.errors import InputError
from orchestrator.core.units import DAY_MS, DAY_S


class Limits(NamedTuple):
    """The most of everything, all whole numbers. Those of an account are each account's alone.

    A source is the network address of a caller: of IPv6 its first 64 bits.
    """

    # At a rate: so many at once, and as many again in that time.
    requests_a_minute: int = 60_000
    rows_a_minute: int = 1_000_000
    touches_a_day: int = 100_000
    events_a_day: int = 5_000_000
    acts_a_day: int = 5_000
    source_sign_ins_a_minute: int = 240
    source_reads_a_minute: int = 3_000
    source_rows_a_minute: int = 1_000_000
    # At one time.
    requests_at_once: int = 32
    source_reads_at_once: int = 32
    reads_at_once: int = 1
    reads_queued: int = 256
    touches_at_once: int = 2
    waiters: int = 200
    waiters_of_account: int = 20
    waiting_requests: int = 100_000
    # For ever, or until it ends.
    stored_bytes: int = 20_000_000_000
    surfaces: int = 100
    policies: int = 1_000
    open_proposals: int = 100
    open_proposals_to_owner: int = 20
    opens_ahead_s: int = 90 * DAY_S
    # The openings whose gas we pay.
    openings_a_day: int = 20
    openings_of_all_a_day: int = 1_000
    opening_tokens: int = 10
    # The lives of what callers are given.
    key_ttl_ms: int = 30 * DAY_MS
    nonce_ttl_ms: int = 600_000

    @property
    def openings_are_paid(self) -> bool:
        """Return whether we pay for any opening; otherwise the parties open their contracts."""
        return min(self.openings_a_day, self.openings_of_all_a_day) > 0


# Any other limit of 0 would close the service, or a part of it, in a way that is hard to see.
MAY_BE_ZERO = frozenset(
    {"openings_a_day", "openings_of_all_a_day", "opening_tokens", "waiters", "waiters_of_account"}
)
MOST = 1 << 53


def read_limits(document: object) -> Limits:
    """Return the limits with those changed that a JSON object names. Raises InputError."""
    if not isinstance(document, Mapping):
        raise InputError(
            "limits-malformed", "the limits must be a JSON object of names and numbers"
        )
    unknown = sorted(str(name) for name in document if name not in Limits._fields)
    if unknown:
        raise InputError(
            "limit-unknown",
            f"{unknown[0]!r:.60} is no limit; there are {', '.join(Limits._fields)}",
        )
    for name, value in document.items():
        least = 0 if name in MAY_BE_ZERO else 1
        if type(value) is not int or not least <= value < MOST:
            raise InputError(
                "limit-range",
                f"{name} must be a whole number from {least} to {MOST - 1}, not {value!r:.60}",
            )
    return Limits(**document)


def limits_for(limits: Limits, level: str | None) -> Limits:  # noqa: ARG001 - levels change none yet
    """Return the limits of a caller of this level; None stands for one that is no operator.

    It is the one place where what a caller has earned can change what it may ask for.
    """
    return limits


# --- Rates ----------------------------------------------------------------------------------------


class Rate(NamedTuple):
    """A number of units in a time, all of which may also be taken at once (GCRA)."""

    name: str
    quota: int
    window_s: int
    unit: str

    def cost_us(self, units: int) -> int:
        """Return the time in which so many units come back, in microseconds, rounded up."""
        return -(-units * self.window_us // self.quota)

    @property
    def window_us(self) -> int:
        return self.window_s * 1_000_000


# By name: the field of `Limits`, and what it counts.
_RATES = {
    "requests": ("requests_a_minute", 60, "requests"),
    "rows": ("rows_a_minute", 60, "rows"),
    "touches": ("touches_a_day", DAY_S, "touches"),
    "events": ("events_a_day", DAY_S, "events"),
    "acts": ("acts_a_day", DAY_S, "acts"),
    "sign-ins": ("source_sign_ins_a_minute", 60, "requests"),
    "reads": ("source_reads_a_minute", 60, "requests"),
    "read-rows": ("source_rows_a_minute", 60, "rows"),
    "openings": ("openings_a_day", DAY_S, "openings"),
    "openings-of-all": ("openings_of_all_a_day", DAY_S, "openings"),
}
RATES = frozenset(_RATES)


def rate_of(limits: Limits, name: str) -> Rate:
    """Return the rate of a name."""
    field, window_s, unit = _RATES[name]
    return Rate(name, getattr(limits, field), window_s, unit)


# --- Places for waiting requests ------------------------------------------------------------------

# An account may have as many requests waiting as this part of the places that are still free. So
# one account alone takes a fifth, and however many flood, some places are left for the next.
SHARE = 4
# Of operators' requests half of the places may be taken: the other half is for what owners report.
OPERATORS_PART = 2


def places_for(limits: Limits, waiting: int, own: int, *, is_owner: bool) -> int:
    """Return how many more requests of an account may wait; `waiting` is of all, `own` of its own.

    What the account has waiting is in its share, and never more of it than its share.
    """
    whole = limits.waiting_requests if is_owner else limits.waiting_requests // OPERATORS_PART
    return max(0, whole - waiting) // SHARE - own
