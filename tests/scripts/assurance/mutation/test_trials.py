"""assurance/mutation/trials: tests get inputs of their types, and what failed is read back."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from eth_abi.abi import decode

from scripts.assurance.mutation import trials, workshop
from scripts.assurance.mutation.trials import STEP, Calls, Suite, Trial, Trials
from scripts.assurance.tools import ROOT
from tests.support.depth import deep_only

CALLS = (b"\1" * 4, b"\2" * 4, b"\3" * 4)


def function(name: str, *kinds: str) -> dict[str, object]:
    return {"type": "function", "name": name, "inputs": [{"type": kind} for kind in kinds]}


def test_a_fuzzed_test_is_called_several_times_and_what_is_no_test_never(tmp_path: Path) -> None:
    kinds = ["uint8", "int96", "bytes3", "bytes", "string", "bool", "address", "uint16[2][]"]
    fuzzed = f"testFuzz_b({','.join(kinds)})"
    content = {
        "abi": [function("test_a"), function("testFuzz_b", *kinds), function("play", "uint256")],
        "bytecode": {"object": "0x6000", "linkReferences": {}},
        "methodIdentifiers": {"test_a()": "01" * 4, fuzzed: "02" * 4, "setUp()": "03" * 4},
    }
    artifact = tmp_path / "One.t.sol/OneTest.json"
    artifact.parent.mkdir()
    artifact.write_text(json.dumps(content))
    (suite,) = trials.suites_in(tmp_path, [Path("tests/One.t.sol")], 9)
    assert (suite.name, suite.has_set_up, len(suite.calls)) == ("OneTest", True, 10)
    assert suite.calls.count(b"\1" * 4) == 1
    inputs = {decode(kinds, call[4:]) for call in suite.calls if call.startswith(b"\2")}
    assert len(inputs) == 9
    assert trials.suites_in(tmp_path, [Path("tests/One.t.sol")], 9) == [suite]
    content["bytecode"] = {"object": "0x__", "linkReferences": {"a.sol": {}}}
    artifact.write_text(json.dumps(content))
    assert trials.suites_in(tmp_path, [Path("tests/One.t.sol")], 9) == []


def test_structs_are_called_by_their_fields(tmp_path: Path) -> None:
    """A struct holds another, and a list of them is given."""
    inner = {"type": "tuple", "components": [{"type": "bool"}, {"type": "uint8[2]"}]}
    outer = {"type": "tuple[]", "components": [{"type": "address"}, inner]}
    kind = "(address,(bool,uint8[2]))[]"
    content = {
        "abi": [{"type": "function", "name": "testFuzz_a", "inputs": [outer]}],
        "bytecode": {"object": "0x6000", "linkReferences": {}},
        "methodIdentifiers": {f"testFuzz_a({kind})": "02" * 4},
    }
    artifact = tmp_path / "One.t.sol/OneTest.json"
    artifact.parent.mkdir()
    artifact.write_text(json.dumps(content))
    (suite,) = trials.suites_in(tmp_path, [Path("tests/One.t.sol")], 9)
    assert any(decode([kind], call[4:])[0] for call in suite.calls)


def test_a_plan_has_the_calls_and_what_failed_is_named_by_them(tmp_path: Path) -> None:
    some = Trials(tmp_path, "out", [Suite(Path("OneTest.json"), True, CALLS)], 1)
    some.leave_out({"OneTest": [1]})
    assert (some.calls(), some.left_out) == ({"OneTest": [0, 2]}, 1)
    plan = some._plan(Trial(7, some.calls(), goes_on=True))
    steps = (("OneTest", True, (CALLS[0], CALLS[2])),)
    assert decode(["uint256", "bool", STEP], plan) == (7, True, steps)


@pytest.mark.parametrize(
    ("reason", "noticed"),
    [
        ("noticed by OneTest:1,;", {"OneTest": [2]}),
        ("noticed by OneTest:0,1,;", {"OneTest": [0, 2]}),
        ("noticed by OneTest:setUp;", {"OneTest": [0, 2]}),
        ("EvmError: OutOfGas", None),
    ],
)
def test_failures_are_read(reason: str, noticed: dict[str, list[int]] | None) -> None:
    result = {"status": "Failure", "reason": reason}
    assert trials._noticed(result, {"OneTest": [0, 2]}) == noticed
    assert trials._noticed({"status": "Success", "reason": None}, {}) == {}


class Behind(Trials):
    """Trials in which suite B fails behind A, and each notices one mutant alone: A 1, B 2."""

    def __init__(self) -> None:
        pass

    def run(self, trials: Sequence[Trial]) -> list[Calls | None]:
        return [self._seen(trial) for trial in trials]

    def _seen(self, trial: Trial) -> Calls | None:
        if trial.number == 1 and "A" in trial.tests:
            return {"A": [0]}
        if trial.number == 3 and len(trial.tests) > 1:
            return None
        if "B" in trial.tests and ("A" in trial.tests or trial.number == 2):
            return {"B": [0]}
        return {}


def test_what_notices_a_mutant_notices_it_alone() -> None:
    both: Calls = {"A": [0], "B": [0]}
    assert Behind().killed(dict.fromkeys(range(1, 5), both)) == {1, 2}
    assert Behind().killed({}) == set()


def test_what_failed_behind_others_meets_the_rest_too() -> None:
    tests: Calls = {"A": [0], "B": [0], "C": [0]}

    class Last(Behind):
        def _seen(self, trial: Trial) -> Calls | None:
            return {"C": [0]} if [*trial.tests] == ["C"] else super()._seen(trial)

    assert Last().killed({4: tests}) == {4}


LEAVING = """\
pragma solidity 0.8.37;
import {Test} from "forge-std/Test.sol";
contract LeavingTest is Test {
    function test_a() external { vm.startPrank(address(1)); }
    function test_b() external { vm.prank(address(2)); this.test_c(); }
    function test_c() external {}
    function test_d() external { revert(); }
}
"""


@deep_only
def test_what_a_test_leaves_behind_does_not_reach_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Try with forge tests of which the first leaves a prank, and the last fails by itself."""
    for name, value in workshop.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    tests, runs = tmp_path / "tests_alone", tmp_path / "runs"
    for folder in (tests, runs):
        (folder / "contracts").mkdir(parents=True)
        workshop.copy(folder, ())
    (tests / "tests/contracts").mkdir(parents=True)
    (tests / "tests/contracts/Leaving.t.sol").write_text(LEAVING)
    trials.prepare(runs, ROOT)
    for folder in (tests, runs):
        workshop.forge(folder, "test", "--list")
    suites = trials.suites_in(tests / workshop.OUT, [Path("Leaving.t.sol")], 1)
    some = Trials(runs, workshop.OUT, suites, workshop.TIMEOUT_S)
    some.write_code()
    assert some.run([Trial(0, some.calls(), goes_on=True)]) == [{"LeavingTest": [3]}]
