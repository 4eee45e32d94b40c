"""The routes of owners: surfaces, policies, product events, erasures, and privacy."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from itertools import count

import httpx
import psycopg
import pytest

from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.common.limits import Limits
from orchestrator.core.log.entry import address_word, ascii_word
from orchestrator.core.log.merkle import leaf_hash, verify_inclusion
from orchestrator.core.world.codec import commitment
from orchestrator.core.world.contract import rules_of
from orchestrator.core.world.requests import CloseContract, OpenContract
from tests.support.api_service import (
    POLICY,
    START_MS,
    ApiService,
    draft_terms,
    erase,
    event,
    give_level,
    ndjson,
    open_surface,
    problem_of,
    report,
    report_lines,
    running_service,
    wallet,
)


@pytest.fixture(scope="module")
def surface(owner: httpx.Client) -> str:
    return open_surface(owner, "events")


# --- Surfaces -------------------------------------------------------------------------------------


def test_a_surface_is_named_after_its_owner(owner: httpx.Client, surface: str) -> None:
    word = address_word(wallet("owner").address)
    assert surface == "0x" + sha256(word + ascii_word("events")).hexdigest()
    reply = owner.get(f"/v1/surfaces/{surface}").json()
    assert (reply["name"], reply["version"]) == ("events", 1)
    assert reply["owner"] == wallet("owner").address
    assert reply["policy"] == POLICY


def test_two_owners_may_use_one_name(
    service: ApiService, owner: httpx.Client, surface: str
) -> None:
    assert open_surface(service.sign_in(wallet("other"), "owner"), "events") != surface


def test_opening_a_surface_again_is_the_same_or_a_conflict(
    owner: httpx.Client, surface: str
) -> None:
    assert open_surface(owner, "events") == surface
    body = {"name": "events", "policy": POLICY}
    again = owner.post("/v1/surfaces", json=body, headers={"Idempotency-Key": "another"})
    assert (again.status_code, again.json()["code"]) == (409, "surface-exists")
    headers = {"Idempotency-Key": "open-events"}
    other = owner.post("/v1/surfaces", json=body | {"name": "another"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency-conflict")


def test_a_policy_gets_its_next_version(owner: httpx.Client) -> None:
    surface = open_surface(owner, "versions")
    path = f"/v1/surfaces/{surface}/policy"
    body = {"policy": POLICY | {"lateness_s": 7}}
    answer = owner.post(path, json=body, headers={"Idempotency-Key": "second"})
    assert answer.status_code == 200, answer.text
    reply = owner.get(f"/v1/surfaces/{surface}").json()
    assert (reply["version"], reply["policy"]["lateness_s"]) == (2, 7)
    assert reply["policy_hash"] == answer.json()["policy_hash"]


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


def test_another_owners_surface_is_not_ours(service: ApiService, surface: str) -> None:
    stranger = service.sign_in(wallet("stranger"), "owner")
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


# --- What one account may have --------------------------------------------------------------------


@pytest.fixture
def limited(database_url: str) -> Iterator[ApiService]:
    """A service where an account has few surfaces and policies."""
    with running_service(database_url, Limits(surfaces=3, policies=4)) as running:
        yield running


def publish(owner: httpx.Client, surface: str, number: int) -> httpx.Response:
    return owner.post(
        f"/v1/surfaces/{surface}/policy",
        json={"policy": POLICY | {"lateness_s": 100 + number}},
        headers={"Idempotency-Key": f"policy-{number}"},
    )


def open_named(owner: httpx.Client, name: str) -> httpx.Response:
    body = {"name": name, "policy": POLICY}
    return owner.post("/v1/surfaces", json=body, headers={"Idempotency-Key": name})


def test_an_account_has_a_bounded_number_of_surfaces(
    limited: ApiService,
) -> None:
    service = limited
    busy = service.sign_in(wallet("busy"), "owner")
    # At once: no two of them may find the last place free.
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda number: open_named(busy, f"s{number}"), range(6)))
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [200, 200, 200, 409, 409, 409]
    for number, answer in enumerate(answers):
        again = open_named(busy, f"s{number}")
        assert again.status_code == answer.status_code
        if answer.status_code == 409:
            problem_of(again, 409, "surface-limit")
            assert "opened 3 surfaces" in again.json()["detail"]
    other = service.sign_in(wallet("idle"), "owner")
    assert open_named(other, "s0").status_code == 200


def test_an_account_has_a_bounded_number_of_policies(
    limited: ApiService,
) -> None:
    service = limited
    prolific = service.sign_in(wallet("prolific"), "owner")
    surface = open_surface(prolific, "versions")
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda number: publish(prolific, surface, number), range(6)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 409, 409, 409]
    taken = [number for number, answer in enumerate(answers) if answer.status_code == 200]
    assert publish(prolific, surface, taken[0]).json() == answers[taken[0]].json()
    problem_of(publish(prolific, surface, 7), 409, "policy-limit")
    problem_of(open_named(prolific, "one-more"), 409, "policy-limit")


def test_a_policy_that_costs_too_much_is_refused_at_once(owner: httpx.Client) -> None:
    states = [f"s{number}" for number in range(250)]
    costly = {
        "initial": "s0",
        "states": states,
        "transitions": [
            {"on": f"e{number}", "from": states, "to": "s0", "motion": "conversion"}
            for number in range(38)
        ],
        "attribution": "last_touch",
        "touches_per_lead": 1,
    }
    body = {"name": "costly", "policy": costly}
    answer = owner.post("/v1/surfaces", json=body, headers={"Idempotency-Key": "costly"})
    problem_of(answer, 422, "steps-too-many")
    body = {"name": "late", "policy": POLICY | {"lateness_s": 0}}
    answer = owner.post("/v1/surfaces", json=body, headers={"Idempotency-Key": "late"})
    problem_of(answer, 422, "lateness-zero")


# --- Events ---------------------------------------------------------------------------------------


def test_an_event_becomes_entries_under_a_pseudonym(
    service: ApiService, owner: httpx.Client, surface: str
) -> None:
    answer = report(owner, surface, "first", event("ada@example.org"))
    reply = answer.json()
    assert (answer.status_code, reply["status"], reply["verdict"]) == (200, "done", "accepted")
    assert answer.headers["Preference-Applied"] == "wait=10"
    assert answer.headers["Location"] == reply["href"]
    registered, moved = service.entries(reply["first_position"], reply["count"])
    assert (registered.kind, registered.label) == ("lead.registered", "new")
    assert (moved.kind, moved.label) == ("lead.transition", "signed_up")
    assert registered.subject == moved.subject
    assert owner.get(reply["href"]).json() == reply


def test_the_policys_verdict_is_shown(owner: httpx.Client, surface: str) -> None:
    reply = report(owner, surface, "v1", event("verdicts", "subscribe")).json()
    assert (reply["status"], reply["verdict"]) == ("done", "refused")
    reply = report(owner, surface, "v2", event("verdicts", "unheard-of")).json()
    assert (reply["verdict"], reply["count"], reply["first_position"]) == ("ignored", 0, None)


@pytest.mark.parametrize(
    ("time", "written_ms"),
    [
        # Whole seconds: the end of the second, or the receipt if that is earlier.
        ("2025-12-31T23:59:58Z", START_MS - 1_001),
        ("2026-01-01T00:59:58+01:00", START_MS - 1_001),
        ("2025-12-31T23:59:59Z", START_MS - 1),
        ("2026-01-01T00:00:00Z", START_MS),
        ("2025-12-31T00:00:00Z", START_MS - 86_400_000 + 999),
        ("2025-12-30T23:59:59.999Z", None),
        ("2025-12-30T23:59:59Z", None),
        # A fraction, even of zeros, is taken at its word.
        ("2025-12-31T23:59:58.0Z", START_MS - 2_000),
        ("2025-12-31T23:59:58.25Z", START_MS - 1_750),
        ("2025-12-31T00:00:00.000Z", START_MS - 86_400_000),
    ],
)
def test_an_event_counts_at_the_time_that_its_clock_means(
    service: ApiService, owner: httpx.Client, surface: str, time: str, written_ms: int | None
) -> None:
    key = f"at-{time}"
    answer = report(owner, surface, key, event(key, time=time))
    if written_ms is None:
        problem = problem_of(answer, 422, "event-late")
        assert "2025-12-3" in str(problem["detail"])
        assert "retry" not in problem
        return
    reply = answer.json()
    assert answer.status_code == 200, answer.text
    _, moved = service.entries(reply["first_position"], reply["count"])
    assert moved.time_ms == written_ms


def test_a_refusal_that_time_changes_is_not_the_last_word_of_its_key(
    service: ApiService, owner: httpx.Client
) -> None:
    """A policy in force binds contracts: its successor is refused, and later taken as it stands."""
    surface = open_surface(owner, "bound for now")
    parameters = owner.get(f"/v1/surfaces/{surface}").json()["terms"]
    terms = draft_terms(parameters, wallet("operator").address)
    service.submit("opened", OpenContract(rules_of(terms, bytes(32)), bytes(32)))
    service.decide_waiting()
    path, body = f"/v1/surfaces/{surface}/policy", {"policy": POLICY | {"lateness_s": 60}}
    keyed = {"Idempotency-Key": "patient"}
    for _ in range(2):
        problem = problem_of(owner.post(path, json=body, headers=keyed), 409, "policy-in-force")
        assert problem["retry"] is True
    with service.sequencer_lock:  # or the answer could be the refusal already
        href = owner.post(path, json=body, headers=keyed | {"Prefer": "wait=0"}).json()["href"]
    service.decide_waiting()
    status = owner.get(href).json()
    assert (status["status"], status["code"], status["retry"]) == (
        "refused", "policy-in-force", True
    )  # fmt: skip
    other = owner.post(path, json={"policy": POLICY}, headers=keyed)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency-conflict")
    service.submit("closed", CloseContract(bytes(32), 0, bytes(32)))
    service.decide_waiting()
    assert owner.get(href).json()["status"] == "refused"  # until it is sent again
    first = owner.post(path, json=body, headers=keyed)
    assert (first.status_code, first.json()["status"]) == (200, "done")
    assert first.json()["href"] == href
    assert owner.post(path, json=body, headers=keyed).json() == first.json()
    assert owner.get(f"/v1/surfaces/{surface}").json()["version"] == 2


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
        ({"lead": "x" * 513}, "body/lead"),
        ({"lead": "ok "}, "body/lead"),
        ({"lead": "o\u200bk"}, "body/lead"),
        ({"lead": "𐍈" * 129}, "body/lead"),
        ({"lead": "tab\there"}, "body/lead"),
        ({"order": ""}, "body/order"),
        ({"order": "x" * 513}, "body/order"),
        ({"order": "A-1 "}, "body/order"),
        ({"order": 7}, "body/order"),
        ({"event": ""}, "body/event"),
        ({"event": "x" * 256}, "body/event"),
        ({"event": "sign\u00adup"}, "body/event"),
        ({"surprise": 1}, "body/surprise"),
    ],
)
def test_a_malformed_event_is_refused_with_its_member(
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


def test_a_refund_takes_back_from_the_order_that_it_names(
    service: ApiService, owner: httpx.Client, surface: str
) -> None:
    numbers = count()

    def tell(name: str, **changes: object) -> httpx.Response:
        body = event("buyer@example.org", name) | changes
        return report(owner, surface, f"refunds-{next(numbers)}", body)

    for name in ("signup", "activate"):
        assert tell(name).json()["verdict"] == "accepted"
    # A refund before its order is refused, says that it can come again, and then is taken.
    early = tell("refund", order="A-1", value="5")
    assert (early.status_code, early.json()["code"]) == (409, "order-unknown")
    assert "again" in early.json()["detail"]
    bought = tell("subscribe", order="A-1", value="100").json()
    assert bought["verdict"] == "accepted"
    place = bought["first_position"]
    taken = tell("refund", order="A-1", value="7.50").json()
    (entry,) = service.get("/v1/log/entries", start=taken["first_position"], limit=1)["entries"]
    opening = entry["opening"]
    assert (opening["of"], opening["previous"], opening["whole"]) == (place, 0, False)
    assert (opening["refunded_before_units"], opening["refunded_after_units"]) == ("0", "7500000")
    purchase = service.get("/v1/log/entries", start=place, limit=1)["entries"][0]["opening"]
    assert opening["order"] == purchase["order"] != "0x" + "00" * 32
    # One that names no value is of all that is left, and one more of the order takes nothing.
    rest = tell("refund", order="A-1").json()
    (entry,) = service.get("/v1/log/entries", start=rest["first_position"], limit=1)["entries"]
    assert entry["opening"]["previous"] == taken["first_position"]
    assert (entry["opening"]["refunded_after_units"], entry["opening"]["whole"]) == (
        "100000000",
        True,
    )
    # The id of the order is in no table but its own, and goes with the lead.
    with psycopg.connect(service.database_url) as admin:
        for table in ("requests", "inbox", "entries", "leads"):
            assert "A-1" not in str(admin.execute(f"TABLE {table}").fetchall())
        assert len(admin.execute("TABLE order_identities").fetchall()) == 1
        gone = erase(owner, surface, "no-more", lead="buyer@example.org")
        assert gone.status_code in (200, 202)
        assert admin.execute("TABLE order_identities").fetchall() == []


def test_a_bulk_of_events_names_orders_of_its_own(owner: httpx.Client, surface: str) -> None:
    lines = [
        event("bulk buyer", "signup") | {"id": "o1"},
        event("bulk buyer", "activate") | {"id": "o2"},
        event("bulk buyer", "subscribe") | {"id": "o3", "order": "B-1", "value": "10"},
        event("bulk buyer", "refund") | {"id": "o4", "order": "B-1", "value": "4"},
        event("bulk buyer", "refund") | {"id": "o5", "order": "B-2", "value": "4"},
        event("bulk", "refund") | {"id": "o6", "order": "B-1", "value": "4"},
    ]
    results = report_lines(owner, surface, ndjson(*lines)).json()["results"]
    told = [result.get("verdict") or result["code"] for result in results]
    assert told == [*["accepted"] * 4, "order-unknown", "order-unknown"]


# Names that a log entry has no room for, as products use them.
LONG, FOREIGN = "Subscription Started By Annual Plan", "注文が完了しました"


def test_a_products_own_names_of_events_move_its_leads(
    service: ApiService, owner: httpx.Client
) -> None:
    names = {LONG: "subscribe", FOREIGN: "activate", "Geld zur\u00fcck": "refund"}
    surface = open_surface(owner, "long names", events=names)
    assert owner.get(f"/v1/surfaces/{surface}").json()["policy"]["events"] == names
    said = ["signup", FOREIGN, LONG, "Geld zuru\u0308ck", "Viewed the Pricing Page On Mobile"]
    replies = [
        report(owner, surface, f"named-{number}", event("namer", what)).json()
        for number, what in enumerate(said)
    ]
    assert [reply["verdict"] for reply in replies] == ["accepted"] * 4 + ["ignored"]
    labels = [
        service.entries(reply["first_position"] + reply["count"] - 1, 1)[0].label
        for reply in replies[:4]
    ]
    assert labels == ["signed_up", "activated", "subscribed", "refund"]


def test_an_event_that_the_policy_does_not_name_turns_no_bulk_away(
    owner: httpx.Client, surface: str
) -> None:
    unknown = [LONG, FOREIGN, "x" * 255, "Käufe 🛍"]
    lines = [event("bulky", what, id=f"bulk-{n}") for n, what in enumerate(["signup", *unknown])]
    answer = report_lines(owner, surface, ndjson(*lines))
    assert answer.status_code == 200, answer.text
    verdicts = [item["verdict"] for item in answer.json()["results"]]
    assert verdicts == ["accepted"] + ["ignored"] * 4
    for number, what in enumerate(unknown):
        reply = report(owner, surface, f"unknown-{number}", event("bulky", what)).json()
        assert (reply["verdict"], reply["count"]) == ("ignored", 0)


def test_a_bad_name_in_a_bulk_is_refused_with_its_line_in_words(
    owner: httpx.Client, surface: str
) -> None:
    body = ndjson(event(id="g1"), event("b\u200bad", id="g2"), event("ok ", id="g3"))
    answer = report_lines(owner, surface, body)
    assert (answer.status_code, answer.json()["code"]) == (422, "line-invalid")
    assert {fault["where"]: fault["detail"] for fault in answer.json()["errors"]} == {
        "line 2/lead": "must not have characters that cannot be seen, "
        r"such as U+200B ZERO WIDTH SPACE in 'b\u200bad'",
        "line 3/lead": "must not begin or end with a space: 'ok '",
    }


def test_two_spellings_of_a_lead_are_one_lead(owner: httpx.Client) -> None:
    surface = open_surface(owner, "spellings")
    composed, decomposed = "ren\u00e9e@example.org", "rene\u0301e@example.org"
    report(owner, surface, "one", event(composed)).raise_for_status()
    # The same key and the same event, as another export writes it.
    again = report(owner, surface, "one", event(decomposed))
    assert again.status_code == 200, again.text
    assert report(owner, surface, "two", event(decomposed, "activate")).json()["count"] == 1
    (lead,) = owner.get(f"/v1/surfaces/{surface}/leads").json()["leads"]
    assert (lead["external_id"], lead["state"]) == (composed, "activated")
    assert erase(owner, surface, "forget", lead=decomposed).json()["count"] == 1


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


# --- Privacy --------------------------------------------------------------------------------------


def test_only_the_owner_learns_who_a_lead_is(
    service: ApiService, owner: httpx.Client, operator: httpx.Client
) -> None:
    surface = open_surface(owner, "private")
    give_level(service, surface, wallet("operator"))
    secret = "grace.hopper@example.org"
    reply = report(owner, surface, "hush", event(secret)).json()
    (lead,) = owner.get(f"/v1/surfaces/{surface}/leads").json()["leads"]
    assert lead["external_id"] == secret

    seen = operator.get(f"/v1/surfaces/{surface}/leads").text
    assert json.loads(seen)["leads"][0]["external_id"] is None
    public = service.http.get(f"/v1/log/entries?start={reply['first_position']}&limit=10").text
    for text in (seen, public):
        assert "hopper" not in text
    with service.admin() as admin:
        stored = admin.execute(
            "SELECT entry::text || coalesce(opening::text, '') FROM entries "
            "UNION ALL SELECT body::text FROM inbox"
        )
        assert not any(secret.encode().hex() in row[0] or secret in row[0] for row in stored)


def test_the_logs_commitment_is_salted_and_can_be_opened_by_the_owner_alone(
    service: ApiService, owner: httpx.Client, surface: str
) -> None:
    reply = report(owner, surface, "salted", event("salty")).json()
    start = reply["first_position"] + reply["count"] - 1
    (item,) = service.get("/v1/log/entries", start=start, limit=1)["entries"]
    committed = from_hex(item["opening"]["commitment"])
    with service.admin() as admin:
        row = admin.execute(
            "SELECT salt, body FROM private_payloads WHERE commitment = %s", (committed,)
        ).fetchone()
    assert row is not None
    assert commitment(row[0], row[1]) == committed
    assert json.loads(row[1])["lead"] == "salty"


# --- Erasures -------------------------------------------------------------------------------------


def test_a_lead_is_erased_and_the_log_still_proves(
    service: ApiService, owner: httpx.Client, surface: str
) -> None:
    ann = "ann@example.com"
    assert report(owner, surface, "before", event(ann)).status_code == 200
    before = service.get("/v1/log")["size"]
    stranger = service.sign_in(wallet("other"), "owner")
    assert erase(stranger, surface, "a", lead=ann).status_code == 403
    assert erase(owner, surface, "a", lead="unknown@example.com").status_code == 404
    done = erase(owner, surface, "a", lead=ann)
    assert (done.status_code, done.json()["count"]) == (200, 1), done.text
    (erasure,) = service.entries(before, 10)
    assert (erasure.kind, erasure.label) == ("erasure", "")
    with psycopg.connect(service.database_url) as admin:
        for table in ("lead_identities", "private_payloads", "requests", "inbox", "accounts"):
            assert ann not in str(admin.execute(f"TABLE {table}").fetchall())
    # The same request again is the same; a new one has no lead to erase.
    assert erase(owner, surface, "a", lead=ann).json() == done.json()
    assert erase(owner, surface, "b", lead=ann).status_code == 404
    reply = owner.get(f"/v1/surfaces/{surface}/leads").json()["leads"]
    assert {row["external_id"] for row in reply if row["lead"] == to_hex(erasure.subject)} == {None}
    # The next lead of that name is a new one.
    assert report(owner, surface, "after", event(ann)).status_code == 200
    registered = service.entries(before + 1, 1)[0]
    assert registered.kind == "lead.registered"
    assert registered.subject != erasure.subject
    head = service.get("/v1/log/checkpoint")
    for position in range(before - 2, before + 2):  # the events about the lead, and the erasure
        proof = service.get("/v1/log/proofs/inclusion", position=position)
        (entry,) = service.get("/v1/log/entries", start=position, limit=1)["entries"]
        leaf = leaf_hash(from_hex(entry["entry"]))
        path = [from_hex(node) for node in proof["path"]]
        verify_inclusion(leaf, position, head["size"], path, from_hex(head["root"]))
