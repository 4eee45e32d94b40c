"""The two surfaces of the sandbox: a trial that may become paid, and a shop that is returned to.

Everything that the simulated owner offers and that its customers do stands here, with its chances.
docs/sandbox.md has the same tables, and a test compares them.
"""

from collections.abc import Mapping
from typing import NamedTuple

from orchestrator.core.common.units import DAY_S
from orchestrator.core.surface.policy import Policy, parse


class Response(NamedTuple):
    """The effect of an action on a customer in a state: an event, so likely, within so many hours.

    Each action is a chance of its own. `value` is a decimal amount of the event, empty for none.
    """

    state: str
    action: str
    event: str
    chance_bps: int
    within_h: int
    value: str = ""


class Habit(NamedTuple):
    """The event that a customer in this state brings about by itself, so likely, within days."""

    state: str
    event: str
    chance_bps: int
    within_days: int
    value: str = ""


class OfferedDeal(NamedTuple):
    """A standing offer, and the most that the owner pays for a proposal of the same outcome."""

    outcome: str
    price: str
    budget: str


class MarketSurface(NamedTuple):
    """A surface of the market: its documents, its offers, and its customers' ways."""

    name: str
    policy: Mapping[str, object]
    actions: Mapping[str, object]
    arrival: str
    initial: str
    offers: tuple[OfferedDeal, ...]
    responses: tuple[Response, ...]
    habits: tuple[Habit, ...]

    @property
    def parsed_policy(self) -> Policy:
        return parse(self.policy)


def _move(event: str, before: str, after: str, motion: str) -> dict[str, object]:
    return {"on": event, "from": [before], "to": after, "motion": motion}


_COMMON = {"attribution": "last_touch", "lateness_s": DAY_S, "touches_per_lead": 50}
_BY_SURFACE = {"by": "surface", "expires_s": DAY_S}

TRIAL = MarketSurface(
    name="sandbox-trial",
    policy={
        "initial": "visitor",
        "states": ["visitor", "signed_up", "activated", "paying"],
        "transitions": [
            _move("signup", "visitor", "signed_up", "acquisition"),
            _move("activate", "signed_up", "activated", "activation"),
            _move("subscribe", "activated", "paying", "conversion"),
        ],
        "reversals": [{"on": "refund", "of": "paying"}],
        **_COMMON,
    },
    actions={
        "email": {"level": 1},
        "call": {"level": 2},
        "extend_trial": {"level": 1, **_BY_SURFACE, "returns": ["days"]},
    },
    arrival="signup",
    initial="signed_up",
    offers=(OfferedDeal("activated", "8.00", "80.00"), OfferedDeal("paying", "20.00", "200.00")),
    responses=(
        Response("signed_up", "email", "activate", 3_500, 4),
        Response("signed_up", "extend_trial", "activate", 5_000, 6),
        Response("signed_up", "call", "activate", 6_000, 2),
        Response("activated", "email", "subscribe", 1_500, 12, "49.00"),
        Response("activated", "extend_trial", "subscribe", 3_000, 12, "49.00"),
        Response("activated", "call", "subscribe", 4_000, 6, "49.00"),
    ),
    habits=(
        Habit("signed_up", "activate", 1_000, 14),
        Habit("activated", "subscribe", 500, 14, "49.00"),
        Habit("paying", "refund", 300, 7, "49.00"),
    ),
)

SHOP = MarketSurface(
    name="sandbox-shop",
    policy={
        "initial": "visitor",
        "states": ["visitor", "buyer", "repeat_buyer", "regular"],
        "transitions": [
            _move("purchase", "visitor", "buyer", "acquisition"),
            _move("purchase", "buyer", "repeat_buyer", "activation"),
            _move("purchase", "repeat_buyer", "regular", "conversion"),
            _move("purchase", "regular", "regular", "expansion"),
        ],
        "reversals": [
            {"on": "send_back", "of": "repeat_buyer"},
            {"on": "send_back", "of": "regular"},
        ],
        **_COMMON,
    },
    actions={
        "email": {"level": 1},
        "voucher": {
            "level": 1,
            **_BY_SURFACE,
            "parameters": {
                "type": "object",
                "properties": {"percent": {"type": "integer", "minimum": 5, "maximum": 20}},
                "required": ["percent"],
            },
            "returns": ["percent"],
        },
        "call": {"level": 2},
    },
    arrival="purchase",
    initial="buyer",
    offers=(OfferedDeal("repeat_buyer", "4.00", "80.00"), OfferedDeal("regular", "6.00", "120.00")),
    responses=(
        Response("buyer", "email", "purchase", 3_000, 6, "30.00"),
        Response("buyer", "voucher", "purchase", 5_000, 6, "24.00"),
        Response("buyer", "call", "purchase", 5_500, 3, "30.00"),
        Response("repeat_buyer", "email", "purchase", 2_500, 12, "45.00"),
        Response("repeat_buyer", "voucher", "purchase", 4_500, 12, "36.00"),
        Response("repeat_buyer", "call", "purchase", 5_000, 6, "45.00"),
    ),
    habits=(
        Habit("buyer", "purchase", 1_000, 20, "30.00"),
        Habit("repeat_buyer", "purchase", 500, 20, "45.00"),
        Habit("regular", "send_back", 300, 10, "45.00"),
    ),
)

SURFACES = (TRIAL, SHOP)


def settings_of(surface: MarketSurface, token: str) -> dict[str, object]:
    """Return a surface's settings: levels can be earned in two days or five, of the fast clock."""
    results = {"reversed_bps": 1_000, "keep_reversed_bps": 2_000, "disputes_lost": 0}
    return {
        "token": token,
        "actions": dict(surface.actions),
        "levels": [
            {"leads_a_day": 200},
            {"leads_a_day": 1_000, "outcomes": 3, "units": "12000000", "age_s": 2 * DAY_S}
            | results,
            {"leads_a_day": 5_000, "outcomes": 10, "units": "40000000", "age_s": 5 * DAY_S}
            | results,
        ],
        "ripening_s": DAY_S // 2,
        "bucket_s": DAY_S // 2,
        "pause_s": DAY_S // 4,
        "deals": {"window_s": 3 * DAY_S, "lasts_s": 30 * DAY_S},
    }
