"""assurance/static_analysis: findings and accepted places are compared one by one."""

import shutil
from pathlib import Path

import pytest

from scripts.assurance import static_analysis
from scripts.assurance.static_analysis import (
    AnalysisError,
    Finding,
    accepted,
    analyse,
    objections,
    require_whole,
)
from tests.support.depth import deep_only

ROOT = Path(__file__).resolve().parents[3]
LICENSE = "// SPDX-License-Identifier: Apache-2.0\npragma solidity 0.8.37;\n"
FOUND = Finding(("timestamp", "Two.later"), "Low", "Two.later uses timestamp\n")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with this project's settings and tools, and no contract yet."""
    shutil.copy(ROOT / "foundry.toml", tmp_path)
    for shared in ("node_modules", "scripts"):
        (tmp_path / shared).symlink_to(ROOT / shared)
    (tmp_path / "contracts").mkdir()
    return tmp_path


@deep_only
def test_finding_is_named_by_its_place(project: Path) -> None:
    (project / "contracts/Two.sol").write_text(
        LICENSE
        + "contract Two {\n"
        + "    function later(uint256 t) external view returns (bool) {\n"
        + "        return block.timestamp > t;\n    }\n"
        + "    function sum(uint256 n) external pure returns (uint256) {\n"
        + "        uint256 total;\n"
        + "        for (uint256 i = 0; i < n; ++i) total += i;\n"
        + "        return total;\n    }\n}\n"
    )
    assert {finding.place for finding in analyse(project)} == {
        ("timestamp", "Two.later"),
        ("uninitialized-local", "Two.sum.total"),
    }


@pytest.mark.parametrize(
    "line",
    [
        "ERROR:ContractSolcParsing:Impossible to generate IR for Guard.enter (contracts/G.sol#3):",
        "ERROR:SlitherSolcParsing:Missing function g",
        "Impossible to generate IR for top level function f (contracts/F.sol#1-3):",
    ],
)
def test_code_that_slither_left_out_is_no_clean_result(line: str) -> None:
    output = "INFO:Detectors:\n{}\nINFO:Slither:. analyzed (3 contracts), 0 result(s) found\n"
    require_whole(output.format("Detector: assembly"))
    with pytest.raises(AnalysisError, match="left code out") as raised:
        require_whole(output.format(line))
    assert str(raised.value).endswith(f":\n{line}")


def test_contracts_that_do_not_compile_are_no_clean_result(project: Path) -> None:
    (project / "contracts/Broken.sol").write_text(LICENSE + "contract Broken { uint256 x = y; }\n")
    with pytest.raises(AnalysisError, match="do not compile"):
        analyse(project)


def test_every_difference_is_an_objection() -> None:
    place = FOUND.place
    assert objections([FOUND], {place}) == {}
    unknown = objections([FOUND], set())
    assert list(unknown) == [place]
    assert unknown[place].endswith("| `timestamp` | `Two.later` | … |")
    gone = objections([FOUND], {place, ("assembly", "Two.f")})
    assert gone == {
        (
            "assembly",
            "Two.f",
        ): f"{static_analysis.ACCEPTED.name} accepts assembly at Two.f, which is gone: delete it"
    }


def test_row_accepts_each_place_it_names_and_none_twice() -> None:
    table = "| detector | where | why |\n|---|---|---|\n| `assembly` | `A.f`, `B.g.x` | Reason. |\n"
    assert accepted(table) == {("assembly", "A.f"), ("assembly", "B.g.x")}
    with pytest.raises(AnalysisError, match=r"assembly at A\.f twice"):
        accepted(table + "| `assembly` | `A.f` | Another. |\n")
    assert accepted("| `assembly` | `A.f` | |\n") == set()  # without a reason


def test_committed_table_is_read() -> None:
    rows = accepted(static_analysis.ACCEPTED.read_text())
    assert ("timestamp", "EventLog.acceptPublisher") in rows
