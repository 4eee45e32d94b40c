"""assurance/coverage: what the Solidity tests reach is counted, and too little is refused."""

import shutil
from pathlib import Path

import pytest

from scripts.assurance.coverage import (
    CoverageError,
    Reach,
    measure,
    missed,
    parse,
    require_enough,
    rows,
    write,
)
from tests.support.depth import deep_only

ROOT = Path(__file__).resolve().parents[3]
LICENSE = "// SPDX-License-Identifier: Apache-2.0\npragma solidity 0.8.37;\n"
CONTRACT = """
contract Two {
    function size(uint256 n) external pure returns (uint256) {
        if (n > 100) return 3;
        if (n > 10) {
            return 2;
        } else {
            return 1;
        }
    }

    function unused() external pure returns (uint256) {
        return 4;
    }
}
"""
TEST = """
import {{Two}} from "contracts/Two.sol";

contract TwoTest {{
    function test_size() external {{
        require(new Two().size({number}) == {size}, "size");
    }}
}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with this project's settings and tools, one contract and one test of it."""
    shutil.copy(ROOT / "foundry.toml", tmp_path)
    for shared in ("node_modules", "scripts"):
        (tmp_path / shared).symlink_to(ROOT / shared)
    for folder in ("contracts", "tests/contracts/gas"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "contracts/Two.sol").write_text(LICENSE + CONTRACT)
    (tmp_path / "tests/contracts/Two.t.sol").write_text(LICENSE + TEST.format(number=11, size=2))
    return tmp_path


@deep_only
def test_a_run_is_counted_by_file_and_line(project: Path) -> None:
    # What measures gas is left out, and need not even compile.
    (project / "tests/contracts/gas/Gas.t.sol").write_text("no Solidity")
    found = parse(measure(project))
    assert set(found) == {"contracts/Two.sol"}
    reach = found["contracts/Two.sol"]
    assert reach.branches == (1, 3)
    assert reach.functions == (1, 2)
    first = (LICENSE + CONTRACT).splitlines().index("        if (n > 100) return 3;") + 1
    assert reach.missed == (first, first + 1)
    assert next(missed(found)) == f"contracts/Two.sol:{first}: no test takes a branch here"
    with pytest.raises(CoverageError, match="1 of 3 branches are reached; at least 98 % must be"):
        require_enough(found)


@deep_only
def test_a_failing_test_is_no_measurement(project: Path) -> None:
    (project / "tests/contracts/Two.t.sol").write_text(LICENSE + TEST.format(number=11, size=7))
    with pytest.raises(CoverageError, match=r"FAIL.*test_size"):
        measure(project)


@pytest.mark.parametrize(
    ("reached", "enough"), [((98, 100), True), ((979, 1000), False), ((0, 0), False)]
)
def test_98_percent_of_all_branches_are_enough(reached: tuple[int, int], enough: bool) -> None:
    found = {"contracts/A.sol": Reach(reached, (1, 1), (1, 1), ())}
    if enough:
        require_enough(found)
    else:
        with pytest.raises(CoverageError):
            require_enough(found)


def test_the_table_rounds_down_and_sums_up() -> None:
    found = {
        "contracts/B.sol": Reach((2, 3), (9, 9), (1, 1), (4,)),
        "contracts/A.sol": Reach((0, 0), (1, 2), (1, 2), ()),
        "contracts/None.sol": Reach((0, 0), (0, 0), (0, 0), ()),
    }
    assert list(rows(found))[2:] == [
        "| `A.sol` | none | 50.00 % (1/2) | 50.00 % (1/2) |",
        "| `B.sol` | 66.66 % (2/3) | 100.00 % (9/9) | 100.00 % (1/1) |",
        "| **all** | 66.66 % (2/3) | 90.90 % (10/11) | 66.66 % (2/3) |",
    ]


def test_the_table_is_put_between_its_marks(tmp_path: Path) -> None:
    document = tmp_path / "coverage.md"
    document.write_text("before\n<!-- measured -->\nold\n<!-- /measured -->\nafter\n")
    write(document, "new\n")
    assert document.read_text() == "before\n<!-- measured -->\nnew\n<!-- /measured -->\nafter\n"
    document.write_text("no marks\n")
    with pytest.raises(CoverageError, match="no place for the table"):
        write(document, "new\n")
