"""assurance/mutation/command: its targets exist, and its sample is the same each time."""

from pathlib import Path

import pytest

from scripts.assurance.mutation import command, workshop
from scripts.assurance.mutation.survivors import Mutant
from scripts.assurance.mutation.targets import TARGETS

ROOT = Path(__file__).resolve().parents[4]


@pytest.mark.parametrize("name", TARGETS)
def test_target_has_a_file_tests_and_roots(name: str) -> None:
    target = TARGETS[name]
    assert (ROOT / target.file).is_file()
    assert target.tests
    for tests in target.tests:
        assert (ROOT / "tests/contracts" / tests).exists(), tests
    for root in target.roots:
        file, _, contract = root.partition(":")
        assert f"{contract} " in (ROOT / file).read_text(), root


def test_sample_keeps_the_larger_changes_and_is_the_same_each_time() -> None:
    made = [Mutant(operator, line, "a", "b", 0) for line in range(20) for operator in ("RR", "AOR")]
    tried, left_out = command.chosen(made, 5)
    assert [mutant.operator for mutant in tried] == ["RR"] * 20 + ["AOR"] * 5
    assert left_out == 15
    assert command.chosen(made, 5) == (tried, left_out)
    assert command.chosen(made, 0)[1] == 0


def test_compiler_gives_the_code_and_the_places_of_errors(tmp_path: Path) -> None:
    folder = tmp_path / "contracts/escrow"
    folder.mkdir(parents=True)
    (tmp_path / "contracts/One.sol").write_text(
        "pragma solidity 0.8.37;\nimport {x} from './escrow/Times.sol';\n"
        "contract One { function f() external pure returns (uint256) { return x(); } }\n"
    )
    times = "pragma solidity 0.8.37;\nfunction x() pure returns (uint256) { return %s; }\n"
    file = "contracts/escrow/Times.sol"
    (tmp_path / file).write_text(times % 1)
    with workshop.Compiler(file, ("contracts/One.sol:One",), tmp_path) as compiler:
        one, two, wrong = (compiler.compile(times % value) for value in ("1", "2", "false"))
        again = compiler.compile(times % 1)
        tree = compiler.compile(times % 1, tree=True)["tree"]
    assert one == again != two
    assert one["contracts/One.sol:One"]["bytecode"]["object"].startswith("0x60")
    assert "TypeError" in wrong["error"]
    assert wrong["places"] == [times.index("%s")]
    assert tree["nodeType"] == "SourceUnit"
