"""The reasons for which a requested action is, or is not, a touch."""

from orchestrator.core.entry import EXPIRED, FAILED
from orchestrator.core.errors import WhyError
from orchestrator.core.kinds import Topic, kind_of
from orchestrator.core.opening import AnswerOpening, ReportedTouchOpening
from orchestrator.core.why.reason import Code, Reason, moment, party
from orchestrator.core.why.source import MAX_ENTRIES, Filter, Placed, Source, entry_at, read_all


def why_action(source: Source, position: int) -> Reason:
    """Return what became of a requested action, by the entry of its request or of an answer.

    Raises WhyError for any other entry.
    """
    placed = entry_at(source, position)
    if kind_of(placed.entry).topic is not Topic.ACTION:
        raise WhyError(
            "not-an-action", f"entry {position} is a {placed.entry.kind}, and no requested action"
        )
    if isinstance(placed.record.opening, AnswerOpening):
        placed = entry_at(source, placed.entry.value)
    entry = placed.entry
    told, is_cut = read_all(source, Filter(subject=entry.subject, after=placed.position))
    parts, label = [], ""
    for one in told:
        part = _part(one, placed.position)
        if part is not None:
            parts.append(part)
            label = one.entry.label if part.code is Code.ACTION_ANSWERED else "done"
    if not parts and source.now_ms > entry.value:
        text = f"it was not taken until {moment(entry.value)}, so it becomes no touch"
        parts.append(Reason(Code.ACTION_EXPIRED, text))
    if is_cut:
        text = f"the lead has more than {MAX_ENTRIES:,} entries behind it: the rest was not read"
        parts.append(Reason(Code.CUT, text))
    head = f"action {entry.label!r}, requested by {party(entry.actor)} at {moment(entry.time_ms)}"
    came = {
        "": f"{head}, waits to be taken until {moment(entry.value)}",
        "taken": f"{head}, is taken: the lead's next transition makes it a touch unless it failed",
        FAILED: f"{head}, failed, and is no touch",
        EXPIRED: f"{head}, was not taken in its time, and is no touch",
        "done": f"{head}, is a touch",
    }
    return Reason(Code.ACTION, came[label], (placed.position,), tuple(parts))


def _part(one: Placed, request: int) -> Reason | None:
    entry, opening = one.entry, one.record.opening
    if isinstance(opening, AnswerOpening) and entry.value == request:
        because = f", for the reason {opening.reason!r}" if opening.reason else ""
        text = f"it was {entry.label} at {moment(entry.time_ms)}{because}"
        return Reason(Code.ACTION_ANSWERED, text, (one.position,))
    if isinstance(opening, ReportedTouchOpening) and opening.cause == request:
        text = "it had not failed when the lead moved, so it counts as done, at its own time"
        return Reason(Code.ACTION_DONE, text, (one.position,))
    return None
