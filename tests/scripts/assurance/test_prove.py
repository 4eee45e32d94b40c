"""assurance/prove: only halmos's proofs count, and its faults are still in the sources."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from scripts.assurance import prove

ROOT = Path(__file__).resolve().parents[3]


def test_every_proof_is_known_by_its_name() -> None:
    names = prove.expected(ROOT)
    assert "check_statementsNeverFall" in names
    assert "check_threeLeavesAreExtendedByFour" in names
    assert all(name.startswith("check_") for name in names)


def test_every_fault_can_be_planted(tmp_path: Path) -> None:
    prove.copy_with_faults(tmp_path)
    for fault in prove.FAULTS:
        text = (tmp_path / prove.CONTRACTS / f"{fault.file}.sol").read_text()
        assert not fault.new or fault.new in text
        assert text != (ROOT / prove.CONTRACTS / f"{fault.file}.sol").read_text()


def test_stale_fault_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prove, "FAULTS", (prove.Fault("escrow/Release", "no such code", ""),))
    with pytest.raises(prove.ProofError, match="has not exactly one 'no such code' any more"):
        prove.copy_with_faults(tmp_path)


class Halmos:
    """A halmos that reports the given codes."""

    def __init__(self, codes: dict[str, int]) -> None:
        self.codes = codes

    def __call__(self, command: list[Any], **_: object) -> subprocess.CompletedProcess[str]:
        if "--json-output" in command:
            tests = [
                {"name": f"{name}(uint256)", "exitcode": self.codes[name]} for name in self.codes
            ]
            report = Path(command[command.index("--json-output") + 1])
            report.write_text(json.dumps({"test_results": {"One.t.sol:One": tests}}))
        return subprocess.CompletedProcess(command, 0, "", "")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / prove.PROOFS
    folder.mkdir(parents=True)
    (folder / "One.t.sol").write_text("function check_one() {} function check_two() {}")
    return tmp_path


def test_omitted_proof_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", Halmos({"check_one": 0, "check_two": 2}))
    assert prove.prove(project) == {"check_one": 0, "check_two": 2}
    monkeypatch.setattr(subprocess, "run", Halmos({"check_one": 0}))
    with pytest.raises(prove.ProofError, match="did not speak of check_two"):
        prove.prove(project)


@pytest.mark.parametrize(("code", "wrong"), [(0, False), (1, True), (2, True), (3, True)])
def test_only_a_proof_is_a_proof(
    code: int, wrong: bool, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prove, "ROOT", project)
    monkeypatch.setattr(subprocess, "run", Halmos({"check_one": 0, "check_two": code}))
    assert bool(prove.run(prove.PROVEN)) is wrong
