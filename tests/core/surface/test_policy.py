"""A surface's policy: legal documents, the effect of each event in each state, and the hash."""

import hashlib
import json
import tracemalloc
from typing import Any

import pytest

from orchestrator.core.common.errors import DocumentError
from orchestrator.core.surface.policy import Policy, Step, Verdict, parse
from tests.support.worlds import DOCUMENT, policy


def refused(document: object) -> tuple[str, str]:
    """Return the rule and the message with which this document is refused."""
    with pytest.raises(DocumentError) as caught:
        parse(document)
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 300
    return caught.value.code, caught.value.message


def changed(**changes: Any) -> dict[str, Any]:
    return {**DOCUMENT, **changes}


def move(**changes: Any) -> dict[str, Any]:
    """Return the document with one transition, changed so."""
    plain = {"on": "buy", "from": ["trial"], "to": "paid", "motion": "conversion"}
    return changed(transitions=[{**plain, **changes}])


def steps(events: int, states: int) -> dict[str, Any]:
    """Return a policy in which each of so many events leaves each of so many states."""
    names = [f"{number:03}" for number in range(states)]
    return {
        "initial": "000",
        "touches_per_lead": 9,
        "states": names,
        "transitions": [
            {"on": f"e{event}", "from": names, "to": "000", "motion": "conversion"}
            for event in range(events)
        ],
        "attribution": "first_touch",
    }


# --- The lifecycle: every event in every state ----------------------------------------------------

ACCEPTED, REFUSED, IGNORED = Verdict.ACCEPTED, Verdict.REFUSED, Verdict.IGNORED
LIFECYCLE = [
    # signup: one transition, from new alone
    ("new", "signup", Step(ACCEPTED, (), "trial")),
    ("trial", "signup", Step(REFUSED, (), "trial")),
    ("paid", "signup", Step(REFUSED, (), "trial")),
    # buy: two transitions, one of them from paid to paid
    ("new", "buy", Step(REFUSED, (), "paid")),
    ("trial", "buy", Step(ACCEPTED, (), "paid")),
    ("paid", "buy", Step(ACCEPTED, (), "paid")),
    # refund: a reversal alone, accepted in every state
    ("new", "refund", Step(ACCEPTED, ("paid",), None)),
    ("trial", "refund", Step(ACCEPTED, ("paid",), None)),
    ("paid", "refund", Step(ACCEPTED, ("paid",), None)),
    # lapse: a reversal everywhere, and a transition from paid
    ("new", "lapse", Step(ACCEPTED, ("paid",), None)),
    ("trial", "lapse", Step(ACCEPTED, ("paid",), None)),
    ("paid", "lapse", Step(ACCEPTED, ("paid",), "new")),
    # an event that the policy does not name; states and motions are no events
    ("new", "noise", Step(IGNORED)),
    ("paid", "noise", Step(IGNORED)),
    ("trial", "paid", Step(IGNORED)),
    ("trial", "conversion", Step(IGNORED)),
    ("trial", "Buy", Step(IGNORED)),
    ("trial", "", Step(IGNORED)),
]


@pytest.mark.parametrize(("state", "event", "step"), LIFECYCLE)
def test_step(state: str, event: str, step: Step) -> None:
    assert policy().step(state, event) == step


def test_a_refused_event_names_the_state_of_its_first_transition() -> None:
    wanders = [
        {"on": "go", "from": ["new"], "to": "paid", "motion": "conversion"},
        {"on": "go", "from": ["trial"], "to": "trial", "motion": "activation"},
    ]
    assert policy(transitions=wanders).step("paid", "go") == Step(REFUSED, (), "paid")
    assert policy(transitions=wanders[::-1]).step("paid", "go") == Step(REFUSED, (), "trial")


def test_reversals_keep_the_order_of_the_document() -> None:
    of = ["trial", "new", "paid"]
    reversals = [{"on": "refund", "of": state} for state in of]
    governing = policy(reversals=reversals)
    assert governing.step("new", "refund") == Step(ACCEPTED, tuple(of), None)


@pytest.mark.parametrize(
    ("state", "to", "enters", "refuses"),
    [
        # The log names the state entered, not the event that led there or was refused.
        ("new", "new", False, False),
        ("new", "trial", True, False),
        ("new", "paid", False, True),
        ("trial", "new", False, False),
        ("trial", "trial", False, True),
        ("trial", "paid", True, False),
        # Only a lapse leads back, and a lapse reverses: its `product.event` stands before it.
        ("paid", "new", False, False),
        ("paid", "trial", False, True),
        ("paid", "paid", True, False),
        ("lost", "trial", False, True),
        ("new", "lost", False, False),
    ],
)
def test_what_a_log_may_say_of_a_lead(state: str, to: str, enters: bool, refuses: bool) -> None:
    assert policy().enters(state, to) is enters
    assert policy().refuses(state, to) is refuses


def test_an_event_has_a_short_name_or_is_its_own() -> None:
    governing = policy(events={"Order Completed": "buy", "Ren\u00e9 left": "lapse"})
    assert governing.short_name("Order Completed") == "buy"
    assert governing.short_name("Ren\u00e9 left") == "lapse"
    assert governing.short_name("buy") == "buy"
    assert governing.short_name("Order completed") == "Order completed"
    assert governing.step("trial", governing.short_name("Order Completed")).to == "paid"
    # A replay has the short name alone: giving it again changes nothing.
    assert governing.short_name(governing.short_name("Order Completed")) == "buy"


def test_is_reversible() -> None:
    found = {state: policy().is_reversible(state) for state in ("new", "trial", "paid")}
    assert found == {"new": False, "trial": False, "paid": True}


def test_a_state_is_of_a_purchase_if_its_event_leads_elsewhere_into_a_reversible_one() -> None:
    moves = [("place", "new", "placed"), ("buy", "placed", "first"), ("buy", "first", "paid")]
    shop = policy(
        states=["new", "placed", "first", "paid", "gone"],
        transitions=[
            {"on": on, "from": [state], "to": to, "motion": "conversion"}
            for on, state, to in [*moves, ("leave", "paid", "gone")]
        ],
    )
    assert [state for state in shop.states if shop.is_of_purchase(state)] == ["first", "paid"]


def test_an_event_says_which_states_it_takes_back() -> None:
    governing = policy(reversals=[{"on": "refund", "of": "trial"}, {"on": "refund", "of": "paid"}])
    found = {name: governing.reverses(name) for name in ("refund", "buy", "noise")}
    assert found == {"refund": ("trial", "paid"), "buy": (), "noise": ()}


# --- What may be published ------------------------------------------------------------------------


REQUIRED = ("initial", "states", "transitions", "attribution", "touches_per_lead")


def test_the_optional_keys_have_defaults() -> None:
    governing = parse({key: DOCUMENT[key] for key in REQUIRED})
    assert governing.reversals == ()
    assert governing.lateness_s == 86_400
    assert governing.events == ()


@pytest.mark.parametrize(
    "document",
    [
        changed(states=["new", "trial", "paid", "~" * 32]),
        changed(states=["new", "trial", "paid", "!", "a b", "0"]),
        changed(states=["new", "trial", "paid", *map(str, range(253))]),
        changed(transitions=[]),
        changed(reversals=[]),
        changed(reversals=None),
        changed(reversals=""),
        changed(lateness_s=1),
        changed(events=None),
        changed(events={}),
        changed(events={"Order Completed": "buy", "注文": "buy", "Refunded": "refund"}),
        changed(events={"x" * 255: "buy"}),
        changed(lateness_s=90 * 86_400),
        changed(lateness_s="7776000"),
        changed(touches_per_lead=1),
        changed(touches_per_lead="10000"),
        changed(attribution="last_touch"),
        changed(initial="paid"),
        move(to="trial"),
        move(on="e" * 32),
        move(**{"from": ["new", "trial", "paid"]}),
        *(move(motion=m) for m in ("acquisition", "activation", "conversion", "expansion")),
        {**DOCUMENT, "transitions": tuple(DOCUMENT["transitions"])},
    ],
)
def test_legal_documents(document: dict[str, Any]) -> None:
    governing = parse(document)
    assert parse(governing.document()) == governing


ILLEGAL: list[tuple[object, str]] = [
    (None, "not-a-table"),
    ([], "not-a-table"),
    ("initial: new", "not-a-table"),
    ({1: "new"}, "not-a-table"),
    ({}, "key-missing"),
    *(
        ({key: value for key, value in DOCUMENT.items() if key != missing}, "key-missing")
        for missing in REQUIRED
    ),
    (changed(extra=1), "key-unknown"),
    (changed(hash="00"), "key-unknown"),
    # states
    (changed(states=[]), "states-empty"),
    (changed(states="new"), "not-a-list"),
    (changed(states={"new": 1}), "not-a-list"),
    (changed(states=["new", "new"]), "state-twice"),
    (changed(states=[*map(str, range(257))]), "list-too-long"),
    (changed(states=[""]), "name-invalid"),
    (changed(states=["x" * 33]), "name-invalid"),
    (changed(states=[" new"]), "name-invalid"),
    (changed(states=["new "]), "name-invalid"),
    (changed(states=["new\n"]), "name-invalid"),
    (changed(states=["n\x7fw"]), "name-invalid"),
    (changed(states=["n\0w"]), "name-invalid"),
    (changed(states=["né"]), "name-invalid"),
    (changed(states=[1]), "name-invalid"),
    (changed(states=[["new"]]), "name-invalid"),
    # initial
    (changed(initial="lost"), "state-unknown"),
    (changed(initial=""), "state-unknown"),
    (changed(initial=["new"]), "state-unknown"),
    (changed(initial=None), "state-unknown"),
    # transitions
    (changed(transitions="buy"), "not-a-list"),
    (changed(transitions={"on": "buy"}), "not-a-list"),
    (changed(transitions=["buy"]), "not-a-table"),
    (changed(transitions=[{"on": "buy", "from": ["new"], "to": "paid"}]), "key-missing"),
    (changed(transitions=[{}] * 1025), "list-too-long"),
    (move(**{"if": "x"}), "key-unknown"),
    (move(on=""), "name-invalid"),
    (move(on=7), "name-invalid"),
    (move(on="e" * 33), "name-invalid"),
    (move(**{"from": []}), "from-empty"),
    (move(**{"from": "new"}), "not-a-list"),
    (move(**{"from": ["lost"]}), "state-unknown"),
    (move(**{"from": ["new", None]}), "state-unknown"),
    (move(**{"from": ["new"] * 257}), "list-too-long"),
    (move(**{"from": ["new", "new"]}), "transition-ambiguous"),
    (move(to="lost"), "state-unknown"),
    (move(to=["paid"]), "state-unknown"),
    (move(motion="magic"), "choice-unknown"),
    (move(motion=""), "choice-unknown"),
    (move(motion=["conversion"]), "choice-unknown"),
    (
        changed(transitions=[*DOCUMENT["transitions"], DOCUMENT["transitions"][0]]),
        "transition-ambiguous",
    ),
    # reversals
    (changed(reversals="refund"), "not-a-list"),
    (changed(reversals=[{"on": "refund"}]), "key-missing"),
    (changed(reversals=[{"on": "refund", "of": "lost"}]), "state-unknown"),
    (changed(reversals=[{"on": "", "of": "paid"}]), "name-invalid"),
    (changed(reversals=[{"on": "refund", "of": "paid", "by": "x"}]), "key-unknown"),
    (changed(reversals=[{"on": "refund", "of": "paid"}] * 2), "reversal-twice"),
    (changed(reversals=[None]), "not-a-table"),
    (changed(reversals=[{}] * 1025), "list-too-long"),
    # attribution
    (changed(attribution="any_touch"), "choice-unknown"),
    (changed(attribution=0), "choice-unknown"),
    (changed(attribution="first"), "choice-unknown"),
    # what stands in the surface's settings
    (changed(actions={"email": 1}), "actions-moved"),
    (changed(actions={}), "actions-moved"),
    (changed(actions=None), "actions-moved"),
    ({"actions": {}}, "actions-moved"),
    # limits
    # the product's names of events
    (changed(events=["Order Completed"]), "not-a-table"),
    (changed(events={"": "buy"}), "name-invalid"),
    (changed(events={"x" * 256: "buy"}), "name-invalid"),
    (changed(events={"Order ": "buy"}), "name-invalid"),
    (changed(events={"Or\u200bder": "buy"}), "name-invalid"),
    (changed(events={"Order": ""}), "name-invalid"),
    (changed(events={"Order": "x" * 33}), "name-invalid"),
    (changed(events={"Order": 7}), "name-invalid"),
    (changed(events={"Order": "order"}), "event-unknown"),
    (changed(events={"Order": "Refund", "Refund": "refund"}), "event-unknown"),
    (changed(events={"signup": "buy"}), "event-ambiguous"),
    (changed(events={"refund": "refund"}), "event-ambiguous"),
    (changed(events={"Rene\u0301": "buy", "Ren\u00e9": "buy"}), "event-twice"),
    (changed(events={f"e{number}": "buy" for number in range(1025)}), "list-too-long"),
    # what a policy costs
    (steps(65, 64), "steps-too-many"),
    (steps(250, 38), "steps-too-many"),
    (
        changed(
            states=["new", "trial", "paid", *(f"{n:032}" for n in range(253))],
            events={f"{n:064}": "buy" for n in range(512)},
        ),
        "policy-too-long",
    ),
    (changed(lateness_s=-1), "number-invalid"),
    (changed(lateness_s=0), "lateness-zero"),
    (changed(lateness_s="0"), "lateness-zero"),
    (changed(lateness_s=False), "number-invalid"),
    (changed(lateness_s=90 * 86_400 + 1), "number-invalid"),
    (changed(lateness_s="\u0661"), "number-invalid"),
    (changed(lateness_s="1" * 19), "number-invalid"),
    (changed(lateness_s=" 1"), "number-invalid"),
    (changed(lateness_s=None), "number-invalid"),
    (changed(touches_per_lead=0), "number-invalid"),
    (changed(touches_per_lead=10_001), "number-invalid"),
    (changed(touches_per_lead=""), "number-invalid"),
    (changed(touches_per_lead=None), "number-invalid"),
    (changed(touches_per_lead=True), "number-invalid"),
]


@pytest.mark.parametrize(("document", "code"), ILLEGAL)
def test_illegal_documents(document: object, code: str) -> None:
    assert refused(document)[0] == code


def laughs(base: object) -> list[object]:
    """Return a thousand million items of ten lists, as YAML's aliases give them."""
    table: list[object] = [base] * 10
    for _ in range(8):
        table = [table] * 10
    return table


@pytest.mark.parametrize(
    "document",
    [
        changed(states=laughs("new")),
        changed(states=[*DOCUMENT["states"], {"a": laughs("new")}]),
        changed(states={"a": laughs("new")}),
        changed(initial=laughs("new")),
        changed(attribution=laughs("new")),
        changed(lateness_s={"a": laughs("new")}),
        move(to=laughs("new")),
        move(on=laughs("new")),
        move(**{"from": {"a": laughs("new")}}),
        changed(reversals={"a": laughs("new")}),
        changed(touches_per_lead=laughs("new")),
    ],
)
def test_a_document_far_larger_than_its_text_is_refused_without_writing_it_out(
    document: object,
) -> None:
    assert "a list" in refused(document)[1] or "a table" in refused(document)[1]


def test_a_long_value_is_shown_in_part() -> None:
    assert refused(changed(initial="x" * 100_000))[1].endswith("xxx..., which is no state")


# --- The hash that contracts sign -----------------------------------------------------------------


def test_the_hash_is_sha256_of_the_canonical_document() -> None:
    document = {
        "initial": "new",
        "states": ["new", "trial", "paid"],
        "transitions": DOCUMENT["transitions"],
        "reversals": DOCUMENT["reversals"],
        "attribution": "first_touch",
        "lateness_s": 5,
        "touches_per_lead": 9,
    }
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    governing = policy(touches_per_lead="9")
    assert governing.document() == document
    assert governing.hash == hashlib.sha256(text.encode()).digest()


@pytest.mark.parametrize(
    "changes",
    [
        {"initial": "trial"},
        {"states": ["new", "paid", "trial"]},
        {"transitions": DOCUMENT["transitions"][::-1]},
        {"reversals": []},
        {"attribution": "last_touch"},
        {"lateness_s": 6},
        {"touches_per_lead": 9},
        {"events": {"Order Completed": "buy"}},
        {"events": {"Order Completed": "refund"}},
    ],
)
def test_every_rule_is_in_the_hash(changes: dict[str, Any]) -> None:
    assert policy(**changes).hash != policy().hash


def test_equal_documents_in_other_words_have_equal_hashes() -> None:
    plain: Policy = policy()
    other = parse(
        {key: plain.document()[key] for key in sorted(plain.document(), reverse=True)}
        | {"lateness_s": "5", "touches_per_lead": "10000"}
    )
    assert other == plain


def test_names_of_events_that_are_written_in_other_ways_make_one_policy() -> None:
    one = policy(events={"Rene\u0301": "buy", "Order": "refund"})
    assert one == policy(events={"Order": "refund", "Ren\u00e9": "buy"})
    assert policy(events={}) == policy(events=None) == policy()
    assert "events" not in policy().document()


# --- What a policy costs --------------------------------------------------------------------------


def test_a_policy_at_its_bounds_has_a_bounded_size() -> None:
    """No policy that is taken needs more memory than its bounds were chosen for."""
    short = [f"{number:02x}" for number in range(256)]
    for document in (
        steps(60, 64),
        steps(520, 1),
        changed(
            reversals=[{"on": f"{one}{two}", "of": "paid"} for one in short[:2] for two in short],
            events={f"{one}-{two}": "buy" for one in short[:3] for two in short},
        ),
    ):
        text = json.dumps(document)
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            governing = parse(json.loads(text))
            used = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        assert governing.hash
        assert used < 400_000, f"{used} bytes"


def test_the_refusals_say_what_to_write_instead() -> None:
    assert refused(changed(lateness_s=0))[1].endswith("at least 1, or leave it out for 86400")
    assert refused(changed(actions={}))[1].endswith("as actions: {name: {level: 1}}")
    assert "4096 steps" in refused(steps(250, 38))[1]
    assert refused(changed(states=["né"]))[1] == (
        "a state must be 1 to 32 printable ASCII characters, neither the first nor the last a "
        "space, not 'n\\xe9'"
    )
