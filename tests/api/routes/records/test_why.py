"""The routes that answer why: public ones by the log alone, and a request's for its account."""

from typing import Any

import httpx
import pytest

from orchestrator.core.deals.terms import contract_id
from orchestrator.core.world.contract import rules_of
from orchestrator.core.world.requests import OpenContract
from tests.support.api_service import (
    ESCROW,
    ApiService,
    draft_terms,
    event,
    give_level,
    leads,
    open_surface,
    problem_of,
    report,
    touch,
    wallet,
)
from tests.support.settled_contract import TRANSACTION, SettledContract

NO_WORD = "0x" + "00" * 32


def codes(answer: dict[str, Any]) -> set[str]:
    return {answer["code"]}.union(*map(codes, answer["parts"]))


def part(answer: dict[str, Any], code: str) -> dict[str, Any]:
    """Return the first reason of a code."""
    if answer["code"] == code:
        return answer
    found = [part(below, code) for below in answer["parts"] if code in codes(below)]
    assert found, code
    return found[0]


def test_an_outcome_is_answered_from_touch_to_payout(
    service: ApiService, settled: SettledContract
) -> None:
    position = settled.position_of("outcome")
    answer = service.get(f"/v1/outcomes/{position}/why")
    assert answer["code"] == "outcome-pays"
    assert answer["text"].endswith("pays 10.99 TUSD, of which 10.99 TUSD was taken back")
    assert answer["contract_id"] == settled.hex_id
    assert answer["numbers"] == {"earned_units": "10990000", "reversed_units": "10990000"}
    amount = part(answer, "outcome-amount")
    assert amount["text"] == (
        "10.99 TUSD is the price of 8.00 TUSD and 10 % of 29.90 TUSD, which is 2.99 TUSD"
    )
    assert part(answer, "stated")["positions"] == [settled.position_of("settlement")]
    assert part(answer, "paid")["positions"] == [settled.position_of("payout")]
    assert part(answer, "reversed")["positions"] == [
        settled.position_of("product.event"),
        settled.position_of("outcome.reversed"),
    ]
    assert "not-anchored" in codes(answer)
    assert service.get(f"/v1/outcomes/{settled.position_of('outcome.reversed')}/why") == answer


def test_a_touch_and_its_lead_are_answered(service: ApiService, settled: SettledContract) -> None:
    position = settled.position_of("touch")
    won = service.get(f"/v1/touches/{position}/why")
    assert (won["code"], won["positions"]) == ("touch-won", [position])
    pseudonym = "0x" + settled.decoded[position].subject.hex()
    path = service.get(f"/v1/surfaces/{settled.surface}/leads/{pseudonym}/why")
    assert [below["code"] for below in path["parts"]] == [
        "transition-unpaid",
        "transition-unpaid",
        "transition-paid",
        "event-took",
    ]
    assert "'new' → 'signed_up' → 'activated' → 'subscribed'" in path["text"]


def test_a_contract_is_answered(service: ApiService, settled: SettledContract) -> None:
    answer = service.get(f"/v1/contracts/{settled.hex_id}/why")
    assert answer["code"] == "contract"
    assert part(answer, "payable")["numbers"] == {"payable_units": "0"}
    assert part(answer, "stated")["positions"] == [settled.position_of("settlement", 1)]
    assert part(answer, "can-earn")["parts"] != []


def test_a_level_is_answered(service: ApiService, settled: SettledContract) -> None:
    operator = wallet("operator").address
    answer = service.get(f"/v1/surfaces/{settled.surface}/operators/{operator}/why")
    assert answer["numbers"]["level"] == 1
    changed = [n for n, entry in enumerate(settled.decoded) if entry.kind == "trust.changed"]
    assert set(answer["positions"]) <= set(changed)
    assert {"counted", "raise", "lose", "limits"} <= codes(answer)


def test_a_touch_before_the_opening_is_told_so(
    service: ApiService, owner: httpx.Client, operator: httpx.Client
) -> None:
    """The operator learns why its touch earned nothing, from when on it would, and by which."""
    surface = open_surface(owner, "early")
    give_level(service, surface, wallet("operator"))
    parameters = operator.get(f"/v1/surfaces/{surface}").json()["terms"]
    opens_at_s = service.clock.now_ms // 1000 + 3600
    terms = draft_terms(
        parameters, wallet("operator").address, outcome="activated", opens_at_s=opens_at_s
    )
    digest = contract_id(terms, ESCROW)
    service.submit("early", OpenContract(rules_of(terms, digest), TRANSACTION))
    service.decide_waiting()
    report(owner, surface, "s", event("early-1"))
    (lead,) = leads(operator, surface)
    touched = touch(operator, surface, "e", lead["lead"], "email").json()
    position = touched["first_position"] + touched["count"] - 1
    answer = service.get(f"/v1/touches/{position}/why")
    reason = part(answer, "touch-before-opening")
    assert reason["contract_id"] == "0x" + digest.hex()
    assert "and this one came before" in reason["text"]
    assert "not-yet-open" in codes(service.get(f"/v1/contracts/0x{digest.hex()}/why"))


def test_a_request_is_answered_to_its_account_alone(
    service: ApiService, owner: httpx.Client, operator: httpx.Client
) -> None:
    surface = open_surface(owner, "asked")
    body = event("asked-1", "no-such-event")
    ignored = report(owner, surface, "i", body).json()
    path = f"/v1/requests/{ignored['request_id']}/why"
    answer = owner.get(path).json()
    assert answer["code"] == "request-ignored"
    assert "names no such event" in answer["text"]
    problem_of(operator.get(path), 404, "not-found")
    problem_of(service.http.get(path), 401, "key-missing")
    late = report(owner, surface, "l", event("asked-1", time="2020-01-01T00:00:00Z"))
    assert late.json()["code"] == "event-late"
    # The problem does not name the request, but it is by its key.
    done = report(owner, surface, "d", event("asked-1")).json()
    answer = owner.get(f"/v1/requests/{done['request_id']}/why").json()
    first = done["first_position"]
    assert answer["positions"] == list(range(first, first + done["count"]))


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/touches/0/why", "not-a-touch"),
        ("/v1/outcomes/0/why", "not-an-outcome"),
        ("/v1/outcomes/999999/why", "entry-unknown"),
        (f"/v1/contracts/{NO_WORD}/why", "contract-unknown"),
        (f"/v1/surfaces/{NO_WORD}/leads/{NO_WORD}/why", "lead-unknown"),
        (f"/v1/surfaces/{NO_WORD}/operators/0x{'11' * 20}/why", "surface-unknown"),
    ],
)
def test_what_has_no_answer_is_a_problem(
    service: ApiService, settled: SettledContract, path: str, code: str
) -> None:
    problem_of(service.http.get(path), 404, code)
