"""The delivery of what waits for one webhook: signed, tried again later, given up in the end.

A try is durable before it is made, and what came of it afterwards; a process that dies in between
sends the same message once more, under the same id, when the lease has ended. The first success of
a request of an action takes it: that is written to the inbox in the same transaction.
"""

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from anyio.to_thread import run_sync
from standardwebhooks.webhooks import Webhook

from orchestrator.core.entry import TAKEN
from orchestrator.core.errors import LogError
from orchestrator.core.requests import ConfirmAction
from orchestrator.core.units import format_ms
from orchestrator.core.webhook import (
    FAILING_MS,
    LEASE_MS,
    MAX_KEPT,
    MAX_TRIES,
    REQUEST_EVENT,
    message,
    message_id,
    wait_ms,
)
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
    ) -> None:
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
        is_last = taken.tries >= MAX_TRIES
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
            secrets = [bytes(row.secret) for row in self._secrets(session, taken)]
            request = self._request(session, taken) if taken.asks else {}
            answered = self._answered(session, taken)
        if request is None:
            return None
        body = self._message(taken, request, answered)
        return self._headers(taken, secrets, body), body

    def _secrets(self, session: Session, taken: _Try) -> list[Row]:
        return session.all("webhooks.secrets", webhook=taken.webhook)

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
        return {
            "expires": format_ms(row.expires_ms),
            "external_id": row.external_id,
            "parameters": json.loads(bytes(row.parameters)),
        }
