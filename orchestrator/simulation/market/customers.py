"""Simulated customers: what they do next, drawn from a seed, so that a run can be repeated.

A draw depends on the seed and on what it is about alone (an action's position in the log, or a
customer and its state), never on the order in which things are looked at.
"""

from hashlib import sha256
from typing import NamedTuple

from orchestrator.core.common.units import BPS, DAY_MS, HOUR_S
from orchestrator.simulation.market.surfaces import Habit, MarketSurface, Response

_LEAST_MS = HOUR_S * 500
# Of 256 customers these are the residents', by the first byte of their random names.
THEIRS = 96


def is_residents(lead: str) -> bool:
    """Return whether a customer is one that residents turn to at once."""
    return int(lead[2:4], 16) < THEIRS


class Planned(NamedTuple):
    """An event that is reported once its time has come, and the state that it leads into.

    `id` makes it count once; `enters` is empty for an event that leads nowhere.
    """

    due_ms: int
    surface: str
    id: str
    lead: str
    event: str
    value: str
    enters: str


def response_to(
    surface: MarketSurface, seed: str, lead: str, state: str, action: str, at: tuple[int, int]
) -> Planned | None:
    """Return what a customer does about an action, if anything.

    `at` is the position of the action in the log and its time, UTC ms.
    """
    position, time_ms = at
    for one in surface.responses:
        if (one.state, one.action) == (state, action):
            cause = f"{surface.name}/{position}"
            within_ms = one.within_h * HOUR_S * 1000
            return _planned(surface, one, (seed, cause), lead, time_ms, within_ms)
    return None


def habit_of(
    surface: MarketSurface, seed: str, lead: str, state: str, time_ms: int
) -> Planned | None:
    """Return what a customer that has entered a state does there by itself, if anything."""
    for one in surface.habits:
        if one.state == state:
            cause = f"{surface.name}/{lead}/{state}"
            within_ms = one.within_days * DAY_MS
            return _planned(surface, one, (seed, cause), lead, time_ms, within_ms)
    return None


def _planned(
    surface: MarketSurface,
    way: Response | Habit,
    cause: tuple[str, str],
    lead: str,
    time_ms: int,
    within_ms: int,
) -> Planned | None:
    if drawn("whether", cause) % BPS >= way.chance_bps:
        return None
    # No customer answers before the owner could tell of it.
    due_ms = time_ms + _LEAST_MS + drawn("when", cause) % (within_ms - _LEAST_MS)
    enters = surface.parsed_policy.step(way.state, way.event).to or ""
    return Planned(
        due_ms, surface.name, f"{way.event}/{cause[1]}", lead, way.event, way.value, enters
    )


def drawn(what: str, cause: tuple[str, str]) -> int:
    """Return a number of 64 bits, always the same for the same cause."""
    digest = sha256("/".join((*cause, what)).encode()).digest()
    return int.from_bytes(digest[:8])
