"""The demonstration's market: real purchases, invented returns, deterministic agents."""

from datetime import UTC, datetime
from itertools import pairwise

from orchestrator.client.accounts import EventReport, LeadSummary
from orchestrator.core.common.units import DAY_MS, DAY_S
from orchestrator.core.surface.policy import parse
from orchestrator.simulation.cdnow import (
    BRINGER,
    COMES_EVERY,
    COMES_REST,
    CONTRACTS,
    DEADLINE_S,
    FORECASTER_CONTRACT,
    NOON_MS,
    OPENS_S,
    PARTS_EVERY,
    POLICY,
    RETURN_DAYS,
    RETURNS_EVERY,
    SILENT_CONTRACT,
    STANDING_OFFER,
    START_MS,
    Day,
    Routine,
    add_arrivals,
    add_returns,
    agent_routines,
    read_purchases,
)


def test_the_sample_is_read_in_order_and_whole() -> None:
    days = list(read_purchases())
    assert sum(len(events) for _, events in days) == 6919
    assert all(before < after for (before, _), (after, _) in pairwise(days))
    assert all(event.time_ms == day + NOON_MS for day, events in days for event in events)
    first_day, events = days[0]
    assert first_day == datetime(1997, 1, 1, tzinfo=UTC).timestamp() * 1000
    noon_ms = first_day + NOON_MS
    assert events[0] == EventReport(
        "1", "customer-0001", "purchase", "29.33", noon_ms, order="order-1"
    )


def test_all_purchases_are_between_start_and_deadline() -> None:
    days = list(read_purchases())
    assert START_MS < OPENS_S * 1000 == days[0][0]
    assert days[-1][0] + DAY_MS <= (DEADLINE_S + 1) * 1000


def test_some_second_purchases_come_back_on_a_later_day_with_purchases() -> None:
    returning, keeping = f"customer-{RETURNS_EVERY:04}", f"customer-{RETURNS_EVERY + 1:04}"

    def day(number: int, *leads: str) -> Day:
        day_ms = number * DAY_MS
        events = [EventReport("", lead, "purchase", "1", day_ms + NOON_MS) for lead in leads]
        return day_ms, events

    days = [
        day(0, returning, keeping),
        day(1, returning, keeping),
        day(1 + RETURN_DAYS - 1, returning, keeping),
        # The return is due a day before this one, on which nothing is bought.
        day(1 + RETURN_DAYS + 1, keeping),
        day(1 + RETURN_DAYS + 2, returning),
    ]
    changed = list(add_returns(days))
    assert [purchases for _, purchases in days[:3]] == [events for _, events in changed[:3]]
    day_ms, events = changed[3]
    assert events[:-1] == days[3][1]
    returned = EventReport("return-", returning, "refund", "", day_ms + NOON_MS)
    assert events[-1] == returned
    assert changed[4] == days[4]


def test_some_regulars_are_given_back_a_part_of_each_purchase() -> None:
    lead = f"customer-{PARTS_EVERY:04}"
    bought = [
        EventReport(f"{n}", lead, "purchase", f"{n}00", n * DAY_MS + NOON_MS, order=f"order-{n}")
        for n in (1, 2, 3, 4, 20)
    ]
    days: list[Day] = [(one.time_ms - NOON_MS, [one]) for one in bought]
    changed = list(add_returns(days))
    assert changed[:4] == days[:4]
    *_, (day_ms, events) = changed
    # A twentieth of the fourth order, which was worth 400.
    noon_ms = day_ms + NOON_MS
    returned = EventReport("return-4", lead, "refund", "20.00", noon_ms, order="order-4")
    assert events == [bought[4], returned]


def test_a_customer_comes_by_a_code_with_its_first_event_alone() -> None:
    brought, other = f"customer-{COMES_REST:04}", f"customer-{COMES_REST + 1:04}"
    again = f"customer-{COMES_EVERY + COMES_REST:04}"
    first = EventReport("1", brought, "purchase", "1", NOON_MS)
    days: list[Day] = [
        (0, [first, first._replace(id="2", lead=other), first._replace(id="3")]),
        (DAY_MS, [first._replace(id="4"), first._replace(id="5", lead=again)]),
    ]
    refs = [[event.ref for event in events] for _, events in add_arrivals(days)]
    assert refs == [[BRINGER, "", ""], ["", BRINGER]]


def test_a_routine_of_a_weekday_is_for_those_who_came_on_it() -> None:
    routine = Routine("buyer", "gift", 0, 28, 1, weekday=1)
    # 1 January 1970 was a Thursday.
    leads = [LeadSummary(f"{day}", "buyer", day * DAY_MS + NOON_MS, 0) for day in range(14)]
    assert [lead.lead for lead in routine.choose_due(leads, 14 * DAY_MS)] == ["5", "12"]
    assert routine.choose_due(leads, 14 * DAY_MS) == []


def test_an_agent_acts_when_a_lead_is_due_and_so_often_at_most() -> None:
    routine = Routine("buyer", "email", first_days=7, again_days=28, times=2)
    lead = LeadSummary("lead", "buyer", 0, 0)
    acted = [day for day in range(200) if routine.choose_due([lead], day * DAY_MS)]
    assert acted == [7, 35]
    # A lead that comes into the state again is a new occasion.
    again = lead._replace(since_ms=200 * DAY_MS)
    assert routine.choose_due([again], 206 * DAY_MS) == []
    assert routine.choose_due([again], 207 * DAY_MS) == [again]


def test_routines_remember_nothing_of_another_run() -> None:
    routines = agent_routines()
    lead = LeadSummary("lead", "buyer", 0, 0)
    assert routines["bo"][0].choose_due([lead], 0) == [lead]
    assert agent_routines()["bo"][0].choose_due([lead], 0) == [lead]
    assert {
        planned.operator for planned in (*CONTRACTS, SILENT_CONTRACT, FORECASTER_CONTRACT)
    } == set(routines)


def test_contracts_are_for_states_of_the_policy_and_only_guarded_ones_name_an_arbiter() -> None:
    policy = parse(POLICY)
    for planned in (*CONTRACTS, SILENT_CONTRACT, STANDING_OFFER):
        assert policy.motions_into(planned.outcome)
        terms = planned.terms(DEADLINE_S, DAY_S, "0xarbiter")
        assert (terms["opens_at_s"], terms["deadline_s"]) == (OPENS_S, DEADLINE_S)
        assert terms["grace_s"] == DAY_S
        assert terms["attribution_window_s"] == planned.window_days * DAY_S
        assert ("arbiter" in terms) == (planned.safeguards is not None)
        if planned.safeguards is not None:
            assert terms["arbiter"] == "0xarbiter"
            assert terms["challenge_period_s"] == planned.safeguards.challenge_days * DAY_S
            assert terms["holdback_period_s"] == planned.safeguards.holdback_days * DAY_S
