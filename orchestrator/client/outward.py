"""Requests to URLs that strangers chose, each to an address that was judged and to no other.

The name is resolved once, all its addresses are judged, and the connection goes to one of these:
what the name resolves to a moment later does not matter. No redirect is followed. The caller reads
as much of an answer as it wants, within one deadline for all of it.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache

import httpx

from orchestrator.core.errors import InputError
from orchestrator.core.webhook_url import (
    Address,
    Network,
    WebhookUrl,
    address_in,
    is_open,
    read_webhook_url,
)

# (host, port) → the addresses that it has now. Raises OSError.
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


async def resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host, as the system resolves it. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


@cache
def _system_tls() -> ssl.SSLContext:
    """Return the settings that trust what the system trusts: to load them takes 60 ms."""
    return ssl.create_default_context()


class Outward:
    """The way to strangers' URLs. `networks` are closed ones that a deployment opens to it."""

    def __init__(
        self,
        networks: Sequence[Network],
        deadline_s: float,
        resolve: Resolve = resolve,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._networks = networks
        self._deadline_s = deadline_s
        self._resolve = resolve
        self._tls = tls or _system_tls()

    @asynccontextmanager
    async def ask(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b""
    ) -> AsyncIterator[httpx.Response]:
        """Send a request, and give the answer while its body is unread.

        Raises InputError for a URL or an address that is not asked, TimeoutError, OSError or
        UnicodeError for a name that is not found, and httpx's own errors.
        """
        async with asyncio.timeout(self._deadline_s):
            target = read_webhook_url(url, self._networks)
            address = await self._pinned(target)
            async with (
                httpx.AsyncClient(
                    verify=self._tls,
                    trust_env=False,
                    follow_redirects=False,
                    timeout=self._deadline_s,
                ) as client,
                client.stream(
                    method,
                    _at(target, address),
                    headers={**headers, "Host": target.authority},
                    content=body,
                    extensions={"sni_hostname": target.host},
                ) as answer,
            ):
                # Leaving the block closes the connection: what else the answer holds is not read.
                yield answer

    async def _pinned(self, target: WebhookUrl) -> Address:
        """Return the address to connect to. Raises InputError if one of the host's is closed."""
        literal = address_in(target.host)
        named = [target.host] if literal else await self._resolve(target.host, target.port)
        found = [one for one in map(address_in, named) if one and is_open(one, self._networks)]
        if not found or len(found) < len(named):
            # Where they lead is not said: it would tell a stranger of our network.
            raise InputError("webhook-address", "its host is not of the public Internet alone")
        address = found[0]
        if target.scheme == "http" and not any(address in one for one in self._networks):
            raise InputError("webhook-plain", "plain http is for networks that are opened alone")
        return address


def _at(target: WebhookUrl, address: Address) -> str:
    host = f"[{address}]" if address.version == 6 else str(address)
    return f"{target.scheme}://{host}:{target.port}{target.path}"
