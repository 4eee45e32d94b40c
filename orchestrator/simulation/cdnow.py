"""A market to demonstrate: CDNOW's customers, the contracts offered on them, and who works on them.

The purchases are real (see `data/README.md` beside this file); contracts and agents are ours.
Everything is deterministic: the agents act on what the API shows them and on their own memory.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.resources import files
from typing import NamedTuple

from orchestrator.client.accounts import EventReport, LeadSummary, OperatorClient
from orchestrator.core.errors import InputError
from orchestrator.core.units import DAY_MS, DAY_S

# The start of a day in UTC milliseconds, and its purchases.
Day = tuple[int, list[EventReport]]
NOON_MS = DAY_MS // 2

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
    "reversals": [{"on": "refund", "of": "repeat_buyer"}],
    "attribution": "last_touch",
    "actions": {"email": 0, "call": 0, "offer": 0},
    "lateness_s": DAY_S,
    "touches_per_lead": 50,
}


class Guard(NamedTuple):
    """What a contract's owner reserves: to challenge statements, and to hold some pay back."""

    challenge_days: int
    arbitration_days: int
    holdback_bps: int
    holdback_days: int


class Offer(NamedTuple):
    """A contract that an operator proposes: what it pays for, and how much. None: at once."""

    operator: str
    outcome: str
    unit_price_units: int
    revenue_share_bps: int
    budget_units: int
    window_days: int
    repeatable: bool = False
    guard: Guard | None = None


# An offer whose verifier will say nothing. It ends early, so that what follows can be told.
SILENT_OFFER = Offer("eve", "repeat_buyer", 2_000_000, 0, 6_000_000, 30)
SILENT_DAYS = 20
# A customer whose number is a multiple of this sends its second purchase back after so many days.
RETURNS_EVERY = 25
RETURN_DAYS = 10

# Competing offers on the same leads, some of whose budgets run out.
OFFERS = (
    Offer("ada", "repeat_buyer", 2_000_000, 0, 900_000_000, 30, guard=Guard(3, 2, 2_000, 60)),
    Offer("bo", "repeat_buyer", 1_500_000, 0, 300_000_000, 60),
    Offer("bo", "regular", 2_500_000, 0, 400_000_000, 60),
    Offer("cy", "regular", 4_000_000, 0, 900_000_000, 30),
    Offer("cy", "regular", 0, 500, 1_500_000_000, 45, repeatable=True),
    Offer("dee", "regular", 0, 800, 6_000_000_000, 30, repeatable=True),
)


@dataclass(slots=True)
class Habit:
    """How an agent works on the leads of one state.

    It acts `first_days` after a lead came into the state, again every `again_days`, at most
    `times` in all. It remembers what it did by (lead, since when the lead is in that state).
    """

    state: str
    action: str
    first_days: int
    again_days: int
    times: int
    done: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)

    def choose(self, leads: list[LeadSummary], now_ms: int) -> list[LeadSummary]:
        """Those of `leads` that are due now; they are remembered as acted on."""
        due = []
        for lead in leads:
            key = (lead.lead, lead.since_ms)
            times, next_ms = self.done.get(key, (0, lead.since_ms + self.first_days * DAY_MS))
            if times < self.times and now_ms >= next_ms:
                due.append(lead)
                self.done[key] = (times + 1, now_ms + self.again_days * DAY_MS)
        return due


def habits() -> dict[str, list[Habit]]:
    """What each agent does, by its name."""
    return {
        "ada": [Habit("buyer", "email", 7, 28, 5)],
        "bo": [Habit("buyer", "call", 0, 56, 2), Habit("repeat_buyer", "call", 0, 56, 2)],
        "cy": [Habit("repeat_buyer", "email", 14, 28, 4), Habit("regular", "email", 42, 42, 3)],
        "dee": [Habit("regular", "offer", 7, 28, 4)],
        "eve": [Habit("buyer", "call", 0, 7, 2)],
    }


def work(operator: OperatorClient, surface: str, doing: list[Habit], now_ms: int) -> int:
    """Look at the leads and act on those that are due; returns how many touches were made."""
    touched = 0
    for habit in doing:
        due = habit.choose(operator.leads(surface, habit.state), now_ms)
        if due:
            operator.touch(surface, due, habit.action, f"{habit.state}-{now_ms}")
        touched += len(due)
    return touched


def purchases() -> Iterator[Day]:
    """The sample's purchases, day by day.

    A purchase happens at noon of its day; those of one day keep the order of the file.
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
        bought = EventReport(
            f"{number}", f"customer-{customer}", "purchase", dollars, start_ms + NOON_MS
        )
        days.setdefault(start_ms, []).append(bought)
    for start_ms in sorted(days):
        yield start_ms, days[start_ms]


def with_returns(days: Iterable[Day]) -> Iterator[Day]:
    """The same days, on which some customers also send their second purchase back.

    The sample records no returns: these are ours. One that falls on a day without purchases
    happens on the next that has some.
    """
    bought: Counter[str] = Counter()
    returns: list[tuple[int, str]] = []
    for day_ms, purchases_ in days:
        due = [lead for due_ms, lead in returns if due_ms <= day_ms]
        returns = returns[len(due) :]
        for purchase in purchases_:
            bought[purchase.lead] += 1
            number = int(purchase.lead.rpartition("-")[2])
            if bought[purchase.lead] == 2 and number % RETURNS_EVERY == 0:
                returns.append((day_ms + RETURN_DAYS * DAY_MS, purchase.lead))
        sent_back = [
            EventReport(f"return-{lead}", lead, "refund", "0", day_ms + NOON_MS) for lead in due
        ]
        yield day_ms, purchases_ + sent_back
