"""Policies that a surface may publish, and the erasure of a lead by its owner."""

from typing import Any

import pytest

from orchestrator.core.common.errors import RequestError
from orchestrator.core.decisions.decide import decide
from orchestrator.core.log.entry import Entry
from orchestrator.core.world.requests import (
    CloseContract,
    Erasure,
    OpenContract,
    ProductEvent,
    PublishPolicy,
)
from orchestrator.core.world.world import Lead
from tests.support.decisions import (
    ANN,
    FIRST,
    ZERO,
    X,
    Y,
    event,
    refused,
    run,
    touch,
)
from tests.support.worlds import (
    DOCUMENT,
    LEADS,
    OPERATORS,
    OWNER,
    SURFACE,
    begin,
    partner,
    policy,
    rules,
    word,
)

WIDER = policy(states=[*DOCUMENT["states"], "lost"])
# A contract over [0, 1000] whose outcomes can be reversed for 200 ms; events come up to 5 s late.
BOUND_UNTIL = 1000 + 200 + 5000


@pytest.mark.parametrize(
    ("changes", "now", "code"),
    [
        ({}, 0, "policy-in-force"),
        ({}, BOUND_UNTIL, "policy-in-force"),
        ({}, BOUND_UNTIL + 1, None),
        ({"holdback_period_ms": 0}, BOUND_UNTIL - 200, "policy-in-force"),
        ({"holdback_period_ms": 0}, BOUND_UNTIL - 199, None),
        # not one of the owner's contracts under the policy in force
        ({"surface": word("another surface")}, 0, None),
        ({"owner": word("another owner")}, 0, None),
        ({"policy_hash": word("another policy")}, 0, None),
        ({"attribution": "last_touch"}, 0, None),
    ],
)
def test_contracts_pin_the_policy_they_were_signed_under(
    changes: dict[str, Any], now: int, code: str | None
) -> None:
    terms = rules("a", FIRST, **({"deadline_ms": 1000, "holdback_period_ms": 200} | changes))
    world, _ = begin(FIRST, terms)
    request = PublishPolicy(SURFACE, OWNER, WIDER)
    if code is None:
        assert run(world, (now, request))[0][4:6] == ("v2", 2)
    else:
        assert refused(world, now, request) == code


@pytest.mark.parametrize(
    ("names", "said"), [("a", "1 contract was signed under"), ("ab", "2 contracts were signed")]
)
def test_the_contracts_that_pin_a_policy_are_counted(names: str, said: str) -> None:
    world, _ = begin(FIRST, *(rules(name, FIRST) for name in names))
    with pytest.raises(RequestError, match=f"^{said}"):
        decide(world, PublishPolicy(SURFACE, OWNER, WIDER), 0)


def test_a_closed_contract_pins_nothing() -> None:
    world, _ = begin(FIRST, rules("a", FIRST))
    request = PublishPolicy(SURFACE, OWNER, WIDER)
    assert refused(world, 5, request) == "policy-in-force"
    run(world, (5, CloseContract(word("a"), 5, ZERO)), (5, request))
    assert world.surfaces[SURFACE].policy == WIDER


def test_the_complaint_counts_the_contracts() -> None:
    world, _ = begin(FIRST, rules("a", FIRST), rules("b", FIRST), rules("c", FIRST, owner=ANN))
    with pytest.raises(RequestError, match=r"^2 contracts were signed under the policy in force"):
        decide(world, PublishPolicy(SURFACE, OWNER, WIDER), 5)


@pytest.mark.parametrize(
    ("states", "code"),
    [
        (["new", "trial", "paid"], None),
        (["paid", "lost", "trial", "new"], None),
        (["new", "paid"], "policy-drops-state"),
        (["lost"], "policy-drops-state"),
    ],
)
def test_a_new_policy_keeps_every_state(states: list[str], code: str | None) -> None:
    world, _ = begin(FIRST)
    document = {"states": states, "initial": states[0], "transitions": [], "reversals": []}
    request = PublishPolicy(SURFACE, OWNER, policy(**document))
    if code is None:
        run(world, (0, request))
    else:
        assert refused(world, 0, request) == code


def test_only_the_owner_has_a_lead_erased() -> None:
    other = word("elsewhere")
    world, _ = begin(policy())
    decide(world, PublishPolicy(other, OWNER, policy()), 0)
    decide(world, ProductEvent(SURFACE, LEADS[0], "signup", 0, 0), 0)
    size = world.size
    for request, code in (
        (Erasure(SURFACE, LEADS[0], OPERATORS[0]), "surface-taken"),
        (Erasure(word("nowhere"), LEADS[0], OWNER), "surface-unknown"),
        (Erasure(other, LEADS[0], OWNER), "lead-elsewhere"),
    ):
        with pytest.raises(RequestError) as refused:
            decide(world, request, 5)
        assert refused.value.code == code
    # Of a lead that never came to anything there is nothing to say.
    assert decide(world, Erasure(SURFACE, LEADS[1], OWNER), 5) == []
    assert world.size == size
    ((entry, opening),) = decide(world, Erasure(SURFACE, LEADS[0], OWNER), 5)
    assert opening is None
    assert entry == Entry("erasure", SURFACE, OWNER, LEADS[0], "", 0, 5, bytes(32))
    # The log goes on as before: its pseudonym stands for nobody that anyone could name.
    assert world.leads[LEADS[0]].state == "trial"


def test_a_surface_belongs_to_who_published_first() -> None:
    world, _ = begin(FIRST)
    assert refused(world, 0, PublishPolicy(SURFACE, ANN, WIDER)) == "surface-taken"
    assert run(world, (0, PublishPolicy(word("new"), ANN, WIDER)))[0][4:6] == ("v1", 1)
    entries = run(world, *[(0, PublishPolicy(SURFACE, OWNER, p)) for p in (WIDER, WIDER)])
    assert [entry.label for entry in entries] == ["v2", "v3"]


def test_a_new_policy_rules_from_the_next_request() -> None:
    world, _ = begin(FIRST)
    run(world, (1, event("signup", 1)))
    strict = policy(transitions=[], states=[*DOCUMENT["states"], "lost"], initial="lost")
    run(world, (2, PublishPolicy(SURFACE, OWNER, strict)))
    run(world, (2, OpenContract(partner(strict, ANN, contract_id=word("anew")), ZERO)))
    assert run(world, (3, event("buy", 3)), (3, touch(lead=X))) != []
    assert world.leads[X].state == "trial"
    run(world, (3, touch(lead=Y)))
    assert world.leads[Y] == Lead(SURFACE, "lost", 3, 3, touches=world.leads[Y].touches)
