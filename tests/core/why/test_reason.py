"""Reasons as data and as words: amounts, times and lengths of time as people write them."""

import re
from pathlib import Path

import pytest

from orchestrator.core.common.units import counted
from orchestrator.core.log.entry import address_word
from orchestrator.core.why.reason import (
    Code,
    Reason,
    amount,
    cut,
    moment,
    party,
    percent,
    short,
    span,
)
from tests.support.why_market import WORD
from tests.support.why_source import TOKEN

TOKENS = {WORD: TOKEN}


def test_a_reason_is_json_with_amounts_as_text() -> None:
    part = Reason(Code.EARNED, "one", (4,), numbers={"earned_units": 2**70, "outcomes": 3})
    reason = Reason(Code.CONTRACT, "all", (), (part,), subject=b"\xab" * 32)
    assert reason.to_json() == {
        "code": "contract",
        "text": "all",
        "positions": [],
        "contract_id": "0x" + "ab" * 32,
        "numbers": {},
        "parts": [
            {
                "code": "earned",
                "text": "one",
                "positions": [4],
                "contract_id": None,
                "numbers": {"earned_units": str(2**70), "outcomes": 3},
                "parts": [],
            }
        ],
    }
    assert reason.codes() == {"contract", "earned"}
    assert reason.find(Code.EARNED) is part
    with pytest.raises(LookupError):
        reason.find(Code.OVER)


def test_a_long_list_is_cut_and_counted() -> None:
    parts = [Reason(Code.EARNED, str(n)) for n in range(40)]
    shown = cut(parts, 40, "outcomes")
    assert len(shown) == 26
    assert shown[-1].text == "15 more outcomes are left out of this answer"
    assert cut(parts[:25], 25, "outcomes") == tuple(parts[:25])


def test_amounts_are_written_as_people_do_where_the_token_is_known() -> None:
    assert amount(1_234_500_000, WORD, TOKENS) == "1,234.50 USDC"
    assert amount(1_234_500_000, bytes(32), TOKENS) == "1,234,500,000 base units"


@pytest.mark.parametrize(
    ("time_ms", "text"),
    [
        (1_767_225_600_000, "2026-01-01 00:00:00 UTC"),
        (1_767_225_600_250, "2026-01-01T00:00:00.250Z"),
        (2**62 - 1, f"{2**62 - 1} ms"),
    ],
)
def test_times_are_written_as_people_do(time_ms: int, text: str) -> None:
    assert moment(time_ms) == text


@pytest.mark.parametrize(
    ("period_ms", "text"),
    [
        (0, "no time"),
        (1, "0.001 seconds"),
        (1000, "1 second"),
        (61_000, "1 minute"),
        (7 * 86_400_000, "7 days"),
        (86_400_000 + 7_200_000 + 60_000, "1 day 2 hours"),
    ],
)
def test_lengths_of_time_are_written_as_people_do(period_ms: int, text: str) -> None:
    assert span(period_ms) == text


def test_parties_shares_and_counts_are_written_as_people_do() -> None:
    assert party(address_word("0x" + "1f" * 20)) == "0x" + "1f" * 20
    assert short(b"\x12\x34\x56\x78" * 8) == "0x12345678…"
    assert (percent(1000), percent(25)) == ("10 %", "0.25 %")
    assert (counted(1, "lead"), counted(2_000, "lead")) == ("1 lead", "2,000 leads")


def test_codes_are_stable_names() -> None:
    assert all(code.value == code.name.lower().replace("_", "-") for code in Code)


def test_every_code_is_on_the_page() -> None:
    page = (Path(__file__).parents[3] / "docs/why.md").read_text()
    rows = re.findall(r"^\| (`.*?`) \|", page, re.MULTILINE)
    told = {code for row in rows for code in re.findall(r"`([a-z-]+)`", row)}
    assert told == {code.value for code in Code}
