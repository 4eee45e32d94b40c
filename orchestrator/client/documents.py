"""Documents of strangers: a small file at a URL that a stranger chose, read without doing harm.

The URL may lead to anything, our own network above all. So the name is resolved once, every address
that it has is judged, and the connection goes to one of those: a name that changes its mind comes
too late. No redirect is followed, and time and size are bounded.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence

import httpx

from orchestrator.client.http import tls_settings
from orchestrator.core.errors import InputError
from orchestrator.core.webhook_url import (
    Network,
    WebhookUrl,
    address_in,
    is_open,
    read_webhook_url,
)

DEADLINE_S = 5.0
MAX_DOCUMENT_BYTES = 5_120

# (host, port) → the addresses that it has now. Raises OSError.
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


async def system_addresses(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host, as the system resolves it. Raises OSError."""
    lookup = asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(found[4][0]) for found in await lookup]


class DocumentReader:
    """A reader of documents. `networks` are closed ones that a deployment lets it reach."""

    def __init__(
        self,
        networks: Sequence[Network] = (),
        *,
        deadline_s: float = DEADLINE_S,
        resolve: Resolve = system_addresses,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._networks = networks
        self._deadline_s = deadline_s
        self._resolve = resolve
        self._tls = tls or tls_settings(trust_env=False)

    async def read(self, url: str) -> bytes:
        """Return the document at a URL. Raises InputError, which says nothing of our network."""
        try:
            place = read_webhook_url(url, self._networks)
            async with asyncio.timeout(self._deadline_s):
                return await self._fetched(place, await self._judged(place))
        except (OSError, UnicodeError, httpx.HTTPError, httpx.InvalidURL, InputError):
            # TimeoutError is an OSError. Which of them it was would map our network to a stranger.
            raise InputError(
                "document-unread",
                "it cannot be read, or is not at one https address of the public Internet",
            ) from None

    async def _judged(self, place: WebhookUrl) -> str:
        """Return the address to connect to, if all that the host has are open."""
        resolved = [place.host]
        if address_in(place.host) is None:
            resolved = list(await self._resolve(place.host, place.port))
        judged = [address_in(one) for one in resolved]
        if not judged or not all(one and is_open(one, self._networks) for one in judged):
            raise OSError("closed")
        first = judged[0]
        # Plain http shows itself to every network that it passes, so it is for opened ones.
        if place.scheme == "http" and not any(first in network for network in self._networks):
            raise OSError("plain")
        return f"[{first}]" if first is not None and first.version == 6 else str(first)

    async def _fetched(self, place: WebhookUrl, address: str) -> bytes:
        request = httpx.Request(
            "GET",
            f"{place.scheme}://{address}:{place.port}{place.path}",
            headers={
                "Host": place.authority,
                "Accept": "application/json",
                "Accept-Encoding": "identity",
            },
            extensions={"sni_hostname": place.host},
        )
        client = httpx.AsyncClient(verify=self._tls, trust_env=False, timeout=self._deadline_s)
        async with client:
            answer = await client.send(request, stream=True, follow_redirects=False)
            if answer.status_code != httpx.codes.OK or "content-encoding" in answer.headers:
                raise OSError("no document")
            document = b""
            async for part in answer.aiter_raw(1_024):
                document += part
                if len(document) > MAX_DOCUMENT_BYTES:
                    raise OSError("too long")
            return document
