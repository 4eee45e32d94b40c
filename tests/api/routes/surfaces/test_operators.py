"""The routes of operators: surfaces, leads, touches one by one and in bulk."""

from hashlib import sha256

import httpx
import pytest

from orchestrator.core.common.document import canonical_json
from orchestrator.core.entries.kinds import decode
from orchestrator.storage.queries import statement
from tests.support.api_service import (
    NDJSON,
    ApiService,
    event,
    give_level,
    leads,
    ndjson,
    open_surface,
    problem_of,
    report_lines,
    touch,
    wallet,
)

LEADS = 7


@pytest.fixture(scope="module")
def surface(service: ApiService, owner: httpx.Client) -> str:
    opened = open_surface(owner, "leads")
    names = ("operator", "rival", "another rival")
    give_level(service, opened, *(wallet(name) for name in names))
    lines = [event(f"lead-{n}", "signup", id=f"s{n}") for n in range(LEADS)]
    lines += [event(f"lead-{n}", "activate", id=f"a{n}") for n in range(3)]
    assert report_lines(owner, opened, ndjson(*lines)).status_code == 200
    return opened


@pytest.fixture(scope="module")
def lead(operator: httpx.Client, surface: str) -> str:
    return leads(operator, surface)[0]["lead"]  # type: ignore[no-any-return]


def test_surfaces_are_listed_page_by_page(operator: httpx.Client, owner: httpx.Client) -> None:
    opened = {open_surface(owner, f"listed {n}") for n in range(3)}
    found: list[str] = []
    after = "0x" + "00" * 32
    while after:
        page = operator.get("/v1/surfaces", params={"limit": 2, "after": after}).json()
        assert len(page["surfaces"]) <= 2
        found += [item["surface"] for item in page["surfaces"]]
        after = page["next"]
    assert found == sorted(set(found))
    assert opened <= set(found)


def test_a_page_of_surfaces_reads_no_policy_document(
    service: ApiService, operator: httpx.Client, owner: httpx.Client
) -> None:
    """Documents are up to 32 kB each, and a page has a thousand surfaces."""
    open_surface(owner, "paged")
    for query in ("api.surface", "api.surface_page"):
        assert "document" not in statement(query)
    (item,) = operator.get("/v1/surfaces", params={"limit": 1}).json()["surfaces"]
    assert item["motions"]
    shown = service.get(f"/v1/policies/{item['policy_hash']}")["document"]
    assert shown["attribution"] == item["attribution"]


def test_a_surface_shows_what_terms_must_say(
    service: ApiService, operator: httpx.Client, surface: str
) -> None:
    reply = operator.get(f"/v1/surfaces/{surface}").json()
    terms = reply["terms"]
    assert terms["policy"] == reply["policy_hash"]
    assert terms["owner"] == wallet("owner").address
    assert terms["verifier"] == wallet("verifier").address
    assert terms["tokens"] == [
        {
            "address": wallet("token").address,
            "symbol": "TUSD",
            "decimals": 6,
            "least_budget_units": "10000000",
        }
    ]
    assert terms["lateness_s"] == 86_400


def test_leads_come_page_by_page_and_by_state(operator: httpx.Client, surface: str) -> None:
    all_leads = leads(operator, surface, limit=2)
    assert len({item["lead"] for item in all_leads}) == LEADS
    assert {item["state"] for item in all_leads} == {"signed_up", "activated"}
    activated = leads(operator, surface, state="activated", limit=2)
    assert [item["lead"] for item in activated] == [
        item["lead"] for item in all_leads if item["state"] == "activated"
    ]
    assert leads(operator, surface, state="subscribed") == []


def test_leads_are_found_by_the_outcome_that_they_can_still_bring(
    operator: httpx.Client, surface: str
) -> None:
    waiting = leads(operator, surface, state="signed_up", limit=2)
    assert leads(operator, surface, outcome="activated", limit=2) == waiting != []
    assert leads(operator, surface, outcome="activated", state="activated") == []
    answer = operator.get(f"/v1/surfaces/{surface}/leads", params={"outcome": "new"})
    detail = problem_of(answer, 422, "outcome-unknown")["detail"]
    assert "outcomes are activated, signed_up, subscribed" in str(detail)


def test_only_fields_for_the_caller_are_shown(operator: httpx.Client, surface: str) -> None:
    for item in leads(operator, surface):
        assert set(item) == {"lead", "state", "since_ms", "own_touches", "external_id"}
        assert item["external_id"] is None


def test_a_made_up_cursor_is_refused(operator: httpx.Client, surface: str) -> None:
    for after in ("new", "new.0x00", "new\0.0x" + "00" * 32, ".0x" + "00" * 32):
        answer = operator.get(f"/v1/surfaces/{surface}/leads", params={"after": after})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


def own_touches(caller: httpx.Client, surface: str) -> dict[str, int]:
    return {item["lead"]: item["own_touches"] for item in leads(caller, surface)}


def test_a_touch_is_logged_and_counted(
    service: ApiService, operator: httpx.Client, surface: str, lead: str
) -> None:
    before = own_touches(operator, surface)[lead]
    reply = touch(operator, surface, "t1", lead, "email").json()
    # Its first act: the registration comes before it.
    assert (reply["status"], reply["count"], reply["verdict"]) == ("done", 2, None)
    (registration, item) = service.http.get(
        f"/v1/log/entries?start={reply['first_position']}&limit=2"
    ).json()["entries"]
    assert decode(bytes.fromhex(registration["entry"][2:])).kind == "operator.registered"
    entry = decode(bytes.fromhex(item["entry"][2:]))
    assert (entry.kind, entry.label) == ("touch", "email")
    body = canonical_json({"surface": surface, "lead": lead, "action": "email"})
    assert item["opening"]["request_hash"] == "0x" + sha256(body).hexdigest()
    assert own_touches(operator, surface)[lead] == before + 1
    other = service.sign_in(wallet("another rival"), "operator")
    assert set(own_touches(other, surface).values()) == {0}


def test_the_same_touch_again_has_the_same_answer(
    operator: httpx.Client, surface: str, lead: str
) -> None:
    first = touch(operator, surface, "t2", lead, "email").json()
    assert touch(operator, surface, "t2", lead, "email").json() == first
    other = leads(operator, surface)[1]["lead"]
    answer = touch(operator, surface, "t2", other, "email")
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency-conflict")


def test_two_operators_may_use_one_key(
    service: ApiService, operator: httpx.Client, surface: str, lead: str
) -> None:
    rival = service.sign_in(wallet("rival"), "operator")
    first = touch(operator, surface, "shared", lead, "email").json()
    second = touch(rival, surface, "shared", lead, "email").json()
    assert first["request_id"] != second["request_id"]


def test_what_a_policy_does_not_give_is_denied(
    owner: httpx.Client, operator: httpx.Client, surface: str, lead: str
) -> None:
    other_surface = open_surface(owner, "other surface")
    for place, subject, action, status, code in (
        (surface, lead, "fax", 403, "action-unknown"),
        (surface, lead, "call", 409, "level-too-low"),
        (surface, "0x" + "ab" * 32, "email", 404, "lead-unknown"),
        (other_surface, lead, "email", 404, "lead-unknown"),
        ("0x" + "ab" * 32, lead, "email", 404, "not-found"),
    ):
        answer = touch(operator, place, f"denied-{code}", subject, action)
        assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_an_operator_at_level_0_sees_no_lead_and_touches_none(
    service: ApiService, owner: httpx.Client, surface: str, lead: str
) -> None:
    fresh = service.sign_in(wallet("eager"), "operator")
    answer = touch(fresh, surface, "eager", lead, "email")
    assert (answer.status_code, answer.json()["code"]) == (404, "lead-unknown")
    # Leads are for operators that have risen: row policies give this one none.
    assert leads(fresh, surface) == []
    give_level(service, surface, wallet("eager"))
    assert len(leads(fresh, surface)) == LEADS
    assert touch(fresh, surface, "eager", lead, "email").status_code == 200


def test_touches_in_bulk_are_all_taken_or_none(operator: httpx.Client, surface: str) -> None:
    path = f"/v1/surfaces/{surface}/touches/bulk"
    lines = [
        {"id": f"b{n}", "lead": item["lead"], "action": "email"}
        for n, item in enumerate(leads(operator, surface))
    ]
    # Blank lines count in a line's number, as they do in an editor.
    bad = ndjson(*lines[:3]) + b"\n \n" + ndjson(lines[3] | {"action": "fax"})
    refused = operator.post(path, content=bad, headers=NDJSON)
    assert (refused.status_code, refused.json()["code"]) == (403, "action-unknown")
    assert refused.json()["errors"][0]["where"] == "line 6/action"
    assert refused.json()["detail"].startswith("line 6/action: ")
    before = leads(operator, surface)
    answer = operator.post(path, content=ndjson(*lines), headers=NDJSON)
    assert answer.status_code == 200, answer.text
    assert [item["own_touches"] for item in leads(operator, surface)] == [
        item["own_touches"] + 1 for item in before
    ]
