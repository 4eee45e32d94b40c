"""The sending of one message over HTTP: what came of it, in few words.

How its address is judged is in `orchestrator/client/outward.py`. No body of an answer is read.
"""

import ssl
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import httpx

from orchestrator.client.http import trouble_of
from orchestrator.client.outward import Outward, Resolve, resolve
from orchestrator.core.account.outward_url import Network
from orchestrator.core.common.errors import InputError, shorten
from orchestrator.core.common.limits import Limits

DEADLINE_S = Limits().webhook_try_ms / 1000
MAX_FAULT_CHARS = 120


class Reply(NamedTuple):
    """The outcome of a try: the status of an answer, or why there was none that counts."""

    status: int | None
    fault: str | None

    @property
    def is_taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class Poster:
    """The sender of messages. `networks` are closed ones that a deployment opens to webhooks."""

    def __init__(
        self,
        networks: Sequence[Network] = (),
        *,
        deadline_s: float = DEADLINE_S,
        resolve: Resolve = resolve,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._outward = Outward(networks, deadline_s, resolve, tls)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Send a message, and return what came of it."""
        try:
            async with self._outward.ask("POST", url, headers, body) as answer:
                status = answer.status_code
        except InputError as error:
            return Reply(None, error.code)
        except TimeoutError:
            return Reply(None, "timeout")
        except (OSError, UnicodeError):
            return Reply(None, "name-unresolved")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Reply(None, shorten(f"{trouble_of(error)}: {error}")[:MAX_FAULT_CHARS])
        return Reply(status, None if 200 <= status < 300 else f"status {status}")
