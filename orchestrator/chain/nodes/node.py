"""A client of one node: batches of the size that it takes, and patience while it is busy.

A request is asked again only where the node has not answered it: it was busy, or it was asked for
too many at once. What may have been done already, a transaction that was sent, is asked again only
after a refusal, never after silence.
"""

import time
from collections.abc import Callable, Mapping, Sequence

from orchestrator.chain.nodes.endpoint import Endpoint
from orchestrator.chain.nodes.sizes import PATIENCE_S, AdaptiveSize, Patience
from orchestrator.chain.rpc import (
    OCTETS,
    Json,
    NodeError,
    ReplyError,
    Request,
    octets,
    result,
)
from orchestrator.core.refusal import RefusalKind, is_of_batch
from orchestrator.core.resource import Resource

MOST_AT_ONCE = 100
# A node that was silent gets far fewer at the next question: each silence costs its whole time.
_SILENCE_DIVISOR = 4
_SEND = "eth_sendRawTransaction"
# Failures of a batch that may be due to its size, and that come before anything is done.
_SIZE_SUSPECTS = ("node-garbled", "reply-too-large")


class Node(Resource):
    """One node, by its URL, which is a secret: it may hold an access key.

    `pause` waits for some seconds, and `patience_s` is how many a question may wait in all.
    """

    def __init__(
        self,
        rpc_url: str,
        pause: Callable[[float], object] = time.sleep,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._http = Endpoint(rpc_url)
        self.name = self._http.name
        self._pause = pause
        self._patience_s = patience_s
        self._size = AdaptiveSize(MOST_AT_ONCE)

    def __repr__(self) -> str:
        return f"Node({self.name!r})"

    @property
    def most_at_once(self) -> int:
        """The number of requests that the node is asked in one batch at present."""
        return self._size.size

    def close(self) -> None:
        self._http.close()

    def call(self, method: str, *params: Json) -> Json:
        """Return the result of one request. Raises `NodeError` or `ReplyError`."""
        (reply,) = self.batch([(method, list(params))])
        return result(reply)

    def batch(self, requests: Sequence[Request]) -> list[Json]:
        """Return the results of several requests, in one batch if the node takes so many.

        A request that the node refused has its `ReplyError` in its place. Raises `NodeError`.
        """
        found: dict[int, Json] = {}
        patience = Patience(self._pause, self._patience_s)
        left = list(range(len(requests)))
        while left:
            page = left[: self._size.size]
            answers = self._ask([requests[place] for place in page], patience)
            found |= {page[place]: answer for place, answer in answers.items()}
            left = [place for place in left if place not in found]
        return [found[place] for place in range(len(requests))]

    def _ask(self, page: Sequence[Request], patience: Patience) -> dict[int, Json]:
        """Return the replies by their places, as many as came; either something changed, or all.

        Nothing may come back: then the size has shrunk, or a busy node was waited for.
        """
        count = len(page)
        try:
            answer = self._http.exchange(page)
        except NodeError as error:
            self._bear(error, page, patience)
            return {}
        replies = self._replies(answer, count)
        errors = [one for one in replies.values() if isinstance(one, ReplyError)]
        if count > 1 and len(replies) == len(errors) == 1:
            self._bear_refusal(errors[0], count, patience)
            return {}
        is_cut = any(is_of_batch(one.number, one.words) for one in errors)
        if count > 1 and (is_cut or len(replies) < count):
            # Servers that leave answers out do so for a batch that is too long for them.
            self._size.shrink(count)
            if not is_cut and any(method == _SEND for method, _ in page):
                raise NodeError("node-garbled", f"{self.name} did not answer every call once")
            return {place: one for place, one in replies.items() if one not in errors}
        busy = {place for place, one in replies.items() if self._is_busy(one, patience)}
        if busy:
            first = replies[min(busy)]
            self._wait(NodeError("node-busy", first.message), count, patience)
        else:
            self._size.grow(count)
        return {place: one for place, one in replies.items() if place not in busy}

    def _bear_refusal(self, error: ReplyError, count: int, patience: Patience) -> None:
        """Do what makes it right to ask again for a batch that was refused by one error."""
        if self._is_busy(error, patience):
            self._wait(NodeError("node-busy", error.message), count, patience)
        else:
            self._size.shrink(count)

    def _bear(self, error: NodeError, page: Sequence[Request], patience: Patience) -> None:
        """Do what makes it right to ask again, or raise the error."""
        count = len(page)
        if error.code == "node-busy":
            self._wait(error, count, patience)
            return
        if error.code == "node-silent":
            self._size.shrink(count, _SILENCE_DIVISOR)
        is_sending = any(method == _SEND for method, _ in page)
        if count == 1 or is_sending or error.code not in _SIZE_SUSPECTS:
            raise error
        self._size.shrink(count)

    def _wait(self, error: NodeError, count: int, patience: Patience) -> None:
        patience.wait(error)
        # One that counts requests may never have room for so many.
        if patience.pauses > 1 and count > 1:
            self._size.shrink(count)

    @staticmethod
    def _is_busy(reply: Json, patience: Patience) -> bool:
        """Return whether this reply means that the same is to be asked again later.

        Where the node does not say which limit was passed, one pause finds out.
        """
        if not isinstance(reply, ReplyError):
            return False
        is_first = patience.pauses == 0
        return reply.kind is RefusalKind.BUSY or (reply.kind is RefusalKind.LIMIT and is_first)

    def _replies(self, answer: Json, count: int) -> dict[int, Json]:
        """Return the replies by their places. Raises NodeError for what answers nothing of ours."""
        if isinstance(answer, dict) and (count == 1 or "error" in answer):
            # One object stands for all of a batch that was refused.
            return {0: self._result(answer)}
        if not isinstance(answer, list):
            said = self._http.redacted(answer)
            raise NodeError("node-garbled", f"{self.name} answered no call: {said}")
        found: dict[int, Json] = {}
        for reply in answer:
            place = _place(reply, count)
            if place is None and count > 1 and len(answer) == 1:
                place = 0
            if place is None or place in found:
                raise NodeError("node-garbled", f"{self.name} did not answer every call once")
            found[place] = self._result(reply)
        if not found:
            raise NodeError("node-garbled", f"{self.name} answered no call")
        return found

    def _result(self, reply: Mapping[str, Json]) -> Json:
        error = reply.get("error")
        if error is None:
            if "result" not in reply:
                said = self._http.redacted(dict(reply))
                raise NodeError(
                    "node-garbled", f"{self.name} sent neither result nor error: {said}"
                )
            return reply["result"]
        parts = error if isinstance(error, dict) else {"message": error}
        number, data = parts.get("code"), parts.get("data")
        words = self._http.redacted(parts)
        if isinstance(data, str) and not OCTETS.fullmatch(data):
            words = f"{words} ({self._http.redacted(data)})"
        return ReplyError(
            f"{self.name}: {words}",
            number if isinstance(number, int) else 0,
            _revert_data(data),
            words,
        )


def _place(reply: Json, count: int) -> int | None:
    """Return the place of the request that a reply answers, or None; ids count from 1."""
    name = reply.get("id") if isinstance(reply, dict) else None
    if isinstance(name, str) and name.isdecimal():
        name = int(name[:9])
    is_ours = isinstance(name, int) and not isinstance(name, bool) and 1 <= name <= count
    return name - 1 if is_ours and isinstance(name, int) else None


def _revert_data(data: Json) -> bytes:
    """Return a contract's revert data, in any of the wrappings that clients put it in."""
    if isinstance(data, dict):
        data = data.get("data", data.get("result"))
    if not isinstance(data, str):
        return b""
    # Nethermind and OpenEthereum write "Reverted 0x…".
    data = data.removeprefix("Reverted ").strip()
    return octets(data) if OCTETS.fullmatch(data) else b""
