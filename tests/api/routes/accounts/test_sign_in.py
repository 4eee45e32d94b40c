"""Signing in and out: nonces and keys."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

from orchestrator.core.account.scopes import SCOPE_SETS
from tests.support.api_service import (
    ApiService,
    signed,
    wallet,
)


def test_a_nonce_comes_with_all_that_a_message_needs(service: ApiService) -> None:
    answer = service.http.post("/v1/sign-in/nonce")
    assert answer.status_code == 200
    reply = answer.json()
    assert reply["message"] is None
    assert reply["domain"] == service.url.removeprefix("http://")
    assert (reply["uri"], reply["chain_id"]) == (service.url, 31337)
    assert reply["expires_ms"] > service.clock.now_ms
    assert reply["nonce"] != service.http.post("/v1/sign-in/nonce").json()["nonce"]


def test_a_key_is_shown_once_and_kept_as_a_hash(service: ApiService) -> None:
    message = service.sign_in_message(wallet("visitor"), "owner")
    reply = service.post_sign_in(message, signed(wallet("visitor"), message)).json()
    assert reply["account"] == wallet("visitor").address
    assert reply["scopes"] == list(SCOPE_SETS["owner"])
    with service.admin() as admin:
        kept = {bytes(row[0]) for row in admin.execute("SELECT secret_hash FROM api_keys")}
    secret = hashlib.sha256(reply["key"].encode()).digest()
    assert hashlib.sha256(secret).digest() in kept
    # What a transaction presents is not in the table either.
    assert secret not in kept


def test_signing_in_writes_nothing_to_the_log(service: ApiService) -> None:
    before = service.get("/v1/log/checkpoint")["size"]
    for _ in range(2):
        service.sign_in(wallet("newcomer"), "operator", "owner")
    service.decide_waiting()
    assert service.get("/v1/log/checkpoint")["size"] == before


def test_a_nonce_is_used_once(service: ApiService) -> None:
    message = service.sign_in_message(wallet("visitor"), "owner")
    signature = signed(wallet("visitor"), message)
    assert service.post_sign_in(message, signature).status_code == 201
    again = service.post_sign_in(message, signature)
    assert (again.status_code, again.json()["code"]) == (401, "nonce-unknown")


def test_a_failed_sign_in_leaves_the_nonce_for_its_owner(service: ApiService) -> None:
    message = service.sign_in_message(wallet("visitor"), "owner")
    assert service.post_sign_in(message, signed(wallet("thief"), message)).status_code == 401
    assert service.post_sign_in(message, signed(wallet("visitor"), message)).status_code == 201


def test_of_many_sign_ins_with_one_nonce_one_wins(service: ApiService) -> None:
    message = service.sign_in_message(wallet("visitor"), "owner")
    signature = signed(wallet("visitor"), message)
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: service.post_sign_in(message, signature), range(6)))
    assert sorted(answer.status_code for answer in answers) == [201, *[401] * 5]


def test_a_key_ends_when_it_is_revoked(service: ApiService) -> None:
    client = service.sign_in(wallet("leaver"), "owner")
    other = service.sign_in(wallet("leaver"), "owner")
    assert client.delete("/v1/keys/current").status_code == 204
    assert client.get("/v1/keys").json()["code"] == "key-revoked"
    assert other.get("/v1/keys").status_code == 200
