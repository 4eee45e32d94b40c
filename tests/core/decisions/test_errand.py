"""Errands: taken, failed, expired, and written as touches before the lead's transition."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.common.errors import ReplayError, RequestError
from orchestrator.core.decisions.decide import decide
from orchestrator.core.decisions.replay import replay
from orchestrator.core.entries.replay_rules import Documents
from orchestrator.core.log.opening import AnswerOpening, Record, ReportedTouchOpening, payload_of
from orchestrator.core.surface.attribution import TouchAt
from orchestrator.core.world.codec import decode_lead, encode_lead
from orchestrator.core.world.requests import (
    RETRYABLE,
    AnswerAction,
    Arrival,
    ConfirmAction,
    Erasure,
    ExpireAction,
    IssueCode,
    OpenContract,
    ProductEvent,
    PublishSettings,
    ReportTouch,
    RequestAction,
    SuspendOperator,
)
from orchestrator.core.world.world import Errand, World
from tests.support.decisions import ANN, BOB, FIRST, ZERO, X, Y, event, kinds_of, paid, refused, run
from tests.support.depth import examples
from tests.support.worlds import OWNER, SURFACE, begin, decided, rules, settings, word

ASKED = (word("request"), word("commitment"), word("key"))
LETTER = {"level": 1, "by": "surface", "expires_s": 10}


def request(operator: bytes = ANN, lead: bytes = X, lasts_ms: int = 9000) -> RequestAction:
    return RequestAction(SURFACE, lead, operator, "letter", lasts_ms, *ASKED)


def answer(at: int, label: str = "taken", **changes: Any) -> AnswerAction:
    plain = AnswerAction(SURFACE, X, OWNER, at, label, "", word("answer"))
    return plain._replace(**changes)


def documents_of(world: World) -> Documents:
    return Documents(
        world.policies.__getitem__, world.settings.__getitem__, world.rules.__getitem__
    )


def replayed(world: World, records: list[Record]) -> World:
    return replay(records, documents_of(world))


def world_with_request(**catalogue: Any) -> tuple[World, list[Record], int]:
    """Return a world in which both operators may act and Ann has requested a letter to x."""
    ours = rules("a", FIRST, opens_at_ms=0, repeatable=True)
    theirs = rules("b", FIRST, operator=BOB, opens_at_ms=0, repeatable=True)
    world, records = begin(FIRST)
    published = settings(actions={"email": {"level": 1}, "letter": LETTER}, **catalogue)
    for now_ms, one in (
        (0, PublishSettings(SURFACE, OWNER, published)),
        (0, OpenContract(ours, ZERO)),
        (0, OpenContract(theirs, ZERO)),
        (0, event("signup", 0)),
        (0, event("signup", 0, lead=Y)),
        (1500, request()),
    ):
        records += decide(world, one, now_ms)
    return world, records, world.size - 1


def test_silence_after_taking_means_done() -> None:
    world, records, asked = world_with_request()
    taken = decide(world, answer(asked), 1600)
    (entry, opening) = taken[0]
    assert opening is not None
    assert entry == (
        "action.answered", SURFACE, OWNER, X, "taken", asked, 1600, payload_of(opening)
    )  # fmt: skip
    assert opening == AnswerOpening("", word("answer"))
    bought = decide(world, event("buy", 4000), 5000)
    assert [entry.kind for entry, _ in bought] == ["touch.reported", "lead.transition", "outcome"]
    touch, said = bought[0]
    assert touch[:7] == ("touch.reported", SURFACE, ANN, X, "letter", 0, 1500)
    assert said == ReportedTouchOpening(asked, 5000, word("request"), word("commitment"))
    assert paid([entry for entry, _ in bought]) == [("a", "")]
    assert world.leads[X].touches[ANN].touches == [TouchAt(bought_at(world), 1500)]
    assert (world.leads[X].errands, world.reporting) == ([], None)
    # What was done is done once.
    again = decide(world, event("buy", 6000), 6000)
    assert "touch.reported" not in [entry.kind for entry, _ in again]
    assert replayed(world, [*records, *taken, *bought, *again]) == world


def bought_at(world: World) -> int:
    return world.size - 3


def test_what_fails_before_the_transition_is_no_touch() -> None:
    world, records, asked = world_with_request()
    records += decide(world, answer(asked), 1600)
    records += decide(world, answer(asked, "failed", reason="bounced"), 1700)
    bought = decide(world, event("buy", 4000), 5000)
    assert kinds_of([entry for entry, _ in bought]) == ["lead.transition"]
    assert replayed(world, [*records, *bought]) == world
    # After it, the touch stands.
    world, _, asked = world_with_request()
    run(world, (1600, answer(asked)), (5000, event("buy", 5000)))
    assert refused(world, 5001, answer(asked, "failed")) == "action-closed"


def test_what_is_never_taken_expires_and_is_no_touch() -> None:
    world, records, asked = world_with_request()
    assert refused(world, 10_500, ExpireAction(SURFACE, X, asked)) == "action-early"
    assert "action-early" in RETRYABLE
    late = copy.deepcopy(world)
    assert kinds_of(run(late, (10_500, answer(asked)))) == ["action.answered"]
    assert refused(world, 10_501, answer(asked)) == "action-expired"
    assert refused(world, 10_501, answer(asked, "failed")) == "action-expired"
    records += decide(world, event("buy", 10_600), 10_600)
    assert records[-1].entry.kind == "lead.transition"
    expired = decide(world, ExpireAction(SURFACE, X, asked), 10_700)
    (entry, opening) = expired[0]
    assert entry[:7] == ("action.answered", SURFACE, ZERO, X, "expired", asked, 10_700)
    assert opening == AnswerOpening("", ZERO)
    assert replayed(world, [*records, *expired]) == world
    assert refused(world, 10_701, ExpireAction(SURFACE, X, asked)) == "action-closed"


def test_the_word_of_an_endpoint_is_the_owners() -> None:
    world, _, asked = world_with_request()
    twin = copy.deepcopy(world)
    confirmed = run(world, (1600, ConfirmAction(SURFACE, X, asked)))
    assert confirmed[0][:7] == run(twin, (1600, answer(asked, request_hash=ZERO)))[0][:7]
    assert refused(world, 1601, ConfirmAction(SURFACE, X, asked)) == "action-taken"
    assert refused(world, 99_000, ExpireAction(SURFACE, X, asked)) == "action-taken"


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"owner": ANN}, "surface-taken"),
        ({"lead": Y}, "action-closed"),
        ({"lead": word("nowhere")}, "action-closed"),
        ({"position": 3}, "action-closed"),
        ({"surface": word("nowhere")}, "surface-unknown"),
        ({"reason": "why"}, "reason-needless"),
    ],
)
def test_an_answer_that_answers_nothing(wrong: dict[str, Any], code: str) -> None:
    world, _, asked = world_with_request()
    assert refused(world, 1600, answer(asked, **wrong)) == code


def test_a_suspended_operators_taken_actions_finish_and_it_requests_no_more() -> None:
    world, records, asked = world_with_request()
    records += decide(world, SuspendOperator(SURFACE, OWNER, ANN, "complaints"), 1600)
    assert refused(world, 1700, request()) == "operator-suspended"
    records += decide(world, answer(asked), 1700)
    records += decide(world, event("buy", 4000), 5000)
    assert "touch.reported" in [entry.kind for entry, _ in records]
    assert replayed(world, records) == world


def test_open_actions_are_bounded_by_lead_operator_and_surface() -> None:
    for limit, other in (
        ({"lead": 1}, request(lead=Y)),
        ({"operator": 1}, request(BOB)),
        ({"surface": 1}, None),
    ):
        world, records, asked = world_with_request(open_actions=limit)
        assert refused(world, 1600, request()) == "action-limit"
        if other is not None:
            records += decide(world, other, 1600)
        else:
            assert refused(world, 1600, request(BOB, Y)) == "action-limit"
        records += decide(world, answer(asked), 1700)
        if "lead" in limit:  # until it is done or has failed
            assert refused(world, 1800, request()) == "action-limit"
            records += decide(world, answer(asked, "failed"), 1900)
        records += decide(world, request(), 2000)
        assert replayed(world, records) == world
    assert "action-limit" in RETRYABLE


@pytest.mark.parametrize("lasts_ms", [0, -1, 10_001])
def test_a_request_lasts_no_longer_than_the_action_may(lasts_ms: int) -> None:
    world, _, _ = world_with_request()
    assert refused(world, 1600, request(lasts_ms=lasts_ms)) == "action-expiry"


def test_what_is_requested_counts_against_the_touches_of_a_lead() -> None:
    world, _, asked = world_with_request()
    world.leads[X].touches[ANN].count = FIRST.touches_per_lead - 1
    assert refused(world, 1600, request()) == "touch-limit"
    run(world, (1600, answer(asked)))
    assert refused(world, 1700, request()) == "touch-limit"
    # The one that was taken becomes a touch all the same.
    assert kinds_of(run(world, (5000, event("buy", 5000))))[0] == "touch.reported"


def test_a_click_takes_no_touch_that_a_requested_action_needs() -> None:
    """Live and in a replay alike: what is requested counts where a lead comes by a code, too."""
    world, _, _ = world_with_request()
    run(world, (1600, IssueCode(SURFACE, word("code"), ANN, 2, 50_000, *ASKED)))
    world.leads[X].touches[ANN].count = FIRST.touches_per_lead - 1
    judged = copy.deepcopy(world)
    click = Arrival(SURFACE, X, word("code"), False, False, "looked", 0, 2000, *ASKED[:2])
    assert kinds_of(run(world, (2000, click))) == []
    reported = ReportTouch(SURFACE, X, ANN, "click", 2000, judged.size - 1, 2000, *ASKED[:2])
    with pytest.raises(RequestError) as caught:
        decide(judged, reported, 2000)
    assert caught.value.code == "touch-limit"
    world.leads[X].errands.clear()
    assert kinds_of(run(world, (2000, click))) == ["touch.reported"]


def test_the_times_of_receipts_never_lie_before_a_request() -> None:
    """Whatever other surfaces have moved the log's clock to: or an honest touch were disproved."""
    world, _, _ = world_with_request()
    world.time_ms = 20_000
    asked = world.size
    run(world, (15_000, request()))
    run(world, (15_001, answer(asked)))
    bought = decide(world, event("buy", 15_002), 15_002)
    touch, said = bought[0]
    assert touch.kind == "touch.reported"
    assert isinstance(said, ReportedTouchOpening)
    assert touch.time_ms == 20_000 <= said.received_ms


def test_a_lead_is_stored_with_its_errands() -> None:
    world, _, asked = world_with_request()
    lead = world.leads[X]
    assert lead.errands == [Errand(asked, ANN, "letter", 1500, 10_500)]
    run(world, (1600, answer(asked)))
    again = decode_lead(lead.surface, lead.state, lead.since_ms, encode_lead(lead))
    assert again == lead
    assert again.errands[0].is_taken


# --- Replay ---------------------------------------------------------------------------------------


def two_letters() -> tuple[World, list[Record], int]:
    """Return a log in which two letters to x were taken and it bought; the place of the touches."""
    world, records, asked = world_with_request()
    for now_ms, one in (
        (1500, request(BOB)),
        (1600, answer(asked + 1)),
        (1600, answer(asked)),
        (5000, event("buy", 4000)),
        (6000, request()),
    ):
        records += decide(world, one, now_ms)
    at = next(at for at, one in enumerate(records) if one.entry.kind == "touch.reported")
    assert [one.entry.kind for one in records[at : at + 3]] == [
        "touch.reported", "touch.reported", "lead.transition"
    ]  # fmt: skip
    return world, records, at


def forged(record: Record, opening: dict[str, Any] | None = None, **entry: Any) -> Record:
    said = record.opening
    assert isinstance(said, ReportedTouchOpening)
    said = said._replace(**(opening or {}))
    return Record(record.entry._replace(payload=payload_of(said), **entry), said)


def test_a_replay_refuses_what_the_answers_do_not_give() -> None:
    world, records, at = two_letters()
    assert replayed(world, records) == world
    first, second, moved, *rest = records[at:]
    before = records[:at]
    tampered = {
        "left out": [*before, moved],
        "one left out": [*before, first, moved],
        "twice": [*before, first, first, second, moved],
        "in another order": [*before, second, first, moved],
        "by another": [*before, forged(first, actor=BOB)],
        "of another action": [*before, forged(first, label="email")],
        "at another time": [*before, forged(first, time_ms=1501)],
        "of another request": [*before, forged(first, {"cause": 3})],
        "without a transition": [*before, first, second, rest[-1]],
        "before another event": [
            *before, forged(first, {"request_hash": word("another")}), second, moved
        ],
        "of another receipt": [
            *before, forged(first, {"received_ms": 4999}), forged(second, {"received_ms": 4999}),
            moved,
        ],
        "at the end": [*before, first, second],
        "after it failed": [
            *before[:-1],
            Record(before[-1].entry._replace(label="failed"), before[-1].opening),
            first, second, moved,
        ],
        "not taken": [*before[:-1], first, second, moved],
    }  # fmt: skip
    for name, log in tampered.items():
        with pytest.raises(ReplayError) as caught:
            replayed(world, log)
        assert caught.value.code in ("entry-differs", "entry-impossible", "entry-missing"), name


def test_a_replay_rebuilds_any_history_of_errands() -> None:
    seen: set[str] = set()

    @examples(200)
    @given(st.randoms(use_true_random=False))
    def rebuild(random: Any) -> None:
        world, records, _ = world_with_request(open_actions={"lead": 2, "operator": 3})
        now_ms = 1600
        for _ in range(40):
            now_ms += random.choice([1, 500, 4000])
            lead, operator = random.choice([X, Y]), random.choice([ANN, BOB])
            errands = world.leads[lead].errands
            place = random.choice(errands).position if errands else 0
            asked: Any = random.choice(
                [
                    request(operator, lead),
                    request(operator, lead, 5),
                    answer(place, "taken", lead=lead),
                    answer(place, "taken", lead=lead),
                    answer(place, "failed", lead=lead),
                    ExpireAction(SURFACE, lead, place),
                    ProductEvent(SURFACE, lead, random.choice(["buy", "lapse", "refund"]), 3,
                                 now_ms - random.choice([0, 3000])),
                    Erasure(SURFACE, lead, OWNER),
                ]
            )  # fmt: skip
            new = decided(world, asked, now_ms)
            records += new
            seen.update(entry.label for entry, _ in new if entry.kind == "action.answered")
            seen.update(entry.kind for entry, _ in new)
        waiting = [one for lead in world.leads.values() for one in lead.errands if not one.is_taken]
        assert world.surfaces[SURFACE].errands == len(waiting)
        for operator in (ANN, BOB):
            own = sum(one.operator == operator for one in waiting)
            assert world.standing(SURFACE, operator).errands == own
        assert replayed(world, records) == world

    rebuild()
    assert seen >= {"taken", "failed", "expired", "touch.reported", "outcome", "product.event"}
