"""Exhibits and the words of entries: the same layouts as the log's, and any bytes readable."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.common.errors import EvidenceError
from orchestrator.core.evidence.exhibits import (
    OUTCOME,
    OVER,
    Case,
    Claim,
    EscrowRecord,
    EventWords,
    Exhibit,
    ReportWords,
    TransitionWords,
    escrow_record_of,
    open_case,
    opening_words,
    read_words,
    unpack_link,
    unpack_statement,
    words_of,
)
from orchestrator.core.log.entry import ascii_word, pack_outcome, pack_reversal, pack_settlement
from orchestrator.core.log.opening import (
    EventOpening,
    Opening,
    ReportedTouchOpening,
    TransitionOpening,
    encode_opening,
    payload_of,
)
from tests.support.terms import PLAIN
from tests.support.worlds import policy, rules, word

u40 = st.integers(0, 2**40 - 1)
u48 = st.integers(0, 2**48 - 1)
u80 = st.integers(0, 2**80 - 1)
RECORD = EscrowRecord(rules("ann", policy()), word("log"), 0, 1, last_signed=9, last_final=5)


@given(st.tuples(u40, u40, u40, u40, u80))
def test_links_have_the_layout_of_outcomes_and_reversals(
    facts: tuple[int, int, int, int, int],
) -> None:
    for pack in (pack_outcome, pack_reversal):
        payload = int.from_bytes(pack(*facts))
        assert unpack_link(payload) == (*facts, 0)
        # Bits that the log's own reader refuses are evidence here.
        assert unpack_link(payload | 0xABCD) == (*facts, 0xABCD)


@given(st.tuples(u80, u80, u48, u48))
def test_statements_have_the_layout_of_settlements(facts: tuple[int, int, int, int]) -> None:
    assert unpack_statement(int.from_bytes(pack_settlement(*facts))) == facts


@given(st.binary(min_size=256, max_size=256))
def test_any_bytes_are_some_words(data: bytes) -> None:
    words = read_words(3, data)
    assert words.position == 3
    numbers = b"".join(number.to_bytes(32) for number in words[6:])
    assert b"".join(words[1:6]) + numbers == data
    assert words_of(Exhibit(3, data)) == words


@pytest.mark.parametrize("length", [0, 255, 257])
def test_an_entry_has_256_bytes(length: int) -> None:
    with pytest.raises(EvidenceError) as caught:
        words_of(Exhibit(3, bytes(length)))
    assert caught.value.code == "entries-not-whole"


def test_a_case_takes_its_proofs() -> None:
    shown = (Exhibit(7, b"seven", b"opening"), Exhibit(3, b"three"))
    case = Case(word("ann"), "sum", shown, word("bob"))
    proven = case.with_proofs(lambda position: [position.to_bytes(32)])
    assert proven == case._replace(
        exhibits=(
            Exhibit(7, b"seven", b"opening", ((7).to_bytes(32),)),
            Exhibit(3, b"three", b"", ((3).to_bytes(32),)),
        )
    )


REQUEST, COMMITMENT, ORDER = word("request"), word("commitment"), word("order")
REPORT = ReportedTouchOpening(3, 5, REQUEST, COMMITMENT)


@pytest.mark.parametrize(
    ("make", "opening", "words"),
    [
        (ReportWords, REPORT, (3, 5)),
        (
            TransitionWords,
            TransitionOpening("trial", 2, 5, ORDER, REQUEST, COMMITMENT),
            (int.from_bytes(ascii_word("trial")), 2, 5, int.from_bytes(ORDER)),
        ),
        (
            EventWords,
            EventOpening(
                5, ORDER, 4, 3, 7, 8, whole=True, request_hash=REQUEST, commitment=COMMITMENT
            ),
            (5, int.from_bytes(ORDER), 4, 3, 7, 8, 1),
        ),
    ],
)
def test_openings_are_read_as_they_are_written(
    make: Any, opening: Opening, words: tuple[int, ...]
) -> None:
    told = int.from_bytes(REQUEST), int.from_bytes(COMMITMENT)
    data = encode_opening(opening)
    assert opening_words(make, data) == (*words, *told)
    # Words that the log's own reader refuses are evidence here; another number of them is none.
    assert opening_words(make, b"\xff" * len(data)) == (2**256 - 1,) * (len(data) // 32)
    for other in (b"", data[:-1], data + bytes(1), data + bytes(32)):
        assert opening_words(make, other) is None


def test_a_claim_is_for_a_lead_once_or_for_each_transition() -> None:
    claim = Claim(word("x"), 8, 4, 2, 1000)
    assert claim.key(RECORD.rules) == word("x")
    assert claim.key(RECORD.rules._replace(repeatable=True)) == (4).to_bytes(32)


@pytest.mark.parametrize(
    ("last_final", "position", "is_final"), [(5, 5, True), (5, 6, False), (0, 0, False)]
)
def test_what_is_final(last_final: int, position: int, is_final: bool) -> None:
    assert RECORD._replace(last_final=last_final).is_final(position) is is_final


@pytest.mark.parametrize(
    ("closed_at_s", "at_ms", "is_closed"),
    [(0, 10**12, False), (3, 3000, False), (3, 3001, True), (3, 2999, False)],
)
def test_the_second_of_a_closing_is_still_open(
    closed_at_s: int, at_ms: int, is_closed: bool
) -> None:
    assert RECORD._replace(closed_at_s=closed_at_s).is_closed_before(at_ms) is is_closed


def test_contracts_compete_for_one_outcome_by_one_policy_and_attribution() -> None:
    record = escrow_record_of(PLAIN, word("ann"), 1)
    assert record.log_id == PLAIN.log_id
    other = record._replace(rules=record.rules._replace(operator=word("bob"), unit_price_units=1))
    assert (other.exclusive_key, other.market) == (record.exclusive_key, record.market)
    for changes, is_exclusive in (
        ({"outcome": "other"}, False),
        ({"surface": word("other")}, False),
        ({"owner": word("other")}, False),
        ({"policy_hash": word("other")}, True),
        ({"attribution": "last_touch"}, True),
    ):
        other = record._replace(rules=record.rules._replace(**changes))
        assert (other.exclusive_key == record.exclusive_key) is is_exclusive
        assert other.market != record.market


# --- A case being decided -------------------------------------------------------------------------


def entry(kind: bytes, actor: bytes = word("ann")) -> bytes:
    return kind + bytes(32) + actor + bytes(160)


def test_an_opening_is_shown_with_the_entry_that_commits_to_it() -> None:
    data = entry(OUTCOME)[:-32] + payload_of(REPORT)
    words = encode_opening(REPORT)
    opened = open_case(
        Case(word("ann"), "sum", (Exhibit(7, data, words), Exhibit(7, data))),
        {word("ann"): RECORD},
    )
    assert opened.opening(ReportWords, 0).cause == 3
    assert [opened.has_opening(place) for place in (0, 1)] == [True, False]
    refused: list[tuple[str, Callable[[], object]]] = [
        ("opening-length", lambda: opened.opening(ReportWords, 1)),
        ("opening-length", lambda: opened.opening(EventWords, 0)),
        ("wrong-opening", lambda: open_shown(Exhibit(7, data, words + bytes(32)))),
        ("wrong-opening", lambda: open_shown(Exhibit(7, entry(OUTCOME), words))),
    ]
    for code, ask in refused:
        with pytest.raises(EvidenceError) as caught:
            ask()
        assert caught.value.code == code


def open_shown(*shown: Exhibit) -> object:
    return open_case(Case(word("ann"), "sum", shown), {word("ann"): RECORD})


def test_an_opened_case_gives_what_was_shown_and_nothing_else() -> None:
    shown = (Exhibit(7, entry(OUTCOME)), Exhibit(3, entry(OVER)))
    opened = open_case(Case(word("ann"), "sum", shown), {word("ann"): RECORD})
    assert opened.rules is RECORD.rules
    assert opened.first_exhibit(OVER, OUTCOME) == words_of(shown[0])
    assert opened.exhibit_at(1, 3) == opened.exhibit(1) == words_of(shown[1])
    for code, ask in (
        ("missing-exhibit", lambda: opened.exhibit(2)),
        ("wrong-exhibit", lambda: opened.exhibit_at(1, 7)),
        ("not-of-contract", lambda: opened.first_exhibit(OVER)),
        ("unknown-contract", lambda: opened.record_of(word("bob"))),
    ):
        with pytest.raises(EvidenceError) as caught:
            ask()
        assert caught.value.code == code
