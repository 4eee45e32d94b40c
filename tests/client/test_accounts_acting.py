"""An operator's acts on a real service: taken by whom the surface says, and each refusal told."""

from orchestrator.client.accounts import OperatorClient, summary_of
from tests.support.api_service import (
    ApiService,
    event,
    open_with_actions,
    report,
    wallet,
)

LETTER = {"level": 1, "by": "surface", "expires_s": 3600}
PICTURE = {
    **LETTER,
    "parameters": {
        "type": "object",
        "required": ["size"],
        "properties": {"size": {"type": "integer"}},
    },
}
ACTIONS = {
    "email": {"level": 1},
    "call": {"level": 2},
    "letter": LETTER,
    "picture": PICTURE,
}


def test_an_act_goes_where_the_surface_says_and_its_refusals_are_told(service: ApiService) -> None:
    owner = service.sign_in(wallet("owner"), "owner")
    levels = [{"leads_a_day": 9}, {"leads_a_day": 9, "outcomes": 9, "units": "1", **EARNED}]
    surface = open_with_actions(service, owner, "acts", ACTIONS, wallet("operator"), levels=levels)
    for name in ("ann", "bob"):
        assert report(owner, surface, name, event(name)).is_success
    service.decide_waiting()
    with OperatorClient(service.url, wallet("operator"), "agent") as agent:
        leads = agent.leads(surface, "signed_up")

        def acted(action: str) -> str:
            return summary_of(agent.act(surface, leads, action, f"once-{action}"))

        assert acted("email") == "2 of 2"
        assert acted("call").startswith("0 of 2: level-too-low: ")
        assert acted("letter") == "2 of 2"
        assert "parameters" in acted("picture")
        assert acted("picture").startswith("0 of 2: http-422: ")
        found = agent.get(f"/v1/surfaces/{surface}/actions")["actions"]
        assert {each["lead"] for each in found} == {lead.lead for lead in leads}
        assert {each["action"] for each in found} == {"letter"}
        service.heard_size()
        touched = service.get("/v1/log/events", after=0, operator=agent.address, kinds="touch")
        assert len(touched["events"]) == 2


EARNED = {"age_s": 0, "reversed_bps": 2000, "keep_reversed_bps": 5000, "disputes_lost": 0}


def test_what_is_not_decided_yet_is_told_apart() -> None:
    done = {"status": "done", "code": None, "detail": None}
    waits = {"status": "waiting", "code": None, "detail": None}
    late = {"status": "refused", "code": "too-late", "detail": "it is over"}
    assert summary_of([]) == "0 of 0"
    assert (
        summary_of([done, waits, late, late])
        == "1 of 4: waiting: not decided yet; too-late: it is over"
    )
