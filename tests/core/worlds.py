"""Small worlds for tests of the fold: one surface, made-up words for ids, hypothesis histories."""

from typing import Any

from hypothesis import strategies as st

from orchestrator.core import policy as policies
from orchestrator.core.decide import (
    Genesis,
    OpenContract,
    ProductEvent,
    PublishPolicy,
    Record,
    RecordPayout,
    RegisterOperator,
    Request,
    Settle,
    Touch,
    World,
    decide,
)
from orchestrator.core.policy import Policy
from orchestrator.core.settlement import ContractRules


def word(text: str) -> bytes:
    return text.encode().ljust(32, b".")


SURFACE, OWNER, VERIFIER = word("surface"), word("owner"), word("verifier")
OPERATORS = [word("ann"), word("bob")]
LEADS = [word("x"), word("y"), word("z")]
DOCUMENT: dict[str, Any] = {
    "initial": "new",
    "states": ["new", "trial", "paid"],
    "transitions": [
        {"on": "signup", "from": ["new"], "to": "trial", "motion": "acquisition"},
        {"on": "buy", "from": ["trial"], "to": "paid", "motion": "conversion"},
        {"on": "buy", "from": ["paid"], "to": "paid", "motion": "expansion"},
        {"on": "lapse", "from": ["paid"], "to": "new", "motion": "activation"},
    ],
    "reversals": [{"on": "refund", "of": "paid"}, {"on": "lapse", "of": "paid"}],
    "attribution": "first_touch",
    "lateness_s": 5,
}


def policy(**changes: Any) -> Policy:
    return policies.parse({**DOCUMENT, **changes})


def rules(name: str, governing: Policy, **changes: Any) -> ContractRules:
    plain = ContractRules(
        contract_id=word(name),
        surface=SURFACE,
        owner=OWNER,
        operator=OPERATORS[0],
        verifier=VERIFIER,
        policy_hash=governing.hash,
        attribution=governing.attribution,
        outcome="paid",
        repeatable=False,
        unit_price_units=10,
        revenue_share_bps=0,
        budget_units=1000,
        opens_at_ms=0,
        deadline_ms=1_000_000,
        attribution_window_ms=100_000,
        holdback_period_ms=0,
    )
    return plain._replace(**changes)


def begin(governing: Policy, *contracts: ContractRules) -> tuple[World, list[Record]]:
    """A world with a genesis, the surface, its operators and these contracts."""
    world = World()
    requests: list[Request] = [
        Genesis(word("log"), word("publisher")),
        PublishPolicy(SURFACE, OWNER, governing),
        *(RegisterOperator(operator, "0", word("profile")) for operator in OPERATORS),
        *(OpenContract(contract, word("transaction")) for contract in contracts),
    ]
    records = [record for request in requests for record in decide(world, request, 0)]
    return world, records


@st.composite
def contract_lists(draw: st.DrawFn, governing: Policy) -> list[ContractRules]:
    times = st.integers(0, 30_000)
    found = []
    for number in range(draw(st.integers(1, 4))):
        opens = draw(times)
        found.append(
            rules(
                f"c{number}",
                governing,
                operator=draw(st.sampled_from(OPERATORS)),
                outcome=draw(st.sampled_from(governing.states)),
                repeatable=draw(st.booleans()),
                unit_price_units=draw(st.integers(0, 9)),
                revenue_share_bps=draw(st.sampled_from([1, 500, 10_000])),
                budget_units=draw(st.integers(0, 60)),
                opens_at_ms=opens,
                deadline_ms=opens + draw(times),
                attribution_window_ms=draw(times),
                holdback_period_ms=draw(st.sampled_from([0, 2000, 50_000])),
                statement_group=draw(st.sampled_from([b"g", b"h"])),
            )
        )
    return found


@st.composite
def request_lists(draw: st.DrawFn, contracts: list[ContractRules]) -> list[tuple[int, Request]]:
    """(now, request) in time order; events may be late by up to the policy's bound."""
    now = 0
    found: list[tuple[int, Request]] = []
    for _ in range(draw(st.integers(0, 40))):
        now += draw(st.integers(0, 3000))
        lead = draw(st.sampled_from(LEADS))
        kind = draw(st.sampled_from(["touch", "touch", "event", "event", "event", "tick", "pay"]))
        request: Request
        if kind == "touch":
            request = Touch(SURFACE, lead, draw(st.sampled_from(OPERATORS)), "email")
        elif kind == "event":
            event = draw(st.sampled_from(["signup", "buy", "refund", "lapse", "noise"]))
            late = draw(st.sampled_from([0, 0, 1, 4000]))
            request = ProductEvent(
                SURFACE, lead, event, draw(st.integers(0, 9)), max(0, now - late)
            )
        elif kind == "tick":
            request = Settle()
        else:
            paid = draw(st.sampled_from(contracts)).contract_id
            request = RecordPayout(paid, word("payee"), "paid", 1, word("transaction"))
        found.append((now, request))
    return found
