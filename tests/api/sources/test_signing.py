"""Signed reports: whose they are, what is refused, and how a secret is set, changed and ended."""

from hashlib import sha1
from typing import Any

import httpx
import pytest

from api.sources import signing
from orchestrator.core.common.units import format_ms
from tests.support.api_service import ApiService, event, problem_of, report, wallet
from tests.support.intake_payloads import charge, refunded, track
from tests.support.sources import SECRET, mapped_surface, send, send_by_segment, send_by_stripe

AT = "2026-01-01T00:00:00.000Z"


@pytest.fixture(scope="module")
def surface(owner: httpx.Client) -> str:
    return mapped_surface(owner, "signed sources")


@pytest.fixture(scope="module")
def other(owner: httpx.Client) -> str:
    """A surface without a secret."""
    return mapped_surface(owner, "other sources")


def secret_path(surface: str, source: str) -> str:
    return f"/v1/surfaces/{surface}/sources/{source}"


def call(number: int, user: str = "u1") -> dict[str, Any]:
    return track(number, "Signed Up", user, AT, plan="größer als üblich")


def test_segment_signs_with_the_secret_of_the_surface(
    service: ApiService, owner: httpx.Client, surface: str, other: str
) -> None:
    path = secret_path(surface, "segment")
    problem_of(send_by_segment(service.http, surface, call(21)), 401, "signature-wrong")
    # Without a secret the door takes what comes by key.
    assert send(owner, surface, "segment", call(20)).status_code == 200
    assert owner.put(path, json={"secret": SECRET}).status_code == 200
    answer = send_by_segment(service.http, surface, call(21))
    assert answer.status_code == 200, answer.text
    # The same body is good again, and the same event.
    again = send_by_segment(service.http, surface, call(21)).json()["results"]
    assert again[0]["request_id"] == answer.json()["results"][0]["request_id"]
    # A message of that id with another content is none.
    changed = send_by_segment(service.http, surface, call(21, "another"))
    problem_of(changed, 409, "idempotency-conflict")

    for client in (service.http, owner):
        # Of a batch, a signature is of the first event alone.
        batch = send_by_segment(client, surface, [call(22), call(23)])
        problem_of(batch, 401, "signature-wrong")
        wrong = send_by_segment(client, surface, call(22), f"{SECRET}_wrong")
        problem_of(wrong, 401, "signature-wrong")
        # Other surfaces have other secrets, or none.
        problem_of(send_by_segment(client, other, call(22)), 401, "signature-wrong")
    problem_of(send(owner, surface, "segment", call(22)), 401, "signature-missing")
    problem_of(send(service.http, surface, "segment", call(22)), 401, "key-missing")
    malformed = {"X-Signature": "sha1=00"}
    at = f"/v1/surfaces/{surface}/events/segment"
    problem_of(service.http.post(at, json={}, headers=malformed), 401, "signature-malformed")
    # What was refused left no event behind.
    assert send_by_segment(service.http, surface, call(22)).status_code == 200
    assert owner.delete(path).status_code == 204
    problem_of(send_by_segment(service.http, surface, call(24)), 401, "signature-wrong")


def test_no_more_is_hashed_than_a_message_of_segment_may_have(
    service: ApiService, owner: httpx.Client, surface: str
) -> None:
    owner.put(secret_path(surface, "segment"), json={"secret": SECRET}).raise_for_status()
    payload = call(31) | {"context": {"note": ""}}
    length = len(send_by_segment(service.http, surface, payload).request.content)
    for more, status in ((65_536 - length, 200), (65_537 - length, 401)):
        longer = payload | {"context": {"note": "x" * more}}
        answer = send_by_segment(service.http, surface, longer)
        assert answer.status_code == status, answer.text
    assert owner.delete(secret_path(surface, "segment")).status_code == 204


def test_sha_1_of_the_database_is_that_of_the_standard(service: ApiService) -> None:
    messages = [bytes(range(size % 256)) * (1 + size // 256) for size in range(200)]
    messages += [b"\xff" * size for size in (255, 256, 1_000, 4_096)]
    with service.admin() as admin:
        for message in messages:
            row = admin.execute("SELECT sha1(%s)", (message,)).fetchone()
            assert row is not None
            assert bytes(row[0]) == sha1(message).digest(), len(message)  # noqa: S324


def test_stripe_signs_with_the_secret_of_the_surface(
    service: ApiService, owner: httpx.Client, surface: str, other: str
) -> None:
    payload = charge("sig", "cus_sig", 2_990, service.clock() // 1000)
    path = secret_path(surface, "stripe")
    problem_of(send_by_stripe(service, surface, payload), 401, "signature-wrong")
    made = owner.put(path, json={"secret": SECRET})
    assert made.status_code == 200, made.text
    assert SECRET not in made.text
    answer = send_by_stripe(service, surface, payload)
    assert answer.status_code == 200, answer.text
    # The same signature again is the same event; another surface has another secret.
    again = send_by_stripe(service, surface, payload)
    assert again.json()["results"][0]["request_id"] == answer.json()["results"][0]["request_id"]
    problem_of(send_by_stripe(service, other, payload), 401, "signature-wrong")
    for off_s in (-301, 302):
        late = send_by_stripe(service, surface, payload, off_s=off_s)
        problem_of(late, 401, "signature-wrong")
    wrong = send_by_stripe(service, surface, payload, "whsec_another_one_")
    problem_of(wrong, 401, "signature-wrong")
    problem_of(send(service.http, surface, "stripe", payload), 401, "key-missing")
    # Once there is a secret, the owner's key alone is not enough, nor a delegate's.
    problem_of(send(owner, surface, "stripe", payload), 401, "signature-missing")
    delegate = service.delegate(owner, "owner:report")
    problem_of(send(delegate, surface, "stripe", payload), 401, "signature-missing")
    assert send(delegate, other, "stripe", payload).status_code == 200

    # A new secret ends the first, and its key; without one keys are enough.
    owner.put(path, json={"secret": f"{SECRET}_two"}).raise_for_status()
    problem_of(send_by_stripe(service, surface, payload), 401, "signature-wrong")
    assert send_by_stripe(service, surface, payload, f"{SECRET}_two").status_code == 200
    assert owner.delete(path).status_code == 204
    second = send_by_stripe(service, surface, payload, f"{SECRET}_two")
    problem_of(second, 401, "signature-wrong")
    assert send(owner, surface, "stripe", payload).status_code == 200
    problem_of(owner.delete(path), 404, "not-found")


def test_a_refund_before_its_payment_is_sent_again(
    service: ApiService, owner: httpx.Client, surface: str
) -> None:
    """Stripe keeps no order, asks no second time, and sends again what was answered by an error."""
    owner.put(secret_path(surface, "stripe"), json={"secret": SECRET}).raise_for_status()
    for name in ("signup", "activate"):
        happened = event("cus_late", name, time=format_ms(service.clock()))
        assert report(owner, surface, f"late-{name}", happened).json()["verdict"] == "accepted"
    now_s = service.clock() // 1000
    payment = charge("late", "cus_late", 2_990, now_s)
    refund = refunded("late", "cus_late", 2_990, 0, 500, now_s)
    early = problem_of(send_by_stripe(service, surface, refund), 409, "order-unknown")
    assert early["retry"] is True
    for payload in (payment, refund, refund):
        answer = send_by_stripe(service, surface, payload)
        assert answer.status_code == 200, answer.text
        (result,) = answer.json()["results"]
        assert (result["status"], result["verdict"]) == ("done", "accepted")
    kinds = [entry.kind for entry in service.entries(0, 500) if entry.label == "refund"]
    assert kinds == ["product.event"]


def test_a_report_that_is_not_decided_in_time_is_kept_and_asked_for_again(
    service: ApiService, owner: httpx.Client, surface: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner.put(secret_path(surface, "stripe"), json={"secret": SECRET}).raise_for_status()
    payload = charge("slow", "cus_slow", 2_990, service.clock() // 1000)
    with service.sequencer_lock, monkeypatch.context() as impatient:
        impatient.setattr(signing, "MAX_WAIT_S", 0)
        answer = send_by_stripe(service, surface, payload)
        problem_of(answer, 503, "undecided")
        assert int(answer.headers["Retry-After"]) > 0
    answer = send_by_stripe(service, surface, payload)
    assert answer.status_code == 200, answer.text
    assert answer.json()["results"][0]["status"] == "done"


def test_a_key_that_was_revoked_lets_no_signature_in(
    service: ApiService, owner: httpx.Client, surface: str
) -> None:
    path = secret_path(surface, "stripe")
    key = owner.put(path, json={"secret": SECRET}).json()["key"]
    assert owner.delete(f"/v1/keys/{key}").status_code == 204
    payload = charge("revoked", "cus_1", 5, service.clock() // 1000)
    problem_of(send_by_stripe(service, surface, payload), 401, "key-revoked")
    assert owner.delete(path).status_code == 204


@pytest.mark.parametrize("source", ["segment", "stripe"])
def test_a_secret_is_set_by_the_owner_s_wallet_alone(
    service: ApiService, owner: httpx.Client, operator: httpx.Client, surface: str, source: str
) -> None:
    path = secret_path(surface, source)
    body = {"secret": SECRET}
    problem_of(operator.put(path, json=body), 403, "delegate-forbidden")
    delegate = service.delegate(owner, "owner:report")
    problem_of(delegate.put(path, json=body), 403, "delegate-forbidden")
    stranger = service.sign_in(wallet("another owner"), "owner")
    problem_of(stranger.put(path, json=body), 403, "not-the-owner")
    assert owner.put(path, json={"secret": "short"}).status_code == 422
    assert owner.put(secret_path(surface, "posthog"), json=body).status_code == 422
