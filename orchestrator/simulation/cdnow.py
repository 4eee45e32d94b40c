"""The demonstration's market: CDNOW's customers, contracts on their purchases, and agents.

The purchases are real (see `data/README.md` beside this file); contracts and agents are invented.
Everything is deterministic: an agent acts on the leads that the API shows it and on its memory.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.resources import files
from typing import NamedTuple

from orchestrator.client.accounts import EventReport, LeadSummary, OperatorClient
from orchestrator.core.common.errors import InputError
from orchestrator.core.common.units import DAY_MS, DAY_S, format_amount, parse_amount

# The start of a day in UTC milliseconds, and the events of that day.
Day = tuple[int, list[EventReport]]
NOON_MS = DAY_MS // 2

# The sample's purchases begin a day after the start and end with the deadline's day.
START_MS = int(datetime(1996, 12, 31, tzinfo=UTC).timestamp()) * 1000
OPENS_S = START_MS // 1000 + DAY_S
DEADLINE_S = int(datetime(1998, 7, 1, tzinfo=UTC).timestamp()) - 1

SURFACE_NAME = "cdnow"
POLICY: dict[str, object] = {
    "initial": "visitor",
    "states": ["visitor", "buyer", "repeat_buyer", "regular"],
    "transitions": [
        {"on": "purchase", "from": ["visitor"], "to": "buyer", "motion": "acquisition"},
        {"on": "purchase", "from": ["buyer"], "to": "repeat_buyer", "motion": "activation"},
        {"on": "purchase", "from": ["repeat_buyer"], "to": "regular", "motion": "conversion"},
        {"on": "purchase", "from": ["regular"], "to": "regular", "motion": "expansion"},
    ],
    "reversals": [{"on": "refund", "of": "repeat_buyer"}, {"on": "refund", "of": "regular"}],
    "attribution": "last_touch",
    "lateness_s": DAY_S,
    "touches_per_lead": 50,
}


def settings(token: str) -> dict[str, object]:
    """Return the surface's settings: results are counted in this token."""
    results = {"age_s": 60 * DAY_S, "disputes_lost": 0}
    second = {"outcomes": 50, "units": "100000000", "reversed_bps": 500, "keep_reversed_bps": 600}
    third = {"outcomes": 500, "units": "1000000000", "reversed_bps": 200, "keep_reversed_bps": 250}
    return {
        "token": token,
        "actions": {
            "email": {"level": 1},
            "offer": {"level": 1},
            "call": {"level": 1},
            # Carried out by the surface's owner, who has three days to take a request.
            GIFT: {"level": 1, "by": "surface", "expires_s": 3 * DAY_S},
        },
        "open_actions": {"lead": 4, "operator": 500, "surface": 1_000},
        "codes": {"level": 1, "max_uses": CODE_USES, "expires_s": CODE_LASTS_S, "a_day": 1},
        "levels": [
            {"leads_a_day": 5_000},
            {"leads_a_day": 20_000} | results | second,
            {"leads_a_day": 100_000} | results | third,
        ],
        "ripening_s": 14 * DAY_S,
        "bucket_s": 30 * DAY_S,
        "pause_s": 7 * DAY_S,
        # So few windows, that the story fits into months; the odds of luck ask for more.
        "forecasts": {
            "questions": [{"from": "buyer", "to": "repeat_buyer", "horizon_days": 14}],
            "min_counted": 3,
        },
        "pool": {"places": 3, "leads_a_day": 200, "touches_a_day": 200, "lasts_s": 90 * DAY_S},
    }


class Safeguards(NamedTuple):
    """An owner's safeguards in a contract: time to challenge statements, and a holdback."""

    challenge_days: int
    arbitration_days: int
    holdback_bps: int
    holdback_days: int


class PlannedContract(NamedTuple):
    """A contract that an operator proposes. Without safeguards, statements are paid at once."""

    operator: str
    outcome: str
    unit_price_units: int
    revenue_share_bps: int
    budget_units: int
    window_days: int
    repeatable: bool = False
    safeguards: Safeguards | None = None

    def terms(self, deadline_s: int, grace_s: int, arbiter: str) -> dict[str, object]:
        """Return the terms that the surface leaves open. Only a guarded contract has an arbiter."""
        terms: dict[str, object] = {
            "outcome": self.outcome,
            "repeatable": self.repeatable,
            "unit_price_units": str(self.unit_price_units),
            "revenue_share_bps": self.revenue_share_bps,
            "budget_units": str(self.budget_units),
            "opens_at_s": OPENS_S,
            "deadline_s": deadline_s,
            "attribution_window_s": self.window_days * DAY_S,
            "grace_s": grace_s,
        }
        if self.safeguards is not None:
            terms |= {
                "arbiter": arbiter,
                "challenge_period_s": self.safeguards.challenge_days * DAY_S,
                "arbitration_period_s": self.safeguards.arbitration_days * DAY_S,
                "holdback_bps": self.safeguards.holdback_bps,
                "holdback_period_s": self.safeguards.holdback_days * DAY_S,
            }
        return terms


# One agent hands out a code; a customer whose number leaves this remainder came by it.
BRINGER, CODE_USES, CODE_LASTS_S = "gil", 200, 120 * DAY_S
COMES_EVERY, COMES_REST = 20, 3
# One has the surface's owner send gifts. They come back from customers whose number is a multiple
# of this.
REQUESTER, GIFT = "hana", "gift"
RETURNED_EVERY = 10

# A contract whose verifier signs nothing. It ends early, so that its claims are paid in time.
SILENT_CONTRACT = PlannedContract("eve", "repeat_buyer", 2_000_000, 0, 6_000_000, 30)
SILENT_DAYS = 20
# A customer whose number is a multiple of this returns its second purchase after so many days.
RETURNS_EVERY = 25
RETURN_DAYS = 10
# One whose number is a multiple of this is given back a part of each purchase as a regular then.
PARTS_EVERY = 4
RETURNED_PART = 20  # a twentieth
# In one bad quarter, those whose number leaves a remainder of 1 send all back that they buy then.
BAD_QUARTER_MS = tuple(
    int(datetime(year, month, 1, tzinfo=UTC).timestamp()) * 1000
    for year, month in ((1997, 10), (1998, 1))
)

# Competing contracts on the same leads. Some of their budgets run out.
CONTRACTS = (
    PlannedContract(
        "ada", "repeat_buyer", 2_000_000, 0, 900_000_000, 30, safeguards=Safeguards(3, 2, 2_000, 60)
    ),
    PlannedContract("bo", "repeat_buyer", 1_500_000, 0, 300_000_000, 60),
    PlannedContract("bo", "regular", 2_500_000, 0, 400_000_000, 60),
    PlannedContract("cy", "regular", 4_000_000, 0, 900_000_000, 30),
    PlannedContract("cy", "regular", 0, 500, 1_500_000_000, 45, repeatable=True),
    # A tenth of what regulars pay, less what they are given back.
    PlannedContract(
        *("dee", "regular", 0, 1_000, 7_500_000_000, 30),
        repeatable=True,
        safeguards=Safeguards(3, 2, 2_000, 60),
    ),
    # For customers that it brings by its code; and for gifts that the owner sends at its request.
    PlannedContract(BRINGER, "buyer", 500_000, 0, 60_000_000, 30),
    PlannedContract(REQUESTER, "regular", 3_000_000, 0, 400_000_000, 30),
)
# What the owner would sign with any two operators of level 1: this is a taker's first budget.
STANDING_OFFER = PlannedContract("", "repeat_buyer", 1_000_000, 0, 20_000_000, 30)

# What the forecaster proposes once it has risen.
FORECASTER = "fay"
FORECASTER_CONTRACT = PlannedContract(FORECASTER, "regular", 1_000_000, 0, 100_000_000, 30)
# An operator that calls too often is suspended in the round of this number, until the next.
SUSPENDED, SUSPENDED_ROUND = "bo", 2


@dataclass(slots=True)
class Routine:
    """An agent's routine with the leads of one state.

    It acts `first_days` after a lead came into the state, and again every `again_days`, at most
    `times` in all. `done` is its memory: by lead and time of entering the state, how often it has
    acted, and when it is due again (UTC milliseconds). With a `weekday` (0: Monday) it acts on
    those leads alone that came into the state on one.
    """

    state: str
    action: str
    first_days: int
    again_days: int
    times: int
    weekday: int | None = None
    done: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)

    def choose_due(self, leads: list[LeadSummary], now_ms: int) -> list[LeadSummary]:
        """Return those of `leads` that are due now, and remember them as acted on."""
        due = []
        for lead in leads:
            key = (lead.lead, lead.since_ms)
            times, next_ms = self.done.get(key, (0, lead.since_ms + self.first_days * DAY_MS))
            if times < self.times and now_ms >= next_ms and self._is_day(lead.since_ms):
                due.append(lead)
                self.done[key] = (times + 1, now_ms + self.again_days * DAY_MS)
        return due

    def _is_day(self, since_ms: int) -> bool:
        return self.weekday in (None, datetime.fromtimestamp(since_ms // 1000, UTC).weekday())


def agent_routines() -> dict[str, list[Routine]]:
    """Return each agent's routines by its name, with nothing done yet."""
    return {
        "ada": [Routine("buyer", "email", 7, 28, 5)],
        "bo": [Routine("buyer", "call", 0, 56, 2), Routine("repeat_buyer", "call", 0, 56, 2)],
        "cy": [Routine("repeat_buyer", "email", 14, 28, 4), Routine("regular", "email", 42, 42, 3)],
        "dee": [Routine("regular", "offer", 7, 28, 4)],
        "eve": [Routine("buyer", "call", 0, 7, 2)],
        FORECASTER: [Routine("regular", "offer", 0, 56, 1)],
        BRINGER: [],
        REQUESTER: [Routine("buyer", "email", 14, 28, 2)],
    }


def gift_routine() -> Routine:
    """Return the routine by which gifts are requested, with nothing done yet."""
    return Routine("repeat_buyer", GIFT, 0, 28, 1, weekday=1)


def touch_due_leads(
    operator: OperatorClient, surface: str, routines: list[Routine], now_ms: int
) -> int:
    """Act on the leads that are due by an operator's routines, and return the number of touches."""
    touched = 0
    for routine in routines:
        due = routine.choose_due(operator.leads(surface, routine.state), now_ms)
        if due:
            operator.touch(surface, due, routine.action, f"{routine.state}-{now_ms}")
        touched += len(due)
    return touched


def read_purchases() -> Iterator[Day]:
    """Yield the sample's purchases, day by day.

    A purchase happens at noon of its day. Those of one day keep the order of the file.
    """
    days: dict[int, list[EventReport]] = {}
    text = files("orchestrator.simulation").joinpath("data/cdnow_sample.txt").read_text("ascii")
    for number, line in enumerate(text.splitlines(), 1):
        cells = line.split()
        if not cells:
            continue
        if len(cells) != 5:
            raise InputError("cdnow-row", f"cdnow_sample.txt, line {number}: has no 5 columns")
        _, customer, date, _, dollars = cells
        start = datetime.strptime(date, "%Y%m%d").replace(tzinfo=UTC)
        start_ms = int(start.timestamp()) * 1000
        purchase = EventReport(
            f"{number}",
            f"customer-{customer}",
            "purchase",
            dollars,
            start_ms + NOON_MS,
            order=f"order-{number}",
        )
        days.setdefault(start_ms, []).append(purchase)
    for start_ms in sorted(days):
        yield start_ms, days[start_ms]


def add_arrivals(days: Iterable[Day]) -> Iterator[Day]:
    """Yield the same days; the first event of a customer that came by a code has it as `ref`.

    Which customers came by one is invented. The code is known once its agent has it: until then the
    agent's name stands for it.
    """
    known: set[str] = set()
    for day_ms, events in days:
        marked = []
        for event in events:
            number = int(event.lead.rpartition("-")[2])
            comes = number % COMES_EVERY == COMES_REST and event.lead not in known
            marked.append(event._replace(ref=BRINGER) if comes else event)
            known.add(event.lead)
        yield day_ms, marked


def add_returns(days: Iterable[Day]) -> Iterator[Day]:
    """Yield the same days, on which some customers also return orders, in whole or in part.

    The sample records no returns: these are invented. One that falls on a day without purchases
    happens on the next day that has some.
    """
    counts: Counter[str] = Counter()
    pending: list[tuple[int, EventReport]] = []
    for day_ms, purchases in days:
        # The delay is the same for all, so those that are due stand in front.
        due = [one for due_ms, one in pending if due_ms <= day_ms]
        pending = pending[len(due) :]
        for purchase in purchases:
            counts[purchase.lead] += 1
            number = int(purchase.lead.rpartition("-")[2])
            if counts[purchase.lead] == 2 and number % RETURNS_EVERY == 0:
                pending.append((day_ms + RETURN_DAYS * DAY_MS, _refund_of(purchase, "")))
            elif counts[purchase.lead] > 3 and number % PARTS_EVERY == 1:
                if BAD_QUARTER_MS[0] <= day_ms < BAD_QUARTER_MS[1]:
                    pending.append((day_ms + RETURN_DAYS * DAY_MS, _refund_of(purchase, "")))
            elif counts[purchase.lead] > 3 and number % PARTS_EVERY == 0:
                part = format_amount(parse_amount(purchase.value) // RETURNED_PART)
                pending.append((day_ms + RETURN_DAYS * DAY_MS, _refund_of(purchase, part)))
        returns = [one._replace(time_ms=day_ms + NOON_MS) for one in due]
        yield day_ms, purchases + returns


def _refund_of(purchase: EventReport, value: str) -> EventReport:
    """Return the refund of this much of a purchase's order, or of all of it if none is told."""
    return purchase._replace(id=f"return-{purchase.id}", event="refund", value=value)
