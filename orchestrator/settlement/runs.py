"""Runs of neighbouring entries: one signature and one call of the escrow cover many statements."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from orchestrator.chain.escrow import Group, settlement_rules
from orchestrator.core.deals.terms import Terms
from orchestrator.log.reader import StoredEntry

# A statement costs the escrow about 20k gas and 256 bytes of calldata, and up to 200k gas where a
# contract is not plain; a transaction may use 2^24.
MAX_RUN = 256
MAX_GUARDED_RUN = 48
# The gas of a statement about a guarded contract, in that of one about a plain contract.
GUARDED_WEIGHT = MAX_RUN // MAX_GUARDED_RUN


class Run(NamedTuple):
    """Statements at neighbouring positions that the escrow takes in one call."""

    group: Group
    first: int
    entries: list[bytes]
    rules: list[tuple[int, ...]]  # of each entry's contract

    @property
    def halves(self) -> tuple["Run", "Run"]:
        """The first and the second half of a run of two statements or more."""
        middle = len(self.entries) // 2
        return (
            self._replace(entries=self.entries[:middle], rules=self.rules[:middle]),
            Run(
                self.group,
                self.first + middle,
                self.entries[middle:],
                self.rules[middle:],
            ),
        )


def runs_of(statements: Iterable[StoredEntry], terms_of: Callable[[bytes], Terms]) -> Iterator[Run]:
    """Join statements in the order of the log into as few runs as the escrow can take."""
    run: Run | None = None
    for stored in statements:
        terms = terms_of(stored.entry.subject)
        group = Group.of(terms)
        most = MAX_RUN if terms.is_plain else MAX_GUARDED_RUN
        if (
            run is not None
            and run.group == group
            and stored.position == run.first + len(run.entries)
            and len(run.entries) < most
        ):
            run.entries.append(stored.data)
            run.rules.append(settlement_rules(terms))
            continue
        if run is not None:
            yield run
        run = Run(group, stored.position, [stored.data], [settlement_rules(terms)])
    if run is not None:
        yield run


def first_of_round(runs: Iterable[Run], weight_of: Callable[[bytes], int]) -> list[Run]:
    """Return the first runs that one transaction takes together.

    `weight_of` returns the gas of settling by an entry, in that of a statement about a plain
    contract.
    """
    taken, weight = [], 0
    for run in runs:
        weight += sum(weight_of(entry) for entry in run.entries)
        if weight > MAX_RUN:
            break
        taken.append(run)
    return taken


def neighbours(positions: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Join ascending positions into runs without a gap: (first, count)."""
    first = count = 0
    for position in positions:
        if count and position == first + count:
            count += 1
            continue
        if count:
            yield first, count
        first, count = position, 1
    if count:
        yield first, count
