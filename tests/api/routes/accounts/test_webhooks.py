"""The routes of webhooks: who may make them, of what, and how many."""

from typing import Any

import httpx
import pytest

from tests.support.api_service import ApiService, open_surface, problem_of, wallet

URL = "https://example.com/hook"


def add(client: httpx.Client, **body: Any) -> httpx.Response:
    return client.post("/v1/webhooks", json={"url": URL, "audience": "operator"} | body)


def added(client: httpx.Client, **body: Any) -> Any:
    answer = add(client, **body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_a_secret_is_shown_once(someone: httpx.Client) -> None:
    made = added(someone, events=["payout", "contract.opened", "payout"])
    assert made["secret"].startswith("whsec_")
    shown = someone.get(f"/v1/webhooks/{made['webhook']}").json()
    assert shown == {name: value for name, value in made.items() if name != "secret"}
    assert shown["events"] == ["contract.opened", "payout"]
    assert someone.get("/v1/webhooks").json()["webhooks"] == [shown]
    assert (shown["disabled_ms"], shown["waiting"], shown["dead"]) == (None, 0, 0)
    rotated = someone.post(f"/v1/webhooks/{made['webhook']}/rotation", json={}).json()
    assert rotated["secret"] not in {made["secret"], None}
    # A third secret ends the first at once: two at most are in force.
    again = someone.post(f"/v1/webhooks/{made['webhook']}/rotation", json={"overlap_s": 0})
    assert again.json()["old_secret_until_ms"] is None


def test_all_events_of_a_side_are_told_unless_some_are_named(someone: httpx.Client) -> None:
    assert "trust.changed" in added(someone)["events"]
    assert "trust.changed" not in added(someone, audience="owner")["events"]
    refused = add(someone, events=["action.requested"])
    problem_of(refused, 422, "event-of-another")
    problem_of(add(someone, events=["touch"]), 422, "invalid")
    problem_of(add(someone, events=[]), 422, "invalid")


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://10.0.0.1/", "url-closed"),
        ("https://169.254.169.254/latest", "url-closed"),
        ("https://[::ffff:127.0.0.1]/", "url-closed"),
        ("https://user@example.com/", "url-malformed"),
        ("gopher://example.com/", "url-malformed"),
    ],
)
def test_urls_that_lead_inside_are_refused(service: ApiService, url: str, code: str) -> None:
    client = service.sign_in(wallet("prober"), "operator")
    problem_of(add(client, url=url), 422, code)
    made = client.get("/v1/webhooks").json()["webhooks"] or [added(client)]
    path = f"/v1/webhooks/{made[0]['webhook']}"
    problem_of(client.patch(path, json={"url": url}), 422, code)


def test_delegates_may_look_and_change_nothing(service: ApiService, someone: httpx.Client) -> None:
    made = added(someone)
    path = f"/v1/webhooks/{made['webhook']}"
    delegate = service.delegate(someone, "operator:read")
    assert delegate.get(path).status_code == 200
    assert delegate.get(f"{path}/deliveries").json() == {"deliveries": []}
    for refused in (
        add(delegate),
        delegate.patch(path, json={}),
        delegate.post(f"{path}/rotation", json={}),
        delegate.delete(path),
    ):
        problem_of(refused, 403, "delegate-forbidden")
    # A key that may not read what a webhook is told does not see it.
    owners = service.delegate(someone, "owner:read")
    problem_of(owners.get(path), 404, "not-found")
    without = service.delegate(someone, "operator:memory")
    problem_of(without.get("/v1/webhooks"), 403, "scope-missing")


def test_an_owner_needs_the_scope_that_answers(service: ApiService) -> None:
    reader = service.sign_in(wallet("only reads"), "owner:read", "operator:read")
    problem_of(add(reader, audience="owner"), 403, "scope-missing")
    assert add(reader).status_code == 201


def test_a_surface_must_be_there_and_an_owners_its_own(
    service: ApiService, owner: httpx.Client, someone: httpx.Client
) -> None:
    surface = open_surface(owner, "of webhooks")
    assert added(owner, audience="owner", surface=surface)["surface"] == surface
    assert added(someone, surface=surface)["surface"] == surface
    problem_of(add(someone, audience="owner", surface=surface), 403, "not-the-owner")
    problem_of(add(someone, surface="0x" + "7" * 64), 404, "not-found")


def test_another_accounts_webhooks_are_not_there(
    owner: httpx.Client, someone: httpx.Client
) -> None:
    path = f"/v1/webhooks/{added(someone)['webhook']}"
    for answer in (
        owner.get(path),
        owner.patch(path, json={}),
        owner.post(f"{path}/rotation", json={}),
        owner.get(f"{path}/deliveries"),
        owner.post(f"{path}/deliveries/msg_{'1' * 16}_1/repeat"),
        owner.delete(path),
    ):
        problem_of(answer, 404, "not-found")
    assert someone.delete(path).status_code == 204
    problem_of(someone.get(path), 404, "not-found")
    problem_of(someone.delete(path), 404, "not-found")


def test_an_account_has_ten(someone: httpx.Client) -> None:
    made = [added(someone) for _ in range(10)]
    problem_of(add(someone), 409, "webhooks-too-many")
    assert someone.delete(f"/v1/webhooks/{made[0]['webhook']}").status_code == 204
    added(someone)


def test_no_login_gets_past_the_number(service: ApiService, someone: httpx.Client) -> None:
    for _ in range(3):
        added(someone)
    with service.admin() as admin:
        account = admin.execute(
            "SELECT account FROM webhooks ORDER BY created_ms DESC, webhook LIMIT 1"
        ).fetchone()
        assert account is not None
        with pytest.raises(Exception, match="as many webhooks as it may"):
            admin.execute(
                "INSERT INTO webhooks (webhook, log_id, account, audience, events, url,"
                " created_ms) SELECT sha256(n::text::bytea), sha256('l'), %s, 'operator',"
                " '{payout}', 'https://example.com', 0 FROM generate_series(1, 11) n",
                account,
            )


def test_a_delivery_that_is_not_kept_is_not_there(someone: httpx.Client) -> None:
    made = added(someone)
    path = f"/v1/webhooks/{made['webhook']}/deliveries"
    for name in (made["webhook"][2:18], "1" * 16):
        for subject in ("5", "offer_5"):
            answer = someone.post(f"{path}/msg_{name}_{subject}/repeat")
            problem_of(answer, 404, "not-found")
    problem_of(someone.post(f"{path}/5/repeat"), 422, "invalid")
    assert someone.get(path, params={"state": "dead"}).json()["deliveries"] == []
