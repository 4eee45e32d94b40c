"""A board as its members use it: leases on what they work on, and messages between them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from orchestrator.client.http import Client
from orchestrator.client.log_server import reading
from orchestrator.core.account.board import MessageKind
from orchestrator.core.common.errors import ServerError


class Lease(NamedTuple):
    """An item that is ours alone until the lease expires, by the service's clock."""

    item: str
    fence: int
    expires_ms: int


class Board:
    """The board of a surface, which an operator's keys share, or of a contract, for its parties.

    Renew a lease before it expires, and stop the work if that raises: another may have it then.
    """

    def __init__(self, client: Client, board: str) -> None:
        self._client = client
        self._path = f"/v1/boards/{board}"

    def take(self, item: str, ttl_s: int) -> Lease | None:
        """Take an item; return None if another holds it."""
        try:
            return self._put(item, {"ttl_s": ttl_s})
        except ServerError as error:
            if error.code != "http-423":
                raise
            return None

    def renew(self, lease: Lease, ttl_s: int) -> Lease:
        """Renew a lease. Raises ServerError if it has ended."""
        return self._put(lease.item, {"ttl_s": ttl_s, "fence": lease.fence})

    def release(self, lease: Lease) -> None:
        """End a lease, if it has not ended."""
        self._client.post(f"{self._path}/leases/{lease.item}/release", {"fence": lease.fence})

    def hand_over(self, lease: Lease, to: str, note: Mapping[str, object] | None = None) -> None:
        """Hand a lease to a key, by its id or name, or to an account, by its address."""
        body = {"fence": lease.fence, "to": to, "note": dict(note or {})}
        self._client.post(f"{self._path}/leases/{lease.item}/release", body)

    def send(
        self,
        kind: MessageKind,
        item: str,
        body: Mapping[str, object] | None = None,
        to: str | None = None,
    ) -> None:
        """Tell the others on the board something about an item."""
        message = {"kind": kind, "item": item, "to": to, "body": dict(body or {})}
        self._client.post(f"{self._path}/messages", message)

    def messages(self, after: int = 0, wait_s: int = 0) -> tuple[Sequence[Any], int]:
        """Return the messages behind a cursor, and the next cursor.

        They are their senders' words. Where there are none yet, wait up to `wait_s` for one.
        """
        page = self._client.get(f"{self._path}/messages", after=after, wait_s=wait_s)
        with reading(self._client, "what is on a board"):
            cursor = int(page["cursor"])
            if cursor < after:
                raise ValueError(cursor)
            return list(page["messages"]), cursor

    def _put(self, item: str, body: Mapping[str, object]) -> Lease:
        answer = self._client.put(f"{self._path}/leases/{item}", body)
        with reading(self._client, "which lease it has given"):
            return Lease(item, int(answer["fence"]), int(answer["expires_ms"]))
