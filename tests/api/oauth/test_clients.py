"""Clients: the id of a registration is the registration, and a document is read with care."""

import asyncio
import json
from base64 import urlsafe_b64encode
from http.server import BaseHTTPRequestHandler
from ipaddress import IPv4Network
from typing import Any

import pytest

from api.oauth.clients import Clients, register
from api.oauth.parameters import OAuthError
from orchestrator.client.outward import DocumentReader
from tests.support.api_service import ApiService, row_count
from tests.support.http_server import send, serving
from tests.support.oauth_flow import Browser, request_of

LOOPBACK = (IPv4Network("127.0.0.0/8"),)
WEB = "https://app.example/callback"
CLIENTS = Clients(DocumentReader())


def refused(client_id: str, clients: Clients = CLIENTS) -> OAuthError:
    with pytest.raises(OAuthError) as caught:
        asyncio.run(clients.find(client_id))
    return caught.value


def id_of(*uris: object) -> str:
    return "tsr_" + urlsafe_b64encode(json.dumps(uris).encode()).rstrip(b"=").decode()


# --- Registration ---------------------------------------------------------------------------------


def test_an_id_says_what_was_registered_and_nothing_is_stored(service: ApiService) -> None:
    uris = [WEB, "http://127.0.0.1/cb", "com.example.app:/cb"]
    asked = {
        "client_name": "Your Bank",
        "redirect_uris": uris,
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "client_secret_basic",
    }
    before = rows_of(service)
    answer = service.http.post("/oauth/register", json=asked)
    assert answer.status_code == 201
    found = answer.json()
    assert found["redirect_uris"] == uris
    # No secret was given, so that none can be lost.
    assert found["token_endpoint_auth_method"] == "none"
    assert "client_secret" not in found
    again = service.http.post("/oauth/register", json=asked | {"client_name": "Another"})
    assert again.json() == found
    assert rows_of(service) == before
    client = asyncio.run(CLIENTS.find(found["client_id"]))
    assert [uri.text for uri in client.redirect_uris] == uris
    assert client.host is None


def rows_of(service: ApiService) -> dict[str, int]:
    """Return the number of rows of each table, but for what sources have spent."""
    with service.admin() as admin:
        tables = admin.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        names = [str(name) for (name,) in tables if name != "rate_limits"]
        return {name: row_count(admin, name) for name in names}


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        {"redirect_uris": []},
        {"redirect_uris": "https://app.example/callback"},
        {"redirect_uris": [7]},
        {"redirect_uris": ["http://app.example/callback"]},
        {"redirect_uris": ["javascript:/alert(1)"]},
        {"redirect_uris": [WEB] * 9},
        {"redirect_uris": [WEB + "a" * 400, WEB + "b" * 400]},
        {"redirect_uris": [WEB], "grant_types": ["client_credentials"]},
        {"redirect_uris": [WEB], "response_types": ["token"]},
        {"redirect_uris": [WEB], "grant_types": "authorization_code"},
    ],
)
def test_what_can_not_be_served_is_not_registered(service: ApiService, document: Any) -> None:
    answer = service.http.post("/oauth/register", json=document)
    assert answer.status_code == 400
    assert answer.json()["error"] in {"invalid_client_metadata", "invalid_redirect_uri"}


@pytest.mark.parametrize(
    "client_id",
    [
        "",
        "tsr_",
        "tsr_!",
        "tsr_é",
        id_of(),
        id_of("http://evil.example/"),
        id_of(*[WEB] * 9),
        id_of(WEB, 7),
        id_of({"redirect_uris": [WEB]}),
        # Another writing of a right one.
        str(register({"redirect_uris": [WEB]})["client_id"]) + "=",
        "tsr_" + urlsafe_b64encode(b'[ "https://app.example/callback"]').decode(),
        "tsr_" + urlsafe_b64encode(b"[" * 5_000).decode(),
    ],
)
def test_an_id_that_no_registration_returned_is_refused(client_id: str) -> None:
    assert refused(client_id).code == "invalid_request"


# --- Documents ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "client_id",
    [
        "https://127.0.0.1/id.json",
        "https://localhost/id.json",
        "https://169.254.169.254/latest/meta-data",
        "https://metadata/id.json",
        "https://2130706433/id.json",
        "http://client.example/id.json",
        "https://client.example",
        "https://client.example/",
        "https://client.example/a/../id.json",
        "https://client.example/./id.json",
        "https://client.example/id.json?x=1",
        "https://client.example/id.json#x",
        "https://client.example/%2e%2e/id.json",
        "https://user@client.example/id.json",
        "https://Client.example/id.json",
        "https://[::1]/id.json",
        "file:///etc/passwd",
        "https://client.example/" + "a" * 512,
    ],
)
def test_an_id_that_leads_to_no_clients_document_is_refused(
    service: ApiService, client_id: str
) -> None:
    assert refused(client_id).code == "invalid_request"
    with Browser(service) as browser:
        page = browser.open(request_of(service, client_id))
        assert page.status_code == 400
        assert "href" not in page.text


def described(**changes: Any) -> str:
    """Return why a client's document with these changes is refused."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        url = f"http://{handler.headers['Host']}{handler.path}"
        document = {"client_id": url, "redirect_uris": [WEB]} | changes
        send(handler, json.dumps(document).encode())

    with serving(answer) as url:
        return refused(f"{url}/id.json", Clients(DocumentReader(LOOPBACK))).description


def test_a_document_is_that_of_its_own_url() -> None:
    assert "another client_id" in described(client_id="https://client.example/id.json")
    assert "another client_id" in described(client_id=None)
    assert "secret" in described(client_secret="s")
    assert "grant_types" in described(grant_types=["client_credentials"])
    assert "redirect URI" in described(redirect_uris=["http://evil.example/"])
    assert "list" in described(redirect_uris=None)
    with serving(lambda handler: send(handler, b"<html>")) as url:
        clients = Clients(DocumentReader(LOOPBACK))
        assert "not JSON" in refused(f"{url}/id.json", clients).description


def test_few_documents_are_read_at_once() -> None:
    async def find(clients: Clients, url: str) -> str:
        try:
            await clients.find(url)
        except OAuthError as error:
            return error.code
        return "found"

    async def all_at_once(url: str) -> list[str]:
        clients = Clients(DocumentReader(LOOPBACK, deadline_s=1))
        return await asyncio.gather(*(find(clients, f"{url}/id.json") for _ in range(10)))

    with serving(lambda handler: handler.rfile.read(1)) as url:
        codes = asyncio.run(all_at_once(url))
    assert sorted(codes) == ["invalid_request"] * 8 + ["temporarily_unavailable"] * 2
