"""Events and errors decoded by the contracts' own ABI."""

import dataclasses
import re
from typing import get_args

import pytest
from eth_abi.abi import encode as abi_encode

from orchestrator.chain.abi import (
    Credited,
    Event,
    Paid,
    Published,
    Settled,
    artifact,
    decode_event,
    error_text,
    event_topics,
)
from orchestrator.chain.rpc import NodeError
from orchestrator.core.deals.terms import ANCHOR_TOPIC
from tests.support.chain_deal import WORD


def test_events_have_the_fields_of_their_contracts() -> None:
    """By name: a changed contract must change them too."""
    words = {"earned": "earned_units", "reversed": "reversed_units",
             "amount": "amount_units", "fee": "fee_units", "net": "net_units",
             "payable_amount": "payable_units", "since": "since_s",
             "resolves_at": "resolves_at_s", "left": "left_units",
             "value": "value_units", "sum": "sum_units"}  # fmt: skip
    kinds = {kind.__name__: kind for kind in get_args(Event)}
    declared = {
        item["name"]: item
        for name in ("EventLog", "OutcomeEscrow")
        for item in artifact(name).abi
        if item["type"] == "event"
    }
    assert kinds.keys() <= declared.keys()
    for name, kind in kinds.items():
        inputs = [argument["name"] for argument in declared[name]["inputs"]]
        snake = [re.sub("([A-Z])", r"_\1", given).lower() for given in inputs]
        expected = [words.get(given, given) for given in snake]
        if kind is Settled:
            assert expected.pop() == "statement"
            expected += ["position", "earned_units", "reversed_units"]
        assert [field.name for field in dataclasses.fields(kind)] == expected


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_statement_is_unpacked_to_its_last_bit(place: int) -> None:
    (topic,) = event_topics(Settled)
    facts = [0, 0, 0]
    facts[place] = (1 << (40, 80, 80)[place]) - 1
    position, earned, taken_back = facts
    data = (earned << 176 | taken_back << 96 | position).to_bytes(32)
    assert decode_event([topic, WORD], data) == Settled(WORD, *facts)


def test_the_topic_of_an_anchor_is_that_of_the_contract() -> None:
    assert event_topics(Published) == [ANCHOR_TOPIC]


def test_malformed_events_are_refused() -> None:
    (topic,), (credited,) = event_topics(Paid), event_topics(Credited)
    amounts = b"".join(n.to_bytes(32) for n in (5, 1))
    assert decode_event([topic, WORD], amounts) == Paid(WORD, 5, 1)
    malformed: list[tuple[list[bytes], bytes]] = [
        ([], amounts),
        ([WORD, WORD], amounts),
        ([topic], amounts),
        ([credited, WORD, b"\xff" * 32], amounts[:32]),
        ([topic, WORD], amounts[:-1]),
        ([topic, WORD], b""),
    ]
    for topics, data in malformed:
        with pytest.raises(NodeError):
            decode_event(topics, data)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("", "reverted with 0x"),
        ("12345678", "reverted with 0x12345678"),
        ("08c379a0", "reverted with 0x08c379a0"),
        ("08c379a0" + abi_encode(["string"], ["nope"]).hex(), "Error(nope)"),
        ("4e487b71" + "00" * 31 + "11", "Panic(17)"),
    ],
)
def test_error_text(data: str, text: str) -> None:
    assert error_text(bytes.fromhex(data)) == text
