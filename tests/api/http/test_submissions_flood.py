"""A flood: ten hostile accounts take all that they can, and others are served as if alone.

Nothing is timed. The sequencer is held until every hostile account has been refused, so what the
others are given then, they are given however fast a flood is.
"""

from collections.abc import Iterator

import httpx
import pytest

from orchestrator.core.common.limits import Limits
from orchestrator.core.world.requests import Settle
from tests.support.api_service import (
    NDJSON,
    ApiService,
    draft_terms,
    event,
    give_level,
    leads,
    ndjson,
    open_surface,
    proposal_of,
    report,
    report_lines,
    running_service,
    wallet,
)
from tests.support.depth import deep_only
from tests.support.servers import hold_inbox_to

HOSTILE = 10
LIMITS = Limits(waiting_requests=600, open_proposals_to_owner=3, source_sign_ins_a_minute=10_000)
TURN = 5


@pytest.fixture
def service(database_url: str) -> Iterator[ApiService]:
    with running_service(database_url, LIMITS) as running:
        hold_inbox_to(database_url, turn_requests=TURN)
        yield running


def flood_touches(hostile: httpx.Client, surface: str, lead: str) -> int:
    """Send touches, many and then few at a time, until there is no room. Return how many."""
    taken = 0
    for size in (10, 1):
        while True:
            lines = [
                {"id": f"{size}-{taken + n}", "lead": lead, "action": "email"} for n in range(size)
            ]
            answer = hostile.post(
                f"/v1/surfaces/{surface}/touches/bulk",
                content=ndjson(*lines),
                headers=NDJSON | {"Prefer": "respond-async"},
            )
            if answer.status_code == 503:
                assert answer.json()["code"] == "inbox-full"
                assert int(answer.headers["Retry-After"]) > 0
                break
            assert answer.status_code == 202, answer.text
            taken += size
    return taken


def flood_events(hostile: httpx.Client, surface: str) -> int:
    """Send events likewise."""
    taken = 0
    for size in (10, 1):
        while True:
            lines = [event(id=f"{size}-{taken + n}") for n in range(size)]
            hostile.headers["Prefer"] = "respond-async"
            answer = report_lines(hostile, surface, ndjson(*lines))
            if answer.status_code == 503:
                break
            assert answer.status_code == 202, answer.text
            taken += size
    return taken


def flood_proposals(hostile: httpx.Client, name: str, surface: str) -> int:
    """Propose contracts to the surface's owner until there is no room. Return how many."""
    parameters = hostile.get(f"/v1/surfaces/{surface}").json()["terms"]
    for number in range(100):
        signer = wallet(name)
        terms = draft_terms(parameters, signer.address, salt=f"0x{number:064x}")
        answer = hostile.post("/v1/proposals", json=proposal_of(terms, signer))
        if answer.status_code == 409:
            return number
        assert answer.status_code == 201, answer.text
    raise AssertionError("a hundred proposals to one owner were taken")


@deep_only
def test_a_flood_holds_up_neither_an_owner_nor_the_pipeline(service: ApiService) -> None:
    owner = service.sign_in(wallet("owner"), "owner")
    surface = open_surface(owner, "quiet")
    report(owner, surface, "first", event("known"))
    (lead,) = leads(owner, surface)
    names = [f"hostile {n}" for n in range(HOSTILE)]
    hostile = {name: service.sign_in(wallet(name), "owner", "operator") for name in names}
    give_level(service, surface, *map(wallet, names))
    own = {name: open_surface(client, "own") for name, client in hostile.items()}

    with service.sequencer_lock:
        touches = [flood_touches(each, surface, lead["lead"]) for each in hostile.values()]
        events = [flood_events(client, own[name]) for name, client in hostile.items()]
        proposals = [flood_proposals(client, name, surface) for name, client in hostile.items()]
        # A part of the places each, and not all of them together; a few proposals each.
        assert all(0 < count <= LIMITS.waiting_requests // 8 for count in touches)
        assert sum(touches) <= LIMITS.waiting_requests // 2
        assert sum(touches) + sum(events) < LIMITS.waiting_requests
        assert proposals == [LIMITS.open_proposals_to_owner] * HOSTILE

        # What the owner sends is taken all the same, and what the pipeline does.
        headers = {"Idempotency-Key": "late", "Prefer": "respond-async"}
        late = owner.post(f"/v1/surfaces/{surface}/events", json=event("late"), headers=headers)
        assert late.status_code == 202
        owner.headers["Prefer"] = "respond-async"
        sale = {"name": "second", "policy": policy_of(owner, surface)}
        opened = owner.post("/v1/surfaces", json=sale, headers={"Idempotency-Key": "second"})
        assert opened.status_code == 202
        service.submit("settle-now", Settle())

        # One drain, in which each of twelve surfaces has a turn, decides what is not of the flood.
        before = count_waiting(service)
        service.drain((HOSTILE + 2) * TURN)
        status = owner.get(opened.json()["href"]).json()
        assert status["status"] == "done", status
        assert settled(service)
        assert count_waiting(service) == before - (HOSTILE + 2) * TURN

    # On the first surface the touches came before the event, so they are decided before it.
    service.decide_waiting()
    while count_waiting(service):
        service.decide_waiting()
    assert owner.get(late.json()["href"]).json()["status"] == "done"
    assert service.get("/v1/log")["size"] > sum(touches) + sum(events)


def policy_of(owner: httpx.Client, surface: str) -> object:
    return owner.get(f"/v1/surfaces/{surface}").json()["policy"]


def count_waiting(service: ApiService) -> int:
    with service.admin() as admin:
        row = admin.execute("SELECT count(*) FROM inbox").fetchone()
    return 0 if row is None else int(row[0])


def settled(service: ApiService) -> bool:
    """Return whether the pipeline's tick was decided."""
    with service.admin() as admin:
        row = admin.execute(
            "SELECT count(*) FROM requests JOIN results USING (log_id, seq) WHERE kind = 'settle'"
        ).fetchone()
    return row == (1,)
