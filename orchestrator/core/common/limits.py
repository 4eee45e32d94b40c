"""The limits of a deployment: a name and a number for each thing that costs and can be asked for.

Every limit that a caller can meet stands in `Limits`, and nowhere else; `docs/operating.md` has the
same table. A deployment changes some by a file, and `limits_for` is where a caller's own differ.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from orchestrator.core.common.errors import InputError
from orchestrator.core.common.units import DAY_MS, DAY_S


class Limits(NamedTuple):
    """The most of everything, all whole numbers. Those of an account are each account's alone.

    A source is the network address of a caller: of IPv6 its first 64 bits. Those that share the
    first 48 have together what so many of them have: `wide_sources`.
    """

    # At a rate: so many at once, and as many again in that time.
    requests_a_minute: int = 60_000
    rows_a_minute: int = 1_000_000
    touches_a_day: int = 100_000
    events_a_day: int = 5_000_000
    acts_a_day: int = 5_000
    memory_writes_a_day: int = 100_000
    lease_moves_a_day: int = 200_000
    messages_a_day: int = 20_000
    source_sign_ins_a_minute: int = 240
    source_reads_a_minute: int = 3_000
    source_rows_a_minute: int = 1_000_000
    source_replays_a_minute: int = 600
    wide_sources: int = 4
    # At one time.
    connections: int = 1_000
    source_connections: int = 100
    requests_at_once: int = 32
    source_reads_at_once: int = 32
    reads_at_once: int = 1
    reads_queued: int = 256
    touches_at_once: int = 2
    streams: int = 500
    public_streams_percent: int = 60
    source_streams: int = 20
    account_streams: int = 20
    replays_at_once: int = 3
    waiters: int = 200
    waiters_of_account: int = 20
    waiting_requests: int = 100_000
    webhooks_at_once: int = 32
    # For ever, or until it ends.
    stored_bytes: int = 20_000_000_000
    all_stored_bytes: int = 1_000_000_000_000
    table_bytes: int = 20_000_000_000
    surfaces: int = 100
    policies: int = 1_000
    settings: int = 10_000
    memory_entries: int = 1_000
    memory_bytes: int = 1_048_576
    memories_bytes: int = 16 * 1_048_576
    leases: int = 1_000
    messages: int = 1_000
    webhooks: int = 10
    webhook_waiting: int = 16
    webhook_kept: int = 200
    open_proposals: int = 100
    open_proposals_to_owner: int = 20
    opens_ahead_s: int = 90 * DAY_S
    # The openings whose gas we pay.
    openings_a_day: int = 20
    openings_of_all_a_day: int = 1_000
    opening_tokens: int = 10
    # An operator's rates about a surface, by its level of trust there, in percent of the above.
    level_0_percent: int = 100
    level_1_percent: int = 200
    level_2_percent: int = 300
    level_3_percent: int = 400
    # The lives of what callers are given.
    key_ttl_ms: int = 30 * DAY_MS
    nonce_ttl_ms: int = 600_000
    confirmation_ttl_ms: int = 300_000
    message_ttl_ms: int = 30 * DAY_MS
    # Streams: a sign of life so often; who takes nothing for so long is left, and who has followed
    # for so long is to resume; so many entries are kept at hand for all of them.
    stream_heartbeat_ms: int = 15_000
    stream_stall_ms: int = 30_000
    stream_life_ms: int = 3_600_000
    stream_window: int = 2_000
    # Webhooks: a try has so long, and a message so many tries.
    webhook_try_ms: int = 10_000
    webhook_tries: int = 12

    @property
    def openings_are_paid(self) -> bool:
        """Return whether we pay for any opening; otherwise the parties open their contracts."""
        return min(self.openings_a_day, self.openings_of_all_a_day) > 0


# Any other limit of 0 would close the service, or a part of it, in a way that is hard to see.
MAY_BE_ZERO = frozenset(
    {"openings_a_day", "openings_of_all_a_day", "opening_tokens", "waiters", "waiters_of_account"}
)
MOST = 1 << 53
# A try must be over long before it counts as lost and the next one begins.
MOST_OF = {"webhook_try_ms": 60_000}


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
        least, most = 0 if name in MAY_BE_ZERO else 1, MOST_OF.get(name, MOST - 1)
        if type(value) is not int or not least <= value <= most:
            raise InputError(
                "limit-range",
                f"{name} must be a whole number from {least} to {most}, not {value!r:.60}",
            )
    return Limits(**document)


# The rates at which an operator works. What owners report depends on no level.
_BY_LEVEL = ("requests_a_minute", "rows_a_minute", "touches_a_day", "acts_a_day")
LEVELS = range(4)


@lru_cache(maxsize=16)
def limits_by_level(limits: Limits) -> tuple[Limits, ...]:
    """Return the limits of an operator of each level, from 0 on."""
    return tuple(limits_for(limits, level) for level in LEVELS)


def limits_for(limits: Limits, level: int) -> Limits:
    """Return the limits of an operator of this level.

    It is the one place where what a caller has earned changes what it may ask for. A level is that
    of a surface: there a request costs less of the same allowance.
    """
    percent = getattr(limits, f"level_{level}_percent")
    most = {name: getattr(limits, name) * percent // 100 for name in _BY_LEVEL}
    return limits._replace(**{name: min(max(1, value), MOST - 1) for name, value in most.items()})


# What a source has at a rate.
_OF_SOURCE = (
    "source_sign_ins_a_minute",
    "source_reads_a_minute",
    "source_rows_a_minute",
    "source_replays_a_minute",
)


@lru_cache(maxsize=16)
def limits_of_wide(limits: Limits) -> Limits:
    """Return the limits of the sources of one wide network together."""
    most = {name: getattr(limits, name) * limits.wide_sources for name in _OF_SOURCE}
    return limits._replace(**{name: min(value, MOST - 1) for name, value in most.items()})


# What bounds the work of a process: of several that answer one API each has its part of it.
_PARTED = ("connections", "reads_at_once", "reads_queued", "touches_at_once", "replays_at_once")


def limits_of_part(limits: Limits, processes: int) -> Limits:
    """Return the limits of one of so many processes that answer one API together.

    What is held by account or source they count together, so it stays as it is.
    """
    parts = {name: max(1, getattr(limits, name) // processes) for name in _PARTED}
    return limits._replace(**parts)


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
    "memory": ("memory_writes_a_day", DAY_S, "writes"),
    "leases": ("lease_moves_a_day", DAY_S, "moves"),
    "messages": ("messages_a_day", DAY_S, "messages"),
    "sign-ins": ("source_sign_ins_a_minute", 60, "requests"),
    "reads": ("source_reads_a_minute", 60, "requests"),
    "read-rows": ("source_rows_a_minute", 60, "rows"),
    "replays": ("source_replays_a_minute", 60, "pages"),
    "openings": ("openings_a_day", DAY_S, "openings"),
    "openings-of-all": ("openings_of_all_a_day", DAY_S, "openings"),
}
RATES = frozenset(_RATES)


def rate_of(limits: Limits, name: str) -> Rate:
    """Return the rate of a name."""
    field, window_s, unit = _RATES[name]
    return Rate(name, getattr(limits, field), window_s, unit)


# --- What the database holds requests to ----------------------------------------------------------

# An account may have as many requests waiting as this part of the places that are still free. So
# one account alone takes a fifth, and however many flood, some places are left for the next.
SHARE = 4
# Of operators' requests half of the places may be taken: the other half is for what owners report.
OPERATORS_PART = 2
# How many requests of a surface come before it is another surface's turn: a tenth of a drain.
TURN_REQUESTS = 500
# The bytes that a request takes for ever besides what it says: rows, entries, and their indexes.
BYTES_OF_ROW = 1_500


class InboxLimits(NamedTuple):
    """The numbers that the database itself holds requests to, whoever sends them.

    `tallystick migrate` writes them there, as the owner of the schema: no login changes them.
    """

    waiting_requests: int
    waiting_of_operators: int
    share: int
    stored_bytes: int
    all_stored_bytes: int
    bytes_of_row: int
    turn_requests: int
    table_bytes: int
    leases: int
    messages: int
    memories_bytes: int
    webhooks: int


def inbox_limits(limits: Limits) -> InboxLimits:
    """Return what the database is told of the limits."""
    return InboxLimits(
        limits.waiting_requests,
        limits.waiting_requests // OPERATORS_PART,
        SHARE,
        limits.stored_bytes,
        limits.all_stored_bytes,
        BYTES_OF_ROW,
        TURN_REQUESTS,
        limits.table_bytes,
        limits.leases,
        limits.messages,
        limits.memories_bytes,
        limits.webhooks,
    )
