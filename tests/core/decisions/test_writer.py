"""The writer of a request's records, and what requests rest on."""

from collections.abc import Callable

import pytest

from orchestrator.core.common.errors import RequestError
from orchestrator.core.decisions.writer import (
    Writer,
    check_home,
    contract_of,
    owned_surface,
    register_lead,
    surface_of,
)
from orchestrator.core.log.opening import ActOpening, payload_of
from orchestrator.core.world.world import World
from tests.support.worlds import LEADS, OPERATORS, OWNER, SURFACE, begin, policy, rules, word

GOVERNING = policy()
ANN = OPERATORS[0]


def world() -> World:
    found, _ = begin(GOVERNING, rules("a", GOVERNING))
    found.time_ms = 1_000
    return found


def code_of(ask: Callable[[], object]) -> str:
    with pytest.raises(RequestError) as caught:
        ask()
    assert "\n" not in caught.value.message
    return caught.value.code


@pytest.mark.parametrize(("received_ms", "now_ms"), [(999, 1_000), (1_000, 1_000), (1_001, 1_001)])
def test_entries_have_the_time_of_receipt_or_the_logs_if_that_is_later(
    received_ms: int, now_ms: int
) -> None:
    writer = Writer(world(), received_ms)
    assert (writer.received_ms, writer.now_ms) == (received_ms, now_ms)
    writer.add("erasure", SURFACE, OWNER, LEADS[0], "", 0)
    assert writer.records[0].entry.time_ms == now_ms
    writer.add("erasure", SURFACE, OWNER, LEADS[0], "", 0, time_ms=5)
    assert writer.records[1].entry.time_ms == 5


def test_the_world_moves_past_each_record_as_it_is_written() -> None:
    writer = Writer(world(), 2_000)
    size = writer.world.size
    opening = ActOpening(word("request"), word("commitment"), word("key"))
    register_lead(writer, SURFACE, LEADS[0])
    assert writer.world.size == size + 1
    position = writer.add("touch", SURFACE, ANN, LEADS[0], "email", 0, opening=opening)
    assert position == size + 1
    assert writer.world.leads[LEADS[0]].touches[ANN].latest == position
    assert [record.entry.kind for record in writer.records] == ["lead.registered", "touch"]
    assert [record.opening for record in writer.records] == [None, opening]
    assert writer.records[1].entry.payload == payload_of(opening)


def test_a_payload_stands_as_it_is_where_there_is_no_opening() -> None:
    writer = Writer(world(), 2_000)
    writer.add("operator.registered", bytes(32), ANN, word("cy"), "", 0, word("profile"))
    writer.add("operator.registered", bytes(32), ANN, word("di"), "", 0)
    assert [record.entry.payload for record in writer.records] == [word("profile"), bytes(32)]


def test_a_lead_is_registered_once_in_the_surfaces_initial_state() -> None:
    writer = Writer(world(), 2_000)
    register_lead(writer, SURFACE, LEADS[0])
    register_lead(writer, SURFACE, LEADS[0])
    ((entry, _),) = writer.records
    assert entry[:7] == ("lead.registered", SURFACE, OWNER, LEADS[0], "new", 0, 2_000)


def test_what_a_request_rests_on() -> None:
    found = world()
    here = found.surfaces[SURFACE]
    assert surface_of(found, SURFACE) is here
    assert owned_surface(found, SURFACE, OWNER) is here
    assert contract_of(found, word("a")) is found.contracts[word("a")]
    register_lead(Writer(found, 0), SURFACE, LEADS[0])
    check_home(found.leads[LEADS[0]], SURFACE, LEADS[0])
    check_home(None, SURFACE, LEADS[1])
    assert code_of(lambda: surface_of(found, word("nowhere"))) == "surface-unknown"
    assert code_of(lambda: owned_surface(found, word("nowhere"), OWNER)) == "surface-unknown"
    assert code_of(lambda: owned_surface(found, SURFACE, ANN)) == "surface-taken"
    assert code_of(lambda: contract_of(found, word("b"))) == "contract-unknown"
    elsewhere = word("nowhere")
    assert code_of(lambda: check_home(found.leads[LEADS[0]], elsewhere, LEADS[0])) == (
        "lead-elsewhere"
    )
