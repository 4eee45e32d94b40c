"""The source of an answer: the public records that a question may ask for, each read bounded."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from orchestrator.core.common.errors import WhyError
from orchestrator.core.log.entry import Entry
from orchestrator.core.log.opening import Record
from orchestrator.core.surface.forecast import Cohorts
from orchestrator.core.surface.policy import Policy
from orchestrator.core.surface.surface_settings import SurfaceSettings
from orchestrator.core.surface.trust import PoolUse, Standing
from orchestrator.core.why.reason import Tokens
from orchestrator.core.world.contract import Contract


class Placed(NamedTuple):
    """A record at its position in the log."""

    position: int
    record: Record

    @property
    def entry(self) -> Entry:
        return self.record.entry


class Filter(NamedTuple):
    """The entries that are asked for: about a subject, on a surface, of a kind that the log lists.

    `surface` and `kind` go together. `newest` asks for the last ones, the last of them first.
    """

    subject: bytes | None = None
    surface: bytes | None = None
    kind: str | None = None
    after: int = 0
    newest: bool = False


class Source(Protocol):
    """The ground of an answer. All of it is public, and follows from the log and signed terms.

    `now_ms` is the reader's time, UTC milliseconds; `tokens` says how people write amounts.
    """

    @property
    def now_ms(self) -> int: ...

    @property
    def tokens(self) -> Tokens: ...

    def at(self, position: int) -> Placed | None:
        """Return the record at a position; None where the log has none."""

    def find(self, wanted: Filter, limit: int) -> list[Placed]:
        """Return at most so many records, in log order unless the newest are asked for."""

    def contract(self, contract_id: bytes) -> Contract | None:
        """Return a contract with its totals; None where its opening is not in the log."""

    def contracts(self, surface: bytes, owner: bytes, limit: int) -> list[Contract]:
        """Return the contracts that an owner has opened on a surface, oldest first."""

    def policy(self, hash_: bytes) -> Policy | None:
        """Return a published policy."""

    def settings(self, hash_: bytes) -> SurfaceSettings | None:
        """Return published settings of a surface."""

    def standing(self, surface: bytes, operator: bytes) -> Standing | None:
        """Return an operator's standing on a surface; None where it has none."""

    def pool(self, surface: bytes) -> PoolUse:
        """Return the use of a surface's pool."""

    def cohorts(self, surface: bytes) -> Cohorts:
        """Return the counts of a surface's leads by state."""

    def is_anchored(self, position: int) -> bool | None:
        """Return whether the chain holds a root that covers a position; None: not known."""


# The most entries of one subject that an answer reads.
MAX_ENTRIES = 5_000
PAGE = 1_000


def read_all(source: Source, wanted: Filter, most: int = MAX_ENTRIES) -> tuple[list[Placed], bool]:
    """Return the records that are asked for, at most so many, and whether there are more."""
    found: list[Placed] = []
    while len(found) <= most:
        after = found[-1].position if found else wanted.after
        page = source.find(wanted._replace(after=after), PAGE)
        found += page
        if len(page) < PAGE:
            break
    return found[:most], len(found) > most


def entry_at(source: Source, position: int) -> Placed:
    """Return the record at a position. Raises WhyError if the log has none."""
    found = source.at(position)
    if found is None:
        raise WhyError("entry-unknown", f"the log has no entry {position}")
    return found


def newest(source: Source, wanted: Filter) -> Placed | None:
    """Return the last of the records that are asked for, if there is any."""
    return next(iter(source.find(wanted._replace(newest=True), 1)), None)


def publications(source: Source, surface: bytes, kind: str) -> Iterator[Placed]:
    """Yield the publications of a surface's policies or settings, in log order."""
    yield from read_all(source, Filter(surface=surface, kind=kind))[0]
