"""The checks of scripts/test and the compiler: a planted fault is refused by each."""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts.assurance import static_analysis
from scripts.assurance.mutation.targets import TARGETS, Target
from tests.support.depth import deep_only

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


@deep_only
def test_failing_solidity_test_fails_the_step(solidity_project: Path) -> None:
    # Without forge-std, which takes longer to compile than all the rest.
    (solidity_project / "tests/contracts/One.t.sol").write_text(
        LICENSE
        + 'import {One} from "../../contracts/One.sol";\ncontract OneTest {\n'
        + "    function test_isOne() public { require(new One().one() == 1); }\n"
        + "    function test_isTwo() public { require(new One().one() == 2); }\n}\n"
    )
    passing = forge(solidity_project, "test", "--match-test", "test_isOne")
    assert passing.returncode == 0, passing.stdout + passing.stderr
    assert "1 passed; 0 failed" in passing.stdout
    failing = forge(solidity_project, "test")
    assert "1 passed; 1 failed" in failing.stdout
    assert failing.returncode != 0


@deep_only
def test_warning_in_a_contract_fails_the_analysis(solidity_project: Path) -> None:
    assert static_analysis.analyse(solidity_project) == []
    (solidity_project / "contracts/Two.sol").write_text(
        LICENSE
        + "contract Two { function f(bool unused) external pure returns (uint256) { return 1; } }\n"
    )
    with pytest.raises(static_analysis.AnalysisError, match=r"Two\.sol"):
        static_analysis.analyse(solidity_project)


Tools = Callable[..., Path]


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    """A maker of a copy of scripts/test whose tools are the given shell scripts."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts", ignore=lambda *_: ["__pycache__"])
    (tmp_path / "scripts/bootstrap").write_text("#!/bin/sh\n")
    folder = tmp_path / ".venv/bin"
    folder.mkdir(parents=True)

    def make(**scripts: str) -> Path:
        for name, script in scripts.items():
            (folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)
        return tmp_path / "scripts/test"

    return make


def test_failing_step_is_named_and_stops_the_run(tools: Tools) -> None:
    command = str(tools(ruff="exit 3", mypy="echo mypy was here"))
    stopped = run(command, "format", "types")
    assert stopped.returncode == 1
    assert stopped.stderr == "scripts/test: the step 'format' failed (exit code 3)\n"
    assert "mypy was here" not in stopped.stdout
    assert run(command, "types").returncode == 0


def test_python_tests_run_beside_the_other_steps_and_report_last(tools: Tools) -> None:
    # Each of the two waits for the other: one behind the other they would never end.
    command = tools(
        pytest="touch build/tests; until [ -e build/formed ]; do sleep 0.01; done; echo 2 passed",
        forge="until [ -e build/tests ]; do sleep 0.01; done; touch build/formed; echo formed",
    )
    done = run(str(command), "solidity-format", "python")
    assert done.returncode == 0, done.stderr
    assert done.stdout.index("formed") < done.stdout.index("2 passed")
    assert done.stdout.endswith("2 passed\n")
    failing = run(str(tools(pytest="echo 1 failed; exit 5")), "solidity-format", "python")
    assert failing.returncode == 1
    assert failing.stderr == "scripts/test: the step 'python' failed (exit code 5)\n"
    assert failing.stdout.endswith("1 failed\n")


def test_types_are_checked_beside_ape_and_report_behind_it(tools: Tools) -> None:
    command = tools(
        pytest="touch build/aping; until [ -e build/typed ]; do sleep 0.01; done; echo aped",
        mypy="until [ -e build/aping ]; do sleep 0.01; done; touch build/typed; echo typed; exit 4",
    )
    failing = run(str(command), "ape", "types", "solidity-format")
    assert failing.stderr == "scripts/test: the step 'types' failed (exit code 4)\n"
    assert failing.stdout.index("aped") < failing.stdout.index("typed")
    assert "solidity-format" not in failing.stdout


def test_failing_step_ends_the_python_tests_too(tools: Tools, tmp_path: Path) -> None:
    command = tools(
        pytest="echo $$ >build/pid; mv build/pid build/begun; exec tail -f /dev/null",
        forge="until [ -e build/begun ]; do sleep 0.01; done; exit 3",
    )
    assert run(str(command), "solidity-format", "python").returncode == 1
    process = Path("/proc") / (tmp_path / "build/begun").read_text().strip()
    deadline = time.monotonic() + 20
    while process.exists() and time.monotonic() < deadline:
        os.sched_yield()
    assert not process.exists()


def test_solidity_is_compiled_anew_when_names_of_contracts_or_the_compiler_change(
    tools: Tools, tmp_path: Path
) -> None:
    command = str(tools(forge="mkdir -p build/forge; ls build/forge; touch build/forge/artifact"))
    one = tmp_path / "contracts/One.sol"
    for folder in (one.parent, tmp_path / "tests/contracts"):
        folder.mkdir(parents=True)

    def keeps_artifacts() -> bool:
        done = run(command, "solidity")
        assert done.returncode == 0, done.stderr
        return "artifact" in done.stdout

    one.write_text("library One {\n    uint256 constant A = 1;\n}\n")
    assert not keeps_artifacts()
    assert keeps_artifacts()
    one.write_text("library One {\n    uint256 constant A = 2;\n}\n")
    assert keeps_artifacts()  # forge itself sees that
    one.rename(one.with_name("Two.sol"))
    assert not keeps_artifacts()
    one.with_name("Two.sol").write_text("library Two {\n}\n")
    assert not keeps_artifacts()
    assert keeps_artifacts()
    with (tmp_path / "scripts/solc.cjs").open("a") as compiler:
        compiler.write("// changed\n")
    assert not keeps_artifacts()
    assert keeps_artifacts()


def test_unknown_step_is_refused() -> None:
    refused = run("scripts/test", "formt")
    assert refused.returncode == 2
    assert "no step 'formt'; there are: format lint" in refused.stderr


def lint_imports(project: Path) -> subprocess.CompletedProcess[str]:
    checker = (str(ROOT / ".venv/bin/lint-imports"), "--no-cache")
    return run(*checker, cwd=project, PYTHONPATH=str(project))


@pytest.fixture(scope="module")
def python_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the Python packages and of their import rule, which they keep."""
    project = tmp_path_factory.mktemp("project")
    for part in ("orchestrator", "api"):
        shutil.copytree(ROOT / part, project / part, ignore=lambda *_: ["__pycache__"])
    shutil.copy(ROOT / "pyproject.toml", project)
    kept = lint_imports(project)
    assert kept.returncode == 0, kept.stdout
    return project


@pytest.mark.parametrize(
    ("planted", "broken"),
    [
        ("import time", "The core is pure"),
        ("from orchestrator import log", "A package imports only from the lines below its own"),
        ("import psycopg", "Only the database and its schema speak to PostgreSQL"),
        ("import web3", "Only the contract caller speaks to a chain"),
    ],
)
def test_import_rule_is_held(python_project: Path, planted: str, broken: str) -> None:
    module = python_project / "orchestrator/core/common/errors.py"
    source = module.read_text()
    module.write_text(f"{source}\n{planted}\n")
    refused = lint_imports(python_project)
    module.write_text(source)
    assert refused.returncode == 1
    assert re.search(rf"^{re.escape(broken)}.* BROKEN", refused.stdout, re.MULTILINE)


@pytest.mark.parametrize("folder", [".", "requirements/mcp-suites"])
def test_node_lock_records_no_download_address(folder: str) -> None:
    text = (ROOT / folder / "package-lock.json").read_text()
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


FILES = (
    "contracts/One.sol",
    "tests/contracts/escrow/One.t.sol",
    "tests/contracts/escrow/Ledger.t.sol",
    "tests/contracts/gas/One.t.sol",
)


def standard_json(*wanted: str, **changed: str) -> dict[str, Any]:
    """Compile a contract of one line in each of FILES, optimized; return solc's output."""
    line = LICENSE + "contract One { function one() external pure returns (uint256) { return 1; } }"
    sources = {file: {"content": changed.get(Path(file).parent.name, line)} for file in FILES}
    asked = {
        "language": "Solidity",
        "sources": sources,
        "settings": {
            "optimizer": {"enabled": True, "runs": 200},
            "outputSelection": {
                file: {"*": ["metadata"] if file in wanted else []} for file in FILES
            }
            if wanted
            else {"*": {"*": ["metadata"]}},
        },
    }
    done = subprocess.run(
        ["scripts/solc", "--standard-json"],
        cwd=ROOT,
        input=json.dumps(asked),
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    output: dict[str, Any] = json.loads(done.stdout)
    return output


def optimized(output: dict[str, Any]) -> dict[str, bool]:
    """Return whether each file that was compiled is optimized."""
    made = {file: named["One"]["metadata"] for file, named in output["contracts"].items()}
    return {
        file: json.loads(metadata)["settings"]["optimizer"]["enabled"]
        for file, metadata in made.items()
    }


@deep_only
def test_solc_compiles_tests_alone_without_the_optimizer() -> None:
    contract, plain, holds_code, gas = FILES
    output = standard_json(*FILES)
    assert optimized(output) == {contract: True, plain: False, holds_code: True, gas: True}
    assert [source["id"] for source in output["sources"].values()] == [0, 1, 2, 3]
    assert optimized(standard_json(plain)) == {plain: False}
    assert optimized(standard_json(contract, gas)) == {contract: True, gas: True}
    assert optimized(standard_json()) == dict.fromkeys(FILES, True)


def test_solc_tells_each_error_once() -> None:
    """The file with the error is part of both compilations."""
    output = standard_json(*FILES, gas=LICENSE + "contract One { uint256 two = true; }")
    assert [error["severity"] for error in output["errors"]] == ["error"]


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_solc_optimizes_every_test_that_holds_code_of_a_library(target: Target) -> None:
    """The tests of a file that no contract's own artifact has all of embed it."""
    embedding = [root.partition(":")[0] for root in target.roots if root.startswith("tests/")]
    optimizes = re.search(r"HOLDS_CODE =\n  /(.+)/;", (ROOT / "scripts/solc.cjs").read_text())
    assert optimizes is not None
    pattern = optimizes[1].replace("\\/", "/")
    assert all(re.search(pattern, file) for file in embedding)
