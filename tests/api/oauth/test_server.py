"""The authorization server as the SDK's own client meets it: from a 401 to a tool's answer."""

import json
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler
from ipaddress import IPv4Network
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import anyio
import httpx2
import pytest
from fastapi import FastAPI
from mcp import Client
from mcp.client.auth import OAuthClientProvider, OAuthFlowError
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthMetadata,
    OAuthToken,
)
from pydantic import AnyUrl

from api.oauth.clients import Clients
from orchestrator.client.outward import DocumentReader
from tests.support.api_service import ApiService, running_service, wallet
from tests.support.certificates import contexts_for
from tests.support.http_server import send, serving
from tests.support.mcp_client import ERAS, Era
from tests.support.oauth_flow import REDIRECT_URI, Browser

ANN = wallet("ann")


class Storage:
    """A client's memory of its tokens and its registration."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


class Person:
    """A person whose browser a client opens, and whose wallet allows what it asks for."""

    def __init__(self, service: ApiService, changes: dict[str, str]) -> None:
        self.service = service
        self.changes = changes
        self.answer: dict[str, str] = {}

    async def follow(self, url: str) -> None:
        def allow() -> dict[str, str]:
            with Browser(self.service) as browser:
                return browser.allow(dict(parse_qsl(urlsplit(url).query)), ANN)

        self.answer = await anyio.to_thread.run_sync(allow)

    async def come_back(self) -> AuthorizationCodeResult:
        return AuthorizationCodeResult.model_validate(self.answer | self.changes)


def connect(
    service: ApiService,
    storage: Storage,
    era: Era = "2026-07-28",
    url: str | None = None,
    changes: dict[str, str] | None = None,
) -> list[str]:
    """Return the tools that the SDK's client finds once it has authorized.

    What comes back to it is changed by `changes`.
    """
    person = Person(service, changes or {})
    provider = OAuthClientProvider(
        f"{service.url}/mcp",
        OAuthClientMetadata(redirect_uris=[AnyUrl(REDIRECT_URI)], client_name="Your Bank"),
        storage,
        person.follow,
        person.come_back,
        client_metadata_url=url,
    )

    async def run() -> list[str]:
        async with httpx2.AsyncClient(auth=provider, trust_env=False, timeout=30) as http:
            transport = streamable_http_client(f"{service.url}/mcp", http_client=http)
            async with Client(transport, mode=era) as client:
                return [tool.name for tool in (await client.list_tools()).tools]

    return anyio.run(run)


@pytest.mark.parametrize("era", ERAS)
def test_the_sdks_client_registers_signs_in_and_calls(service: ApiService, era: Era) -> None:
    storage = Storage()
    assert "list_surfaces" in connect(service, storage, era)
    assert storage.tokens is not None
    assert storage.client is not None
    assert storage.client.client_id.startswith("tsr_")
    me = service.client(storage.tokens.access_token).get("/v1/me").json()
    assert me["account"] == ANN.address
    # The operator's scopes are those that the resource names to a client that asks for none.
    assert storage.tokens.scope == " ".join(me["scopes"])
    assert all(scope.startswith("operator:") for scope in me["scopes"])


@pytest.mark.parametrize("changes", [{"iss": "https://other.example"}, {"state": "another"}])
def test_a_client_refuses_an_answer_of_another_author(
    service: ApiService, changes: dict[str, str]
) -> None:
    storage = Storage()
    with pytest.RaisesGroup(OAuthFlowError, flatten_subgroups=True):
        connect(service, storage, changes=changes)
    assert storage.tokens is None


def test_the_description_is_what_a_client_reads(service: ApiService) -> None:
    found = service.get("/.well-known/oauth-authorization-server")
    metadata = OAuthMetadata.model_validate(found)
    assert str(metadata.issuer) == service.url
    assert metadata.code_challenge_methods_supported == ["S256"]
    assert metadata.authorization_response_iss_parameter_supported
    resource = service.get("/.well-known/oauth-protected-resource/mcp")
    assert resource["authorization_servers"] == [found["issuer"]]


def test_the_sdks_client_is_known_by_its_document(database_url: str, tmp_path: Path) -> None:
    served, trusting = contexts_for("client.example", tmp_path)
    asked: list[str] = []

    def document(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        named = f"https://{handler.headers['Host']}{handler.path}"
        send(handler, json.dumps({"client_id": named, "redirect_uris": [REDIRECT_URI]}).encode())

    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    documents = DocumentReader((IPv4Network("127.0.0.0/8"),), resolve=resolve, tls=trusting)

    def trust(app: FastAPI) -> None:
        app.state.clients = Clients(documents)

    with (
        running_service(database_url, extend=trust) as service,
        serving(document, served) as url,
    ):
        storage = Storage()
        client_id = f"https://client.example:{url.rpartition(':')[2]}/id.json"
        assert "list_surfaces" in connect(service, storage, "2026-07-28", client_id)
        assert storage.client is not None
        assert storage.client.client_id == client_id
    # It is read when a person is asked, and not when the code comes.
    assert asked == ["/id.json"]
