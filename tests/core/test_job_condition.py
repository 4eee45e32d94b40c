"""The condition of a job: every rule alone, and their meaning on any honest statement."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.common.errors import EvidenceError
from orchestrator.core.entries.kinds import encode
from orchestrator.core.evidence.exhibits import read_words
from orchestrator.core.job_condition import Condition
from orchestrator.core.log.entry import ZERO_WORD, Entry, address_word, ascii_word, pack_settlement

VERIFIER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
COMMERCE = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
SUBJECT = b"\5" * 32
FROM_S = 1_800_000_000
MINIMUM = 100
CONDITION = Condition(COMMERCE, b"\1" * 32, VERIFIER, SUBJECT, MINIMUM, FROM_S, FROM_S + 86_400)
U80 = (1 << 80) - 1


def shortfalls(entry: bytes, condition: Condition = CONDITION) -> tuple[str, ...]:
    return tuple(condition.shortfalls(read_words(7, entry), FROM_S))


def statement(
    earned: int = 130,
    reversed_: int = 30,
    *,
    kind: str = "settlement",
    actor: str = VERIFIER,
    subject: bytes = SUBJECT,
    value: int | None = None,
    time_ms: int = FROM_S * 1000,
) -> bytes:
    payload = pack_settlement(earned, reversed_, 7, 8)
    net = earned - reversed_ if value is None else value
    return encode(
        Entry(kind, ZERO_WORD, address_word(actor), subject, "", max(net, 0), time_ms, payload)
    )


@pytest.mark.parametrize(
    ("entry", "phrases"),
    [
        (statement(), ()),
        (statement(earned=129), ("it states 99 base units, and 100 are asked for",)),
        (statement(earned=U80, reversed_=0), ()),
        (statement(kind="payout"), ("it is no statement",)),
        (statement(kind="outcome.reversed"), ("it is no statement",)),
        (statement(actor=COMMERCE), ("it is another verifier's",)),
        (statement(subject=b"\6" * 32), ("it is about another contract",)),
        (statement(value=101), ("its value is not 130 earned less 30 reversed",)),
        (statement(value=1 << 200), ("its value is not 130 earned less 30 reversed",)),
        # More reversed than earned: whatever the value says, it is no difference of the two.
        (
            statement(earned=30, reversed_=130),
            (
                "its value is not 30 earned less 130 reversed",
                "it states 0 base units, and 100 are asked for",
            ),
        ),
        (statement(time_ms=FROM_S * 1000 - 1), ("it was made too early",)),
        (
            statement(9, 9, kind="outcome", actor=COMMERCE, subject=ZERO_WORD, time_ms=0),
            (
                "it is no statement",
                "it is another verifier's",
                "it is about another contract",
                "it states 0 base units, and 100 are asked for",
                "it was made too early",
            ),
        ),
    ],
)  # fmt: skip
def test_one_reason_for_each_violated_rule(entry: bytes, phrases: tuple[str, ...]) -> None:
    assert shortfalls(entry) == phrases


def test_an_actor_with_anything_before_the_address_is_another() -> None:
    entry = bytearray(statement())
    entry[64] = 1
    assert shortfalls(bytes(entry)) == ("it is another verifier's",)


@given(st.binary(min_size=256, max_size=256))
def test_any_bytes_can_be_judged(entry: bytes) -> None:
    assert shortfalls(entry)


@pytest.mark.parametrize("length", [0, 255, 257])
def test_what_is_no_entry(length: int) -> None:
    with pytest.raises(EvidenceError):
        shortfalls(bytes(length))


@given(
    earned=st.integers(0, U80),
    reversed_=st.integers(0, U80),
    minimum=st.integers(1, U80),
    time_s=st.integers(FROM_S - 5, FROM_S + 5),
)
def test_net_value_and_time_decide(earned: int, reversed_: int, minimum: int, time_s: int) -> None:
    entry = statement(earned, min(earned, reversed_), time_ms=time_s * 1000)
    asked = CONDITION._replace(minimum_units=minimum)
    is_met = earned - min(earned, reversed_) >= minimum and time_s >= FROM_S
    assert (not shortfalls(entry, asked)) == is_met


def test_a_condition_as_the_chain_and_programs_have_it() -> None:
    lower = (COMMERCE.lower(), CONDITION.log_id, VERIFIER.lower(), *CONDITION[3:])
    assert Condition.from_abi(lower) == CONDITION
    assert CONDITION.to_json() == {
        "commerce": COMMERCE,
        "log_id": "0x" + "01" * 32,
        "verifier": VERIFIER,
        "subject": "0x" + "05" * 32,
        "minimum_units": "100",
        "stated_from_s": FROM_S,
        "deadline_s": FROM_S + 86_400,
    }
    assert ascii_word("settlement") == statement()[:32]


@pytest.mark.parametrize(("ahead_ms", "is_ahead"), [(60_000, False), (60_001, True)])
def test_a_minute_ahead_of_the_chain_is_the_most(ahead_ms: int, is_ahead: bool) -> None:
    entry = statement(time_ms=FROM_S * 1000 + ahead_ms)
    assert shortfalls(entry) == (("it is dated ahead of the chain",) if is_ahead else ())
