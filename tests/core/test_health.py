"""The health of a service: each part is well until its bound, and no longer."""

import pytest

from orchestrator.core.health import (
    JUDGED_PARTS,
    LEAST_FREE_BYTES,
    LEAST_TRANSACTIONS,
    PULSE_MS,
    TRANSACTION_GAS,
    UNANCHORED_MS,
    WAITING_MS,
    Pulse,
    Vitals,
    judge,
)

NOW_MS = 10**12
FIGURES = {"anchored": 7, "balance_wei": LEAST_TRANSACTIONS * TRANSACTION_GAS, "gas_price_wei": 1}
WELL = Vitals(
    now_ms=NOW_MS,
    waiting=0,
    waiting_since_ms=None,
    size=7,
    unanchored_since_ms=None,
    pulses={
        "sequencer": Pulse(NOW_MS, {}),
        "pipeline": Pulse(NOW_MS, FIGURES),
        "registrar": Pulse(NOW_MS, {}),
        "webhooks": Pulse(NOW_MS, {}),
    },
)


def unwell(vitals: Vitals | None, free_bytes: int = LEAST_FREE_BYTES) -> list[str]:
    conditions = judge(vitals, free_bytes)
    assert tuple(each.part for each in conditions) == JUDGED_PARTS
    return [each.part for each in conditions if not each.is_well]


def with_pulse(part: str, pulse: Pulse) -> Vitals:
    return WELL._replace(pulses={**WELL.pulses, part: pulse})


def test_a_service_that_works_is_well() -> None:
    assert unwell(WELL) == []


def test_without_a_database_little_is_known() -> None:
    assert unwell(None) == list(JUDGED_PARTS[:-1])
    assert unwell(None, 0) == list(JUDGED_PARTS)


@pytest.mark.parametrize("part", PULSE_MS)
def test_a_part_is_well_for_a_time_after_its_pulse(part: str) -> None:
    at_ms = NOW_MS - PULSE_MS[part]
    assert unwell(with_pulse(part, WELL.pulses[part]._replace(at_ms=at_ms))) == []
    assert unwell(with_pulse(part, WELL.pulses[part]._replace(at_ms=at_ms - 1))) == [part]
    pulses = {name: pulse for name, pulse in WELL.pulses.items() if name != part}
    never = [part, "relayer"] if part == "pipeline" else [part]
    assert unwell(WELL._replace(pulses=pulses)) == never


def test_a_sequencer_that_decides_nothing_is_not_well() -> None:
    late = WELL._replace(waiting=3, waiting_since_ms=NOW_MS - WAITING_MS)
    assert unwell(late) == []
    assert unwell(late._replace(waiting_since_ms=NOW_MS - WAITING_MS - 1)) == ["sequencer"]


def test_a_log_is_anchored_in_time() -> None:
    late = WELL._replace(size=8, unanchored_since_ms=NOW_MS - UNANCHORED_MS)
    assert unwell(late) == []
    assert unwell(late._replace(unanchored_since_ms=NOW_MS - UNANCHORED_MS - 1)) == ["anchor"]


def test_a_relayer_can_pay_for_some_transactions() -> None:
    poor = FIGURES | {"balance_wei": FIGURES["balance_wei"] - 1}
    assert unwell(with_pulse("pipeline", Pulse(NOW_MS, poor))) == ["relayer"]
    assert unwell(with_pulse("pipeline", Pulse(NOW_MS, {}))) == ["relayer"]
    free = FIGURES | {"gas_price_wei": 0}
    assert unwell(with_pulse("pipeline", Pulse(NOW_MS, free))) == []


def test_a_disk_has_room() -> None:
    assert unwell(WELL, LEAST_FREE_BYTES - 1) == ["disk"]


def test_people_are_told_why() -> None:
    late = WELL._replace(waiting=3, waiting_since_ms=NOW_MS - 61_000, size=9)
    details = {each.part: each.detail for each in judge(late, LEAST_FREE_BYTES)}
    assert details["sequencer"] == "worked 0 s ago; 3 requests wait, for 61 s"
    alone = judge(late._replace(waiting=1), LEAST_FREE_BYTES)
    assert "1 request waits, for 61 s" in {each.part: each.detail for each in alone}["sequencer"]
    assert details["anchor"].startswith("7 of 9 entries are anchored")
    assert details["relayer"] == "can pay for 100 transactions"


def test_a_fast_clock_changes_nothing_for_those_who_wait() -> None:
    fast = with_pulse("registrar", Pulse(NOW_MS - 1_440 * PULSE_MS["registrar"], {}))
    assert unwell(fast) == ["registrar"]
    assert unwell(fast._replace(speed=1_440)) == []
    late = fast._replace(speed=1_440, unanchored_since_ms=NOW_MS - 1_440 * (UNANCHORED_MS + 1))
    assert unwell(late) == ["anchor"]
    # A clock that is moved by hand has no other measure than its own.
    assert unwell(WELL._replace(speed=0)) == []
