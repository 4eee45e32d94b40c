"""assurance/planted_faults: every fault can still be planted, and names a test that exists."""

import re
from pathlib import Path

import pytest

from scripts.assurance import planted_faults
from scripts.assurance.planted_faults import FAULTS, Fault

ROOT = Path(__file__).resolve().parents[3]
INVARIANTS = "tests/contracts/invariant"
ANY_FILE = Path("contracts/Any.sol")


def test_every_fault_can_be_planted(tmp_path: Path) -> None:
    planted_faults.copy_sources(tmp_path)
    planted_faults.plant(tmp_path)
    for number, fault in enumerate(FAULTS, 1):
        assert f"planted({number})" in (tmp_path / fault.file).read_text(), fault.what


def test_every_fault_names_a_test_and_every_check_has_a_fault() -> None:
    suites = [file.read_text() for file in (ROOT / INVARIANTS).glob("*.t.sol")]
    made = {
        check: campaign
        for suite in suites
        for campaign in re.findall(r"function (invariant_\w+)", suite)
        for check in re.findall(r"_demand(?:Aside)?\(\s*\"\w+\",\s*this\.(check_\w+)", suite)
    }
    assert made.keys() == {
        check for suite in suites for check in re.findall(r"function (check_\w+)", suite)
    }
    round_tests = (ROOT / planted_faults.ROUND_TESTS).read_text()
    named = {fault.test: fault.ran for fault in FAULTS}
    assert made.items() <= named.items()
    assert named.keys() - made.keys() <= set(re.findall(r"function (test_\w+)", round_tests))


def test_fault_is_a_choice_between_two_texts() -> None:
    def switched(old: str, new: str) -> str:
        return Fault("", "", ANY_FILE, old, new).switched(7)

    assert switched("a = 1;", "a = 2;") == "if (planted(7)) { a = 2; } else { a = 1; }"
    assert switched("a < b", "a > b") == "(planted(7) ? (a > b) : (a < b))"
    assert switched("a();", "if (!planted(?)) a();") == "if (!planted(7)) a();"
    assert switched("a = b;", "a = planted(?) ? c : b;") == "a = planted(7) ? c : b;"


def test_text_that_is_gone_or_there_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "One.sol"
    for source in ("b;", "a; a;"):
        file.write_text(source)
        with pytest.raises(SystemExit, match=r"One\.sol no longer has, just once: a"):
            planted_faults.replace_once(file, "a;", "c;")
