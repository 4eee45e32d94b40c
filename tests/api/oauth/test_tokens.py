"""Tokens under attack: a code is its client's, with its proof, once; a key can be given back."""

import threading
from typing import Any

import httpx
import pytest

from tests.support.api_service import ApiService, problem_of, wallet
from tests.support.oauth_flow import VERIFIER, Browser, exchange, register, request_of

ANN, BEN = wallet("ann"), wallet("ben")
Given = tuple[dict[str, str], str]


@pytest.fixture
def given(service: ApiService) -> Given:
    """A request that a person has allowed, and the code that its client was sent."""
    asked = request_of(service, register(service))
    with Browser(service) as browser:
        return asked, browser.allow(asked, ANN)["code"]


def error_of(answer: httpx.Response) -> str:
    assert answer.status_code == 400, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    body = answer.json()
    assert set(body) == {"error", "error_description"}
    error: str = body["error"]
    return error


def status_of(service: ApiService, key: str) -> int:
    return service.client(key).get("/v1/me").status_code


def test_a_code_becomes_a_delegates_key_of_these_scopes(service: ApiService, given: Given) -> None:
    asked, code = given
    issued = exchange(service, asked, code).json()
    assert (issued["token_type"], issued["scope"]) == ("Bearer", "operator:forecast operator:read")
    client = service.client(issued["access_token"])
    me = client.get("/v1/me").json()
    assert me["account"] == ANN.address
    assert me["scopes"] == ["operator:forecast", "operator:read"]
    assert 0 < issued["expires_in"] * 1000 <= service.clock() + 31 * 86_400_000
    # It makes no keys, and reads and ends none but its own.
    more: dict[str, Any] = {"name": "more", "scopes": ["operator:read"]}
    assert problem_of(client.post("/v1/keys", json=more), 403, "delegate-forbidden")
    assert problem_of(client.delete("/v1/keys"), 403, "delegate-forbidden")
    assert [one["id"] for one in client.get("/v1/keys").json()["keys"]] == [me["key"]]
    # Its wallet sees it under the host that it was granted to, and ends it.
    wallets = service.sign_in(ANN, "operator")
    (named,) = [one for one in wallets.get("/v1/keys").json()["keys"] if one["id"] == me["key"]]
    assert named["name"] == "OAuth 127.0.0.1"
    assert wallets.delete(f"/v1/keys/{me['key']}").status_code == 204
    assert problem_of(client.get("/v1/me"), 401, "key-revoked")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"code_verifier": "w" * 64}, "invalid_grant"),
        ({"code_verifier": ""}, "invalid_grant"),
        ({"code_verifier": "v" * 42}, "invalid_grant"),
        # Without S256 the challenge itself would be its own proof.
        ({"code_verifier": "challenge"}, "invalid_grant"),
        ({"redirect_uri": "http://127.0.0.1:33418/other"}, "invalid_grant"),
        ({"redirect_uri": "http://127.0.0.1:50123/callback"}, "invalid_grant"),
        ({"redirect_uri": ""}, "invalid_grant"),
        ({"client_id": ""}, "invalid_grant"),
        ({"client_id": "https://client.example/id.json"}, "invalid_grant"),
    ],
)
def test_a_code_is_its_clients_alone_and_is_tried_once(
    service: ApiService, given: Given, change: dict[str, str], error: str
) -> None:
    asked, code = given
    if change.get("code_verifier") == "challenge":
        change = {"code_verifier": asked["code_challenge"]}
    assert error_of(exchange(service, asked, code, **change)) == error
    # A code that was tried with a wrong proof has been in wrong hands.
    assert error_of(exchange(service, asked, code)) == "invalid_grant"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"resource": "https://other.example/mcp"}, "invalid_target"),
        ({"grant_type": "refresh_token"}, "unsupported_grant_type"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": ""}, "invalid_request"),
        ({"code": ""}, "invalid_request"),
        ({"code": "of another server"}, "invalid_grant"),
    ],
)
def test_a_request_that_is_none_costs_no_code(
    service: ApiService, given: Given, change: dict[str, str], error: str
) -> None:
    asked, code = given
    assert error_of(exchange(service, asked, code, **change)) == error
    assert exchange(service, asked, code, resource=f"{service.url}/mcp").status_code == 200


def test_a_code_that_comes_again_ends_what_was_issued(service: ApiService, given: Given) -> None:
    asked, code = given
    key = exchange(service, asked, code).json()["access_token"]
    assert status_of(service, key) == 200
    thief = exchange(service, asked, code, code_verifier="x" * 64)
    assert error_of(thief) == "invalid_grant"
    assert problem_of(service.client(key).get("/v1/me"), 401, "key-revoked")


def test_of_tries_at_once_none_leaves_a_live_key(service: ApiService, given: Given) -> None:
    asked, code = given
    answers: list[httpx.Response] = []
    threads = [
        threading.Thread(target=lambda: answers.append(exchange(service, asked, code)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    issued = [one.json()["access_token"] for one in answers if one.status_code == 200]
    assert len(issued) <= 1
    assert [status_of(service, key) for key in issued] == [401] * len(issued)


def test_a_code_ends_within_a_minute(service: ApiService, given: Given) -> None:
    asked, code = given
    service.clock.now_ms += 60_000
    assert error_of(exchange(service, asked, code)) == "invalid_grant"


def test_an_account_with_too_many_keys_is_told_by_its_client(service: ApiService) -> None:
    service.sign_in(BEN, "operator")
    with service.admin() as admin:
        admin.execute(
            "INSERT INTO api_keys"
            " (key, account, secret_hash, parent, name, scopes, created_ms, expires_ms)"
            " SELECT sha256(n::text::bytea), account, sha256(n::text::bytea), key, 'n', scopes,"
            " created_ms, expires_ms FROM generate_series(1, 100) AS n, api_keys"
            " WHERE account = %s",
            (BEN.address.lower(),),
        )
    asked = request_of(service, register(service))
    with Browser(service) as browser:
        answer = exchange(service, asked, browser.allow(asked, BEN)["code"])
    assert error_of(answer) == "invalid_grant"
    assert "100 live delegates" in answer.json()["error_description"]


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (b"grant_type=authorization_code&code=1&code=2", "application/x-www-form-urlencoded"),
        (b'{"grant_type": "authorization_code"}', "application/json"),
        (b"\xff=1", "application/x-www-form-urlencoded"),
        (b"a=%ff", "application/x-www-form-urlencoded"),
        (b"&".join(b"a%d=1" % number for number in range(33)), "application/x-www-form-urlencoded"),
    ],
)
def test_a_body_that_could_be_read_in_two_ways_is_refused(
    service: ApiService, content: bytes, media_type: str
) -> None:
    for path in ("/oauth/token", "/oauth/revoke"):
        answer = service.http.post(path, content=content, headers={"Content-Type": media_type})
        assert error_of(answer) == "invalid_request"


def test_a_client_gives_its_key_back(service: ApiService, given: Given) -> None:
    asked, code = given
    key = exchange(service, asked, code).json()["access_token"]
    other = service.sign_in(ANN, "operator")
    for _ in range(2):
        assert service.http.post("/oauth/revoke", data={"token": key}).status_code == 200
        assert status_of(service, key) == 401
    assert other.get("/v1/me").status_code == 200
    # What is no key is told apart from one by nothing.
    assert service.http.post("/oauth/revoke", data={"token": "tsk_" + "A" * 43}).status_code == 200
    assert error_of(service.http.post("/oauth/revoke", data={})) == "invalid_request"


def test_a_key_of_another_server_is_none_here(service: ApiService) -> None:
    answer = service.client("tsk_" + "B" * 43).post("/mcp", json={})
    assert answer.status_code == 401
    assert "/.well-known/oauth-protected-resource/mcp" in answer.headers["WWW-Authenticate"]
    # Nor is a code a key, or a verifier.
    assert problem_of(service.client(VERIFIER).get("/v1/me"), 401, "key-malformed")
