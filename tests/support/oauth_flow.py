"""A client, a browser and a wallet that authorize by OAuth, in steps that a test can change."""

import re
from base64 import urlsafe_b64encode
from hashlib import sha256
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
from eth_account.signers.local import LocalAccount

from orchestrator.client.http import tls_settings
from tests.support.api_service import ApiService, signed

REDIRECT_URI = "http://127.0.0.1:33418/callback"
VERIFIER = "v" * 64
STATE = "state of the client"


def challenge_of(verifier: str) -> str:
    """Return the PKCE challenge (S256) of a verifier."""
    return urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def register(service: ApiService, *redirect_uris: str) -> str:
    """Return the id of a client that registers itself."""
    body = {"client_name": "Your Bank", "redirect_uris": list(redirect_uris or (REDIRECT_URI,))}
    answer = service.http.post("/oauth/register", json=body)
    assert answer.status_code == 201, answer.text
    client_id: str = answer.json()["client_id"]
    return client_id


def request_of(service: ApiService, client_id: str, **changes: str | None) -> dict[str, str]:
    """Return a client's request; a parameter that is None is left out."""
    asked: dict[str, str | None] = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": REDIRECT_URI,
        "state": STATE,
        "code_challenge": challenge_of(VERIFIER),
        "code_challenge_method": "S256",
        "resource": f"{service.url}/mcp",
        "scope": "operator:read operator:forecast",
    }
    return {name: value for name, value in (asked | changes).items() if value is not None}


class Browser:
    """A person's browser: it keeps cookies, and its page speaks for a wallet."""

    def __init__(self, service: ApiService) -> None:
        self.http = httpx.Client(
            base_url=service.url, trust_env=False, timeout=30, verify=tls_settings(trust_env=False)
        )
        self.origin = {"Origin": service.url}

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def open(self, asked: dict[str, str]) -> httpx.Response:
        """Return the page that a client's request leads to."""
        return self.http.get("/oauth/authorize?" + urlencode(asked))

    def begin(self, asked: dict[str, str]) -> str:
        """Return the request that the page holds."""
        page = self.open(asked)
        assert page.status_code == 200, page.text
        found = re.search(r'data-request="([^"]+)"', page.text)
        assert found is not None
        return unescape(found[1])

    def post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        """Return the answer to the page."""
        return self.http.post(f"/oauth/{path}", json=body, headers=self.origin)

    def message(self, request: str, account: LocalAccount) -> str:
        """Return the message that the wallet is to sign."""
        answer = self.post("message", {"request": request, "address": account.address})
        assert answer.status_code == 200, answer.text
        text: str = answer.json()["message"]
        return text

    def consent(self, request: str, account: LocalAccount) -> httpx.Response:
        """Have the wallet sign, and return the answer."""
        signature = signed(account, self.message(request, account))
        body = {"request": request, "address": account.address, "signature": signature}
        return self.post("consent", body)

    def allow(self, asked: dict[str, str], account: LocalAccount) -> dict[str, str]:
        """Return the parameters that come to the client when a person allows its request."""
        answer = self.consent(self.begin(asked), account)
        assert answer.status_code == 200, answer.text
        return answered(answer.json()["redirect"], asked["redirect_uri"])


def answered(url: str, redirect_uri: str) -> dict[str, str]:
    """Return the parameters of an answer, which goes to the redirect URI and nowhere else."""
    assert url.startswith(f"{redirect_uri}?"), url
    return dict(parse_qsl(urlsplit(url).query, strict_parsing=True))


def exchange(
    service: ApiService, asked: dict[str, str], code: str, /, **changes: str
) -> httpx.Response:
    """Return the answer to a client that shows a code."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "client_id": asked["client_id"],
        "redirect_uri": asked["redirect_uri"],
        "code_verifier": VERIFIER,
        **changes,
    }
    return service.http.post("/oauth/token", data=form)
