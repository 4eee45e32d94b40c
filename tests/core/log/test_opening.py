"""Openings: one encoding in bytes and one in JSON, and the payload that commits to them."""

from hashlib import sha256
from typing import Any, get_args

import pytest
from eth_abi.abi import encode as abi_encode
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.common.errors import EntryError
from orchestrator.core.log.opening import (
    MAX_OPENING_WORDS,
    ActOpening,
    AnswerOpening,
    CodeOpening,
    EventOpening,
    ForecastOpening,
    Opening,
    ReportedTouchOpening,
    TransitionOpening,
    TrustOpening,
    decode_opening,
    encode_opening,
    opening_json,
    payload_of,
    read_opening,
    receipt_ms,
)

words = st.binary(min_size=32, max_size=32)
labels = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=32)
positions, times = st.integers(0, 2**40 - 1), st.integers(0, 2**63 - 1)
units = st.integers(0, 2**80 - 1)
openings = st.one_of(
    st.builds(ActOpening, words, words, words),
    st.builds(ReportedTouchOpening, positions, times, words, words),
    st.builds(TransitionOpening, labels, positions, times, words, words, words),
    st.builds(
        EventOpening, times, words, positions, positions, units, units, st.booleans(), words, words
    ),
    st.builds(AnswerOpening, labels, words),
    st.builds(CodeOpening, times, words, words, words),
    st.builds(TrustOpening, labels, positions, positions, units, units, units, positions),
    st.builds(ForecastOpening, positions, words, *[positions] * 6),
)
ONE, TWO, ORDER = b"\1" * 32, b"\2" * 32, b"\3" * 32
MOVED = TransitionOpening("trial", 2, 1_760_000_000_000, ORDER, ONE, TWO)
TAKEN = EventOpening(1_760_000_000_000, ORDER, 7, 9, 500, 700, False, ONE, TWO)
RISEN = TrustOpening("results", 1, 12, 3400, 5600, 78, 2)
SCORED = ForecastOpening(2500, ONE, 40, 10, 41, 11, 400, 99)
EACH: list[tuple[Opening, list[str], list[Any]]] = [
    (ActOpening(ONE, TWO, ORDER), ["bytes32"] * 3, [ONE, TWO, ORDER]),
    (
        ReportedTouchOpening(4, 5, ONE, TWO),
        ["uint256", "uint256", "bytes32", "bytes32"],
        [4, 5, ONE, TWO],
    ),
    (
        AnswerOpening("bounced", ONE),
        ["bytes32", "bytes32"],
        [b"bounced".ljust(32, b"\0"), ONE],
    ),
    (
        MOVED,
        ["bytes32", "uint256", "uint256", "bytes32", "bytes32", "bytes32"],
        [b"trial".ljust(32, b"\0"), *MOVED[1:]],
    ),
    (
        TAKEN,
        ["uint256", "bytes32", *["uint256"] * 4, "bool", "bytes32", "bytes32"],
        list(TAKEN),
    ),
    (CodeOpening(5, ONE, TWO, ORDER), ["uint256", *["bytes32"] * 3], [5, ONE, TWO, ORDER]),
    (
        RISEN,
        ["bytes32", *["uint256"] * 6],
        [b"results".ljust(32, b"\0"), *RISEN[1:]],
    ),
    (SCORED, ["uint256", "bytes32", *["uint256"] * 6], list(SCORED)),
]


@given(openings)
def test_it_is_read_as_it_was_written(opening: Opening) -> None:
    assert decode_opening(type(opening), encode_opening(opening)) == opening
    assert read_opening(type(opening), opening_json(opening)) == opening
    assert payload_of(opening) == sha256(encode_opening(opening)).digest()


@pytest.mark.parametrize(("opening", "types", "values"), EACH)
def test_its_bytes_are_abi_words(opening: Opening, types: list[str], values: list[Any]) -> None:
    assert encode_opening(opening) == abi_encode(types, values)
    assert len(encode_opening(opening)) <= 32 * MAX_OPENING_WORDS


def test_every_opening_is_tried() -> None:
    assert {type(opening) for opening, _, _ in EACH} == set(get_args(Opening))


@pytest.mark.parametrize(
    ("code", "changed"),
    [
        ("field-range", MOVED._replace(counted=2**40)),
        ("field-range", MOVED._replace(counted=-1)),
        ("time-range", MOVED._replace(received_ms=2**63)),
        ("time-range", MOVED._replace(received_ms=-1)),
        ("word-length", MOVED._replace(request_hash=b"\1" * 31)),
        ("word-length", MOVED._replace(commitment=b"\1" * 33)),
        ("word-length", MOVED._replace(order=b"")),
        ("label-not-ascii", MOVED._replace(from_state="é")),
        ("label-too-long", MOVED._replace(from_state="x" * 33)),
        ("field-range", TAKEN._replace(of=2**40)),
        ("field-range", TAKEN._replace(refunded_after_units=2**80)),
        ("field-range", TAKEN._replace(refunded_before_units=-1)),
        ("label-too-long", RISEN._replace(ground="x" * 33)),
        ("field-range", RISEN._replace(level_before=-1)),
        ("field-range", RISEN._replace(ripe_outcomes=2**40)),
        ("field-range", RISEN._replace(ripe_units=2**80)),
        ("field-range", RISEN._replace(disputes_lost=2**40)),
        ("field-range", SCORED._replace(probability_bps=-1)),
        ("field-range", SCORED._replace(pooled_n=2**40)),
        ("word-length", SCORED._replace(salt=b"\1" * 31)),
    ],
)
def test_what_has_no_encoding_is_refused(code: str, changed: Opening) -> None:
    with pytest.raises(EntryError) as refused:
        encode_opening(changed)
    assert refused.value.code == code


@pytest.mark.parametrize("made", get_args(Opening))
def test_other_lengths_are_refused(made: type[Opening]) -> None:
    whole = 32 * len(made._fields)
    for length in {0, 31, 32, whole - 32, whole - 1, whole + 1, whole + 32} - {whole}:
        with pytest.raises(EntryError) as refused:
            decode_opening(made, bytes(length))
        assert refused.value.code == "opening-length"


@pytest.mark.parametrize(
    ("place", "word", "code"),
    [
        (2, 2**40, "field-range"),
        (4, 2**80, "field-range"),
        (6, 2, "field-range"),
        (0, 2**63, "time-range"),
    ],
)
def test_words_out_of_bounds_are_no_opening(place: int, word: int, code: str) -> None:
    data = bytearray(encode_opening(TAKEN))
    data[32 * place : 32 * place + 32] = word.to_bytes(32)
    with pytest.raises(EntryError) as refused:
        decode_opening(EventOpening, bytes(data))
    assert refused.value.code == code


@pytest.mark.parametrize(
    "changes",
    [
        {"of": None},
        {"of": "many"},
        {"of": True},
        {"whole": 1},
        {"refunded_after_units": 700},
        {"refunded_after_units": "0700"},
        {"refunded_after_units": "-1"},
        {"refunded_after_units": "7" * 26},
        {"request_hash": "0x12"},
        {"commitment": 7},
        {"commitment": "0xzz"},
        {"another": 1},
    ],
)
def test_garbled_json_raises_what_its_readers_expect(changes: dict[str, object]) -> None:
    with pytest.raises((LookupError, TypeError, ValueError, AttributeError)):
        read_opening(EventOpening, opening_json(TAKEN) | changes)


def test_a_report_says_when_it_was_received() -> None:
    assert [receipt_ms(opening) for opening, _, _ in EACH] == [
        None,
        5,
        None,
        *[MOVED[2]] * 2,
        None,
        None,
        None,
    ]
    assert receipt_ms(None) is None
