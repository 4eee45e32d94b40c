"""Webhooks: who is told what, in which words, and how long the waits are."""

import json
from itertools import pairwise

import pytest

from orchestrator.core.common.limits import Limits
from orchestrator.core.common.units import DAY_MS
from orchestrator.core.entries.kinds import KINDS
from orchestrator.core.entries.webhook import (
    FAILING_MS,
    OFFER_EVENT,
    WEBHOOK_EVENTS,
    events_of,
    message,
    message_id,
    position_in,
    wait_ms,
)
from orchestrator.core.log.entry import ZERO_WORD, Entry
from tests.support.worlds import LEADS, OPERATORS, OWNER, SURFACE, word


def test_all_events_are_kinds_of_entries_that_name_whom_they_are_told() -> None:
    assert WEBHOOK_EVENTS.keys() - {OFFER_EVENT} <= KINDS.keys()
    for event in {*events_of("operator")} - {OFFER_EVENT}:
        kind = KINDS[event]
        assert kind.operator_field or kind.is_of_contract or event == "action.answered", event


@pytest.mark.parametrize("seed", [bytes([n]) for n in range(40)])
def test_waits_grow_and_outlast_a_day_but_not_a_disabled_webhook(seed: bytes) -> None:
    waits = [wait_ms(seed, tries) for tries in range(1, Limits().webhook_tries)]
    assert 7_500 <= waits[0] <= 12_500
    assert max(waits) <= 15 * 3_600_000
    assert all(early < late for early, late in pairwise(waits[:8]))
    assert DAY_MS < sum(waits) < FAILING_MS


def test_waits_are_spread() -> None:
    assert len({wait_ms(bytes([n]), 5) for n in range(100)}) > 90


def test_a_message_says_what_the_entry_says() -> None:
    entry = Entry(
        "action.requested", SURFACE, OPERATORS[0], LEADS[0], "letter", 9, 1_000, ZERO_WORD
    )
    parties = {"operator": OPERATORS[0], "contract": None}
    body = message(word("log"), 7, entry, parties, {"external_id": "ann"})
    document = json.loads(body)
    assert document["type"] == "action.requested"
    assert document["timestamp"] == "1970-01-01T00:00:01.000Z"
    data = document["data"]
    assert (data["position"], data["label"], data["value"]) == (7, "letter", "9")
    assert (data["lead"], data["external_id"]) == ("0x" + LEADS[0].hex(), "ann")
    assert data["operator"].lower() == "0x" + OPERATORS[0][12:].hex()
    contract = Entry("payout", SURFACE, OWNER, word("contract"), "paid", 9, 1_000, ZERO_WORD)
    told = json.loads(message(word("log"), 8, contract, {"contract": word("contract")}))["data"]
    assert (told["lead"], told["operator"]) == (None, None)
    assert told["contract"] == "0x" + word("contract").hex()


def test_a_message_has_one_id_for_a_webhook_and_an_entry() -> None:
    positions = (-2, -1, 0, 1, 2)
    ids = {message_id(word(name), position) for name in ("a", "b") for position in positions}
    assert len(ids) == 10
    for position in positions:
        assert position_in(message_id(word("a"), position)) == position
