"""The courier: it reads the log once and finds to which webhooks each entry goes.

A webhook has a few deliveries that wait. While there is no room for more, its cursor says where in
the log it goes on: so one that was down for days misses nothing, and holds no more than others.
Each step is one transaction with the cursor that it moves, so entries are found once, however many
couriers there are and whenever one dies.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from orchestrator.core.common.limits import Limits
from orchestrator.core.entries.webhook import LEASE_MS, WEBHOOK_EVENTS
from orchestrator.core.world.codec import json_text
from orchestrator.log.feed import Feed, Page, Told
from orchestrator.storage.database import Database, Row, Session

# The most webhooks that are found due at one time.
MAX_DUE = 100
# The pages that a webhook which is behind reads at one time.
_PAGES = 8
# The offers that are found at one time; an offer can go to all operators of a surface.
_OFFERS_PAGE = 10


class Due(NamedTuple):
    """A webhook that is to be looked at."""

    webhook: bytes
    is_failing: bool


class Courier:
    """The courier of one log. Its methods may be called from any thread."""

    def __init__(
        self, database: Database, log_id: bytes, feed: Feed, limits: Limits | None = None
    ) -> None:
        # The most deliveries of a webhook that wait at one time. The rest waits in the log.
        self._most_waiting = (limits or Limits()).webhook_waiting
        self._database = database
        self._log_id = log_id
        self._feed = feed

    def step(self) -> list[Due]:
        """Read all entries that are new; return webhooks that are due, each once a lease."""
        with self._database.transaction() as session:
            session.run("webhooks.begin_courier", log_id=self._log_id)
        while self._read_on() or self._offer_on():
            pass
        with self._database.transaction() as session:
            rows = session.all(
                "webhooks.take_due", log_id=self._log_id, limit=MAX_DUE, lease_ms=LEASE_MS
            )
        return [Due(bytes(row.webhook), row.is_failing) for row in rows]

    def catch_up(self, webhook: bytes) -> None:
        """Read on for a webhook that is behind, as long as it has room."""
        for _ in range(_PAGES):
            with self._database.transaction() as session:
                row = session.one("webhooks.lock", webhook=webhook)
            if row is None or (row.cursor is None and row.offer is None):
                return
            if row.offer is not None:
                has_room = self._offer_to(webhook, row.offer)
            else:
                has_room = self._read_for(webhook, row.cursor, self._feed.read(row.cursor))
            if not has_room:
                return

    def end_look(self, webhook: bytes) -> None:
        """Keep when a webhook is to be looked at next."""
        with self._database.transaction() as session:
            session.run("webhooks.lock", webhook=webhook)
            session.run("webhooks.put_due", webhook=webhook, most=self._most_waiting)

    def disable(self, webhook: bytes, reason: str) -> None:
        """Send nothing more to a webhook, until its account has it go on from here."""
        with self._database.transaction() as session:
            at = self._lock(session)
            session.run("webhooks.disable", webhook=webhook, reason=reason, **at._asdict())

    def _lock(self, session: Session) -> Row:
        """Return how far was read; nothing reads on until the transaction ends."""
        (row,) = session.all("webhooks.lock_courier", log_id=self._log_id)
        return row

    def _read_for(self, webhook: bytes, cursor: int, page: Page) -> bool:
        """Tell a page to a webhook that has this cursor; return whether it has room for more."""
        with self._database.transaction() as session:
            end = self._lock(session).cursor
            row = session.one("webhooks.lock", webhook=webhook)
            if row is None or row.cursor != cursor:
                return False
            told = [one for one in page.entries if one.position <= end]
            last = told[-1].position if told else end
            full_at = self._put(session, told, webhook).get(webhook)
            reached = last if full_at is None else full_at
            kept = None if reached >= end else reached
            session.run("webhooks.put_cursor", webhook=webhook, cursor=kept)
        return full_at is None

    def _read_on(self) -> bool:
        """Find the webhooks of the next page of entries; return whether there was one."""
        with self._database.transaction() as session:
            (row,) = session.all("webhooks.courier", log_id=self._log_id)
        page = self._page(row.cursor)
        if not page.entries:
            return False
        with self._database.transaction() as session:
            if self._lock(session).cursor == row.cursor:
                for webhook, full_at in self._put(session, page.entries).items():
                    session.run("webhooks.put_cursor", webhook=webhook, cursor=full_at)
                last = page.entries[-1].position
                session.run("webhooks.put_courier", log_id=self._log_id, cursor=last, offer=None)
        return True

    def _offer_on(self) -> bool:
        """Find the webhooks of the next offers; return whether there were any."""
        with self._database.transaction() as session:
            (row,) = session.all("webhooks.courier", log_id=self._log_id)
            if self._last_offer(session, row.offer) is None:
                return False
        with self._database.transaction() as session:
            after = self._lock(session).offer
            last = self._last_offer(session, after)
            if last is None:
                return True
            for webhook, full_at in self._put_offers(session, after, last).items():
                session.run("webhooks.put_offer", webhook=webhook, cursor=full_at)
            session.run("webhooks.put_courier", log_id=self._log_id, cursor=None, offer=last)
        return True

    def _offer_to(self, webhook: bytes, after: int) -> bool:
        """Tell the next offers to a webhook; return whether it has room for more."""
        with self._database.transaction() as session:
            end = self._lock(session).offer
            row = session.one("webhooks.lock", webhook=webhook)
            if row is None or row.offer != after:
                return False
            last = min(self._last_offer(session, after) or end, end)
            full_at = self._put_offers(session, after, last, webhook).get(webhook)
            reached = last if full_at is None else full_at
            kept = None if reached >= end else reached
            session.run("webhooks.put_offer", webhook=webhook, cursor=kept)
        return full_at is None

    def _last_offer(self, session: Session, after: int) -> int | None:
        row = session.one(
            "webhooks.last_offer", log_id=self._log_id, after=after, limit=_OFFERS_PAGE
        )
        return None if row is None else row.number

    def _put_offers(
        self, session: Session, after: int, until: int, webhook: bytes | None = None
    ) -> dict[bytes, int]:
        """Have offers told to webhooks; return as `_put` does, by their numbers."""
        span = {"after": after, "until": until, "webhook": webhook}
        matched = session.all("webhooks.matched_offers", log_id=self._log_id, **span)
        full = self._fill(session, matched)
        return {key: -position - 1 for key, position in full.items()}

    def _page(self, cursor: int) -> Page:
        page = self._feed.after(cursor)
        return self._feed.read(cursor) if page is None or not page.entries else page

    def _put(
        self, session: Session, told: Sequence[Told], webhook: bytes | None = None
    ) -> dict[bytes, int]:
        """Have entries told to webhooks; return up to where, for those that had no room for all."""
        rows = [_row(one) for one in told if one.entry.kind in WEBHOOK_EVENTS]
        if not rows:
            return {}
        matched = session.all(
            "webhooks.matched", log_id=self._log_id, rows=json_text(rows), webhook=webhook
        )
        return {key: position - 1 for key, position in self._fill(session, matched).items()}

    def _fill(self, session: Session, matched: Sequence[Row]) -> dict[bytes, int]:
        """Add deliveries; return the first that found no room, of webhooks that have one."""
        found = {bytes(row.webhook) for row in matched}
        counted = session.all("webhooks.waiting", webhooks=list(found))
        waiting = {bytes(row.webhook): row.count for row in counted}
        deliveries, full = [], {}
        for key, group in groupby(matched, lambda row: bytes(row.webhook)):
            mine, room = list(group), max(0, self._most_waiting - waiting.get(key, 0))
            deliveries += [
                {"webhook": key, "position": row.position, "event": row.kind} for row in mine[:room]
            ]
            if len(mine) > room:
                full[key] = int(mine[room].position)
        session.run_each("webhooks.put_delivery", deliveries)
        session.run("webhooks.wake", webhooks=list(found))
        return full


def _row(told: Told) -> dict[str, object]:
    """Return what the database needs to know of an entry to find whom it is about."""
    entry = told.entry
    return {
        "position": told.position,
        "kind": entry.kind,
        "surface": entry.surface.hex(),
        "operator": None if told.operator is None else told.operator.hex(),
        "request": entry.value if entry.kind == "action.answered" else None,
    }
