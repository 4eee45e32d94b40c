"""Acts of operators: what each level allows, what is written before them, and what is refused."""

import copy
from dataclasses import asdict
from hashlib import sha256
from typing import Any

import pytest

from orchestrator.core.common.errors import RequestError
from orchestrator.core.common.units import BPS, DAY_MS
from orchestrator.core.decisions.decide import decide
from orchestrator.core.decisions.replay import replay
from orchestrator.core.entries.replay_rules import Documents
from orchestrator.core.log.entry import Entry
from orchestrator.core.log.opening import (
    ActOpening,
    ForecastOpening,
    Record,
    TrustOpening,
    payload_of,
)
from orchestrator.core.surface.forecast import Question
from orchestrator.core.surface.trust import FORECASTS, RESULTS, Standing
from orchestrator.core.world.codec import commitment
from orchestrator.core.world.contract import ContractRules
from orchestrator.core.world.requests import (
    RETRYABLE,
    AnswerAction,
    CloseContract,
    Genesis,
    IssueCode,
    JudgeTrust,
    MakeForecast,
    OpenContract,
    ProductEvent,
    PublishPolicy,
    PublishSettings,
    RegisterOperator,
    RequestAction,
    RestoreOperator,
    ScoreForecast,
    Settle,
    SuspendOperator,
    Touch,
)
from orchestrator.core.world.world import World
from tests.support.worlds import (
    LEADS,
    OPERATORS,
    OWNER,
    SURFACE,
    TOKEN,
    partner,
    policy,
    rules,
    settings,
    word,
)

ANN, BOB = OPERATORS
CY, DI = word("cy"), word("di")
X, Y, Z = LEADS
ZERO = bytes(32)
ASKED = (word("request"), word("commitment"), word("key"))
POLICY = policy()
PAUSE_S, BUCKET_S, RIPENING_S = 60, 10, 5
EARNED = {
    "leads_a_day": 3,
    "outcomes": 2,
    "units": "20",
    "age_s": 10,
    "reversed_bps": 1000,
    "keep_reversed_bps": 2000,
    "disputes_lost": 0,
}
DOCUMENT: dict[str, Any] = {
    "actions": {
        "email": {"level": 1},
        "call": {"level": 2},
        "visit": {"level": 3},
        "letter": {"level": 1, "by": "surface"},
        "gift": {"level": 2, "by": "surface"},
        "dinner": {"level": 3, "by": "surface"},
    },
    "levels": [{"leads_a_day": 2}, EARNED, {**EARNED, "outcomes": 100}],
    "bucket_s": BUCKET_S,
    "ripening_s": RIPENING_S,
    "pause_s": PAUSE_S,
    "pool": {"places": 1, "leads_a_day": 2, "touches_a_day": 3, "lasts_s": 1000},
}
SETTINGS = settings(**DOCUMENT)
START_MS = 1


def surface(*contracts: ContractRules, **changes: Any) -> tuple[World, list[Record]]:
    """Return a world with the surface, these settings, these contracts, and a lead, x."""
    world = World()
    records: list[Record] = []
    requests: list[Any] = [
        Genesis(word("log"), word("publisher")),
        PublishPolicy(SURFACE, OWNER, POLICY),
        PublishSettings(SURFACE, OWNER, settings(**{**DOCUMENT, **changes})),
        *(OpenContract(contract, word("opening")) for contract in contracts),
        ProductEvent(SURFACE, X, "signup", 0, 0),
    ]
    for request in requests:
        records += decide(world, request, START_MS)
    return world, records


def deal(operator: bytes = ANN, **changes: Any) -> ContractRules:
    """Return a contract that pays 10 for each purchase, all of which can be refunded."""
    plain = {"operator": operator, "repeatable": True, "token": TOKEN, "holdback_period_ms": 10**6,
             "budget_units": 10**6}  # fmt: skip
    id_ = sha256(b"deal" + operator).digest()
    return rules("deal", POLICY, **{**plain, "contract_id": id_, **changes})


def entries(records: list[Record]) -> list[tuple[str, str]]:
    """Return (kind, label) of each."""
    return [(entry.kind, entry.label) for entry, _ in records]


def touch(action: str = "email", operator: bytes = ANN, lead: bytes = X) -> Touch:
    return Touch(SURFACE, lead, operator, action, *ASKED)


def code(operator: bytes = ANN) -> IssueCode:
    return IssueCode(SURFACE, word("code"), operator, 5, 10**9, *ASKED)


def request_of(action: str = "letter", operator: bytes = ANN, lead: bytes = X) -> RequestAction:
    return RequestAction(SURFACE, lead, operator, action, 1000, *ASKED)


def suspend(operator: bytes = ANN, owner: bytes = OWNER) -> SuspendOperator:
    return SuspendOperator(SURFACE, owner, operator, "complaints", *ASKED)


def restore(operator: bytes = ANN, owner: bytes = OWNER) -> RestoreOperator:
    return RestoreOperator(SURFACE, owner, operator, "resolved", *ASKED)


def refused(world: World, now_ms: int, request: Any) -> str:
    """Return the rule by which a request is turned away, leaving the world as it was."""
    before = copy.deepcopy(asdict(world))
    with pytest.raises(RequestError) as caught:
        decide(world, request, now_ms)
    assert asdict(world) == before
    assert "\n" not in caught.value.message
    return caught.value.code


def standing(world: World, operator: bytes = ANN) -> Standing:
    return world.standing(SURFACE, operator)


def replayed(world: World, records: list[Record]) -> World:
    documents = Documents(
        world.policies.__getitem__, world.settings.__getitem__, world.rules.__getitem__
    )
    return replay(records, documents)


# --- Level 1 by the owner's contract --------------------------------------------------------------


def test_a_contract_of_the_owner_gives_the_first_level_at_once() -> None:
    world, records = surface()
    opened = decide(world, OpenContract(partner(POLICY, ANN), word("opening")), 7)
    assert entries(opened) == [("contract.opened", "new"), ("trust.changed", "1")]
    (position, (entry, opening)) = world.size - 1, opened[1]
    assert opening is not None
    assert entry == Entry(
        "trust.changed", SURFACE, ZERO, ANN, "1", position - 1, 7, payload_of(opening)
    )
    assert opening == TrustOpening("contract", 0, 0, 0, 0, 0, 0)
    assert standing(world) == Standing(
        1, "contract", 7, policy=POLICY.hash, partner_since_ms=7, counted_to=position - 1
    )
    # A second one changes nothing but the newest evidence.
    again = decide(world, OpenContract(deal(), word("opening")), 8)
    assert entries(again) == [("contract.opened", "paid")]
    assert (standing(world).partner_since_ms, standing(world).counted_to) == (7, position + 1)
    assert replayed(world, [*records, *opened, *again]) == world


@pytest.mark.parametrize(
    "changes",
    [
        {"owner": word("another")},
        {"policy_hash": word("another")},
        {"attribution": "last_touch"},
        {"surface": word("elsewhere")},
    ],
)
def test_another_contract_gives_no_level(changes: dict[str, Any]) -> None:
    """Anyone can open a contract that names a surface."""
    world, _ = surface()
    opened = decide(world, OpenContract(deal(**changes), word("opening")), 7)
    assert entries(opened) == [("contract.opened", "paid")]
    assert refused(world, 7, touch()) == "level-too-low"


def test_a_contract_before_any_settings_gives_a_level_once_there_are_some() -> None:
    world, records = World(), list[Record]()
    for request in (
        Genesis(word("log"), word("publisher")),
        PublishPolicy(SURFACE, OWNER, POLICY),
        OpenContract(deal(), word("opening")),
    ):
        records += decide(world, request, 0)
    assert records[-1].entry.kind == "contract.opened"
    assert refused(world, 1, touch()) == "settings-missing"
    records += decide(world, PublishSettings(SURFACE, OWNER, SETTINGS), 1)
    written = decide(world, touch(), 2)
    assert entries(written) == [
        ("operator.registered", ""),
        ("trust.changed", "1"),
        ("lead.registered", "new"),
        ("touch", "email"),
    ]
    assert {entry.time_ms for entry, _ in written} == {2}
    assert replayed(world, [*records, *written]) == world


def test_a_new_policy_takes_the_level_until_a_contract_is_signed_under_it() -> None:
    world, records = surface(deal(deadline_ms=1, holdback_period_ms=0))
    newer = policy(lateness_s=9)
    records += decide(world, touch(), 1)
    records += decide(world, PublishPolicy(SURFACE, OWNER, newer), 6000)
    assert standing(world).level == 1, "nothing has judged it yet"
    assert refused(world, 6000, touch()) == "level-too-low"
    assert standing(world).level == 1, "a refused act writes nothing, though a change is due"
    judged = decide(world, JudgeTrust(SURFACE, ANN), 6001)
    assert entries(judged) == [("trust.changed", "0")]
    assert judged[0].opening == TrustOpening("none", 1, 0, 0, 0, 0, 0)
    assert decide(world, JudgeTrust(SURFACE, ANN), 6002) == []
    again = rules("again", newer)
    opened = decide(world, OpenContract(again, word("opening")), 6003)
    assert entries(opened) == [("contract.opened", "paid")], "it comes back after the pause"
    assert refused(world, 6001 + PAUSE_S * 1000 - 1, touch()) == "level-too-low"
    back = decide(world, touch(), 6001 + PAUSE_S * 1000)
    assert entries(back) == [("trust.changed", "1"), ("touch", "email")]
    assert replayed(world, [*records, *judged, *opened, *back]) == world


# --- What is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "code_"),
    [
        (touch(operator=BOB), "level-too-low"),
        (code(BOB), "level-too-low"),
        (request_of(operator=BOB), "level-too-low"),
        (touch("call"), "level-too-low"),
        (touch("visit"), "level-too-low"),
        (request_of("gift"), "level-too-low"),
        (request_of("email"), "action-by-another"),
        (touch("letter"), "action-by-another"),
        (touch("fax"), "action-unknown"),
        (touch("click"), "action-unknown"),  # touches by code are never asked for
        (request_of("fax"), "action-unknown"),
        (touch("fax", BOB), "action-unknown"),
        (request_of(lead=Y), "lead-unknown"),
        (touch()._replace(surface=word("nowhere")), "surface-unknown"),
        (code()._replace(surface=word("nowhere")), "surface-unknown"),
        (request_of()._replace(surface=word("nowhere")), "surface-unknown"),
        (request_of(lead=Y)._replace(surface=word("nowhere")), "surface-unknown"),
        (JudgeTrust(word("nowhere"), ANN), "surface-unknown"),
        (RegisterOperator(ANN, ZERO), "operator-known"),
        (suspend(owner=ANN), "surface-taken"),
        (suspend()._replace(surface=word("nowhere")), "surface-unknown"),
        (restore(), "operator-restored"),
        (restore(CY), "operator-restored"),
        (restore(owner=ANN), "surface-taken"),
        (restore()._replace(surface=word("nowhere")), "surface-unknown"),
    ],
)
def test_each_refusal(request_: Any, code_: str) -> None:
    world, _ = surface(deal())
    decide(world, RegisterOperator(ANN, ZERO), 0)
    assert refused(world, 1, request_) == code_


def test_without_settings_a_surface_offers_nothing() -> None:
    world = World()
    for request in (
        Genesis(word("log"), word("publisher")),
        PublishPolicy(SURFACE, OWNER, POLICY),
        OpenContract(deal(), word("opening")),
        ProductEvent(SURFACE, X, "signup", 0, 0),
    ):
        decide(world, request, 0)
    for act in (touch(), code(), request_of()):
        assert refused(world, 1, act) == "settings-missing"
    assert "settings-missing" in RETRYABLE
    assert decide(world, JudgeTrust(SURFACE, ANN), 1) == []


@pytest.mark.parametrize(
    ("level", "taken"),
    [(0, []), (1, ["email"]), (2, ["email", "call"]), (3, ["email", "call", "visit"])],
)
def test_a_level_takes_the_actions_of_those_below(level: int, taken: list[str]) -> None:
    world, _ = surface(deal())
    ann = standing(world)
    ann.level, ann.ground = level, {0: "none", 1: "contract"}.get(level, RESULTS)
    # Nothing changes at this moment: what was lost comes back after the pause.
    ann.changed_ms = 1
    carried = {"email": "letter", "call": "gift", "visit": "dinner"}
    for action, other in carried.items():
        for request in (touch(action), request_of(other)):
            if action in taken:
                assert entries(decide(copy.deepcopy(world), request, 1))[-1][1] == request.action
            else:
                assert refused(world, 1, request) == "level-too-low"


def test_the_first_act_registers_its_operator_once() -> None:
    for request in (touch(), request_of(), code()):
        world, _ = surface(deal())
        first = decide(world, request, 1)
        assert entries(first)[0] == ("operator.registered", "")
        assert first[0].entry[1:4] == (ZERO, ANN, ANN)
        assert first[0].entry.payload == ZERO
        again = entries(decide(world, touch(), 2))
        assert again == [("touch", "email")]
    world, _ = surface(deal())
    decide(world, RegisterOperator(ANN, word("profile")), 0)
    assert entries(decide(world, code(), 1)) == [("code.issued", "click")]


# --- The day's allowance --------------------------------------------------------------------------


def test_a_limit_of_one_lead_is_told_as_one() -> None:
    world, _ = surface(deal(), levels=[{"leads_a_day": 1}], actions={"email": {"level": 1}})
    decide(world, touch(), 0)
    with pytest.raises(RequestError, match=r"has acted on 1 lead today, the most that level 1"):
        decide(world, touch(lead=Y), 0)


def test_a_level_acts_on_so_many_leads_a_day() -> None:
    world, records = surface(deal())
    last_ms = DAY_MS - 1
    for lead in (X, Y, X, Y, X):
        records += decide(world, touch(lead=lead), last_ms)
    assert standing(world).leads_on(last_ms) == 2
    assert refused(world, last_ms, touch(lead=Z)) == "lead-limit"
    # The leads of today can be acted on as often as the policy allows, in either way.
    records += decide(world, request_of(), last_ms)
    # Midnight is the next day's first moment, and each lead is new again then.
    records += decide(world, touch(lead=Z), DAY_MS)
    records += decide(world, touch(), DAY_MS)
    assert refused(world, DAY_MS, touch(lead=Y)) == "lead-limit"
    assert refused(world, 2 * DAY_MS - 1, touch(lead=Y)) == "lead-limit"
    records += decide(world, touch(lead=Y), 2 * DAY_MS)
    assert replayed(world, records) == world


def test_requested_actions_count_like_touches_and_what_they_bring_does_not() -> None:
    world, records = surface(deal())
    for lead in (Y, Z):
        records += decide(world, ProductEvent(SURFACE, lead, "signup", 0, 0), 0)
    for lead in (X, Y):
        records += decide(world, request_of(lead=lead), 100)
    cause = world.size - 1
    assert refused(world, 100, request_of(lead=Z)) == "lead-limit"
    assert refused(world, 100, touch(lead=Z)) == "lead-limit"
    records += decide(world, AnswerAction(SURFACE, Y, OWNER, cause, "taken"), 150)
    done = decide(world, ProductEvent(SURFACE, Y, "buy", 0, 200), 200)
    assert entries(done)[0] == ("touch.reported", "letter")
    records += done
    assert standing(world).leads_on(200) == 2
    assert replayed(world, records) == world


def test_the_allowance_is_of_each_operator_and_each_surface() -> None:
    world, _ = surface(deal(), deal(BOB))
    for lead in (X, Y):
        decide(world, touch(lead=lead), 1)
        decide(world, touch(lead=lead, operator=BOB), 1)
    for operator in (ANN, BOB):
        assert refused(world, 1, touch(lead=Z, operator=operator)) == "lead-limit"
    other = word("elsewhere")
    decide(world, PublishPolicy(other, OWNER, POLICY), 1)
    decide(world, PublishSettings(other, OWNER, SETTINGS), 1)
    decide(world, OpenContract(partner(POLICY, ANN, surface=other), ZERO), 1)
    assert decide(world, touch(lead=Z)._replace(surface=other), 1)
    assert refused(world, 1, touch("call", lead=Z)._replace(surface=other)) == "level-too-low"


def test_a_code_counts_no_lead() -> None:
    world, _ = surface(deal())
    for lead in (X, Y):
        decide(world, touch(lead=lead), 1)
    assert decide(world, code(), 1)


# --- Levels by results ----------------------------------------------------------------------------


def earn(world: World, count: int = 2, at_ms: int = 1000) -> list[Record]:
    """Let Ann's touch of x bring so many purchases."""
    records = decide(world, touch(), at_ms)
    for _ in range(count):
        records += decide(world, ProductEvent(SURFACE, X, "buy", 0, at_ms), at_ms)
    return records


# The bucket ends 10 s after it began, and is ripe 5 s later; the pause ends 60 s after level 1.
RIPE_MS = max(1000 + (BUCKET_S + RIPENING_S) * 1000, START_MS + PAUSE_S * 1000)


def test_the_level_is_judged_before_each_act_and_written_first() -> None:
    world, records = surface(deal())
    records += earn(world)
    outcome = max(at for at, (entry, _) in enumerate(records) if entry.kind == "outcome")
    assert refused(world, RIPE_MS - 1, touch("call")) == "level-too-low"
    acted = decide(world, touch("call"), RIPE_MS)
    assert entries(acted) == [("trust.changed", "2"), ("touch", "call")]
    (entry, opening) = acted[0]
    assert opening == TrustOpening("results", 1, 2, 20, 20, 0, 0)
    assert (entry.value, entry.time_ms, entry.actor) == (outcome, RIPE_MS, ZERO)
    assert replayed(world, [*records, *acted]) == world


@pytest.mark.parametrize("first", [touch(), request_of(), code(), touch("call")])
def test_any_act_brings_a_change_that_is_due(first: Any) -> None:
    world, _ = surface(deal())
    earn(world)
    assert entries(decide(world, first, RIPE_MS))[0] == ("trust.changed", "2")
    assert standing(world).level == 2


def test_an_act_that_is_refused_writes_no_change_that_is_due() -> None:
    world, _ = surface(deal())
    earn(world)
    for request, code_ in (
        (touch("visit"), "level-too-low"),
        (touch("fax"), "action-unknown"),
        (request_of(lead=Z), "lead-unknown"),
        (touch()._replace(surface=word("nowhere")), "surface-unknown"),
    ):
        assert refused(world, RIPE_MS, request) == code_
        assert standing(world).level == 1
    strict = copy.deepcopy(world)
    strict.leads[X].touches[ANN].count = POLICY.touches_per_lead
    assert refused(strict, RIPE_MS, touch()) == "touch-limit"
    full = copy.deepcopy(world)
    standing(full).leads_today, standing(full).day = 3, 0
    full.leads[X].touches[ANN].day = -1
    assert refused(full, RIPE_MS, touch()) == "lead-limit"
    assert standing(full).level == 1


def test_a_level_that_is_lost_is_lost_before_the_act() -> None:
    world, records = surface(deal())
    records += earn(world)
    records += decide(world, touch("call"), RIPE_MS)
    refund = ProductEvent(SURFACE, X, "refund", 0, RIPE_MS)
    records += decide(world, refund, RIPE_MS)
    assert standing(world).level == 2
    assert refused(world, RIPE_MS, touch("call")) == "level-too-low"
    fallen = decide(world, touch(), RIPE_MS)
    assert entries(fallen) == [("trust.changed", "1"), ("touch", "email")]
    assert fallen[0].opening == TrustOpening("contract", 2, 2, 20, 20, 10, 0)
    assert replayed(world, [*records, *fallen]) == world


def test_a_tick_writes_the_levels_of_those_whose_totals_it_states() -> None:
    world, records = surface(deal())
    records += earn(world)
    early = decide(world, Settle(), 2000)
    assert entries(early) == [("settlement", "paid")]
    more = decide(world, ProductEvent(SURFACE, X, "buy", 0, 2000), 2000)
    ticked = decide(world, Settle(), RIPE_MS)
    assert entries(ticked) == [("trust.changed", "2"), ("settlement", "paid")]
    assert replayed(world, [*records, *early, *more, *ticked]) == world
    assert decide(world, Settle(), RIPE_MS) == []


def test_results_in_another_token_are_no_evidence() -> None:
    world, _ = surface(deal(token=word("another")))
    earn(world)
    decide(world, ProductEvent(SURFACE, X, "refund", 0, 1000), 1000)
    assert standing(world).buckets == []
    assert refused(world, RIPE_MS, touch("call")) == "level-too-low"


def test_anyone_may_have_a_level_judged_and_it_writes_what_is_due() -> None:
    world, records = surface(deal())
    records += earn(world)
    assert decide(world, JudgeTrust(SURFACE, ANN), RIPE_MS - 1) == []
    assert decide(world, JudgeTrust(SURFACE, BOB), RIPE_MS) == []
    judged = decide(world, JudgeTrust(SURFACE, ANN), RIPE_MS)
    assert entries(judged) == [("trust.changed", "2")]
    assert replayed(world, [*records, *judged]) == world


def test_new_settings_hold_from_their_entry_on() -> None:
    world, records = surface(deal())
    records += earn(world)
    records += decide(world, touch("call"), RIPE_MS)
    strict = settings(**{**DOCUMENT, "levels": [{"leads_a_day": 1}], "actions": {
        "call": {"level": 1}}})  # fmt: skip
    published = decide(world, PublishSettings(SURFACE, OWNER, strict), RIPE_MS)
    assert entries(published) == [("settings.published", "v2")]
    assert refused(world, RIPE_MS, touch()) == "action-unknown"
    acted = decide(world, touch("call"), RIPE_MS)
    assert entries(acted) == [("trust.changed", "1"), ("touch", "call")]
    assert refused(world, RIPE_MS, touch("call", lead=Y)) == "lead-limit"
    # What was done stays done.
    assert world.leads[X].touches[ANN].count == 3
    assert replayed(world, [*records, *published, *acted]) == world
    assert refused(world, RIPE_MS, PublishSettings(SURFACE, ANN, strict)) == "surface-taken"
    nowhere = PublishSettings(word("nowhere"), OWNER, strict)
    assert refused(world, RIPE_MS, nowhere) == "surface-unknown"


# --- Late refunds ---------------------------------------------------------------------------------


def late_world(bps: int, value: int, *refunds: int, order: bytes = word("order")) -> World:
    """Return a world in which an order of a value was paid for, and refunded too late, so often."""
    terms = deal(unit_price_units=0, revenue_share_bps=bps, holdback_period_ms=0)
    world, records = surface(terms)
    records += decide(world, touch(), 1000)
    bought = ProductEvent(SURFACE, X, "buy", value, 1000, order=order)
    records += decide(world, bought, 1000)
    for refund in refunds:
        event = ProductEvent(SURFACE, X, "refund", refund, 1001, order=order, whole=False)
        written = decide(world, event, 1001)
        assert entries(written) == [("product.event", "refund")], "it takes nothing"
        records += written
    assert replayed(world, records) == world
    return world


def test_late_refunds_are_evidence_however_they_are_split() -> None:
    for bps, value in ((999, 1000), (10_000, 100), (333, 1_000_000)):
        once = standing(late_world(bps, value, 100)).buckets[-1].reversed_units
        split = standing(late_world(bps, value, *[1] * 100)).buckets[-1].reversed_units
        assert once == split == 100 * bps // BPS
    assert late_world(10_000, 100, 100).contracts[deal().contract_id].reversed_units == 0


def test_a_refund_without_an_order_is_late_for_all_that_is_left() -> None:
    for value in (1, 100, 0):
        found = standing(late_world(10_000, 100, value, value, order=ZERO)).buckets[-1]
        assert (found.earned_units, found.reversed_units) == (100, 100)


def test_late_refunds_lose_a_level() -> None:
    terms = deal(holdback_period_ms=0)
    world, _ = surface(terms)
    earn(world)
    decide(world, touch("call"), RIPE_MS)
    decide(world, ProductEvent(SURFACE, X, "refund", 0, RIPE_MS), RIPE_MS)
    assert world.contracts[terms.contract_id].reversed_units == 0
    assert refused(world, RIPE_MS, touch("call")) == "level-too-low"


def test_a_later_policy_makes_no_evidence_of_what_was_signed_before() -> None:
    """Its owner may publish one by which every login takes everything back."""
    terms = deal(deadline_ms=1000, holdback_period_ms=0)
    world, _ = surface(terms)
    earn(world)
    harsh = policy(reversals=[{"on": "login", "of": "paid"}])
    decide(world, PublishPolicy(SURFACE, OWNER, harsh), 10_000)
    decide(world, ProductEvent(SURFACE, X, "login", 0, 10_000), 10_000)
    assert standing(world).buckets[-1].reversed_units == 0


def test_a_later_policy_washes_no_refund_of_what_was_signed_before() -> None:
    """An operator that waits for the next policy has agreed to these refunds all the same."""
    terms = deal(deadline_ms=1000, holdback_period_ms=0)
    world, records = surface(terms)
    records += earn(world)
    later = policy(touches_per_lead=7)
    assert later.hash != POLICY.hash
    records += decide(world, PublishPolicy(SURFACE, OWNER, later), 10_000)
    records += decide(world, ProductEvent(SURFACE, X, "refund", 0, 10_000), 10_000)
    assert world.contracts[terms.contract_id].reversed_units == 0
    assert standing(world).buckets[-1].reversed_units == 10
    assert replayed(world, records) == world


def test_a_closing_and_a_later_policy_wash_no_refund_in_time() -> None:
    """The money was settled by the closing; what was sold counts against the level all the same."""
    terms = deal(deadline_ms=100_000, holdback_period_ms=100_000)
    world, records = surface(terms)
    records += earn(world)
    records += decide(world, CloseContract(terms.contract_id, 1500, ZERO), 1500)
    later = policy(touches_per_lead=7)
    records += decide(world, PublishPolicy(SURFACE, OWNER, later), 2000)
    for _ in range(3):
        records += decide(world, ProductEvent(SURFACE, X, "refund", 0, 2000), 2000)
    assert world.contracts[terms.contract_id].reversed_units == 0
    # Two purchases of ten each, and nothing for the third refund.
    assert standing(world).buckets[-1].reversed_units == 20
    assert not [one for one in records if one.entry.kind == "outcome.reversed"]
    assert replayed(world, records) == world


# --- Suspension -----------------------------------------------------------------------------------


def test_a_suspended_operator_acts_no_more_until_it_is_restored() -> None:
    world, records = surface(deal())
    records += decide(world, touch(), 1)
    stopped = decide(world, suspend(), 2)
    (entry, opening) = stopped[0]
    assert entry[:7] == ("operator.suspended", SURFACE, OWNER, ANN, "complaints", 0, 2)
    assert opening == ActOpening(*ASKED)
    for request in (touch(), code(), request_of()):
        assert refused(world, 3, request) == "operator-suspended"
    assert refused(world, 3, suspend()) == "operator-suspended"
    # It is judged all the same, and its level is what it was once it may act again.
    assert standing(world).level == 1
    back = decide(world, restore(), 4)
    assert back[0].entry[:7] == ("operator.restored", SURFACE, OWNER, ANN, "resolved", 0, 4)
    assert refused(world, 5, restore()) == "operator-restored"
    again = decide(world, touch(), 5)
    assert entries(again) == [("touch", "email")]
    assert replayed(world, [*records, *stopped, *back, *again]) == world


def test_a_suspension_is_of_one_operator_on_one_surface() -> None:
    world, _ = surface(deal(), deal(BOB))
    decide(world, suspend(), 1)
    assert decide(world, touch(operator=BOB), 1)
    # One that never acted can be kept from it, too.
    decide(world, suspend(CY), 1)
    decide(world, OpenContract(deal(CY), ZERO), 2)
    assert standing(world, CY).level == 1
    assert refused(world, 2, touch(operator=CY)) == "operator-suspended"


def test_a_touch_that_was_asked_for_before_a_suspension_may_still_be_reported() -> None:
    world, _ = surface(deal())
    decide(world, request_of(), 100)
    cause = world.size - 1
    decide(world, suspend(), 150)
    decide(world, AnswerAction(SURFACE, X, OWNER, cause, "taken"), 160)
    done = decide(world, ProductEvent(SURFACE, X, "buy", 0, 200), 200)
    assert entries(done)[0] == ("touch.reported", "letter")


# --- Forecasts, and the pool ----------------------------------------------------------------------

QUESTION = {"from": "trial", "to": "paid", "horizon_days": 1}
ASKING = {"questions": [QUESTION], "min_counted": 1, "min_leads": 30, "skill_bps": 1}
SALT, TOP = word("salt"), word("another salt")


def forecast(bps: int, operator: bytes = CY, **changes: Any) -> MakeForecast:
    sealed = commitment(SALT, bps.to_bytes(32))
    plain = MakeForecast(SURFACE, operator, "trial", "paid", 1, word("request"), sealed)
    return plain._replace(**changes)


def cohorts(world: World, days: int, shares: list[int]) -> list[Record]:
    """Let forty leads sign up before each midnight, so many of which buy on the day after it."""
    records: list[Record] = []
    for day in range(1, days + 1):
        share, at_ms = shares[day % len(shares)], day * DAY_MS
        names = [word(f"lead {day} {number}") for number in range(40)]
        for name in names:
            records += decide(world, ProductEvent(SURFACE, name, "signup", 0, at_ms - 9), at_ms - 9)
        for number, name in enumerate(names):
            event = "buy" if number < share else "noise"
            records += decide(world, ProductEvent(SURFACE, name, event, 0, at_ms + 9), at_ms + 9)
    return records


def forecasting() -> tuple[World, list[Record]]:
    """Return a log of four days in whose cohorts few and many moved by turns."""
    world, records = surface(deal(), forecasts=ASKING)
    records += cohorts(world, 4, [4, 36])
    return world, records


NOON_MS = 5 * DAY_MS - DAY_MS // 2


def test_a_forecast_is_sealed_and_scored_and_earns_a_place() -> None:
    world, records = forecasting()
    made = decide(world, forecast(1500), NOON_MS)
    assert entries(made) == [("operator.registered", ""), ("forecast.made", "paid")]
    entry = made[1].entry
    position = world.size - 1
    assert entry[1:6] == (SURFACE, CY, b"trial".ljust(32, b"\0"), "paid", 1)
    assert standing(world, CY).forecasts[0].question == Question("trial", "paid", 1)
    records += made
    score = ScoreForecast(SURFACE, CY, position, 1500, SALT)
    assert refused(world, 6 * DAY_MS, score) == "opening-early"
    for number in range(40):  # the cohort of the fifth midnight, of whom some moved
        name = word(f"five {number}")
        before, after = 5 * DAY_MS - 9, 5 * DAY_MS + 9
        records += decide(world, ProductEvent(SURFACE, name, "signup", 0, before), before)
        if number < 36:
            records += decide(world, ProductEvent(SURFACE, name, "buy", 0, after), after)
    scored = decide(world, score, 6 * DAY_MS + 1)
    assert scored[0].entry.kind == "forecast.scored"
    opening = scored[0].opening
    assert isinstance(opening, ForecastOpening)
    assert (opening.probability_bps, opening.salt) == (1500, SALT)
    assert opening.n >= 40
    assert standing(world, CY).forecasts == []
    assert refused(world, 6 * DAY_MS + 1, score) == "forecast-unknown"
    assert replayed(world, [*records, *scored]) == world


@pytest.mark.parametrize(
    ("changes", "code_"),
    [
        ({"from_state": "new"}, "question-unknown"),
        ({"to_state": "trial"}, "question-unknown"),
        ({"horizon_days": 2}, "question-unknown"),
        ({"surface": word("nowhere")}, "surface-unknown"),
    ],
)
def test_a_forecast_answers_a_question_of_the_settings(changes: dict[str, Any], code_: str) -> None:
    world, _ = surface(forecasts=ASKING)
    assert refused(world, NOON_MS, forecast(1, **changes)) == code_
    plain, _ = surface()
    assert refused(plain, NOON_MS, forecast(1)) == "question-unknown"


def test_forecasts_do_not_overlap() -> None:
    world, _ = surface(forecasts=ASKING)
    decide(world, forecast(1), NOON_MS)
    assert refused(world, NOON_MS, forecast(2)) == "forecast-overlaps"
    assert refused(world, 5 * DAY_MS - 1, forecast(2)) == "forecast-overlaps"
    assert decide(world, forecast(2), 5 * DAY_MS)
    assert decide(world, forecast(2, BOB), 5 * DAY_MS)
    decide(world, suspend(CY), 5 * DAY_MS)
    assert refused(world, 7 * DAY_MS, forecast(2)) == "operator-suspended"


@pytest.mark.parametrize(
    ("changes", "at_ms", "code_"),
    [
        ({"surface": word("nowhere")}, 7 * DAY_MS, "surface-unknown"),
        ({"forecast": 1}, 7 * DAY_MS, "forecast-unknown"),
        ({"operator": BOB}, 7 * DAY_MS, "forecast-unknown"),
        ({"probability_bps": 2}, 7 * DAY_MS, "forecast-false"),
        ({"salt": TOP}, 7 * DAY_MS, "forecast-false"),
        ({}, 6 * DAY_MS, "opening-early"),
        ({}, 6 * DAY_MS + 1, None),
        ({}, 13 * DAY_MS, None),
        ({}, 13 * DAY_MS + 1, "opening-late"),
    ],
)
def test_a_forecast_is_opened_by_what_it_committed_to_and_in_time(
    changes: dict[str, Any], at_ms: int, code_: str | None
) -> None:
    world, _ = surface(forecasts=ASKING)
    decide(world, forecast(1), NOON_MS)
    request = ScoreForecast(SURFACE, CY, world.size - 1, 1, SALT)._replace(**changes)
    if code_ is None:
        (record, *_) = decide(world, request, at_ms)
        assert record.opening == ForecastOpening(1, SALT, *[0] * 6), "of few leads it is void"
    else:
        assert refused(world, at_ms, request) == code_


def test_settings_ask_about_states_of_the_policy() -> None:
    world, _ = surface()
    for changed in ({"from": "lost"}, {"to": "lost"}):
        asked = settings(**DOCUMENT, forecasts={"questions": [{**QUESTION, **changed}]})
        request = PublishSettings(SURFACE, OWNER, asked)
        assert refused(world, 1, request) == "question-state-unknown"


def pooled(*operators: bytes, places: int = 2, lasts_s: int = 10**6) -> tuple[World, int]:
    """Return a world in which these have forecast so well that they have a place in the pool."""
    world, _ = surface(
        forecasts=ASKING, pool={**DOCUMENT["pool"], "places": places, "lasts_s": lasts_s}
    )
    for operator in operators:
        skill = standing_of(world, operator).skill
        skill.counted = 12
        for margin in (skill.latest, skill.pooled):
            margin.denominator = 10**12
    return world, NOON_MS


def standing_of(world: World, operator: bytes) -> Standing:
    return world.moved_standing(SURFACE, operator)


def test_those_with_skill_share_one_pool() -> None:
    world, now_ms = pooled(CY, DI)
    first = decide(world, touch(operator=CY), now_ms)
    assert entries(first) == [
        ("operator.registered", ""),
        ("trust.changed", "1"),
        ("touch", "email"),
    ]
    assert first[1].opening == TrustOpening(FORECASTS, 0, 0, 0, 0, 0, 0)
    decide(world, touch(operator=CY), now_ms)
    # Two leads and three touches a day for all of them together.
    decide(world, touch(operator=DI, lead=Y), now_ms)
    pool = world.surfaces[SURFACE].pool
    assert pool.used_on(now_ms) == (2, 3)
    for operator, lead in ((CY, X), (DI, Y), (DI, Z)):
        assert refused(world, now_ms, touch(operator=operator, lead=lead)) == "pool-limit"
    assert decide(world, touch(operator=DI, lead=Z), 5 * DAY_MS)
    assert decide(world, touch(operator=CY, lead=Y), 5 * DAY_MS)
    assert refused(world, 5 * DAY_MS, touch(operator=CY, lead=X)) == "pool-limit"
    assert decide(world, touch(operator=CY, lead=Y), 5 * DAY_MS)


def test_a_pool_has_so_many_places_and_they_end() -> None:
    world, now_ms = pooled(CY, DI, places=1, lasts_s=1000)
    decide(world, touch(operator=CY), now_ms)
    lasts_ms = 1_000_000
    assert refused(world, now_ms + lasts_ms, touch(operator=DI)) == "level-too-low"
    # Its place has ended: the next may take it, and it must wait itself.
    ended = now_ms + lasts_ms + 1
    assert refused(world, ended, touch(operator=CY)) == "level-too-low"
    assert entries(decide(world, touch(operator=DI), ended))[:2] == [
        ("operator.registered", ""),
        ("trust.changed", "1"),
    ]
    assert decide(world, JudgeTrust(SURFACE, CY), ended)[0].entry.label == "0"
    assert world.surfaces[SURFACE].pool.holders.keys() == {DI}


def test_a_contract_frees_the_place_in_the_pool() -> None:
    world, now_ms = pooled(CY, DI, places=1)
    decide(world, touch(operator=CY), now_ms)
    changed = decide(world, OpenContract(partner(POLICY, CY), ZERO), now_ms)
    assert changed[1].opening == TrustOpening("contract", 1, 0, 0, 0, 0, 0)
    assert world.surfaces[SURFACE].pool.holders == {}
    assert decide(world, touch(operator=DI, lead=Y), now_ms)
    before = world.surfaces[SURFACE].pool.used_on(now_ms)
    decide(world, touch(operator=CY), now_ms)
    assert world.surfaces[SURFACE].pool.used_on(now_ms) == before, "its touches are its own"


def test_without_a_pool_or_questions_skill_earns_nothing() -> None:
    for changes in ({"pool": None}, {"forecasts": None}):
        world, now_ms = pooled(CY)
        document = {**DOCUMENT, "forecasts": ASKING, **changes}
        decide(world, PublishSettings(SURFACE, OWNER, settings(**document)), now_ms)
        assert refused(world, now_ms, touch(operator=CY)) == "level-too-low"


def test_closing_a_contract_takes_no_level() -> None:
    world, _ = surface(deal())
    decide(world, CloseContract(deal().contract_id, 1, ZERO), 1)
    assert decide(world, touch(), 2)
