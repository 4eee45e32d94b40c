"""The sending of one message over HTTP, to an address that was judged and to no other.

The name is resolved once, all its addresses are judged, and the connection goes to one of these:
what the name resolves to a moment later does not matter. No redirect is followed, no body of an
answer is read, and all of it has one deadline.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

import httpx

from orchestrator.core.errors import InputError, shorten
from orchestrator.core.webhook_url import (
    Address,
    Network,
    WebhookUrl,
    address_in,
    is_open,
    read_webhook_url,
)

DEADLINE_S = 10.0
MAX_FAULT_CHARS = 120

# (host, port) → the addresses that it has now. Raises OSError.
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class Reply(NamedTuple):
    """The outcome of a try: the status of an answer, or why there was none that counts."""

    status: int | None
    fault: str | None

    @property
    def is_taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


async def resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host, as the system resolves it. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


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
        self._networks = networks
        self._deadline_s = deadline_s
        self._resolve = resolve
        self._tls = tls or ssl.create_default_context()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Send a message, and return what came of it."""
        try:
            async with asyncio.timeout(self._deadline_s):
                target = read_webhook_url(url, self._networks)
                status = await self._send(target, await self._pinned(target), headers, body)
        except InputError as error:
            return Reply(None, error.code)
        except TimeoutError:
            return Reply(None, "timeout")
        except (OSError, UnicodeError):
            return Reply(None, "name-unresolved")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Reply(None, shorten(f"{type(error).__name__}: {error}")[:MAX_FAULT_CHARS])
        return Reply(status, None if 200 <= status < 300 else f"status {status}")

    async def _pinned(self, target: WebhookUrl) -> Address:
        """Return the address to connect to. Raises InputError if one of the host's is closed."""
        literal = address_in(target.host)
        named = [target.host] if literal else await self._resolve(target.host, target.port)
        found = [one for one in map(address_in, named) if one and is_open(one, self._networks)]
        if not found or len(found) < len(named):
            # Where they lead is not said: it would tell an account of our network.
            raise InputError("webhook-address", "its host is not of the public Internet alone")
        address = found[0]
        if target.scheme == "http" and not any(address in one for one in self._networks):
            raise InputError("webhook-plain", "plain http is for networks that are opened alone")
        return address

    async def _send(
        self, target: WebhookUrl, address: Address, headers: Mapping[str, str], body: bytes
    ) -> int:
        host = f"[{address}]" if address.version == 6 else str(address)
        url = f"{target.scheme}://{host}:{target.port}{target.path}"
        async with (
            httpx.AsyncClient(
                verify=self._tls,
                trust_env=False,
                follow_redirects=False,
                timeout=self._deadline_s,
            ) as client,
            client.stream(
                "POST",
                url,
                headers={**headers, "Host": target.authority},
                content=body,
                extensions={"sni_hostname": target.host},
            ) as answer,
        ):
            # Leaving the block closes the connection: what else the answer holds is not read.
            return answer.status_code
