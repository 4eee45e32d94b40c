"""Tallies: how often the log says what, of whom, with sums and the newest positions.

The directory of surfaces and operators is made of them. Each is a count that only ever grows, so a
writer adds what a batch of entries has counted to what is stored, and reads nothing for it.

A contract counts here if the surface's owner opened it under the policy in force: anyone can open
one that merely names a surface. Its motion is that of the transitions into its outcome state.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from orchestrator.core.log.entry import ZERO_WORD
from orchestrator.core.surface.policy import Policy
from orchestrator.core.world.contract import Contract

# The newest positions that are kept with a count.
MAX_POSITIONS = 5
# What is counted besides the kinds of entries.
ANSWERED = "answered"  # touches by which a requested action was carried out
STATED_AFTER = "stated after"  # the time until an outcome was stated, by its class
PAID_AFTER = "paid after"  # the time until what was stated was paid, by its class
# The motion of a contract whose outcome state is entered by transitions of more than one.
SEVERAL = "several"


class Subject(NamedTuple):
    """The subject of a tally; zero and empty words stand for all.

    `size` is the number of digits of the contract's budget in base units or, of times, their class.
    """

    surface: bytes
    operator: bytes
    what: str
    motion: str = ""
    token: bytes = ZERO_WORD
    size: int = 0


@dataclass(slots=True)
class Tally:
    """A count, the sum of what was counted, and the positions of the newest, the last first."""

    count: int = 0
    units: int = 0
    positions: list[int] = field(default_factory=list)

    def add(self, position: int, units: int) -> None:
        """Count an entry."""
        self.count += 1
        self.units += units
        self.positions.insert(0, position)
        del self.positions[MAX_POSITIONS:]


def _counted_for(subject: Subject) -> tuple[Subject, ...]:
    """Return the subjects that are counted with this one: each is a row, and a sum reads one."""
    surface, operator = subject.surface, subject.operator
    pairs = dict.fromkeys(((surface, operator), (surface, ZERO_WORD), (ZERO_WORD, operator)))
    pairs.pop((ZERO_WORD, ZERO_WORD), None)
    return tuple(subject._replace(surface=each[0], operator=each[1]) for each in pairs)


class Tallies(dict[Subject, Tally]):
    """Tallies of what was counted since this was last cleared."""

    def __init__(self, counted: Iterable[tuple[Subject, Tally]] = ()) -> None:
        super().__init__(counted)
        # The tallies that are counted together with a subject: it comes again and again.
        self._together: dict[Subject, tuple[Tally, ...]] = {}

    def add(self, subject: Subject, position: int, units: int = 0) -> None:
        """Count an entry of an operator on a surface, for both together and for each."""
        together = self._together.get(subject)
        if together is None:
            together = tuple(self.setdefault(each, Tally()) for each in _counted_for(subject))
            self._together[subject] = together
        for tally in together:
            tally.add(position, units)

    def clear(self) -> None:
        """Begin to count anew."""
        super().clear()
        self._together.clear()

    def add_of(self, contract: Contract, what: str, position: int, units: int = 0) -> None:
        """Count an entry about a contract, if the contract counts."""
        rules = contract.rules
        if contract.motion:
            size = len(str(rules.budget_units))
            self.add(
                Subject(rules.surface, rules.operator, what, contract.motion, rules.token, size),
                position,
                units,
            )

    def add_time(self, contract: Contract, what: str, position: int, time_ms: int) -> None:
        """Count a time of a contract, if the contract counts."""
        rules = contract.rules
        if contract.motion:
            subject = Subject(rules.surface, rules.operator, what, size=class_of_ms(time_ms))
            self.add(subject, position)


def motion_of(policy: Policy, state: str) -> str:
    """Return the motion of a contract that pays for a state; empty where nothing enters it."""
    motions = policy.motions_into(state)
    return SEVERAL if len(motions) > 1 else "".join(motions)


# --- Classes of time ------------------------------------------------------------------------------

# Below 16 seconds a class is a second; from there on each doubling has eight, so that the bounds of
# a class lie at most an eighth apart.
_SECONDS, _PARTS = 16, 8


class TimeRange(NamedTuple):
    """The bounds of a class of time, in seconds, both in it."""

    at_least_s: int
    at_most_s: int


def class_of_ms(time_ms: int) -> int:
    """Return the class of a time."""
    seconds = max(0, time_ms) // 1000
    if seconds < _SECONDS:
        return seconds
    shift = seconds.bit_length() - 4
    return _SECONDS + (shift - 1) * _PARTS + (seconds >> shift) - _PARTS


def span_of(class_: int) -> TimeRange:
    """Return the bounds of a class of time."""
    if class_ < _SECONDS:
        return TimeRange(class_, class_)
    shift, part = divmod(class_ - _SECONDS, _PARTS)
    least = (part + _PARTS) << (shift + 1)
    return TimeRange(least, least + (1 << (shift + 1)) - 1)


def median_of(counts: dict[int, int]) -> TimeRange | None:
    """Return the class that holds the (lower) median of times; None where there are none."""
    half = (sum(counts.values()) + 1) // 2
    for class_ in sorted(counts):
        half -= counts[class_]
        if half <= 0:
            return span_of(class_)
    return None
