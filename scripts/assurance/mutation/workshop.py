"""Copies of the contracts with their tests, and the compilers of a copy (assurance/mutation)."""

import json
import shutil
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Self

from scripts.assurance.planted_faults import PLANTED
from scripts.assurance.tools import ROOT, TOOLS_PATH

OUT = "build/forge-mutation"
TIMEOUT_S = 1800
ENVIRONMENT = {
    "PATH": TOOLS_PATH,
    "FOUNDRY_PROFILE": "default",
    "FOUNDRY_OPTIMIZER": "false",
    "FOUNDRY_DYNAMIC_TEST_LINKING": "true",
    "FOUNDRY_SOLC": "./solc",
    "FOUNDRY_GAS_LIMIT": str((1 << 63) - 1),
}
# Forge asks for the version each time, and loading the compiler takes as long as a run of tests.
SOLC = """\
#!/bin/sh
[ "$1" = --version ] || exec scripts/solc "$@"
cat <<'.'
%s.
"""
PARTS = ("contracts", "tests/contracts", "tests/vectors")
LEFT_OUT = ("gas", "invariant", "symbolic", "ape", "snapshots")
SETTINGS = {
    "remappings": ["forge-std/=@layerzerolabs/toolbox-foundry/lib/forge-std/"],
    "optimizer": {"enabled": False, "runs": 200},
    "metadata": {"appendCBOR": False},
    "evmVersion": "osaka",
}

Json = dict[str, Any]


def copy(folder: Path, names: Iterable[str]) -> None:
    """Copy parts of the project into a folder; of tests those that mutants have to meet."""
    for name in names:
        shutil.rmtree(folder / name, ignore_errors=True)
        ignored = shutil.ignore_patterns(".cache", *(LEFT_OUT if name.startswith("tests") else ()))
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    (folder / "contracts/Planted.sol").write_text(PLANTED)
    shutil.copy(ROOT / "foundry.toml", folder)
    for name in ("node_modules", "scripts", ".venv"):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(ROOT / name)
    (folder / "solc").write_text(SOLC % _solc_version())
    (folder / "solc").chmod(0o755)


@cache
def _solc_version() -> str:
    command = [str(ROOT / "scripts/solc"), "--version"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def forge(folder: Path, *arguments: str) -> str:
    """Return what forge prints of a copy. Raises SystemExit if it fails."""
    command = ["forge", *arguments, "--out", OUT, "--cache-path", f"{OUT}-cache"]
    done = subprocess.run(
        command, cwd=folder, check=False, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    if done.returncode:
        raise SystemExit(f"forge failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


def artifact_of(folder: Path, root: str) -> Path:
    """Return the place of what forge made in a copy of a contract, named FILE:NAME."""
    file, _, name = root.partition(":")
    return folder / OUT / Path(file).name / f"{name}.json"


class Compiler:
    """A compiler of some contracts of a copy, one file of which changes; see compiler.cjs."""

    def __init__(self, file: str, roots: tuple[str, ...], folder: Path) -> None:
        node, script = ROOT / ".venv/bin/node", ROOT / "scripts/assurance/mutation/compiler.cjs"
        self._process = subprocess.Popen(
            [str(node), str(script), str(folder), json.dumps(roots), json.dumps(SETTINGS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._file = file

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:  # its end waits, and closes the pipes
            self._process.kill()

    def compile(self, source: str, *, optimize: bool = False, tree: bool = False) -> Json:
        if self._process.stdin is None or self._process.stdout is None:
            raise ValueError("the compiler's pipes are closed")
        ask = {"file": self._file, "content": source, "optimize": optimize, "tree": tree}
        self._process.stdin.write(json.dumps(ask) + "\n")
        self._process.stdin.flush()
        answer: Json = json.loads(self._process.stdout.readline())
        return answer
