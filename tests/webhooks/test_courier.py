"""The courier: each entry is found once, for each webhook that may hear of it."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from orchestrator.core.common.hexadecimal import from_hex
from orchestrator.core.common.limits import Limits
from orchestrator.core.entries.webhook import LEASE_MS
from orchestrator.log.feed import PAGE_ENTRIES
from orchestrator.webhooks.courier import Courier
from tests.support.api_service import LOG_ID, give_level, open_surface, wallet
from tests.support.webhooks import Bench, Receiver

ASKED = ["action.requested"]

MAX_WAITING = Limits().webhook_waiting


def waiting(site: Bench, webhook: str) -> list[int]:
    found = site.deliveries(webhook, state="waiting")
    return sorted(one["position"] for one in found)


def cursor_of(site: Bench, webhook: str) -> int | None:
    with site.service.admin() as admin:
        query = "SELECT cursor FROM webhooks WHERE webhook = %s"
        (cursor,) = admin.execute(query, (from_hex(webhook),)).fetchone() or (None,)
    return None if cursor is None else int(cursor)


def test_a_webhook_hears_what_it_may_and_asks_for(site: Bench, receiver: Receiver) -> None:
    of_all = site.register(receiver)
    of_one = site.register(receiver, surface=site.surface, events=ASKED)
    elsewhere = site.register(receiver, surface=open_surface(site.owner, "another"))
    of_answers = site.register(receiver, events=["action.answered"])
    operators = site.register(receiver, client=site.operator, audience="operator")
    stranger = site.service.sign_in(wallet("stranger"), "owner")
    strangers = site.register(receiver, client=stranger)
    asked = site.request("one")
    due = {one.webhook for one in site.courier.step()}
    assert waiting(site, of_all) == waiting(site, of_one) == asked
    assert due == {from_hex(of_all), from_hex(of_one)}
    for silent in (elsewhere, of_answers, operators, strangers):
        assert site.rows(silent, "deliveries") == 0


def test_what_was_said_before_a_webhook_was_there_is_not_told(
    site: Bench, receiver: Receiver
) -> None:
    site.request("before")
    site.courier.step()
    webhook = site.register(receiver, events=ASKED)
    asked = site.request("after")
    site.courier.step()
    assert waiting(site, webhook) == asked


def test_couriers_at_once_find_each_entry_once(site: Bench, receiver: Receiver) -> None:
    webhook = site.register(receiver, events=ASKED)
    asked = site.request(*(f"one {n}" for n in range(5)))
    couriers = [Courier(site.database, LOG_ID, site.feed) for _ in range(4)]
    with ThreadPoolExecutor() as pool:
        due = list(pool.map(lambda courier: courier.step(), couriers))
    assert waiting(site, webhook) == asked
    # For as long as its lease lasts it is due to one alone.
    assert [one.webhook for found in due for one in found] == [from_hex(webhook)]
    assert site.courier.step() == []
    site.service.clock.now_ms += LEASE_MS
    assert len(site.courier.step()) == 1


def test_a_deployment_says_how_many_may_wait(site: Bench, receiver: Receiver) -> None:
    webhook = site.register(receiver, events=ASKED)
    asked = site.request(*(f"few {n}" for n in range(5)))
    Courier(site.database, LOG_ID, site.feed, Limits(webhook_waiting=3)).step()
    assert waiting(site, webhook) == asked[:3]
    site.service.clock.now_ms += LEASE_MS
    assert site.work() == len(asked)


def test_one_without_room_goes_on_in_the_log_where_it_stopped(
    site: Bench, receiver: Receiver
) -> None:
    webhook = site.register(receiver, events=ASKED)
    asked = site.request(*(f"one {n}" for n in range(MAX_WAITING + 4)))
    site.courier.step()
    assert waiting(site, webhook) == asked[:MAX_WAITING]
    assert cursor_of(site, webhook) == asked[MAX_WAITING] - 1
    # It is behind, so that what is new is not told before what is old.
    asked += site.request("new")
    site.courier.step()
    site.courier.catch_up(from_hex(webhook))
    assert waiting(site, webhook) == asked[:MAX_WAITING]
    assert site.work() == len(asked)
    assert receiver.positions == asked
    assert cursor_of(site, webhook) is None
    asked += site.request("newest")
    site.courier.step()
    assert waiting(site, webhook) == asked[-1:]


def test_one_that_was_away_reads_page_after_page(site: Bench, receiver: Receiver) -> None:
    webhook = site.register(receiver, events=ASKED)
    site.courier.disable(from_hex(webhook), "failing")
    first = site.request("one")
    lines = PAGE_ENTRIES + 10
    for number in range(lines // 50 + 1):
        site.report_others(50, number)
    last = site.request("two")
    site.courier.step()
    assert site.rows(webhook, "deliveries") == 0
    assert last[0] - first[0] > PAGE_ENTRIES
    assert site.owner.patch(f"/v1/webhooks/{webhook}", json={}).is_success
    site.courier.catch_up(from_hex(webhook))
    assert waiting(site, webhook) == first + last
    assert cursor_of(site, webhook) is None


def test_a_log_that_is_there_already_is_not_read_from_its_beginning(site: Bench) -> None:
    size = site.service.get("/v1/log")["size"]
    with site.service.admin() as admin:
        admin.execute("DELETE FROM couriers")
        site.courier.step()
        (cursor,) = admin.execute("SELECT cursor FROM couriers").fetchone() or (None,)
    assert cursor == size - 1


def test_offers_are_told_to_operators_of_their_level_in_their_order(
    site: Bench, receiver: Receiver
) -> None:
    before = site.publish_offers(1)
    site.courier.step()
    told: dict[str, Any] = {
        "client": site.operator,
        "audience": "operator",
        "events": ["offer.published"],
    }
    webhook = site.register(receiver, **told)
    elsewhere = open_surface(site.owner, "another")
    silent = site.register(receiver, surface=elsewhere, **told)
    stranger = site.service.sign_in(wallet("stranger"), "operator")
    strangers = site.register(receiver, **told | {"client": stranger})
    receiver.secret = site.operator.post(f"/v1/webhooks/{webhook}/rotation", json={}).json()[
        "secret"
    ]
    offers = site.publish_offers(MAX_WAITING + 14)
    too_high = site.publish_offers(1, level=2)
    site.courier.step()
    assert site.rows(webhook, "deliveries") == MAX_WAITING
    assert site.rows(silent, "deliveries") == site.rows(strangers, "deliveries") == 0
    site.service.clock.now_ms += LEASE_MS
    assert site.work() == len(offers)
    got = [one.document["data"]["offer"] for one in receiver.received]
    assert got == offers
    assert not {*before, *too_high} & {*got}
    first = receiver.received[0].document
    assert first["type"] == "offer.published"
    assert first["data"]["surface"] == site.surface
    assert first["data"]["terms"]["outcome"] == "activated"
    # It has all by now, and the next comes at once.
    offers += site.publish_offers(1)
    assert site.work() == 1
    assert receiver.received[-1].document["data"]["offer"] == offers[-1]


def test_offers_that_came_while_a_webhook_was_disabled_are_told_later(
    site: Bench, receiver: Receiver
) -> None:
    told: dict[str, Any] = {
        "client": site.operator,
        "audience": "operator",
        "events": ["offer.published"],
    }
    webhook = site.register(receiver, **told)
    site.courier.step()
    site.courier.disable(from_hex(webhook), "failing")
    offers = site.publish_offers(12)
    path = f"/v1/surfaces/{site.surface}/offers/{offers[3]}/withdraw"
    assert site.owner.post(path).is_success
    assert site.work() == 0
    assert site.operator.patch(f"/v1/webhooks/{webhook}", json={}).is_success
    site.work()
    got = [one.document["data"]["offer"] for one in receiver.received]
    assert got == offers[:3] + offers[4:]
    listed = site.operator.get(f"/v1/webhooks/{webhook}/deliveries", params={"state": "moot"})
    (moot,) = listed.json()["deliveries"]
    assert (moot["position"], moot["offer"]) == (None, offers[3])
    again = site.operator.post(f"/v1/webhooks/{webhook}/deliveries/{moot['message']}/repeat")
    assert again.status_code == 202, again.text


def test_both_parties_hear_of_a_contract_and_its_operator_of_its_level(
    site: Bench, receiver: Receiver
) -> None:
    newcomer = wallet("newcomer")
    theirs = site.service.sign_in(newcomer, "operator")
    owners = site.register(receiver, events=["contract.opened"])
    operators = site.register(receiver, client=theirs, audience="operator")
    bystanders = site.register(receiver, client=site.operator, audience="operator")
    give_level(site.service, site.surface, newcomer)
    site.courier.step()
    assert [one["event"] for one in site.deliveries(owners)] == ["contract.opened"]
    assert site.rows(bystanders, "deliveries") == 0
    path = f"/v1/webhooks/{operators}/deliveries"
    assert "contract.opened" in {one["event"] for one in theirs.get(path).json()["deliveries"]}
    answer = theirs.post(
        f"/v1/surfaces/{site.surface}/judgements", headers={"Idempotency-Key": "judge"}
    )
    site.courier.step()
    told = {one["event"] for one in theirs.get(path).json()["deliveries"]}
    assert told == {"contract.opened", "trust.changed"}, answer.text
