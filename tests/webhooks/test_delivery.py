"""Deliveries: what arrives, what is tried again, what is given up, and what is taken by it."""

import asyncio
from collections import Counter
from contextlib import ExitStack
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from itertools import pairwise

import pytest

from orchestrator.core.common.hexadecimal import from_hex
from orchestrator.core.common.limits import Limits
from orchestrator.core.common.units import DAY_MS
from orchestrator.core.entries.webhook import FAILING_MS, LEASE_MS
from orchestrator.core.log.entry import address_word
from orchestrator.core.world.codec import commitment
from orchestrator.core.world.requests import RequestAction
from orchestrator.log.inbox import Submission, submit
from orchestrator.storage.database import API
from tests.support.api_service import LOG_ID, erase, wallet
from tests.support.http_server import serving
from tests.support.mcp_client import key_of
from tests.support.servers import open_as
from tests.support.webhooks import LETTER_MS, Bench, Receiver

MAX_WAITING = Limits().webhook_waiting
MAX_KEPT = Limits().webhook_kept
MAX_TRIES = Limits().webhook_tries

HOUR_MS = 3_600_000
ASKED = ["action.requested"]


def pass_time(site: Bench, duration_ms: int, step_ms: int = HOUR_MS) -> int:
    """Let time pass in steps, looking at each; return how many messages were tried."""
    clock, tried = site.service.clock, 0
    end_ms = clock() + duration_ms
    while clock() < end_ms:
        clock.now_ms = min(end_ms, clock() + step_ms)
        tried += site.work()
    return tried


def test_a_request_arrives_signed_and_is_taken(site: Bench, receiver: Receiver) -> None:
    webhook = site.register(receiver, events=ASKED)
    (asked,) = site.request("one")
    assert site.work() == 1
    (message,) = receiver.received
    data = message.document["data"]
    assert message.document["type"] == "action.requested"
    assert (data["external_id"], data["parameters"]) == ("user-1", {})
    assert (data["position"], data["label"]) == (asked, "letter")
    assert data["operator"] == wallet("operator").address
    assert site.action(asked)["state"] == "taken"
    (delivery,) = site.deliveries(webhook)
    assert (delivery["state"], delivery["tries"], delivery["status"]) == ("delivered", 1, 200)
    assert delivery["message"] == message.headers["webhook-id"]
    assert site.work() == 0


def test_one_that_is_down_for_a_day_misses_nothing_and_holds_little(
    site: Bench, receiver: Receiver
) -> None:
    webhook = site.register(receiver, events=ASKED)
    receiver.status = 503
    asked = site.request(*(f"early {n}" for n in range(20)))
    tried = pass_time(site, DAY_MS // 2, 3 * HOUR_MS)
    asked += site.request(*(f"late {n}" for n in range(20)))
    tried += pass_time(site, DAY_MS // 2, 3 * HOUR_MS)
    assert receiver.received == []
    # Neither what waits grows with what was asked, nor the tries with the time.
    assert site.rows(webhook, "deliveries") == MAX_WAITING
    assert MAX_WAITING <= tried <= MAX_WAITING * MAX_TRIES
    assert site.shown(webhook)["failing_since_ms"] is not None
    receiver.status = 200
    pass_time(site, DAY_MS)
    assert Counter(receiver.positions) == Counter(asked)
    assert all(site.action(one)["state"] == "taken" for one in asked)
    assert site.shown(webhook)["failing_since_ms"] is None


def test_a_message_that_is_refused_holds_up_no_other(site: Bench, receiver: Receiver) -> None:
    webhook = site.register(receiver, events=ASKED)
    first, *others = site.request("poison", "two", "three")
    receiver.judge = lambda told: 500 if told["data"]["position"] == first else 200
    pass_time(site, HOUR_MS, 60_000)
    assert receiver.positions == others
    poisoned = site.deliveries(webhook, state="waiting")
    assert [one["position"] for one in poisoned] == [first]
    assert (poisoned[0]["status"], poisoned[0]["fault"]) == (500, "status 500")


def test_what_fails_to_the_end_is_kept_and_can_be_sent_again(
    site: Bench, receiver: Receiver
) -> None:
    webhook = site.register(receiver, events=ASKED)
    (asked,) = site.request("one")
    receiver.status = 500
    clock = site.service.clock
    assert site.work() == 1
    waits, last_ms = [], clock()
    while not site.deliveries(webhook, state="dead"):
        clock.now_ms = site.deliveries(webhook)[0]["next_ms"]
        waits.append(clock() - last_ms)
        last_ms = clock()
        assert site.work() == 1
    assert receiver.tries == MAX_TRIES
    assert all(wait < later for wait, later in pairwise(waits[:7]))
    assert DAY_MS < sum(waits) < 3 * DAY_MS
    assert site.work() == 0
    receiver.status = 200
    message = site.deliveries(webhook)[0]["message"]
    path = f"/v1/webhooks/{webhook}/deliveries/{message}/repeat"
    again = site.owner.post(path)
    assert (again.status_code, again.json()["state"]) == (202, "waiting")
    assert site.work() == 1
    assert receiver.positions == [asked]
    assert site.deliveries(webhook)[0]["tries"] == 1
    # What was delivered may be sent once more too; what it asked for is done by now.
    assert site.owner.post(path).status_code == 202
    assert site.work() == 1
    assert site.deliveries(webhook)[0]["state"] == "moot"


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ("hang", "timeout"),
        ("drip", "timeout"),
        ("redirect", "status 302"),
        ("nonsense", "what it sent is no HTTP"),
    ],
)
def test_receivers_that_misbehave_only_fail(
    site: Bench, receiver: Receiver, answer: str, fault: str
) -> None:
    webhook = site.register(receiver, events=ASKED)
    asked = site.request("one")
    with serving(receiver.take) as elsewhere:
        with receiver.misbehaving(answer, elsewhere), ExitStack() as exits:
            if fault == "timeout":
                exits.enter_context(site.hurrying())
            assert site.work() == 1
        (delivery,) = site.deliveries(webhook)
        assert delivery["state"] == "waiting"
        assert delivery["fault"].startswith(fault)
        # No redirect was followed.
        assert receiver.tries == 0
        pass_time(site, HOUR_MS)
    assert receiver.positions == asked


def test_one_that_does_not_listen_is_tried_again(site: Bench, receiver: Receiver) -> None:
    webhook = site.register(receiver, events=ASKED, url="http://127.0.0.1:1/hook")
    asked = site.request("one")
    assert site.work() == 1
    assert site.deliveries(webhook)[0]["fault"].startswith("no connection could be made")
    moved = site.owner.patch(f"/v1/webhooks/{webhook}", json={"url": receiver.url})
    assert moved.is_success, moved.text
    pass_time(site, HOUR_MS)
    assert receiver.positions == asked


def test_a_large_answer_is_not_read(site: Bench, receiver: Receiver) -> None:
    webhook = site.register(receiver, events=ASKED)
    site.request("one")

    def flood(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"x" * 65_536)
        except OSError:
            pass

    receiver.answer = flood
    assert site.work() == 1
    assert site.deliveries(webhook)[0]["state"] == "delivered"


def test_what_was_answered_expired_or_erased_is_not_asked_any_more(
    site: Bench, receiver: Receiver
) -> None:
    webhook = site.register(receiver, events=ASKED)
    answered, _, expired = site.request("one", "two", "three")
    receiver.status = 500
    site.look()
    path = f"/v1/surfaces/{site.surface}/actions/{answered}/taken"
    assert site.owner.post(path, json={}).is_success
    assert erase(site.owner, site.surface, "e", lead="user-2").is_success
    site.expire(expired)
    receiver.status, receiver.tries = 200, 0
    pass_time(site, HOUR_MS)
    assert receiver.tries == 0
    assert {one["state"] for one in site.deliveries(webhook)} == {"moot"}


def test_parameters_that_no_program_reads_hold_no_place(site: Bench, receiver: Receiver) -> None:
    """The API's password takes them to the log: they are what the request commits to."""
    webhook = site.register(receiver, events=ASKED)
    operator, key = wallet("operator").address.lower(), key_of(site.operator)
    surface, lead, salt = from_hex(site.surface), from_hex(site.leads[0]), bytes(32)
    said = (b"{", b"\xff", b"[" * 60_000, b"1" * 8_000)
    with (
        open_as(site.service.database_url, API) as database,
        database.transaction(secret=sha256(key.encode()).digest()) as session,
    ):
        for body in said:
            request = RequestAction(
                surface, lead, address_word(operator), "letter", LETTER_MS,
                commitment=commitment(salt, body),
            )  # fmt: skip
            name = sha256(body).hexdigest()
            submit(session, LOG_ID, operator, [Submission(name, request, body, salt)])
    site.service.decide_waiting()
    site.request("good")
    site.work()
    assert [one.document["data"]["parameters"] for one in receiver.received] == [{}]
    states = Counter(one["state"] for one in site.deliveries(webhook))
    assert states == {"moot": len(said), "delivered": 1}


def test_one_that_fails_for_days_is_disabled_and_goes_on_where_it_stopped(
    site: Bench, receiver: Receiver
) -> None:
    webhook = site.register(receiver, events=ASKED)
    receiver.status = 500
    asked = site.request(*(f"before {n}" for n in range(3)))
    pass_time(site, FAILING_MS - DAY_MS, DAY_MS // 4)
    asked += site.request("on the last day")
    pass_time(site, 2 * DAY_MS, DAY_MS // 4)
    shown = site.shown(webhook)
    assert shown["reason"] == "failing"
    assert shown["disabled_ms"] - shown["failing_since_ms"] >= FAILING_MS
    assert site.owner.get("/v1/me").json()["disabled_webhooks"] == 1
    receiver.status, receiver.tries = 200, 0
    asked += site.request(*(f"after {n}" for n in range(3)))
    assert pass_time(site, DAY_MS) == 0
    assert site.owner.patch(f"/v1/webhooks/{webhook}", json={}).is_success
    pass_time(site, DAY_MS)
    dead = [one["position"] for one in site.deliveries(webhook, state="dead")]
    assert sorted(receiver.positions + dead) == asked
    assert asked[:3] == sorted(dead)
    assert site.owner.get("/v1/me").json()["disabled_webhooks"] == 0


def test_one_that_says_that_it_is_gone_is_disabled_at_once(site: Bench, receiver: Receiver) -> None:
    webhook = site.register(receiver, events=ASKED)
    receiver.status = 410
    site.request("one")
    assert site.work() == 1
    assert site.shown(webhook)["reason"] == "gone"


def test_a_process_that_dies_after_sending_sends_the_same_again(
    site: Bench, receiver: Receiver
) -> None:
    webhook = site.register(receiver, events=ASKED)
    (asked,) = site.request("one")
    (due,) = site.courier.step()

    class DiedError(Exception):
        pass

    class Dying:
        async def post(self, *message: object) -> None:
            await site.poster.post(*message)  # type: ignore[arg-type]
            raise DiedError

    dying = site.another(Dying())  # type: ignore[arg-type]
    with pytest.raises(DiedError):
        asyncio.run(dying.deliver(due.webhook))
    assert site.action(asked)["state"] == "requested"
    # It counts as lost only when its lease has ended.
    assert site.work() == 0
    site.service.clock.now_ms += LEASE_MS
    assert site.work() == 1
    first, second = receiver.received
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert site.action(asked)["state"] == "taken"
    assert site.deliveries(webhook)[0]["tries"] == 2


def test_two_deliverers_at_once_send_nothing_twice(site: Bench, receiver: Receiver) -> None:
    site.register(receiver, events=ASKED)
    asked = site.request(*(f"many {n}" for n in range(12)))
    (due,) = site.courier.step()

    async def both() -> list[int]:
        deliverers = [site.another() for _ in range(3)]
        return await asyncio.gather(*(one.deliver(due.webhook) for one in deliverers))

    assert sum(asyncio.run(both())) == len(asked)
    assert Counter(receiver.positions) == Counter(asked)


def test_both_secrets_sign_until_the_old_one_ends(site: Bench, receiver: Receiver) -> None:
    webhook = site.register(receiver, events=ASKED)
    old = receiver.secret
    rotated = site.owner.post(f"/v1/webhooks/{webhook}/rotation", json={"overlap_s": 3600})
    new = rotated.json()["secret"]
    assert rotated.json()["old_secret_until_ms"] == site.service.clock() + HOUR_MS
    assert new != old
    for secret in (old, new):
        receiver.secret = secret
        site.request(f"with {secret[-5:]}")
        assert site.work() == 1
    assert len(receiver.received) == 2
    assert receiver.received[0].headers["webhook-signature"].count("v1,") == 2
    site.service.clock.now_ms += HOUR_MS
    site.request("after")
    assert site.work() == 1
    assert receiver.received[2].headers["webhook-signature"].count("v1,") == 1


def test_few_of_what_is_over_are_kept(site: Bench, receiver: Receiver) -> None:
    webhook = site.register(receiver, client=site.operator, audience="operator")
    with site.service.admin() as admin:
        admin.execute(
            "INSERT INTO deliveries (webhook, position, event, state, created_ms)"
            " SELECT decode(%s, 'hex'), 1000000 + n, 'payout', 'delivered', n"
            " FROM generate_series(1, %s) n",
            (webhook[2:], MAX_KEPT + 50),
        )
    suspended = site.owner.post(
        f"/v1/surfaces/{site.surface}/operators/{wallet('operator').address}/suspension",
        json={"reason": "spam"},
        headers={"Idempotency-Key": "suspend"},
    )
    assert suspended.is_success, suspended.text
    assert site.work() == 1
    assert receiver.received[0].document["type"] == "operator.suspended"
    assert site.rows(webhook, "deliveries") == MAX_KEPT


def test_an_operator_hears_of_its_own_work_alone(site: Bench, receiver: Receiver) -> None:
    site.register(receiver, client=site.operator, audience="operator")
    another = site.service.sign_in(wallet("another operator"), "operator")
    heard_by_another = another.post(
        "/v1/webhooks", json={"url": receiver.url, "audience": "operator"}
    )
    assert heard_by_another.status_code == 201
    (asked,) = site.request("one")
    path = f"/v1/surfaces/{site.surface}/actions/{asked}/taken"
    assert site.owner.post(path, json={}).is_success
    assert site.work() == 1
    (message,) = receiver.received
    data = message.document["data"]
    assert message.document["type"] == "action.answered"
    assert (data["label"], data["value"]) == ("taken", str(asked))
    assert data["operator"] == wallet("operator").address
    assert "external_id" not in data
    assert site.work() == 0
