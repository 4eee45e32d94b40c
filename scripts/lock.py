"""The command that writes requirements/*.txt: every Python package by version and hash.

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
APART = ("build", "halmos", "uv")
HEADER = "# inputs-sha256: "


def inputs_digest() -> str:
    """Return a hash of all that a lock is made from: the freshness check compares it offline."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    inputs = {
        "dependencies": project["project"]["dependencies"],
        "groups": project["dependency-groups"],
        "python": project["project"]["requires-python"],
        "uv": project["tool"]["uv"],
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def stale_locks() -> list[str]:
    """Return the names of the groups whose lock was not made from today's pyproject.toml."""
    first_line = HEADER + inputs_digest()
    return [group for group in (*TOGETHER, *APART) if _read(group).split("\n", 1)[0] != first_line]


def _resolve(arguments: list[str]) -> None:
    command = [
        str(ROOT / ".venv/bin/uv"),
        *("pip", "compile", "--quiet", "--universal", "--python-version", "3.11"),
        *("--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"),
        *arguments,
    ]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)


def _sources(group: str) -> list[str]:
    return ["pyproject.toml"] if group == "run" else ["--group", group]


def _read(group: str) -> str:
    file = LOCKS / f"{group}.txt"
    return file.read_text() if file.is_file() else ""


def write_locks(upgrade: bool) -> None:
    """Resolve and write every lock; without `upgrade`, move only what has to move."""
    with tempfile.TemporaryDirectory() as folder:

        def resolve(name: str, previous: str, *arguments: str) -> str:
            output = Path(folder) / f"{name}.txt"
            # uv keeps the versions that it finds in its output file.
            output.write_text("" if upgrade else previous)
            _resolve([*arguments, "--output-file", str(output)])
            return str(output)

        previous = {group: _read(group) for group in (*TOGETHER, *APART)}
        union = resolve(
            "union",
            "".join(previous[group] for group in TOGETHER),
            *(source for group in TOGETHER for source in _sources(group)),
        )
        for group, text in previous.items():
            # One environment holds these groups, so each takes the versions of the union.
            pins = ["--constraints", union] if group in TOGETHER else []
            made = resolve(group, text, *_sources(group), *pins, "--generate-hashes")
            (LOCKS / f"{group}.txt").write_text(
                f"{HEADER}{inputs_digest()}\n{Path(made).read_text()}"
            )


if __name__ == "__main__":
    if unknown := set(sys.argv[1:]) - {"--upgrade"}:
        sys.exit(f"lock.py: unknown argument {min(unknown)!r}; the only one is --upgrade")
    try:
        write_locks("--upgrade" in sys.argv)
    except subprocess.CalledProcessError as error:
        sys.exit(f"lock.py: uv could not resolve the dependencies:\n{error.stderr}")
