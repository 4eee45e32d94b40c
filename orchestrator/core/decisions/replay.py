"""A stranger's replay: the public entries, judged again from the first to the last.

It needs what anyone can get: the entries with their openings, the policies by hash, and the terms
of each contract from the chain. Every entry that follows from another is computed anew and must
stand in the log word for word; whatever the log adds, omits or alters is a `ReplayError` that names
the entry. It claims nothing of what no replay can see: withheld events, lies told consistently.
"""

from collections.abc import Callable, Iterable

from orchestrator.core.common.document import DocumentCache
from orchestrator.core.common.errors import (
    ChainError,
    DomainError,
    EntryError,
    ReplayError,
    ServerError,
)
from orchestrator.core.common.units import MAX_AHEAD_MS, format_ms
from orchestrator.core.decisions.decide import decide
from orchestrator.core.entries.kinds import Clock, Kind, kind_of
from orchestrator.core.entries.replay_rules import Documents
from orchestrator.core.log.entry import Entry, described
from orchestrator.core.log.opening import Record, ReportedTouchOpening, receipt_ms
from orchestrator.core.world.world import World


class Replay:
    """A replay in progress: `take` every record in log order, then `finish`.

    Raises `ReplayError` at the first entry that the rules do not give, and is of no use after that.
    Only a record that is `clock-ahead` may be taken again, once its time has come.

    `now_ms` returns the reader's time, UTC milliseconds. None: there is no clock to compare with.
    `world` is that of an earlier replay, at an entry after which nothing was expected.
    """

    def __init__(
        self,
        documents: Documents,
        now_ms: Callable[[], int] | None = None,
        world: World | None = None,
    ) -> None:
        self.world = world or World(
            policies=DocumentCache(documents.known_policy),
            settings=DocumentCache(documents.known_settings),
        )
        self._documents = documents
        self._now_ms = now_ms
        self._expected: list[Record] = []

    @property
    def size(self) -> int:
        """The number of entries taken."""
        return self.world.size - len(self._expected)

    @property
    def expects_nothing(self) -> bool:
        """True where no entry must follow: a world from here can be gone on with."""
        world = self.world
        return not self._expected and world.arriving is None and world.reporting is None

    def take(self, record: Record) -> None:
        """Judge the log's next record."""
        position = self.size
        if not self._expected:
            self._check_arrival(record)
            now_ms = None if self._now_ms is None else self._now_ms()
            self._expected = _consequences(self.world, record, self._documents, now_ms)
            self._expected.reverse()
        if not self._expected:
            raise ReplayError(
                "entry-unfounded",
                f"entry {position} is {described(record.entry)}, "
                f"for which nothing before it gives cause",
            )
        wanted = self._expected.pop()
        if wanted.entry != record.entry:
            raise ReplayError(
                "entry-differs",
                f"entry {position} is {described(record.entry)}, "
                f"but the rules give {described(wanted.entry)}: {_differences(record, wanted)}",
            )
        # What follows from an entry can have an opening of its own, which readers are shown.
        if wanted.opening != record.opening:
            raise ReplayError(
                "opening-false",
                f"entry {position} is {described(record.entry)}, which its opening does not match: "
                f"{_opening_differences(record, wanted)}",
            )

    def finish(self) -> World:
        """Return the world after the last record. Raises ReplayError if the rules demand more."""
        if self.world.arriving is not None and not self._expected:
            raise self._click_missing(self.world.arriving[1])
        if self._expected:
            raise ReplayError(
                "entry-missing",
                f"the log ends at {self.size} entries, "
                f"but {described(self._expected[-1].entry)} must follow",
            )
        if self.world.reporting is not None:
            raise ReplayError(
                "entry-missing",
                f"the log ends at {self.size} entries, but a transition of lead "
                f"0x{self.world.reporting.lead.hex()[:16]} must follow",
            )
        return self.world

    def _check_arrival(self, record: Record) -> None:
        """Raise ReplayError unless the click of a lead that has just come by a code comes next."""
        arriving, (entry, opening) = self.world.arriving, record
        cause = opening.cause if isinstance(opening, ReportedTouchOpening) else 0
        if arriving is not None and arriving != (entry.subject, cause):
            raise self._click_missing(arriving[1])

    def _click_missing(self, code: int) -> ReplayError:
        return ReplayError(
            "click-missing",
            f"entry {self.size} must be the click on code {code} by which entry {self.size - 1} "
            f"says that its lead came",
        )


def replay(records: Iterable[Record], documents: Documents) -> World:
    """Return the world after `records`, the whole log from entry 0, each judged in turn."""
    judged = Replay(documents)
    for record in records:
        judged.take(record)
    return judged.finish()


def _differences(found: Record, wanted: Record) -> str:
    """Return each field in which an entry differs from the one that the rules give, with both."""
    return _named(found.entry._fields, found.entry, wanted.entry)


def _opening_differences(found: Record, wanted: Record) -> str:
    """Return likewise the members in which an opening differs, or that there is another or none."""
    if type(found.opening) is not type(wanted.opening):
        names = (type(one.opening).__name__ if one.opening else "none" for one in (found, wanted))
        return "it has {}, not {}".format(*names)
    fields: tuple[str, ...] = getattr(found.opening, "_fields", ())
    return _named(fields, tuple(found.opening or ()), tuple(wanted.opening or ()))


def _named(fields: Iterable[str], found: Iterable[object], wanted: Iterable[object]) -> str:
    return ", ".join(
        f"{name} is {_value(one)}, not {_value(other)}"
        for name, one, other in zip(fields, found, wanted, strict=True)
        if one != other
    )


def _value(value: object) -> str:
    return f"0x{value.hex()}" if isinstance(value, bytes) else repr(value)


def _check_ahead(world: World, record: Record, kind: Kind, now_ms: int) -> None:
    """Raise ReplayError for a time on the log's own clock, or a receipt, ahead of the reader's.

    A date is not the publisher's word alone, and what is true only later must not be signed for
    now.
    """
    entry, received_ms = record.entry, receipt_ms(record.opening)
    at_ms = entry.time_ms if received_ms is None else received_ms
    if (received_ms is not None or kind.clock is Clock.LOG) and at_ms > now_ms + MAX_AHEAD_MS:
        raise ReplayError(
            "clock-ahead",
            f"entry {world.size} is {described(entry)}, taken at {format_ms(at_ms)}, but it is "
            f"only {format_ms(now_ms)} by our clock; set that, or wait, and do not rely on the log "
            f"from this entry on",
        )


def _check_clock(world: World, record: Record, kind: Kind) -> None:
    """Raise ReplayError for a time on the log's own clock, or a receipt, that goes back.

    Entries on the log's own clock are no earlier than any receipt before them. So a report that is
    dated ahead, past a deadline say, dates ahead all that the log says after it. Receipts go their
    own way on each surface: requests wait for one another there and nowhere else.
    """
    entry, received_ms = record.entry, receipt_ms(record.opening)
    if received_ms is not None:
        here = world.surfaces.get(entry.surface)
        if here is not None and received_ms < here.received_ms:
            raise ReplayError(
                "receipt-regressed",
                f"entry {world.size} is {described(entry)}, received at {format_ms(received_ms)}, "
                f"but its surface is already at {format_ms(here.received_ms)}",
            )
    elif kind.clock is Clock.LOG and entry.time_ms < world.time_ms:
        raise ReplayError(
            "clock-regressed",
            f"entry {world.size} is {described(entry)}, taken at {format_ms(entry.time_ms)}, "
            f"but the log is already at {format_ms(world.time_ms)}",
        )


def _kind(record: Record, position: int) -> Kind:
    """Return the kind of a record, whose opening must be the one that the kind has."""
    entry, opening = record
    try:
        kind = kind_of(entry)
        fits = kind.fits(entry, opening)
    except EntryError as error:
        raise ReplayError(error.code, f"entry {position}: {error.message}") from None
    if not fits:
        raise ReplayError(
            "opening-false",
            f"entry {position} is {described(entry)}, which its opening does not match",
        )
    return kind


def _consequences(
    world: World, record: Record, documents: Documents, now_ms: int | None
) -> list[Record]:
    """Return what the log must say from `record` on: itself, and all that follows from it."""
    entry, position = record.entry, world.size
    if position == 0 and entry.kind != "genesis":
        raise ReplayError("genesis-missing", f"entry 0 is {described(entry)}, not the genesis")
    kind = _kind(record, position)
    try:
        if now_ms is not None:
            _check_ahead(world, record, kind, now_ms)
        _check_clock(world, record, kind)
        received_ms = receipt_ms(record.opening)
        request = kind.replay(world, record, documents) if kind.replay is not None else None
        if request is None:
            return []
        return decide(world, request, entry.time_ms if received_ms is None else received_ms)
    except ReplayError:
        raise
    except (DomainError, LookupError) as error:
        # What the escrow does not know cannot be; a source that does not answer says nothing.
        if isinstance(error, ChainError | ServerError) and error.code != "call-reverted":
            raise
        raise ReplayError(
            "entry-impossible",
            f"entry {position} is {described(entry)}, which cannot be: {_impossible(entry, error)}",
        ) from None


def _impossible(entry: Entry, error: DomainError | LookupError) -> str:
    """Return what an entry lacks before it, by the error in which its judgement has ended."""
    if isinstance(error, DomainError):
        return error.message
    missing = error.args[0] if isinstance(error, KeyError) else None
    if not isinstance(missing, bytes):
        return "what it refers to is not in the log before it"
    if missing == entry.surface:
        return f"surface 0x{missing.hex()} has no policy"
    if missing == entry.subject and kind_of(entry).words.subject == "lead":
        return f"lead 0x{missing.hex()} is not registered"
    return f"the log before it has no 0x{missing.hex()}"
