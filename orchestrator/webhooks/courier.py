"""The courier: it reads the log once and finds to which webhooks each entry goes.

A webhook has a few deliveries that wait. While there is no room for more, its cursor says where in
the log it goes on: so one that was down for days misses nothing, and holds no more than others.
Each step is one transaction with the cursor that it moves, so entries are found once, however many
couriers there are and whenever one dies.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from orchestrator.core.codec import json_text
from orchestrator.core.webhook import LEASE_MS, MAX_WAITING, WEBHOOK_EVENTS
from orchestrator.log.feed import Feed, Page, Told
from orchestrator.storage.database import Database, Session

# The most webhooks that are found due at one time.
MAX_DUE = 100
# The pages that a webhook which is behind reads at one time.
_PAGES = 8


class Due(NamedTuple):
    """A webhook that is to be looked at."""

    webhook: bytes
    is_failing: bool


class Courier:
    """The courier of one log. Its methods may be called from any thread."""

    def __init__(self, database: Database, log_id: bytes, feed: Feed) -> None:
        self._database = database
        self._log_id = log_id
        self._feed = feed

    def step(self) -> list[Due]:
        """Read all entries that are new; return webhooks that are due, each once a lease."""
        with self._database.transaction() as session:
            session.run("webhooks.begin_courier", log_id=self._log_id)
        while self._read_on():
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
            if row is None or row.cursor is None:
                return
            if not self._read_for(webhook, row.cursor, self._feed.read(row.cursor)):
                return

    def end_look(self, webhook: bytes) -> None:
        """Keep when a webhook is to be looked at next."""
        with self._database.transaction() as session:
            session.run("webhooks.lock", webhook=webhook)
            session.run("webhooks.put_due", webhook=webhook, most=MAX_WAITING)

    def disable(self, webhook: bytes, reason: str) -> None:
        """Send nothing more to a webhook, until its account has it go on from here."""
        with self._database.transaction() as session:
            cursor = self._lock(session)
            session.run("webhooks.disable", webhook=webhook, reason=reason, cursor=cursor)

    def _lock(self, session: Session) -> int:
        """Return how far was read; nothing reads on until the transaction ends."""
        (row,) = session.all("webhooks.lock_courier", log_id=self._log_id)
        return int(row.cursor)

    def _read_for(self, webhook: bytes, cursor: int, page: Page) -> bool:
        """Tell a page to a webhook that has this cursor; return whether it has room for more."""
        with self._database.transaction() as session:
            end = self._lock(session)
            row = session.one("webhooks.lock", webhook=webhook)
            if row is None or row.cursor != cursor:
                return False
            told = [one for one in page.entries if one.position <= end]
            last = told[-1].position if told else end
            full_at = self._put(session, told, webhook).get(webhook)
            reached = last if full_at is None else full_at
            is_level = reached >= end
            session.run(
                "webhooks.put_cursor", webhook=webhook, cursor=None if is_level else reached
            )
        return full_at is None and not is_level

    def _read_on(self) -> bool:
        """Find the webhooks of the next page of entries; return whether there was one."""
        with self._database.transaction() as session:
            (row,) = session.all("webhooks.courier", log_id=self._log_id)
        page = self._page(row.cursor)
        if not page.entries:
            return False
        with self._database.transaction() as session:
            if self._lock(session) == row.cursor:
                for webhook, full_at in self._put(session, page.entries).items():
                    session.run("webhooks.put_cursor", webhook=webhook, cursor=full_at)
                last = page.entries[-1].position
                session.run("webhooks.put_courier", log_id=self._log_id, cursor=last)
        return True

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
        found = {bytes(row.webhook) for row in matched}
        counted = session.all("webhooks.waiting", webhooks=list(found))
        waiting = {bytes(row.webhook): row.count for row in counted}
        deliveries, cursors = [], {}
        for key, group in groupby(matched, lambda row: bytes(row.webhook)):
            mine, room = list(group), max(0, MAX_WAITING - waiting.get(key, 0))
            deliveries += [
                {"webhook": key, "position": row.position, "event": row.kind} for row in mine[:room]
            ]
            if len(mine) > room:
                cursors[key] = mine[room].position - 1
        session.run_each("webhooks.put_delivery", deliveries)
        session.run("webhooks.wake", webhooks=list(found))
        return cursors


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
