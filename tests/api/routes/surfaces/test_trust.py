"""The routes of trust: settings, standings, judgements, forecasts, suspensions."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.common.units import DAY_MS
from orchestrator.core.entries.kinds import decode
from orchestrator.core.surface.surface_settings import parse_settings
from orchestrator.core.world.codec import commitment
from orchestrator.core.world.requests import ScoreForecast
from tests.support.api_service import (
    SETTINGS,
    START_MS,
    ApiService,
    event,
    give_level,
    leads,
    ndjson,
    open_surface,
    publish_settings,
    report,
    report_lines,
    running_service,
    touch,
    wallet,
)

ASKED = {"from": "signed_up", "to": "activated", "horizon_days": 2}
QUESTION = {"from_state": "signed_up", "to_state": "activated", "horizon_days": 2}
FORECASTS = {"questions": [ASKED], "min_counted": 1, "min_leads": 30, "skill_bps": 100}


@pytest.fixture
def moved(database_url: str) -> Iterator[ApiService]:
    """A service of one test's own, whose clock it moves on."""
    with running_service(database_url) as running:
        yield running


def post(client: httpx.Client, path: str, key: str, body: object = None) -> httpx.Response:
    return client.post(path, json=body, headers={"Idempotency-Key": key})


def standing(client: httpx.Client, surface: str, name: str = "operator") -> Any:
    answer = client.get(f"/v1/surfaces/{surface}/operators/{wallet(name).address}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def kinds_of(service: ApiService, reply: Any) -> list[str]:
    return [entry.kind for entry in service.entries(reply["first_position"], reply["count"])]


# --- Settings -------------------------------------------------------------------------------------


def test_settings_are_published_and_served_by_their_hash(
    service: ApiService, owner: httpx.Client
) -> None:
    surface = open_surface(owner, "settings")
    changed = SETTINGS | {"actions": {"email": {"level": "1"}}}
    answer = publish_settings(owner, surface, changed, "second")
    assert answer.status_code == 200, answer.text
    reply = answer.json()
    assert kinds_of(service, reply) == ["settings.published"]
    expected = parse_settings(changed)
    assert reply["settings_hash"] == to_hex(expected.hash)
    served = service.get(f"/v1/settings/{reply['settings_hash']}")
    assert served == {"hash": reply["settings_hash"], "document": expected.document()}
    detail = owner.get(f"/v1/surfaces/{surface}").json()
    assert (detail["settings_version"], detail["settings"]) == (2, expected.document())
    # The same request again is the same version.
    assert publish_settings(owner, surface, changed, "second").json() == reply


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"token": "0x12"}, "token-malformed"),
        ({"levels": []}, "levels-empty"),
        ({"actions": {"email": {"level": 0}}}, "action-level-zero"),
        ({"actions": {"click": {"level": 1}}}, "action-reserved"),
        ({"actions": {"email": {"level": 3}}}, "number-invalid"),
        ({"pool": {"places": 1}}, "key-missing"),
        ({"surprise": 1}, "key-unknown"),
        ({"forecasts": {"questions": [ASKED, ASKED]}}, "question-twice"),
        ({"forecasts": {"questions": [ASKED | {"horizon_days": 32}]}}, "number-invalid"),
    ],
)
def test_settings_that_could_not_govern_are_refused_by_their_rule(
    owner: httpx.Client, changes: dict[str, object], code: str
) -> None:
    surface = open_surface(owner, f"bad {code} {len(str(changes))}")
    answer = publish_settings(owner, surface, SETTINGS | changes, "bad")
    assert (answer.status_code, answer.json()["code"]) == (422, code)


def test_a_question_about_an_unknown_state_is_refused_by_the_log(owner: httpx.Client) -> None:
    surface = open_surface(owner, "unknown state")
    asked = {"questions": [ASKED | {"to": "nowhere"}]}
    answer = publish_settings(owner, surface, SETTINGS | {"forecasts": asked}, "bad")
    assert (answer.status_code, answer.json()["code"]) == (409, "question-state-unknown")


def test_settings_are_the_owners_alone(
    service: ApiService, owner: httpx.Client, operator: httpx.Client
) -> None:
    surface = open_surface(owner, "mine")
    other = service.sign_in(wallet("other owner"), "owner")
    assert publish_settings(other, surface, SETTINGS).status_code == 403
    assert publish_settings(operator, surface, SETTINGS).status_code == 403
    unknown = publish_settings(owner, "0x" + "ab" * 32, SETTINGS)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not-found")


# --- Standings ------------------------------------------------------------------------------------


def test_a_level_rises_by_results_and_falls_by_reversals(
    moved: ApiService,
) -> None:
    service, owner = moved, moved.sign_in(wallet("owner"), "owner")
    operator = moved.sign_in(wallet("operator"), "operator")
    surface = open_surface(owner, "rising")
    found = standing(operator, surface)
    assert (found["level"], found["ground"], found["leads_a_day"]) == (0, "none", 0)
    give_level(service, surface, wallet("operator"))
    found = standing(operator, surface)
    assert (found["level"], found["ground"], found["leads_a_day"]) == (1, "contract", 1000)
    assert found["allowed"] == [{"action": "email", "by": "self"}]
    names = [f"r{n}" for n in range(3)]
    lines = [
        event(name, what, id=f"{name}{what}") for name in names for what in ("signup", "activate")
    ]
    assert report_lines(owner, surface, ndjson(*lines)).status_code == 200
    for number, lead in enumerate(leads(operator, surface)):
        assert touch(operator, surface, f"t{number}", lead["lead"], "email").status_code == 200
    now = {"time": "2026-01-01T00:00:00.000Z", "value": "29.90"}
    for name in names:
        assert (
            report(owner, surface, f"sub-{name}", event(name, "subscribe", **now)).status_code
            == 200
        )
    found = standing(owner, surface)
    assert (found["level"], found["due_level"], found["evidence"]["outcomes"]) == (1, 1, 0)
    service.clock.now_ms += 2 * DAY_MS
    found = standing(owner, surface)
    assert (found["due_level"], found["evidence"]["units"]) == (2, "24000000")
    assert [each["action"] for each in found["allowed"]] == ["call", "email"]
    # Time alone changes no level; the operator may ask, and any act would do.
    reply = post(operator, f"/v1/surfaces/{surface}/judgements", "ask").json()
    assert kinds_of(service, reply) == ["trust.changed"]
    assert standing(operator, surface)["level"] == 2
    again = post(operator, f"/v1/surfaces/{surface}/judgements", "again").json()
    assert (again["status"], again["count"]) == ("done", 0)
    # A refund that comes when the holdback period is over takes nothing, and counts.
    late = {"time": "2026-01-02T00:00:00.000Z"}
    refunded = report(owner, surface, "refund", event(names[0], "refund", **late)).json()
    assert kinds_of(service, refunded) == ["product.event"]
    found = standing(operator, surface)
    assert found["evidence"]["reversed_units"] == "8000000"
    lead = leads(operator, surface)[0]["lead"]
    fallen = touch(operator, surface, "after", lead, "call")
    assert (fallen.status_code, fallen.json()["code"]) == (409, "level-too-low")
    allowed = touch(operator, surface, "allowed", lead, "email").json()
    assert kinds_of(service, allowed) == ["trust.changed", "touch"]
    assert standing(operator, surface)["level"] == 1


def test_standings_are_listed_page_by_page(service: ApiService, owner: httpx.Client) -> None:
    surface = open_surface(owner, "listed")
    names = [f"listed {n}" for n in range(3)]
    give_level(service, surface, *(wallet(name) for name in names))
    found: list[str] = []
    after = None
    while True:
        query = {"limit": 2} | ({"after": after} if after else {})
        page = owner.get(f"/v1/surfaces/{surface}/operators", params=query).json()
        found += [one["operator"] for one in page["standings"]]
        after = page["next"]
        if after is None:
            break
    assert sorted(found) == sorted(wallet(name).address for name in names)


# --- The owner's hand -----------------------------------------------------------------------------


def test_a_suspension_stops_acts_and_reading_until_it_ends(
    service: ApiService, owner: httpx.Client, operator: httpx.Client
) -> None:
    surface = open_surface(owner, "hand")
    give_level(service, surface, wallet("operator"))
    assert report(owner, surface, "one", event("h1")).status_code == 200
    lead = leads(operator, surface)[0]["lead"]
    path = f"/v1/surfaces/{surface}/operators/{wallet('operator').address}"
    body = {"reason": "spam", "text": "called a customer at night"}
    reply = post(owner, f"{path}/suspension", "stop", body).json()
    (entry,) = service.entries(reply["first_position"], 1)
    assert (entry.kind, entry.label) == ("operator.suspended", "spam")
    twice = post(owner, f"{path}/suspension", "stop-2", body)
    assert (twice.status_code, twice.json()["code"]) == (409, "operator-suspended")
    assert leads(operator, surface) == []
    refused = touch(operator, surface, "s1", lead, "email")
    assert (refused.status_code, refused.json()["code"]) == (404, "lead-unknown")
    assert standing(operator, surface)["is_suspended"]
    assert post(owner, f"{path}/restoration", "go", {"reason": "agreed"}).status_code == 200
    assert touch(operator, surface, "s2", lead, "email").status_code == 200
    # The text is personal: it stands beside the log.
    with service.admin() as admin:
        (held,) = admin.execute(
            "SELECT count(*) FROM private_payloads WHERE convert_from(body, 'UTF8') LIKE %s",
            ("%at night%",),
        ).fetchone() or (0,)
    assert held == 2  # with that of the request that was refused


def test_another_owner_suspends_no_one_here(
    service: ApiService, owner: httpx.Client, operator: httpx.Client
) -> None:
    surface = open_surface(owner, "not yours")
    give_level(service, surface, wallet("operator"))
    other = service.sign_in(wallet("other owner"), "owner")
    path = f"/v1/surfaces/{surface}/operators/{wallet('operator').address}/suspension"
    for caller in (other, operator):
        assert post(caller, path, "stop", {"reason": "spam"}).status_code == 403


# --- Forecasts ------------------------------------------------------------------------------------


def test_a_forecast_is_sealed_until_it_is_scored(
    moved: ApiService,
) -> None:
    service, owner = moved, moved.sign_in(wallet("owner"), "owner")
    operator = moved.sign_in(wallet("operator"), "operator")
    surface = open_surface(owner, "asked")
    publish_settings(owner, surface, SETTINGS | {"forecasts": FORECASTS}, "asking")
    path = f"/v1/surfaces/{surface}/forecasts"
    unknown = post(operator, path, "f0", QUESTION | {"horizon_days": 3, "probability_bps": 1})
    assert (unknown.status_code, unknown.json()["code"]) == (409, "question-unknown")
    reply = post(operator, path, "f1", QUESTION | {"probability_bps": 4_200}).json()
    item = service.get("/v1/log/entries", start=reply["first_position"], limit=2)["entries"][-1]
    entry = decode(from_hex(item["entry"]))
    assert (entry.kind, entry.label, entry.value) == ("forecast.made", "activated", 2)
    assert "4200" not in str(item)
    overlapping = post(operator, path, "f2", QUESTION | {"probability_bps": 1})
    assert (overlapping.status_code, overlapping.json()["code"]) == (409, "forecast-overlaps")
    with service.admin() as admin:
        (salt, body) = admin.execute(
            "SELECT salt, body FROM private_payloads WHERE commitment = %s",
            (from_hex(item["opening"]["commitment"]),),
        ).fetchone() or (b"", b"")
    assert (len(body), int.from_bytes(body)) == (32, 4_200)
    assert commitment(salt, body) == from_hex(item["opening"]["commitment"])
    word = entry.actor
    score = ScoreForecast(from_hex(surface), word, item["position"], 4_200, salt)
    service.submit("early", score)
    service.clock.now_ms += 4 * DAY_MS
    service.submit("lie", score._replace(probability_bps=4_300))
    service.submit("score", score)
    service.decide_waiting()
    found = standing(operator, surface)
    # Nothing had moved and fewer than thirty leads were there: it is void.
    assert (found["forecasts_counted"], found["skill_bps"], found["level"]) == (0, None, 0)
    size = service.get("/v1/log/checkpoint")["size"]
    scored = service.get("/v1/log/entries", start=size - 1, limit=1)["entries"][0]
    assert decode(from_hex(scored["entry"])).kind == "forecast.scored"
    assert scored["opening"]["probability_bps"] == 4_200


def test_the_funnel_and_the_history_follow_from_the_log(
    moved: ApiService,
) -> None:
    service, owner = moved, moved.sign_in(wallet("owner"), "owner")
    operator = moved.sign_in(wallet("operator"), "operator")
    surface = open_surface(owner, "history")
    publish_settings(owner, surface, SETTINGS | {"forecasts": FORECASTS}, "asking")
    lines = [event(f"h{n}", "signup", id=f"h{n}") for n in range(3)]
    assert report_lines(owner, surface, ndjson(*lines)).status_code == 200
    counted = {
        one["state"]: one["leads"]
        for one in operator.get(f"/v1/surfaces/{surface}/funnel").json()["states"]
    }
    assert counted["signed_up"] == 3
    assert sum(counted.values()) == 3
    service.clock.now_ms += DAY_MS
    (question,) = operator.get(f"/v1/surfaces/{surface}/history").json()["questions"]
    assert (question["from_state"], question["horizon_days"]) == ("signed_up", 2)
    assert question["days"][-1] | {"day": ""} == {
        "day": "",
        "leads": 3,
        "moved": 0,
        "is_final": False,
    }
    assert service.clock() > START_MS
