"""Openings: one encoding in bytes and one in JSON, and the payload that commits to them."""

from hashlib import sha256
from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.errors import EntryError
from orchestrator.core.opening import EventOpening, Opening, TouchOpening, payload_of

words = st.binary(min_size=32, max_size=32)
labels = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=32)
event_openings = st.builds(
    EventOpening,
    from_state=labels,
    nth=st.integers(0, 2**40 - 1),
    received_ms=st.integers(0, 2**63 - 1),
    request_hash=words,
    commitment=words,
)
touch_openings = st.builds(TouchOpening, request_hash=words, commitment=words)
EVENT = EventOpening("trial", 2, 1_760_000_000_000, b"\1" * 32, b"\2" * 32)


@given(st.one_of(event_openings, touch_openings))
def test_it_is_read_as_it_was_written(opening: Opening) -> None:
    assert type(opening).decode(opening.encode()) == opening
    assert type(opening).from_json(opening.to_json()) == opening
    assert payload_of(opening) == sha256(opening.encode()).digest()


def test_its_bytes_are_abi_words() -> None:
    types = ["bytes32", "uint256", "uint256", "bytes32", "bytes32"]
    values = [b"trial".ljust(32, b"\0"), *EVENT[1:]]
    assert EVENT.encode() == abi_encode(types, values)


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("field-range", {"nth": 2**40}),
        ("field-range", {"nth": -1}),
        ("time-range", {"received_ms": 2**63}),
        ("word-length", {"request_hash": b"\1" * 31}),
        ("word-length", {"commitment": b"\1" * 33}),
        ("label-not-ascii", {"from_state": "é"}),
        ("label-too-long", {"from_state": "x" * 33}),
    ],
)
def test_what_has_no_encoding_is_refused(code: str, changes: dict[str, Any]) -> None:
    with pytest.raises(EntryError) as refused:
        EVENT._replace(**changes).encode()
    assert refused.value.code == code


@pytest.mark.parametrize("length", [0, 32, 63, 65, 128, 159, 161, 192])
def test_other_lengths_are_refused(length: int) -> None:
    for opening in (EventOpening, TouchOpening):
        with pytest.raises(EntryError) as refused:
            opening.decode(bytes(length))
        assert refused.value.code == "opening-length"


@pytest.mark.parametrize(
    "changes",
    [
        {"nth": None},
        {"nth": "many"},
        {"request_hash": "0x12"},
        {"commitment": 7},
        {"commitment": "0xzz"},
    ],
)
def test_garbled_json_raises_what_its_readers_expect(changes: dict[str, object]) -> None:
    with pytest.raises((LookupError, TypeError, ValueError, AttributeError)):
        EventOpening.from_json(EVENT.to_json() | changes)
