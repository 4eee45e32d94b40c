"""The gates themselves: what they must refuse is planted, and they must refuse it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from scripts import lock

ROOT = Path(__file__).resolve().parents[2]
LICENSE = "// SPDX-License-Identifier: Apache-2.0\npragma solidity 0.8.37;\n"


def run(*command: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


def forge(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(str(ROOT / "node_modules/.bin/forge"), *arguments, cwd=project)


@pytest.fixture
def solidity_project(tmp_path: Path) -> Path:
    """A project of one contract, with this project's settings and tools."""
    shutil.copy(ROOT / "foundry.toml", tmp_path)
    for shared in ("node_modules", "scripts"):
        (tmp_path / shared).symlink_to(ROOT / shared)
    (tmp_path / "contracts").mkdir()
    (tmp_path / "tests/contracts").mkdir(parents=True)
    (tmp_path / "tests/vectors").mkdir()
    (tmp_path / "contracts/One.sol").write_text(
        LICENSE + "contract One { function one() external pure returns (uint256) { return 1; } }\n"
    )
    return tmp_path


def plant_test(project: Path, expected: int) -> None:
    (project / "tests/contracts/One.t.sol").write_text(
        LICENSE
        + 'import {Test} from "forge-std/Test.sol";\nimport {One} from "../../contracts/One.sol";\n'
        + "contract OneTest is Test { function test_one() public {"
        + f" assertEq(new One().one(), {expected}); }} }}\n"
    )


def test_failing_solidity_test_fails_the_build(solidity_project: Path) -> None:
    plant_test(solidity_project, expected=1)
    passing = forge(solidity_project, "test")
    assert passing.returncode == 0, passing.stdout + passing.stderr
    assert "1 passed; 0 failed" in passing.stdout
    plant_test(solidity_project, expected=2)
    failing = forge(solidity_project, "test")
    assert "0 passed; 1 failed" in failing.stdout
    assert failing.returncode != 0


def test_warning_in_a_contract_fails_the_build(solidity_project: Path) -> None:
    gate = ("build", "contracts", "--deny", "warnings", "--force")
    clean = forge(solidity_project, *gate)
    assert clean.returncode == 0, clean.stdout + clean.stderr
    (solidity_project / "contracts/Two.sol").write_text(
        LICENSE
        + "contract Two { function f(bool unused) external pure returns (uint256) { return 1; } }\n"
    )
    warned = forge(solidity_project, *gate)
    assert "Two.sol" in warned.stdout + warned.stderr
    assert warned.returncode != 0


def test_failing_step_is_named_and_stops_the_run(tmp_path: Path) -> None:
    """scripts/test, with a formatter that finds fault."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts", ignore=lambda *_: ["__pycache__"])
    (tmp_path / "scripts/bootstrap").write_text("#!/bin/sh\n")
    tools = tmp_path / ".venv/bin"
    tools.mkdir(parents=True)
    for name, status in (("ruff", 3), ("mypy", 0)):
        (tools / name).write_text(f"#!/bin/sh\necho {name} was here\nexit {status}\n")
        (tools / name).chmod(0o755)
    stopped = run(str(tmp_path / "scripts/test"), "format", "types")
    assert stopped.returncode == 1
    assert stopped.stderr == "scripts/test: the step 'format' failed (exit code 3)\n"
    assert "mypy was here" not in stopped.stdout
    assert run(str(tmp_path / "scripts/test"), "types").returncode == 0


def test_unknown_step_is_refused() -> None:
    refused = run("scripts/test", "formt")
    assert refused.returncode == 2
    assert "no step 'formt'; there are: format lint" in refused.stderr


@pytest.mark.parametrize(
    ("planted", "broken"),
    [
        ("import time", "The core is pure"),
        ("from orchestrator import log", "Modules import only downwards"),
        ("import psycopg", "Only the database module speaks to PostgreSQL"),
        ("import web3", "Only the module for calls speaks to a chain"),
    ],
)
def test_import_rule_is_held(tmp_path: Path, planted: str, broken: str) -> None:
    for part in ("orchestrator", "api"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=lambda *_: ["__pycache__"])
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    checker = (str(ROOT / ".venv/bin/lint-imports"), "--no-cache")
    kept = run(*checker, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert kept.returncode == 0, kept.stdout
    with (tmp_path / "orchestrator/core/errors.py").open("a") as module:
        module.write(f"\n{planted}\n")
    refused = run(*checker, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert refused.returncode == 1
    assert re.search(rf"^{re.escape(broken)}.* BROKEN", refused.stdout, re.MULTILINE)


def test_locks_are_made_from_todays_dependencies() -> None:
    assert lock.stale_locks() == []


def test_changed_dependency_makes_every_lock_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    project = (ROOT / "pyproject.toml").read_text()
    changed = project.replace('"httpx>=0.28"', '"httpx>=0.29"')
    assert changed != project
    monkeypatch.setattr(lock, "ROOT", tmp_path)
    monkeypatch.setattr(lock, "LOCKS", tmp_path / "requirements")
    (tmp_path / "pyproject.toml").write_text(project)
    assert lock.stale_locks() == []
    (tmp_path / "pyproject.toml").write_text(changed)
    assert lock.stale_locks() == [*lock.TOGETHER, *lock.APART]
    (tmp_path / "pyproject.toml").write_text(project)
    (tmp_path / "requirements/dev.txt").unlink()
    assert lock.stale_locks() == ["dev"]


def test_every_locked_package_has_a_hash_and_no_address() -> None:
    for group in (*lock.TOGETHER, *lock.APART):
        text = (ROOT / f"requirements/{group}.txt").read_text()
        blocks = re.findall(r"^[a-z0-9](?:.*\\\n)*.*", text, re.MULTILINE)
        assert blocks
        for block in blocks:
            assert re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==\S+", block), block
            assert "--hash=sha256:" in block, block
        assert "://" not in text


def test_node_lock_records_no_download_address() -> None:
    text = (ROOT / "package-lock.json").read_text()
    assert '"integrity": "sha512-' in text
    assert '"resolved"' not in text


def test_solc_answers_its_two_calls_only() -> None:
    version = run("scripts/solc", "--version")
    assert re.search(
        r"^Version: 0\.8\.37\+commit\.[0-9a-f]{8}\.Linux\.g\+\+$", version.stdout, re.MULTILINE
    )
    refused = run("scripts/solc", "--bin", "contracts/log/EventLog.sol")
    assert refused.returncode == 2
    assert refused.stderr == (
        "scripts/solc knows --version and --standard-json; use one of these\n"
    )
