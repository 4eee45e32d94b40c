"""Signing in with a wallet, and what a key may do."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import httpx
import pytest
from eth_utils.crypto import keccak

from api.context import Limits
from tests.support.api_service import START_MS, Stage, signed, wallet


def ask(here: Stage, *scopes: str, name: str = "someone") -> str:
    asked = {"address": wallet(name).address, "scopes": list(scopes)}
    message: str = here.http.post("/v1/sign-in/nonce", json=asked).json()["message"]
    return message


def sign_in(here: Stage, message: str, signature: str) -> httpx.Response:
    return here.http.post("/v1/sign-in", json={"message": message, "signature": signature})


def test_a_nonce_comes_with_all_that_a_message_needs(here: Stage) -> None:
    answer = here.http.post("/v1/sign-in/nonce")
    assert answer.status_code == 200
    told = answer.json()
    assert told["message"] is None
    assert told["domain"] == here.url.removeprefix("http://")
    assert (told["uri"], told["chain_id"]) == (here.url, 31337)
    assert told["expires_ms"] > here.clock.now
    assert told["nonce"] != here.http.post("/v1/sign-in/nonce").json()["nonce"]


def test_a_key_is_shown_once_and_kept_as_a_hash(here: Stage) -> None:
    message = ask(here, "owner")
    told = sign_in(here, message, signed(wallet("someone"), message)).json()
    assert told["account"] == wallet("someone").address
    assert told["scopes"] == ["owner"]
    assert told["registration"] is None
    with here.admin() as admin:
        hashes = {bytes(row[0]) for row in admin.execute("SELECT key_hash FROM api_keys")}
    assert hashlib.sha256(told["key"].encode()).digest() in hashes


def test_an_operator_is_registered_in_the_log_once(here: Stage) -> None:
    account = wallet("newcomer")
    for _ in range(2):
        here.sign_in(account, "operator", "owner")
    entries = here.http.get("/v1/log/entries?limit=1000").json()["entries"]
    word = account.address[2:].lower()
    kind = b"operator.registered".hex()
    assert sum(e["entry"][2:].startswith(kind) and word in e["entry"] for e in entries) == 1


def test_a_nonce_is_used_once(here: Stage) -> None:
    message = ask(here, "owner")
    signature = signed(wallet("someone"), message)
    assert sign_in(here, message, signature).status_code == 201
    again = sign_in(here, message, signature)
    assert (again.status_code, again.json()["code"]) == (401, "nonce-unknown")


def test_a_failed_sign_in_leaves_the_nonce_for_its_owner(here: Stage) -> None:
    message = ask(here, "owner")
    assert sign_in(here, message, signed(wallet("thief"), message)).status_code == 401
    assert sign_in(here, message, signed(wallet("someone"), message)).status_code == 201


def altered(message: str, old: str, new: str) -> str:
    assert old in message
    return message.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new", "status", "code"),
    [
        ("127.0.0.1", "evil.example", 401, "sign-in-refused"),
        ("URI: http://127.0.0.1", "URI: http://evil.example", 401, "sign-in-refused"),
        ("Chain ID: 31337", "Chain ID: 1", 401, "sign-in-refused"),
        ("Chain ID: 31337", "Chain ID: 031337", 422, "message-malformed"),
        ("Nonce: ", "Nonce: f0", 401, "nonce-unknown"),
        ("2026-01-01T00:10", "2025-12-31T23:59", 401, "sign-in-refused"),
        ("Version: 1", "Version: 2", 422, "message-malformed"),
        ("scope:owner", "scope:admin", 422, "scopes-unknown"),
        ("Resources:\n- urn:tallystick:scope:owner", "Request ID: x", 422, "scopes-unknown"),
        ("Sign in to", "Sign in\nto", 422, "message-malformed"),
    ],
)
def test_a_message_that_is_not_for_us_is_refused(
    here: Stage, old: str, new: str, status: int, code: str
) -> None:
    message = altered(ask(here, "owner"), old, new)
    answer = sign_in(here, message, signed(wallet("someone"), message))
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_the_injected_clock_decides_what_has_expired(here: Stage) -> None:
    message = ask(here, "owner")
    assert datetime.fromtimestamp(START_MS // 1000, UTC).strftime("%Y-%m-%dT%H") in message
    before = here.clock.now
    here.clock.now += Limits().nonce_ttl_ms
    try:
        answer = sign_in(here, message, signed(wallet("someone"), message))
    finally:
        here.clock.now = before
    assert (answer.status_code, answer.json()["code"]) == (401, "sign-in-refused")


def test_a_contract_wallet_signs_in_by_its_contract(here: Stage) -> None:
    account = wallet("safe")
    message = ask(here, "owner", name="safe")
    text = message.encode()
    digest = keccak(b"\x19Ethereum Signed Message:\n%d" % len(text) + text)
    assert sign_in(here, message, "0xc0ffee").status_code == 401
    here.approved.add((account.address, digest, bytes.fromhex("c0ffee")))
    assert sign_in(here, message, "0xc0ffee").status_code == 201


def test_a_key_does_what_its_scopes_say(here: Stage, owner: httpx.Client) -> None:
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
        ("Bearer nonsense", "key-invalid"),
        ("Bearer tsk_" + "A" * 43, "key-invalid"),
    ],
)
def test_without_a_good_key_nothing_is_told(here: Stage, header: str | None, code: str) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = here.http.get("/v1/surfaces", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_key_ends_when_it_is_revoked(here: Stage) -> None:
    client = here.sign_in(wallet("leaver"), "owner")
    other = here.sign_in(wallet("leaver"), "owner")
    assert client.delete("/v1/keys/current").status_code == 204
    assert client.get("/v1/surfaces").json()["code"] == "key-invalid"
    assert other.get("/v1/surfaces").status_code == 200


def test_a_key_ends_when_it_expires(here: Stage) -> None:
    client = here.sign_in(wallet("sleeper"), "owner")
    before = here.clock.now
    here.clock.now += Limits().key_ttl_ms
    try:
        answer = client.get("/v1/surfaces")
    finally:
        here.clock.now = before
    assert answer.status_code == 401
    assert "expired" in answer.json()["detail"]


def test_of_many_sign_ins_with_one_nonce_one_wins(here: Stage) -> None:
    message = ask(here, "owner")
    signature = signed(wallet("someone"), message)
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: sign_in(here, message, signature), range(6)))
    assert sorted(answer.status_code for answer in answers) == [201, *[401] * 5]
