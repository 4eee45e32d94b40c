"""Arrivals: which lead an event is about that comes with a code, with an id, or with both.

Who binds holds the surface's lock (`inbox.enter`), so events are bound in the order in which they
are received and decided. Whether a code is good for a click, the sequencer alone decides.

A code that comes alone stands for one lead that waits for an id. The next new id that comes with
the code is that lead's; an id that is known keeps its own lead, and the two are never merged.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from orchestrator.log.inbox import MAX_BULK, pseudonyms_for
from orchestrator.storage.database import Session


class EventNames(NamedTuple):
    """The names by which an event comes: the owner's own id of the lead, a code, or both."""

    external_id: str | None
    ref: str | None


class Bound(NamedTuple):
    """The lead that an event is about, and the random id of its code, None where it is no code.

    `is_alias` says that its id has just become that of the lead that waited by the code.
    """

    lead: bytes
    code: bytes | None
    is_alias: bool = False


def bind(
    session: Session,
    log_id: bytes,
    surface: bytes,
    events: Sequence[EventNames],
    new_word: Callable[[], bytes],
) -> list[Bound]:
    """Return the lead of each event, in their order; a new one gets a random pseudonym.

    The session speaks for the surface's owner.
    """
    where = {"log_id": log_id, "surface": surface}
    ids = sorted({event.external_id for event in events if event.external_id is not None})
    codes, waiting = _codes(session, where, [event.ref for event in events if event.ref])
    leads: dict[str, bytes] = {}
    if codes:
        rows = session.all("log.identities", **where, external_ids=ids)
        leads = {row.external_id: row.lead for row in rows}
    before, new = dict(waiting), dict[str, bytes]()
    bound = []
    for external_id, ref in events:
        code = codes.get(ref) if ref else None
        waits = waiting.get(code) if code is not None else None
        is_alias = False
        if external_id is None:
            lead = waits or new_word()
            if code is not None:
                waiting[code] = lead
        elif external_id in leads:
            lead = leads[external_id]
        else:
            lead = leads[external_id] = new[external_id] = waits or new_word()
            if code is not None and waits is not None:
                del waiting[code]
                is_alias = True
        bound.append(Bound(lead, code, is_alias))
    assigned = _assign(session, log_id, surface, new)
    changed = [one for one in before | waiting if before.get(one) != waiting.get(one)]
    if changed:
        found = [waiting.get(one) for one in changed]
        session.one("log.let_wait", **where, codes=changed, leads=found)
    return [
        one._replace(lead=assigned.get(event.external_id or "", one.lead))
        for event, one in zip(events, bound, strict=True)
    ]


def _assign(
    session: Session, log_id: bytes, surface: bytes, new: Mapping[str, bytes]
) -> dict[str, bytes]:
    """Give ids these pseudonyms, but for those that have one already; return which they have."""
    assigned = dict[str, bytes]()
    for start in range(0, len(new), MAX_BULK):
        # Sorted, so that two requests lock the rows of new leads in one order.
        part = sorted(new)[start:][:MAX_BULK]
        offered = [new[external_id] for external_id in part]
        assigned |= pseudonyms_for(session, log_id, surface, part, offered)
    return assigned


def _codes(
    session: Session, where: dict[str, bytes], refs: Sequence[str]
) -> tuple[dict[str, bytes], dict[bytes, bytes]]:
    """Return the codes among these texts by their random ids, and the leads that wait by them."""
    if not refs:
        return {}, {}
    rows = session.all("log.codes_named", **where, names=sorted(set(refs)))
    codes = {row.name: row.code for row in rows}
    return codes, {row.code: row.waiting_lead for row in rows if row.waiting_lead is not None}
