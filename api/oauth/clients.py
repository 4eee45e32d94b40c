"""Clients: the programs that people let act for them, and where their answers may go.

A client is known by its id alone, and nothing of it is stored. An id that is a URL leads to the
client's own document. Any other is what registration returned: the redirect URIs themselves,
encoded. A registration proves nothing about a client, so there is nothing in it to remember.
"""

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from anyio import CapacityLimiter, WouldBlock

from api.http.json_input import MalformedError, parse_json
from api.oauth.parameters import OAuthError
from orchestrator.client.outward import DocumentReader
from orchestrator.core.account.redirect import RedirectUri, is_registered, read_redirect_uri
from orchestrator.core.common.document import canonical_json
from orchestrator.core.common.errors import InputError

ID_PREFIX = "tsr_"
MAX_REDIRECT_URIS = 8
MAX_REGISTERED_BYTES = 768
MAX_URL_BYTES = 512
DOCUMENTS_AT_ONCE = 8
# A client's URL has nothing that two readers could take for two things, or one for two clients.
_URL = re.compile(r"https?://[a-z0-9.-]+(?::[0-9]{1,5})?(?:/(?!\.\.?(?:/|$))[A-Za-z0-9._~-]+)+")


class Client(NamedTuple):
    """A client. `host` is that of its own document, which has shown that the id is its own."""

    id: str
    redirect_uris: tuple[RedirectUri, ...]
    host: str | None = None

    def redirect_to(self, asked: str) -> RedirectUri:
        """Return the URI that an answer may go to. Raises `OAuthError` for another."""
        uri = _read_uri(asked)
        if not any(is_registered(uri, registered) for registered in self.redirect_uris):
            raise OAuthError("invalid_redirect_uri", "the redirect URI is none of this client's")
        return uri


class Clients:
    """The clients that there can be. `documents` reads those that are known by a URL."""

    def __init__(self, documents: DocumentReader) -> None:
        self._documents = documents
        self._reading = CapacityLimiter(DOCUMENTS_AT_ONCE)

    async def find(self, client_id: str) -> Client:
        """Return the client of an id. Raises `OAuthError` if there is none."""
        if client_id.startswith(ID_PREFIX):
            return _registered(client_id)
        if len(client_id) > MAX_URL_BYTES or not _URL.fullmatch(client_id):
            raise OAuthError(
                "invalid_request",
                "the client id is neither one of a registration here nor the https URL of a "
                "client's document",
            )
        return _described(client_id, await self._read(client_id))

    async def _read(self, url: str) -> bytes:
        try:
            self._reading.acquire_nowait()
        except WouldBlock:
            raise OAuthError("temporarily_unavailable", "too many clients are looked up") from None
        try:
            return await self._documents.read(url)
        except InputError as error:
            raise OAuthError(
                "invalid_request", f"of the client's document: {error.message}"
            ) from None
        finally:
            self._reading.release()


def register(document: object) -> dict[str, object]:
    """Return the registration of what a client says of itself (RFC 7591). Raises `OAuthError`.

    A client of people keeps no secret, so it is given none, whatever it asks for.
    """
    if not isinstance(document, dict):
        raise OAuthError("invalid_client_metadata", "the body must be a JSON object")
    _check_use(document)
    uris = _read_uris(document.get("redirect_uris"))
    packed = canonical_json([uri.text for uri in uris])
    if len(packed) > MAX_REGISTERED_BYTES:
        raise OAuthError(
            "invalid_redirect_uri",
            f"the redirect URIs have {len(packed)} bytes together, and at most "
            f"{MAX_REGISTERED_BYTES} may; register fewer, or use a document",
        )
    return {
        "client_id": _id_of(packed),
        "redirect_uris": [uri.text for uri in uris],
        "grant_types": ["authorization_code"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    }


def _id_of(packed: bytes) -> str:
    return ID_PREFIX + urlsafe_b64encode(packed).rstrip(b"=").decode()


def _registered(client_id: str) -> Client:
    """Return the client that a registration's id holds. Raises `OAuthError` for what is none."""
    body = client_id.removeprefix(ID_PREFIX)
    try:
        packed = urlsafe_b64decode(body + "=" * (-len(body) % 4))
        uris = _read_uris(parse_json(packed))
    except (binascii.Error, ValueError, MalformedError, OAuthError):
        uris = ()
    # An id that is written otherwise would be another name of the same client.
    if not uris or _id_of(canonical_json([uri.text for uri in uris])) != client_id:
        raise OAuthError(
            "invalid_request", "the client id is none that a registration here returned"
        )
    return Client(client_id, uris)


def _described(url: str, data: bytes) -> Client:
    """Return the client of a document at a URL. Raises `OAuthError`."""
    try:
        document = parse_json(data)
    except MalformedError as error:
        raise OAuthError("invalid_request", f"the client's document {error}") from None
    if not isinstance(document, dict) or document.get("client_id") != url:
        raise OAuthError(
            "invalid_request", "the client's document names another client_id than its URL"
        )
    if "client_secret" in document:
        raise OAuthError("invalid_request", "the client's document holds a secret for all to read")
    _check_use(document)
    return Client(url, _read_uris(document.get("redirect_uris")), urlsplit(url).netloc)


def _check_use(document: dict[str, Any]) -> None:
    """Raise `OAuthError` unless a client can do what is offered here: codes, with no secret."""
    for name, offered in (("grant_types", "authorization_code"), ("response_types", "code")):
        asked = document.get(name, [offered])
        if not isinstance(asked, list) or offered not in asked:
            raise OAuthError("invalid_client_metadata", f"{name} must contain {offered}")


def _read_uris(listed: object) -> tuple[RedirectUri, ...]:
    if not isinstance(listed, Sequence) or isinstance(listed, str):
        raise OAuthError("invalid_redirect_uri", "redirect_uris must be a list")
    if not 0 < len(listed) <= MAX_REDIRECT_URIS:
        raise OAuthError(
            "invalid_redirect_uri", f"redirect_uris must have 1 to {MAX_REDIRECT_URIS} URIs"
        )
    return tuple(_read_uri(uri) for uri in listed)


def _read_uri(uri: object) -> RedirectUri:
    try:
        return read_redirect_uri(uri if isinstance(uri, str) else "")
    except InputError as error:
        raise OAuthError("invalid_redirect_uri", error.message) from None
