"""Authentication: signed messages, and API keys with scopes."""

import logging
from datetime import UTC, datetime

import httpx
import pytest
from eth_utils.crypto import keccak

from orchestrator.core.common.limits import Limits
from tests.support.api_service import (
    START_MS,
    ApiService,
    problem_of,
    signed,
    wallet,
)

# --- Signed messages ------------------------------------------------------------------------------


def altered(message: str, old: str, new: str) -> str:
    assert old in message
    return message.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new", "status", "code"),
    [
        ("127.0.0.1", "evil.example", 401, "domain-differs"),
        ("URI: http://127.0.0.1", "URI: http://evil.example", 401, "uri-differs"),
        ("Chain ID: 31337", "Chain ID: 1", 401, "chain-id-differs"),
        ("Chain ID: 31337", "Chain ID: 031337", 422, "message-malformed"),
        ("Nonce: ", "Nonce: f0", 401, "nonce-unknown"),
        ("2026-01-01T00:10", "2025-12-31T23:59", 401, "message-expired"),
        ("2026-01-01T00:10", "2026-01-01T00:11", 401, "nonce-unknown"),
        ("Version: 1", "Version: 2", 422, "message-malformed"),
        ("scope:owner:erase", "scope:owner:admin", 422, "scopes-unknown"),
        ("\n- urn:tallystick:scope:owner:erase", "", 422, "statement-differs"),
        ("owner:erase, ", "", 422, "statement-differs"),
        ("Sign in to", "Sign in\nto", 422, "message-malformed"),
    ],
)
def test_a_message_for_another_service_is_refused(
    service: ApiService, old: str, new: str, status: int, code: str
) -> None:
    message = altered(service.sign_in_message(wallet("visitor"), "owner"), old, new)
    answer = service.post_sign_in(message, signed(wallet("visitor"), message))
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_the_injected_clock_decides_what_has_expired(service: ApiService) -> None:
    message = service.sign_in_message(wallet("visitor"), "owner")
    assert datetime.fromtimestamp(START_MS // 1000, UTC).strftime("%Y-%m-%dT%H") in message
    with service.clock.moved_by(Limits().nonce_ttl_ms):
        answer = service.post_sign_in(message, signed(wallet("visitor"), message))
    assert (answer.status_code, answer.json()["code"]) == (401, "message-expired")


def test_a_contract_wallet_signs_in_by_its_contract(service: ApiService) -> None:
    account = wallet("safe")
    message = service.sign_in_message(account, "owner")
    text = message.encode()
    digest = keccak(b"\x19Ethereum Signed Message:\n%d" % len(text) + text)
    assert service.post_sign_in(message, "0xc0ffee").status_code == 401
    service.accepted_signatures.add((account.address, digest, bytes.fromhex("c0ffee")))
    assert service.post_sign_in(message, "0xc0ffee").status_code == 201


# --- Keys -----------------------------------------------------------------------------------------


def test_a_key_does_what_its_scopes_say(service: ApiService, owner: httpx.Client) -> None:
    body = {"lead": "0x" + "11" * 32, "action": "email"}
    answer = owner.post(
        f"/v1/surfaces/0x{'22' * 32}/touches", json=body, headers={"Idempotency-Key": "k"}
    )
    assert (answer.status_code, answer.json()["code"]) == (403, "scope-missing")
    assert "insufficient_scope" in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "key-missing"),
        ("Basic dXNlcjpwYXNz", "key-missing"),
        ("Bearer nonsense", "key-malformed"),
        ("Bearer tsk_" + "A" * 43, "key-unknown"),
    ],
)
def test_without_a_good_key_nothing_is_shown(
    service: ApiService, header: str | None, code: str
) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = service.http.get("/v1/keys", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_key_ends_when_it_expires(service: ApiService) -> None:
    client = service.sign_in(wallet("expired"), "owner")
    with service.clock.moved_by(Limits().key_ttl_ms):
        answer = client.get("/v1/keys")
    problem_of(answer, 401, "key-expired")


def test_secrets_are_not_logged(
    service: ApiService, owner: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    key = owner.headers["Authorization"].removeprefix("Bearer ")
    with caplog.at_level(logging.DEBUG):
        assert owner.get("/v1/keys").status_code == 200
        owner.post("/v1/surfaces", json={"name": "x"})
        service.http.get("/v1/keys", headers={"Authorization": f"Bearer {key}x"})
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("http")]
    assert not [line for line in ours if key in line]
