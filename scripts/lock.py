"""Writes requirements/*.txt: every Python package by exact version and hash, one file a group.

pyproject.toml is the only place where a dependency is named. The groups `run`, `dev` and `ape` are
first resolved together, so that one environment can hold all of them, then written apart.
Run it after changing a dependency: `.venv/bin/python scripts/lock.py [--upgrade]`.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "requirements"
TOGETHER = ("run", "dev", "ape")
APART = ("build", "uv")
HEADER = "# inputs-sha256: "


def inputs_digest() -> str:
    """Hash of all that decides what a lock holds: the freshness check compares it offline."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    inputs = {
        "dependencies": project["project"]["dependencies"],
        "groups": project["dependency-groups"],
        "python": project["project"]["requires-python"],
        "uv": project["tool"]["uv"],
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def stale_locks() -> list[str]:
    """Names of the groups whose lock was not made from today's pyproject.toml."""
    first_line = HEADER + inputs_digest()
    return [
        group
        for group in (*TOGETHER, *APART)
        if not (LOCKS / f"{group}.txt").is_file()
        or (LOCKS / f"{group}.txt").read_text().split("\n", 1)[0] != first_line
    ]


def _resolve(sources: list[str], *extra: str) -> str:
    command = [
        str(ROOT / ".venv/bin/uv"),
        *("pip", "compile", "--quiet", "--universal", "--python-version", "3.11"),
        *("--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"),
        *sources,
        *extra,
    ]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def _sources(group: str) -> list[str]:
    return ["pyproject.toml"] if group == "run" else ["--group", group]


def _previous() -> str:
    """The versions locked now, so that a new lock moves only what has to move."""
    texts = (LOCKS / f"{group}.txt" for group in TOGETHER)
    return "".join(text.read_text() for text in texts if text.is_file())


def write_locks(upgrade: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        union = Path(folder) / "union.txt"
        union.write_text("" if upgrade else _previous())
        together = [source for group in TOGETHER for source in _sources(group)]
        _resolve(together, "--output-file", str(union))
        for group in (*TOGETHER, *APART):
            pins = ["--constraints", str(union)] if group in TOGETHER else []
            text = _resolve(_sources(group), *pins, "--generate-hashes")
            (LOCKS / f"{group}.txt").write_text(f"{HEADER}{inputs_digest()}\n{text}")


if __name__ == "__main__":
    if unknown := set(sys.argv[1:]) - {"--upgrade"}:
        sys.exit(f"lock.py: unknown argument {min(unknown)!r}; the only one is --upgrade")
    try:
        write_locks("--upgrade" in sys.argv)
    except subprocess.CalledProcessError as error:
        sys.exit(f"lock.py: uv could not resolve the dependencies:\n{error.stderr}")
