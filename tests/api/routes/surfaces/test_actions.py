"""The routes of actions that surfaces carry out."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from orchestrator.core.common.hexadecimal import from_hex
from orchestrator.core.world.requests import ExpireAction
from tests.support.api_service import (
    ApiService,
    erase,
    event,
    leads,
    open_with_actions,
    problem_of,
    report,
    request_action,
    running_service,
    touch,
    wallet,
)

PARAMETERS = {
    "type": "object",
    "properties": {
        "template": {"type": "string", "enum": ["welcome", "nudge"]},
        "name": {"type": "string", "maxLength": 40},
    },
    "required": ["template"],
}
LETTER = {
    "level": 1, "by": "surface", "expires_s": 60, "parameters": PARAMETERS, "returns": ["industry"]
}  # fmt: skip


class Deal:
    """A surface that carries out letters, its owner, an operator of level 1, and a lead."""

    def __init__(self, service: ApiService) -> None:
        self.service = service
        self.owner = service.sign_in(wallet("owner"), "owner")
        self.operator = service.sign_in(wallet("operator"), "operator")
        self.stranger = service.sign_in(wallet("another operator"), "operator")
        actions = {"email": {"level": 1}, "letter": LETTER}
        operators = wallet("operator"), wallet("another operator")
        self.surface = open_with_actions(service, self.owner, "letters", actions, *operators)
        report(self.owner, self.surface, "one", event("user-1"))
        self.lead = leads(self.operator, self.surface)[0]["lead"]
        self.path = f"/v1/surfaces/{self.surface}/actions"

    def request(self, key: str = "letter", **body: Any) -> httpx.Response:
        told = {"parameters": {"template": "welcome", "name": "Ada"}} | body
        return request_action(self.operator, self.surface, key, self.lead, "letter", **told)

    def answer(self, position: int, what: str, **body: Any) -> httpx.Response:
        return self.owner.post(f"{self.path}/{position}/{what}", json=body)

    def show(self, client: httpx.Client, position: int) -> Any:
        found = client.get(f"{self.path}/{position}")
        assert found.status_code == 200, found.text
        return found.json()


@pytest.fixture
def deal(database_url: str) -> Iterator[Deal]:
    with running_service(database_url) as service:
        yield Deal(service)


def position_of(answer: httpx.Response) -> int:
    assert answer.status_code == 200, answer.text
    first, count = answer.json()["first_position"], answer.json()["count"]
    position: int = first + count - 1
    return position


def test_an_action_is_requested_taken_and_done(deal: Deal) -> None:
    position = position_of(deal.request())
    assert position_of(deal.request()) == position  # the same request, once more
    (waiting,) = deal.owner.get(deal.path, params={"state": "requested"}).json()["actions"]
    assert waiting["position"] == position
    assert waiting["external_id"] == "user-1"
    assert waiting["parameters"] == {"template": "welcome", "name": "Ada"}
    assert position_of(deal.answer(position, "taken", result={"industry": "tools"})) > position
    assert deal.answer(position, "taken", result={"industry": "tools"}).is_success
    mine = deal.show(deal.operator, position)
    assert (mine["state"], mine["result"]) == ("taken", {"industry": "tools"})
    assert mine["external_id"] is None
    report(deal.owner, deal.surface, "two", event("user-1", "activate"))
    done = deal.show(deal.operator, position)
    assert done["state"] == "done"
    (entry,) = deal.service.entries(done["touch"], 1)
    assert (entry.kind, entry.label, entry.time_ms) == (
        "touch.reported", "letter", mine["requested_ms"]
    )  # fmt: skip
    problem_of(deal.answer(position, "failed", reason="late"), 409, "action-closed")
    measured = deal.service.get(f"/v1/surfaces/{deal.surface}/answers")["actions"]
    assert [one["answered"] for one in measured] == [1]
    assert measured[0]["median_ms"] == mine["answered_ms"] - mine["requested_ms"]
    why = deal.service.get(f"/v1/actions/{position}/why")
    assert why["code"] == "action"
    assert [part["code"] for part in why["parts"]] == ["action-answered", "action-done"]


def test_an_action_fails_or_expires(deal: Deal) -> None:
    failed, expired = position_of(deal.request()), position_of(deal.request("second"))
    assert deal.answer(failed, "failed", reason="bounced").is_success
    assert deal.show(deal.operator, failed)["reason"] == "bounced"
    lead = from_hex(deal.lead)
    deal.service.clock.now_ms += 61_000
    deal.service.submit("expire", ExpireAction(from_hex(deal.surface), lead, expired))
    deal.service.decide_waiting()
    assert deal.show(deal.owner, expired)["state"] == "expired"
    problem_of(deal.answer(expired, "taken"), 409, "action-closed")
    (measured,) = deal.service.get(f"/v1/surfaces/{deal.surface}/answers")["actions"]
    assert (measured["answered"], measured["failed"], measured["expired"]) == (1, 1, 1)


def test_what_the_catalogue_does_not_allow(deal: Deal) -> None:
    for wrong in ({}, {"template": "spam"}, {"template": "nudge", "more": 1}, {"template": 1}):
        problem_of(deal.request("wrong", parameters=wrong), 422, "parameters-invalid")
    long = {"template": "nudge", "name": "x" * 9000}
    problem_of(deal.request("wrong", parameters=long), 422, "parameters-too-long")
    problem_of(deal.request("wrong", expires_s=61), 409, "action-expiry")
    mail = request_action(deal.operator, deal.surface, "mail", deal.lead, "email")
    problem_of(mail, 409, "action-by-another")
    fax = request_action(deal.operator, deal.surface, "fax", deal.lead, "fax")
    problem_of(fax, 403, "action-unknown")
    own = touch(deal.operator, deal.surface, "own", deal.lead, "letter")
    problem_of(own, 409, "action-by-another")
    position = position_of(deal.request())
    problem_of(deal.answer(position, "taken", result={"age": 7}), 422, "result-unlisted")


def test_an_action_is_the_owners_and_its_operators_alone(deal: Deal) -> None:
    position = position_of(deal.request())
    assert deal.stranger.get(f"{deal.path}/{position}").status_code == 404
    assert deal.stranger.get(deal.path).json()["actions"] == []
    assert deal.operator.post(f"{deal.path}/{position}/taken", json={}).status_code == 403
    another = deal.service.sign_in(wallet("another owner"), "owner")
    problem_of(another.post(f"{deal.path}/{position}/taken", json={}), 403, "not-the-owner")
    assert deal.answer(position, "taken", result={"industry": "tools"}).is_success
    assert erase(deal.owner, deal.surface, "e", lead="user-1").is_success
    for client in (deal.owner, deal.operator):
        shown = deal.show(client, position)
        assert (shown["parameters"], shown["result"], shown["external_id"]) == (None, None, None)
