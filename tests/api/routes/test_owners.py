"""Owners: surfaces, policies, product events one by one and in bulk, and what stays private."""

import json
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import httpx
import psycopg
import pytest

from orchestrator.core.codec import commitment
from orchestrator.core.entry import address_word, ascii_word
from orchestrator.core.kinds import decode
from orchestrator.core.merkle import leaf_hash, verify_inclusion
from tests.support.api_service import (
    NDJSON,
    POLICY,
    Stage,
    event,
    ndjson,
    open_surface,
    report,
    report_lines,
    wallet,
)


@pytest.fixture(scope="module")
def surface(owner: httpx.Client) -> str:
    return open_surface(owner, "events")


def entries(here: Stage, start: int, count: int) -> list[tuple[str, str, str]]:
    page = here.http.get(f"/v1/log/entries?start={start}&limit={count}").json()["entries"]
    found = [decode(bytes.fromhex(item["entry"][2:])) for item in page]
    return [(entry.kind, entry.label, "0x" + entry.subject.hex()) for entry in found]


# --- Surfaces -------------------------------------------------------------------------------------


def test_a_surface_is_named_after_its_owner(owner: httpx.Client, surface: str) -> None:
    word = address_word(wallet("owner").address)
    assert surface == "0x" + sha256(word + ascii_word("events")).hexdigest()
    told = owner.get(f"/v1/surfaces/{surface}").json()
    assert (told["name"], told["version"]) == ("events", 1)
    assert told["owner"] == wallet("owner").address
    assert told["policy"] == POLICY


def test_two_owners_may_use_one_name(here: Stage, owner: httpx.Client, surface: str) -> None:
    assert open_surface(here.sign_in(wallet("other"), "owner"), "events") != surface


def test_opening_a_surface_again_is_the_same_or_a_conflict(
    owner: httpx.Client, surface: str
) -> None:
    assert open_surface(owner, "events") == surface
    body = {"name": "events", "policy": POLICY}
    again = owner.post("/v1/surfaces", json=body, headers={"Idempotency-Key": "another"})
    assert (again.status_code, again.json()["code"]) == (409, "surface-exists")
    headers = {"Idempotency-Key": "open-events"}
    other = owner.post("/v1/surfaces", json=body | {"name": "elsewhere"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency-conflict")


def test_a_policy_gets_its_next_version(owner: httpx.Client) -> None:
    surface = open_surface(owner, "versions")
    path = f"/v1/surfaces/{surface}/policy"
    body = {"policy": POLICY | {"lateness_s": 7}}
    answer = owner.post(path, json=body, headers={"Idempotency-Key": "second"})
    assert answer.status_code == 200, answer.text
    told = owner.get(f"/v1/surfaces/{surface}").json()
    assert (told["version"], told["policy"]["lateness_s"]) == (2, 7)
    assert told["policy_hash"] == answer.json()["policy_hash"]


def test_a_policy_that_drops_a_state_is_turned_away_by_the_log(owner: httpx.Client) -> None:
    surface = open_surface(owner, "drops")
    smaller = POLICY | {
        "states": ["new", "signed_up"],
        "transitions": POLICY["transitions"][:1],  # type: ignore[index]
        "reversals": [],
    }
    answer = owner.post(
        f"/v1/surfaces/{surface}/policy",
        json={"policy": smaller},
        headers={"Idempotency-Key": "smaller"},
    )
    assert (answer.status_code, answer.json()["code"]) == (409, "policy-drops-state")


def test_a_policy_that_cannot_govern_is_refused_at_once(owner: httpx.Client) -> None:
    body = {"name": "bad", "policy": POLICY | {"initial": "nowhere"}}
    answer = owner.post("/v1/surfaces", json=body, headers={"Idempotency-Key": "bad"})
    assert (answer.status_code, answer.json()["code"]) == (422, "state-unknown")


def test_another_owners_surface_is_not_ours(here: Stage, surface: str) -> None:
    stranger = here.sign_in(wallet("stranger"), "owner")
    keyed = {"Idempotency-Key": "x"}
    answers = [
        report(stranger, surface, "x", event()),
        report_lines(stranger, surface, ndjson(event(id="x"))),
        stranger.post(f"/v1/surfaces/{surface}/policy", json={"policy": POLICY}, headers=keyed),
        stranger.get(f"/v1/surfaces/{surface}/proposals"),
    ]
    assert [(a.status_code, a.json()["code"]) for a in answers] == [(403, "not-the-owner")] * 4


def test_an_unknown_surface_is_not_there(owner: httpx.Client) -> None:
    assert report(owner, "0x" + "00" * 32, "x", event()).status_code == 404


# --- Single events --------------------------------------------------------------------------------


def test_an_event_becomes_entries_under_a_pseudonym(
    here: Stage, owner: httpx.Client, surface: str
) -> None:
    answer = report(owner, surface, "first", event("ada@example.org"))
    told = answer.json()
    assert (answer.status_code, told["status"], told["verdict"]) == (200, "done", "accepted")
    assert answer.headers["Preference-Applied"] == "wait=10"
    assert answer.headers["Location"] == told["href"]
    registered, moved = entries(here, told["first_position"], told["count"])
    assert registered[:2] == ("lead.registered", "new")
    assert moved[:2] == ("lead.transition", "signed_up")
    assert registered[2] == moved[2]
    assert owner.get(told["href"]).json() == told


def test_the_same_event_again_has_the_same_answer(owner: httpx.Client, surface: str) -> None:
    body = event("twice")
    first = report(owner, surface, "twice", body)
    assert first.json()["verdict"] == "accepted"
    assert report(owner, surface, "twice", body).json() == first.json()
    line = ndjson(body | {"id": "twice"})
    assert report_lines(owner, surface, line).json()["results"] == [first.json() | {"id": "twice"}]
    other = report(owner, surface, "twice", body | {"value": "1.00"})
    assert (other.status_code, other.json()["code"]) == (409, "idempotency-conflict")


def test_the_policys_verdict_is_told(owner: httpx.Client, surface: str) -> None:
    told = report(owner, surface, "v1", event("verdicts", "subscribe")).json()
    assert (told["status"], told["verdict"]) == ("done", "refused")
    told = report(owner, surface, "v2", event("verdicts", "unheard-of")).json()
    assert (told["verdict"], told["count"], told["first_position"]) == ("ignored", 0, None)


@pytest.mark.parametrize("time", ["2026-01-01T00:00:01Z", "2025-12-30T23:59:59+00:00"])
def test_an_event_of_the_future_or_too_late_is_turned_away(
    owner: httpx.Client, surface: str, time: str
) -> None:
    answer = report(owner, surface, f"late {time}".replace(" ", ""), event("late", time=time))
    assert (answer.status_code, answer.json()["code"]) == (422, "event-time")


def test_without_waiting_the_answer_is_a_promise(
    here: Stage, owner: httpx.Client, surface: str
) -> None:
    path = f"/v1/surfaces/{surface}/events"
    with here.pause:
        headers = {"Idempotency-Key": "promised", "Prefer": "respond-async"}
        answer = owner.post(path, json=event("promised"), headers=headers)
        assert answer.status_code == 202
        assert answer.json()["status"] == "waiting"
        headers["Prefer"] = "wait=1"
        assert owner.post(path, json=event("promised"), headers=headers).status_code == 202
    assert report(owner, surface, "promised", event("promised")).json()["status"] == "done"


def test_another_accounts_request_is_not_there(
    here: Stage, owner: httpx.Client, surface: str
) -> None:
    href = report(owner, surface, "private", event("private")).json()["href"]
    assert here.sign_in(wallet("stranger"), "owner").get(href).status_code == 404


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"value": 8.1}, None),
        ({"value": 8}, "body/value"),
        ({"value": "8.1000001"}, "body/value"),
        ({"value": "1e3"}, "body/value"),
        ({"value": "-1"}, "body/value"),
        ({"value": "9" * 19}, "body/value"),
        ({"value": "٣"}, "body/value"),
        ({"time": "2026-01-01"}, "body/time"),
        ({"time": "2026-01-01T00:00:00"}, "body/time"),
        ({"time": "2026-02-30T00:00:00Z"}, "body/time"),
        ({"time": "1969-12-31T23:59:59Z"}, "body/time"),
        ({"time": 1767225600}, "body/time"),
        ({"lead": ""}, "body/lead"),
        ({"lead": "x" * 201}, "body/lead"),
        ({"lead": "𐍈" * 129}, "body/lead"),
        ({"lead": "tab\there"}, "body/lead"),
        ({"event": "ümlaut"}, "body/event"),
        ({"event": "x" * 33}, "body/event"),
        ({"surprise": 1}, "body/surprise"),
    ],
)
def test_what_is_no_event_is_refused_by_name(
    owner: httpx.Client, surface: str, changes: dict[str, object], where: str | None
) -> None:
    answer = report(owner, surface, "never", event() | changes)
    problem = answer.json()
    if where is None:
        assert (answer.status_code, problem["code"]) == (400, "json-malformed")
        assert "8.1" in problem["detail"]
    else:
        assert (answer.status_code, problem["code"]) == (422, "invalid")
        assert problem["errors"][0]["where"] == where


def test_a_key_is_demanded(owner: httpx.Client, surface: str) -> None:
    answer = owner.post(f"/v1/surfaces/{surface}/events", json=event())
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["where"] == "header/Idempotency-Key"


# --- Bulk -----------------------------------------------------------------------------------------


def test_lines_are_taken_in_their_order(here: Stage, owner: httpx.Client, surface: str) -> None:
    lines = [
        event("bulk", what, id=f"bulk-{what}", value="29.90")
        for what in ("signup", "activate", "subscribe")
    ]
    answer = report_lines(owner, surface, ndjson(*lines) + b"\n\r\n")
    assert answer.status_code == 200, answer.text
    results = answer.json()["results"]
    assert [line["id"] for line in results] == [line["id"] for line in lines]
    assert {line["verdict"] for line in results} == {"accepted"}
    last = results[-1]
    assert entries(here, last["first_position"], 1)[0][:2] == ("lead.transition", "subscribed")


def test_five_thousand_lines_are_taken_at_once(owner: httpx.Client) -> None:
    surface = open_surface(owner, "five thousand")
    lines = [event(f"lead-{n % 2500}", "signup", id=f"line-{n}") for n in range(5000)]
    answer = report_lines(owner, surface, ndjson(*lines))
    assert answer.status_code == 200, answer.text
    verdicts = [line["verdict"] for line in answer.json()["results"]]
    assert verdicts == ["accepted"] * 2500 + ["refused"] * 2500
    more = report_lines(owner, surface, ndjson(*lines, event(id="one-more")))
    assert (more.status_code, more.json()["code"]) == (413, "lines-too-many")


def test_one_bad_line_stops_them_all_and_is_named(
    here: Stage, owner: httpx.Client, surface: str
) -> None:
    before = here.http.get("/v1/log").json()["size"]
    body = (
        ndjson(event("none", id="none-1"))
        + b"\n"
        + b'{"id": "none-2", "value": 1.5}\n'
        + ndjson(event("none", id="none-3", value="x"))
    )
    answer = report_lines(owner, surface, body)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "line-invalid")
    assert [fault["where"] for fault in problem["errors"]] == ["line 3", "line 4/value"]
    assert report(owner, surface, "none-1", event("someone else")).status_code == 200
    after = here.http.get("/v1/log").json()["size"]
    assert after == before + 2


def test_a_conflict_in_one_line_stops_them_all(owner: httpx.Client, surface: str) -> None:
    report(owner, surface, "taken", event("taken"))
    lines = ndjson(event("fresh", id="fresh"), event("other", id="taken"))
    answer = report_lines(owner, surface, lines)
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency-conflict")
    assert "taken" in answer.json()["detail"]
    assert report(owner, surface, "fresh", event("not so fresh")).status_code == 200


def test_a_bulk_body_says_what_it_is(owner: httpx.Client, surface: str) -> None:
    path = f"/v1/surfaces/{surface}/events/bulk"
    assert owner.post(path, json=event(id="x")).status_code == 415
    empty = owner.post(path, content=b"\n", headers=NDJSON)
    assert (empty.status_code, empty.json()["code"]) == (422, "lines-missing")


# --- What stays private ---------------------------------------------------------------------------


def test_nobody_but_the_owner_learns_who_a_lead_is(
    here: Stage, owner: httpx.Client, operator: httpx.Client
) -> None:
    surface = open_surface(owner, "private")
    secret = "grace.hopper@example.org"
    told = report(owner, surface, "hush", event(secret)).json()
    (lead,) = owner.get(f"/v1/surfaces/{surface}/leads").json()["leads"]
    assert lead["external_id"] == secret

    seen = operator.get(f"/v1/surfaces/{surface}/leads").text
    assert json.loads(seen)["leads"][0]["external_id"] is None
    public = here.http.get(f"/v1/log/entries?start={told['first_position']}&limit=10").text
    for text in (seen, public):
        assert "hopper" not in text
    with here.admin() as admin:
        stored = admin.execute(
            "SELECT entry::text || coalesce(opening::text, '') FROM entries "
            "UNION ALL SELECT body::text FROM inbox"
        )
        assert not any(secret.encode().hex() in row[0] or secret in row[0] for row in stored)


def test_the_logs_commitment_is_salted_and_can_be_opened_by_the_owner_alone(
    here: Stage, owner: httpx.Client, surface: str
) -> None:
    told = report(owner, surface, "salted", event("salty")).json()
    start = told["first_position"] + told["count"] - 1
    (item,) = here.http.get(f"/v1/log/entries?start={start}&limit=1").json()["entries"]
    committed = bytes.fromhex(item["opening"]["commitment"][2:])
    with here.admin() as admin:
        row = admin.execute(
            "SELECT salt, body FROM private_payloads WHERE commitment = %s", (committed,)
        ).fetchone()
    assert row is not None
    assert commitment(row[0], row[1]) == committed
    assert json.loads(row[1])["lead"] == "salty"


# --- At the same time -----------------------------------------------------------------------------


def test_one_request_sent_many_times_at_once_is_one(
    here: Stage, owner: httpx.Client, surface: str
) -> None:
    before = here.http.get("/v1/log").json()["size"]
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: report(owner, surface, "race", event("racer")), range(16))
        )
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert here.http.get("/v1/log").json()["size"] == before + 2


def test_one_lead_named_first_by_many_at_once_is_one_lead(
    owner: httpx.Client, surface: str
) -> None:
    def send(number: int) -> httpx.Response:
        what = "signup" if number == 0 else "activate"
        return report(owner, surface, f"crowd-{number}", event("crowded", what))

    with ThreadPoolExecutor(8) as pool:
        assert {answer.status_code for answer in pool.map(send, range(16))} == {200}
    seen = owner.get(f"/v1/surfaces/{surface}/leads?limit=1000").json()["leads"]
    assert [item["external_id"] for item in seen].count("crowded") == 1


# --- Erasure --------------------------------------------------------------------------------------


def test_a_lead_is_erased_and_the_log_still_proves(
    here: Stage, owner: httpx.Client, surface: str
) -> None:
    def erase(key: str, lead: str, who: httpx.Client = owner) -> httpx.Response:
        headers = {"Idempotency-Key": key}
        path = f"/v1/surfaces/{surface}/erasures"
        return who.post(path, json={"lead": lead}, headers=headers)

    assert report(owner, surface, "before", event("ann@example.com")).status_code == 200
    before = here.http.get("/v1/log").json()["size"]
    stranger = here.sign_in(wallet("other"), "owner")
    assert erase("a", "ann@example.com", stranger).status_code == 403
    assert erase("a", "nobody@example.com").status_code == 404
    done = erase("a", "ann@example.com")
    assert (done.status_code, done.json()["count"]) == (200, 1), done.text
    ((kind, label, lead),) = entries(here, before, 10)
    assert (kind, label) == ("erasure", "")
    with psycopg.connect(here.database_url) as admin:
        for table in ("lead_identities", "private_payloads", "requests", "inbox", "accounts"):
            assert "ann@example.com" not in str(admin.execute(f"TABLE {table}").fetchall())
    # The same request again is the same; a new one has nobody to erase.
    assert erase("a", "ann@example.com").json() == done.json()
    assert erase("b", "ann@example.com").status_code == 404
    told = owner.get(f"/v1/surfaces/{surface}/leads").json()["leads"]
    assert {row["external_id"] for row in told if row["lead"] == lead} == {None}
    # Whoever comes under that name is somebody new.
    assert report(owner, surface, "after", event("ann@example.com")).status_code == 200
    assert entries(here, before + 1, 10)[0] != ("lead.registered", "new", lead)
    head = here.http.get("/v1/log/checkpoint").json()
    for index in range(before - 2, before + 2):  # what was said of her, and the erasure
        proof = here.http.get(f"/v1/log/proofs/inclusion?index={index}").json()
        (entry,) = here.http.get(f"/v1/log/entries?start={index}&limit=1").json()["entries"]
        leaf = leaf_hash(bytes.fromhex(entry["entry"][2:]))
        path = [bytes.fromhex(node[2:]) for node in proof["path"]]
        verify_inclusion(leaf, index, head["size"], path, bytes.fromhex(head["root"][2:]))
