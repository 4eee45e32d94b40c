"""Several nodes of one chain, where another answers if one does not.

A question is answered by one node as a whole: answers of two nodes, of two moments, are not mixed.
"""

import re
import time
from collections.abc import Callable, Iterator, Sequence

from orchestrator.chain.nodes.node import Node
from orchestrator.chain.nodes.sizes import PATIENCE_S
from orchestrator.chain.rpc import Json, NodeError, ReplyError, Request, result
from orchestrator.core.common.errors import ChainError
from orchestrator.core.refusal import RefusalKind
from orchestrator.core.resource import ResourceGroup

MOST_NODES = 8
# What another node may offer, or have kept, that this one has not.
_LACKS = (RefusalKind.METHOD, RefusalKind.STATE)
# A URL may hold a comma itself.
_NEXT_URL = re.compile(r"\s*,\s*(?=[a-zA-Z][a-zA-Z0-9+.-]*://)")


def split_urls(rpc_urls: str) -> list[str]:
    """Return the URLs of a list with commas."""
    return _NEXT_URL.split(rpc_urls.strip())


class NodePool(ResourceGroup):
    """The nodes at these URLs, with commas between; the first is asked as long as it answers."""

    def __init__(self, rpc_urls: str) -> None:
        super().__init__()
        self.pause: Callable[[float], object] = time.sleep
        urls = split_urls(rpc_urls)
        if len(urls) > MOST_NODES or len(set(urls)) != len(urls):
            raise ChainError(
                "rpc-url-malformed",
                f"there may be {MOST_NODES} RPC URLs, each once; there are {len(urls)}",
            )
        # Where there is another, a busy one is not waited for as long.
        patience_s = PATIENCE_S if len(urls) == 1 else PATIENCE_S / 10
        with self._opening():
            self.nodes = [
                self._exits.enter_context(Node(url, self._pause, patience_s)) for url in urls
            ]
        self._current = 0

    def __repr__(self) -> str:
        return f"NodePool({self.nodes!r})"

    @property
    def name(self) -> str:
        """The name of the node that is asked at present."""
        return self.nodes[self._current].name

    def call(self, method: str, *params: Json) -> Json:
        """Return the result of one request. Raises `NodeError` or `ReplyError`."""
        (reply,) = self.batch([(method, list(params))])
        return result(reply)

    def batch(self, requests: Sequence[Request]) -> list[Json]:
        """Return the results of several requests, all of one node, as `Node.batch` does.

        Raises the `NodeError` of the last node if none answers. What sends a transaction is asked
        of one node: if that fails the next one is asked the next time.
        """
        is_sending = any(method == "eth_sendRawTransaction" for method, _ in requests)
        partial: list[Json] | None = None
        failures: list[NodeError] = []
        for place, node in self._in_turn():
            try:
                replies = node.batch(requests)
            except NodeError as error:
                failures.append(error)
                if is_sending:
                    break
                continue
            if not any(isinstance(one, ReplyError) and one.kind in _LACKS for one in replies):
                self._current = place
                return replies
            # The first one's answer stands if no other has all of it.
            partial = replies if partial is None else partial
        if partial is not None:
            return partial
        self.turn()
        if len(failures) == 1:
            raise failures[0]
        said = "; ".join(error.message for error in failures)
        raise NodeError(failures[-1].code, said, failures[-1].retry_after_s)

    def turn(self) -> None:
        """Ask the next node first from now on, as after answers that cannot be right."""
        self._current = (self._current + 1) % len(self.nodes)

    def _pause(self, seconds: float) -> None:
        self.pause(seconds)

    def _in_turn(self) -> Iterator[tuple[int, Node]]:
        first = self._current
        for step in range(len(self.nodes)):
            place = (first + step) % len(self.nodes)
            yield place, self.nodes[place]
