"""Codes over HTTP: their issue, arrivals alone and with ids, clicks, ends, fields, and flags."""

from typing import Any

import httpx
import pytest

from orchestrator.core.common.units import DAY_MS, format_ms
from orchestrator.log.fsck import compare_projections
from orchestrator.storage.database import SEQUENCER
from tests.support.api_service import (
    LOG_ID,
    SETTINGS,
    ApiService,
    erase,
    event,
    give_level,
    lead_ids,
    leads,
    ndjson,
    open_surface,
    problem_of,
    publish_settings,
    report,
    report_lines,
    wallet,
)
from tests.support.servers import open_as

ANN, BOB = wallet("ann of codes"), wallet("bob of codes")


@pytest.fixture
def surface(owner: httpx.Client, service: ApiService, request: pytest.FixtureRequest) -> str:
    found = open_surface(owner, request.node.name[5:37].rstrip("_[").replace("_", "-"))
    give_level(service, found, ANN)
    return found


@pytest.fixture(scope="module")
def ann(service: ApiService) -> httpx.Client:
    return service.sign_in(ANN, "operator")


def issue(
    client: httpx.Client, service: ApiService, surface: str, key: str = "c", **changes: Any
) -> httpx.Response:
    body = {"max_uses": 3, "expires_ms": service.clock() + DAY_MS} | changes
    return client.post(f"/v1/surfaces/{surface}/codes", json=body, headers={"Idempotency-Key": key})


def code_of(answer: httpx.Response) -> tuple[str, str]:
    assert answer.status_code == 200, answer.text
    return answer.json()["code_id"], answer.json()["ref"]


def arrive(
    owner: httpx.Client, service: ApiService, surface: str, key: str, **changes: Any
) -> httpx.Response:
    body = {"event": "signup", "value": None, "time": format_ms(service.clock())} | changes
    return report(owner, surface, key.replace(" ", "-"), body)


def kinds(service: ApiService, answer: httpx.Response) -> list[tuple[str, int]]:
    """Return the kinds and values of the entries that a request caused."""
    assert answer.status_code == 200, answer.text
    if not answer.json()["count"]:
        return []
    found = service.entries(answer.json()["first_position"], answer.json()["count"])
    return [(entry.kind, entry.value) for entry in found]


def listed(client: httpx.Client, surface: str) -> list[Any]:
    answer = client.get(f"/v1/surfaces/{surface}/codes")
    assert answer.status_code == 200, answer.text
    found: list[Any] = answer.json()["codes"]
    return found


def test_a_code_is_its_operators_to_read_and_the_same_for_the_same_request(
    service: ApiService, owner: httpx.Client, ann: httpx.Client, surface: str
) -> None:
    expires_ms = service.clock() + DAY_MS
    first = issue(ann, service, surface, expires_ms=expires_ms)
    code_id, ref = code_of(first)
    assert code_of(issue(ann, service, surface, expires_ms=expires_ms)) == (code_id, ref)
    again = issue(ann, service, surface, expires_ms=expires_ms, max_uses=4)
    problem_of(again, 409, "idempotency-conflict")
    position = first.json()["first_position"] + first.json()["count"] - 1
    (entry,) = service.entries(position, 1)
    assert (entry.kind, entry.label, entry.value) == ("code.issued", "click", 3)
    assert f"0x{entry.subject.hex()}" == code_id
    assert [one["ref"] for one in listed(ann, surface)] == [ref]
    # The owner sees the code by its random id; other operators do not see it at all.
    assert [(one["code_id"], one["ref"]) for one in listed(owner, surface)] == [(code_id, None)]
    bob = service.sign_in(BOB, "operator")
    assert listed(bob, surface) == []
    problem_of(bob.get(f"/v1/surfaces/{surface}/codes/{code_id}/clicks"), 404, "not-found")
    # The code itself stands in one table, and nowhere in the log.
    with service.admin() as admin:
        rows = admin.execute("SELECT entry || coalesce(opening, '') FROM entries").fetchall()
        assert all(bytes.fromhex(ref) not in row[0] for row in rows)


def test_an_event_with_a_code_is_a_click_before_it(
    service: ApiService, owner: httpx.Client, ann: httpx.Client, surface: str
) -> None:
    issued = issue(ann, service, surface)
    code_id, ref = code_of(issued)
    position = issued.json()["first_position"] + issued.json()["count"] - 1
    came = arrive(owner, service, surface, "e1", lead="user-1", ref=ref)
    assert kinds(service, came) == [
        ("lead.registered", position),
        ("touch.reported", 0),
        ("lead.transition", 0),
    ]
    assert (came.json()["verdict"], came.json()["ref_used"]) == ("accepted", True)
    # An event that the policy does not know is an arrival all the same.
    other = arrive(owner, service, surface, "e2", lead="user-2", ref=ref, event="page viewed")
    assert [kind for kind, _ in kinds(service, other)] == ["lead.registered", "touch.reported"]
    assert (other.json()["verdict"], other.json()["ref_used"]) == ("ignored", True)
    # A known lead keeps its own; the click is another one.
    known = arrive(owner, service, surface, "e3", lead="user-1", ref=ref, event="activate")
    assert [kind for kind, _ in kinds(service, known)] == ["touch.reported", "lead.transition"]
    (code,) = listed(owner, surface)
    assert (code["clicks"], code["leads"], code["repeats"]) == (3, 2, 1)
    assert code["flags"] == ["repeated"]
    clicks = ann.get(f"/v1/surfaces/{surface}/codes/{code_id}/clicks").json()["clicks"]
    assert [click["is_new_lead"] for click in clicks] == [True, True, False]
    assert clicks[0]["lead"] == clicks[2]["lead"] != clicks[1]["lead"]
    with open_as(service.database_url, SEQUENCER) as database, service.sequencer_lock:
        assert compare_projections(database, LOG_ID) == []


def test_what_is_wrong_with_a_code_is_not_said(
    service: ApiService, owner: httpx.Client, ann: httpx.Client, surface: str
) -> None:
    _, spent = code_of(issue(ann, service, surface, "spent", max_uses=1))
    assert arrive(owner, service, surface, "use", lead="first", ref=spent).json()["ref_used"]
    ended_id, ended = code_of(issue(ann, service, surface, "ended"))
    body, headers = {"reason": "leaked"}, {"Idempotency-Key": "end"}
    path = f"/v1/surfaces/{surface}/codes/{ended_id}"
    assert ann.post(f"{path}/end", json=body, headers=headers).status_code == 200
    _, expired = code_of(issue(ann, service, surface, "old", expires_ms=service.clock() + 1000))
    service.clock.now_ms += 2000
    _, late = code_of(issue(ann, service, surface, "late"))
    before = format_ms(service.clock() - 1500)
    answers = []
    for name, ref, at in (
        ("unknown", "a link that someone made up", None),
        ("spent", spent, None),
        ("ended", ended, None),
        ("expired", expired, None),
        ("later", late, before),
    ):
        time = at or format_ms(service.clock())
        alone = arrive(owner, service, surface, f"alone {name}", ref=ref, time=time)
        problem = problem_of(alone, 409, "ref-unusable")
        named = arrive(owner, service, surface, f"id {name}", lead=name, ref=ref, time=time)
        assert named.json()["ref_used"] is False
        answers.append((problem, kinds(service, named)))
    assert all(answer == answers[0] for answer in answers)
    assert answers[0][1] == [("lead.registered", 0), ("lead.transition", 0)]


def test_a_lead_that_comes_by_a_code_alone_gets_the_next_new_id(
    service: ApiService, owner: httpx.Client, ann: httpx.Client, surface: str
) -> None:
    _, ref = code_of(issue(ann, service, surface))
    arrive(owner, service, surface, "known", lead="known", event="signup")
    seen = arrive(owner, service, surface, "alone", ref=ref, event="page viewed")
    assert [kind for kind, _ in kinds(service, seen)] == ["lead.registered", "touch.reported"]
    (waiting,) = [lead for lead in leads(owner, surface) if lead["external_id"] is None]
    # An id that is known keeps its lead; a new one is an alias of the lead that waits.
    arrive(owner, service, surface, "click", lead="known", ref=ref, event="activate")
    taken = arrive(owner, service, surface, "new", lead="new", ref=ref)
    assert [kind for kind, _ in kinds(service, taken)] == ["lead.transition"]
    by_id = lead_ids(owner, surface)
    assert by_id == {"known": by_id["known"], "new": waiting["lead"]}
    # The next that comes alone is another lead, which nobody of those is.
    arrive(owner, service, surface, "alone again", ref=ref, event="page viewed")
    assert len(leads(owner, surface)) == 3
    assert listed(ann, surface)[0]["clicks"] == 3


def test_a_race_of_a_code_and_an_id_in_one_bulk_has_one_answer(
    service: ApiService, owner: httpx.Client, ann: httpx.Client, surface: str
) -> None:
    _, ref = code_of(issue(ann, service, surface, max_uses=2))
    time = format_ms(service.clock())
    lines = [
        event("a", time=time) | {"id": "1"},
        {"event": "page viewed", "ref": ref, "time": time, "id": "2"},
        event("b", time=time) | {"ref": ref, "id": "3"},
        event("b", "activate", time=time) | {"id": "4"},
        event("c", time=time) | {"ref": ref, "id": "5"},
        event("d", time=time) | {"ref": ref, "id": "6"},
    ]
    answer = report_lines(owner, surface, ndjson(*lines))
    assert answer.status_code == 200, answer.text
    results = answer.json()["results"]
    assert [one["ref_used"] for one in results] == [None, True, False, None, True, False]
    found = {lead["external_id"]: lead["state"] for lead in leads(owner, surface)}
    assert found == {"a": "signed_up", "b": "activated", "c": "signed_up", "d": "signed_up"}
    assert report_lines(owner, surface, ndjson(*lines)).json() == answer.json()


def test_a_suspended_operator_gets_no_code_and_those_it_has_click_on(
    service: ApiService, owner: httpx.Client, ann: httpx.Client, surface: str
) -> None:
    code_id, ref = code_of(issue(ann, service, surface))
    path = f"/v1/surfaces/{surface}"
    headers = {"Idempotency-Key": "s"}
    body = {"reason": "spam"}
    suspended = owner.post(f"{path}/operators/{ANN.address}/suspension", json=body, headers=headers)
    assert suspended.status_code == 200
    problem_of(issue(ann, service, surface, "more"), 409, "operator-suspended")
    assert arrive(owner, service, surface, "e", lead="x", ref=ref).json()["ref_used"]
    # The owner ends it.
    ended = owner.post(f"{path}/codes/{code_id}/revocation", json=body, headers=headers)
    assert ended.status_code == 200, ended.text
    assert not arrive(owner, service, surface, "f", lead="y", ref=ref).json()["ref_used"]
    assert listed(owner, surface)[0]["is_ended"]
    again = owner.post(
        f"{path}/codes/{code_id}/revocation", json=body, headers={"Idempotency-Key": "t"}
    )
    problem_of(again, 409, "code-ended")
    bob = service.sign_in(BOB, "operator")
    problem_of(
        bob.post(f"{path}/codes/{code_id}/end", json=body, headers=headers), 404, "not-found"
    )
    problem_of(
        ann.post(f"{path}/codes/{code_id}/revocation", json=body, headers=headers),
        403,
        "scope-missing",
    )


def test_issues_stay_within_what_the_settings_offer(
    service: ApiService, owner: httpx.Client, ann: httpx.Client, surface: str
) -> None:
    now_ms = service.clock()
    problem_of(issue(ann, service, surface, "a", max_uses=1001), 409, "code-uses")
    problem_of(issue(ann, service, surface, "b", expires_ms=now_ms), 409, "code-expiry")
    too_late = now_ms + 31 * DAY_MS
    problem_of(issue(ann, service, surface, "c", expires_ms=too_late), 409, "code-expiry")
    bob = service.sign_in(BOB, "operator")
    problem_of(issue(bob, service, surface), 409, "level-too-low")
    publish_settings(owner, surface, SETTINGS | {"codes": SETTINGS["codes"] | {"a_day": 1}}, "one")
    code_of(issue(ann, service, surface, "d"))
    until_ms = service.clock() + DAY_MS + 60_000
    problem_of(issue(ann, service, surface, "e", expires_ms=until_ms), 409, "code-limit")
    service.clock.now_ms += DAY_MS
    code_of(issue(ann, service, surface, "e", expires_ms=until_ms))
    publish_settings(owner, surface, {k: v for k, v in SETTINGS.items() if k != "codes"}, "no")
    problem_of(issue(ann, service, surface, "f"), 409, "codes-unoffered")


def test_fields_are_asked_for_kept_apart_and_erased_with_the_lead(
    service: ApiService, owner: httpx.Client, ann: httpx.Client, surface: str
) -> None:
    schema = {
        "properties": {"company": {"type": "string", "minLength": 1}, "seats": {"type": "integer"}},
        "required": ["company"],
    }
    codes = SETTINGS["codes"] | {"fields": schema}
    assert publish_settings(owner, surface, SETTINGS | {"codes": codes}, "f").status_code == 200
    _, ref = code_of(issue(ann, service, surface))
    for fields in (None, {}, {"company": ""}, {"company": 1}, {"company": "A", "age": 4}):
        answer = arrive(owner, service, surface, "bad", lead="x", ref=ref, fields=fields)
        problem = problem_of(answer, 422, "fields-invalid")
        assert "company" not in str(fields) or '"A"' not in str(problem)
    asked = arrive(owner, service, surface, "none", lead="x", fields={"company": "Acme"})
    problem_of(asked, 422, "fields-invalid")
    fields = {"company": "Acme of Erasure", "seats": 7}
    good = arrive(owner, service, surface, "good", lead="x", ref=ref, fields=fields)
    assert good.json()["ref_used"]
    alone = arrive(owner, service, surface, "alone", ref=ref, fields=fields)
    assert alone.json()["ref_used"]
    nameless = arrive(owner, service, surface, "nameless", ref="no code", fields=fields)
    problem_of(nameless, 409, "ref-unusable")

    def kept() -> int:
        with service.admin() as admin:
            query = "SELECT count(*) FROM private_payloads WHERE convert_from(body, 'UTF8') LIKE %s"
            row = admin.execute(query, ("%Acme of Erasure%",)).fetchone()
            return row[0] if row else 0

    assert kept() == 2
    for number, named in enumerate(({"lead": "x"}, {"ref": ref})):
        erased = erase(owner, surface, f"erase-{number}", **named)
        assert erased.status_code == 200, erased.text
    assert kept() == 0
    gone = erase(owner, surface, "again", ref=ref)
    problem_of(gone, 404, "not-found")


def test_speed_and_the_owners_own_codes_are_flagged(
    service: ApiService, owner: httpx.Client, surface: str
) -> None:
    me = wallet("owner")
    own = service.sign_in(me, "operator")
    give_level(service, surface, me)
    _, ref = code_of(issue(own, service, surface, max_uses=40))
    time = format_ms(service.clock())
    lines = [event(f"u{n}", time=time) | {"ref": ref, "id": f"{n}"} for n in range(30)]
    answer = report_lines(owner, surface, ndjson(*lines))
    assert answer.status_code == 200, answer.text
    (code,) = listed(owner, surface)
    assert (code["flags"], code["most_in_a_minute"]) == (["fast", "own_operator"], 30)


def test_an_event_has_a_name_and_an_erasure_one(
    owner: httpx.Client, service: ApiService, surface: str
) -> None:
    problem_of(arrive(owner, service, surface, "n"), 422, "invalid")
    for body in ({}, {"lead": "a", "ref": "b"}):
        problem_of(erase(owner, surface, "n", **body), 422, "invalid")
