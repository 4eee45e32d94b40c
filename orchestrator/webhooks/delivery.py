"""The delivery of what waits for one webhook: signed, tried again later, given up in the end.

A try is durable before it is made, and what came of it afterwards; a process that dies in between
sends the same message once more, under the same id, when the lease has ended. The first success of
a request of an action takes it: that is written to the inbox in the same transaction.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from anyio.to_thread import run_sync
from standardwebhooks.webhooks import Webhook

from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.limits import Limits
from orchestrator.core.common.units import format_ms
from orchestrator.core.entries.webhook import (
    ANSWER_EVENT,
    FAILING_MS,
    LEASE_MS,
    REQUEST_EVENT,
    message,
    message_id,
    offer_message,
    wait_ms,
)
from orchestrator.core.log.entry import Entry
from orchestrator.core.world.requests import ConfirmAction
from orchestrator.log.feed import Feed
from orchestrator.log.inbox import Submission, submit
from orchestrator.storage.database import Database, Row, Session
from orchestrator.webhooks.courier import Courier
from orchestrator.webhooks.posting import Poster, Reply

# The most tries of one look at a webhook.
_TRIES = 32
# The status by which a receiver says that it wants nothing more.
_GONE = 410


class _Try(NamedTuple):
    """A delivery that was claimed for one more try."""

    webhook: bytes
    position: int
    event: str
    tries: int
    url: str
    asks: bool


class Deliverer:
    """The deliverer of one log's messages. `account` is the publisher's, which confirms actions."""

    def __init__(
        self,
        database: Database,
        log_id: bytes,
        feed: Feed,
        courier: Courier,
        poster: Poster,
        account: str,
        now_s: Callable[[], float] = time.time,
        limits: Limits | None = None,
    ) -> None:
        self._limits = limits or Limits()
        self._database = database
        self._log_id = log_id
        self._feed = feed
        self._courier = courier
        self._poster = poster
        self._account = account.lower()
        self._now_s = now_s

    async def deliver(self, webhook: bytes) -> int:
        """Send what is due to a webhook, until one fails; return how many were tried."""
        await run_sync(self._courier.catch_up, webhook)
        for number in range(_TRIES):
            taken = await run_sync(self._claim, webhook)
            if taken is None or not await self._try(taken):
                await run_sync(self._courier.catch_up, webhook)
                await run_sync(self._courier.end_look, webhook)
                return number + (taken is not None)
        await run_sync(self._courier.end_look, webhook)
        return _TRIES

    async def _try(self, taken: _Try) -> bool:
        """Send one message; return whether the webhook works."""
        prepared = await run_sync(self._prepare, taken)
        if prepared is None:
            await run_sync(self._end, taken, "moot", Reply(None, None))
            return True
        headers, body = prepared
        reply = await self._poster.post(taken.url, headers, body)
        is_last = taken.tries >= self._limits.webhook_tries
        state = "delivered" if reply.is_taken else "dead" if is_last else "waiting"
        await run_sync(self._end, taken, state, reply)
        return reply.is_taken

    def _claim(self, webhook: bytes) -> _Try | None:
        with self._database.transaction() as session:
            row = session.one("webhooks.claim", webhook=webhook, lease_ms=LEASE_MS)
        if row is None:
            return None
        asks = row.event == REQUEST_EVENT and row.audience == "owner"
        return _Try(webhook, row.position, row.event, row.tries, row.url, asks)

    def _prepare(self, taken: _Try) -> tuple[Mapping[str, str], bytes] | None:
        """Return a message with its headers; None if there is nothing left to ask for."""
        with self._database.transaction() as session:
            rows = session.all("webhooks.secrets", webhook=taken.webhook)
            request = self._request(session, taken) if taken.asks else {}
            offer = self._offer(session, -taken.position) if taken.position < 0 else None
        body = offer if taken.position < 0 or request is None else self._entry(taken, request)
        if body is None:
            return None
        return self._headers(taken, [bytes(row.secret) for row in rows], body), body

    def _entry(self, taken: _Try, request: Mapping[str, Any]) -> bytes | None:
        """Return the message about an entry."""
        (told,) = self._feed.read(taken.position - 1, 1).entries or (None,)
        if told is None:
            return None
        operator = told.operator or self._asker(told.entry)
        parties = {"contract": told.contract, "operator": operator}
        return message(self._log_id, taken.position, told.entry, parties, request)

    def _offer(self, session: Session, number: int) -> bytes | None:
        """Return the message about an offer; None if it is over."""
        row = session.one("webhooks.offer", log_id=self._log_id, number=number)
        if row is None or row.is_over:
            return None
        offer = {
            "offer": to_hex(row.offer),
            "level": row.level,
            "places": row.places,
            "first_budget_units": str(row.first_budget_units),
            "budget_units": str(row.budget_units),
            "lasts_s": row.lasts_s,
            "ends": format_ms(row.ends_ms),
            "terms": row.terms,
        }
        return offer_message(self._log_id, row.surface, row.created_ms, offer)

    def _headers(self, taken: _Try, secrets: Sequence[bytes], body: bytes) -> dict[str, str]:
        """Return the headers of Standard Webhooks, with a signature by each secret in force."""
        name, now = (
            message_id(taken.webhook, taken.position),
            datetime.fromtimestamp(self._now_s(), UTC),
        )
        signatures = [Webhook(one).sign(name, now, body.decode()) for one in secrets]
        return {
            "Content-Type": "application/json",
            "User-Agent": "Tallystick",
            "webhook-id": name,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signatures),
        }

    def _request(self, session: Session, taken: _Try) -> dict[str, Any] | None:
        """Return what an owner is told of an action; None if it is not to be carried out."""
        row = session.one(
            "webhooks.requested_action",
            log_id=self._log_id,
            position=taken.position,
            webhook=taken.webhook,
        )
        if row is None or row.state != "requested":
            return None
        try:
            parameters = json.loads(bytes(row.parameters))
        except (ValueError, RecursionError):
            # The API takes none such. A delivery that never ends would keep its place for ever.
            return None
        return {
            "expires": format_ms(row.expires_ms),
            "external_id": row.external_id,
            "parameters": parameters,
        }

    def _asker(self, entry: Entry) -> bytes | None:
        """Return the operator whose request an entry answers; None if it answers none."""
        if entry.kind != ANSWER_EVENT:
            return None
        row = self._action(entry.value)
        return None if row is None else bytes(row.operator)

    def _action(self, position: int) -> Row | None:
        with self._database.transaction() as session:
            return session.one("webhooks.action", log_id=self._log_id, position=position)

    def _end(self, taken: _Try, state: str, reply: Reply) -> None:
        """Keep what came of a try; disable the webhook if it has failed for too long."""
        is_waiting = state == "waiting"
        name = taken.webhook + taken.position.to_bytes(8, signed=True)
        with self._database.transaction(self._account) as session:
            if state == "delivered" and taken.asks:
                self._confirm(session, taken.position)
            session.run(
                "webhooks.end_try",
                webhook=taken.webhook,
                position=taken.position,
                tries=taken.tries,
                state=state,
                status=reply.status,
                fault=reply.fault,
                wait_ms=wait_ms(name, taken.tries) if is_waiting else None,
            )
            if not is_waiting:
                most = self._limits.webhook_kept
                session.run("webhooks.drop_old", webhook=taken.webhook, most=most)
            reason = self._note(session, taken, reply) if state != "moot" else None
        if reason is not None:
            self._courier.disable(taken.webhook, reason)

    def _note(self, session: Session, taken: _Try, reply: Reply) -> str | None:
        """Keep whether the webhook works; return the reason to disable it, or None."""
        if reply.is_taken:
            session.run("webhooks.note_success", webhook=taken.webhook)
            return None
        row = session.one("webhooks.note_failure", webhook=taken.webhook)
        if reply.status == _GONE:
            return "gone"
        return "failing" if row is not None and row.failing_ms >= FAILING_MS else None

    def _confirm(self, session: Session, position: int) -> None:
        """Have the log told that the owner's webhook has taken a request."""
        row = session.one("webhooks.action", log_id=self._log_id, position=position)
        if row is None or row.state != "requested":
            return
        request = ConfirmAction(bytes(row.surface), bytes(row.lead), position)
        submission = Submission(f"confirm-{position}", request, b"{}")
        submit(session, self._log_id, self._account, [submission])
