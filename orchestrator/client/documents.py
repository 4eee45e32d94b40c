"""Documents of strangers: a small file at a URL that a stranger chose, read without doing harm."""

import ssl
from collections.abc import Sequence

import httpx

from orchestrator.client.outward import Outward, Resolve, resolve
from orchestrator.core.errors import InputError
from orchestrator.core.outward_url import Network

DEADLINE_S = 5.0
MAX_DOCUMENT_BYTES = 5_120
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}


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
            async with self._outward.ask("GET", url, _HEADERS) as answer:
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
