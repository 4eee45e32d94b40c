"""Servers and the command line, for people who act on contracts."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import cli
from orchestrator.rehearsal import Plan, Rehearsal
from tests.conftest import CHAIN_START_S, server_folder
from tests.end_to_end.people import Market, Outcome, Run


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command's entry point in this process, where any traceback fails the test."""

    def run_it(arguments: list[str], answer: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["tallystick", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        code = ended.value.code
        return Outcome(code if isinstance(code, int) else 0, *capsys.readouterr())

    return run_it


@pytest.fixture
def market(run: Run, tmp_path: Path) -> Iterator[Market]:
    plan_start_ms = CHAIN_START_S * 1000
    with (
        server_folder() as folder,
        Rehearsal(Plan(folder, plan_start_ms, "remedies.example"), lambda _: None) as scene,
    ):
        found = Market(scene, tmp_path, run)
        try:
            yield found
        finally:
            found.close()
