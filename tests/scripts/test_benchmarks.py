"""Benchmarks: each command that the page of figures names is there, and runs to its end."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.depth import deep_only

ROOT = Path(__file__).parents[2]
# The arguments by which each does the least.
LEAST = {
    "backtest": ("--rows", "1000"),
    "coordination": ("--rounds", "3"),
    "doors": ("--requests", "1"),
    "exports": ("--rows", "1000"),
    "fairness": ("--events", "2", "--rounds", "1"),
    "log": ("--events", "2000"),
    "replay": ("--events", "1000"),
    "resuming": ("--entries", "5000"),
    "sandbox_agents": ("--agents", "2", "--minutes", "0.3"),
    "single": ("--seconds", "0.2", "--rounds", "1"),
    "trust": ("--surfaces", "1"),
}


def test_the_page_names_those_that_are_there() -> None:
    page = (ROOT / "docs/benchmarks.md").read_text()
    assert set(re.findall(r"-m scripts\.bench\.(\w+)", page)) == set(LEAST)
    for name in LEAST:
        assert (ROOT / f"scripts/bench/{name}.py").exists()


@deep_only
@pytest.mark.parametrize("name", LEAST)
def test_each_runs_to_its_end(name: str) -> None:
    command = [sys.executable, "-m", f"scripts.bench.{name}", *LEAST[name]]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^\|.*\d.*\|$", done.stdout, re.MULTILINE), done.stdout
