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

from orchestrator.core.account.outward_url import (
    Address,
    Network,
    OutwardUrl,
    address_in,
    is_open,
    read_outward_url,
)
from orchestrator.core.common.errors import InputError

# Of documents: a small file at a URL that a stranger chose.
DEADLINE_S = 5.0
MAX_DOCUMENT_BYTES = 5_120
_DOCUMENT_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}
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
            target = read_outward_url(url, self._networks)
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

    async def _pinned(self, target: OutwardUrl) -> Address:
        """Return the address to connect to. Raises InputError if one of the host's is closed."""
        literal = address_in(target.host)
        named = [target.host] if literal else await self._resolve(target.host, target.port)
        found = [one for one in map(address_in, named) if one and is_open(one, self._networks)]
        if not found or len(found) < len(named):
            # Where they lead is not said: it would tell a stranger of our network.
            raise InputError("url-closed", "its host is not of the public Internet alone")
        address = found[0]
        if target.scheme == "http" and not any(address in one for one in self._networks):
            raise InputError("url-plain", "plain http is for networks that are opened alone")
        return address


def _at(target: OutwardUrl, address: Address) -> str:
    host = f"[{address}]" if address.version == 6 else str(address)
    return f"{target.scheme}://{host}:{target.port}{target.path}"


class DocumentReader:
    """A reader of documents. `networks` are closed ones that a deployment lets it reach."""

    def __init__(
        self,
        networks: Sequence[Network] = (),
        *,
        deadline_s: float = DEADLINE_S,
        resolve: Resolve = resolve,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._outward = Outward(networks, deadline_s, resolve, tls)

    async def read(self, url: str) -> bytes:
        """Return the document at a URL. Raises InputError, which says nothing of our network."""
        try:
            async with self._outward.ask("GET", url, _DOCUMENT_HEADERS) as answer:
                return await _document(answer)
        except (OSError, UnicodeError, httpx.HTTPError, httpx.InvalidURL, InputError):
            # TimeoutError is an OSError. Which of them it was would map our network to a stranger.
            raise InputError(
                "document-unread",
                "it cannot be read, or is not at one https address of the public Internet",
            ) from None


async def _document(answer: httpx.Response) -> bytes:
    """Return the body of an answer. Raises OSError for what is none, or too long."""
    if answer.status_code != httpx.codes.OK or "content-encoding" in answer.headers:
        raise OSError("no document")
    document = b""
    async for part in answer.aiter_raw(1_024):
        document += part
        if len(document) > MAX_DOCUMENT_BYTES:
            raise OSError("too long")
    return document
