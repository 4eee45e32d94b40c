"""`tallystick fsck` and `tallystick restore`: a line for each finding, and exit codes."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from orchestrator.cli.main import app
from orchestrator.cli.output import Progress
from orchestrator.cli.recovery.commands import reporter
from orchestrator.log.fsck import Finding
from orchestrator.runtime.recovery import tools
from orchestrator.simulation.sandbox import Sandbox
from tests.support.recovery import environment_of
from tests.support.sandboxes import running_sandbox
from tests.support.servers import urls_of


def test_each_step_is_told_by_time() -> None:
    stream, times = io.StringIO(), iter((0.0, 1.0, 2.5, 3.0, 3.5, 5.0))

    def begin(what: str) -> Progress:
        return Progress(what, asked=True, stream=stream, clock=lambda: next(times))

    report = reporter(begin)
    for what, size in (("hashed", 10), ("hashed", 20), ("folded", 5), ("folded", 1_500)):
        report(what, size)
    assert stream.getvalue() == ("   2.5s  entries hashed: 20\n   2.0s  entries folded: 1,500\n")


def test_no_finding_steers_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [Finding("entry-malformed", "it is \x1b[2Jfine\u202e")]
    monkeypatch.setattr(tools, "check_deployment", lambda *_: (7, found))
    done = CliRunner().invoke(app, ["fsck"])
    assert done.exit_code == 1
    assert done.stdout == "entry-malformed: it is ?[2Jfine?\n7 entries, 1 findings\n"


@pytest.fixture
def sandbox(database_url: str) -> Iterator[Sandbox]:
    with running_sandbox("commands.example", database_url) as running:
        yield running


def test_they_say_what_they_found_and_did(
    sandbox: Sandbox, database_url: str, tmp_path: Path
) -> None:
    environment = environment_of(sandbox, urls_of(database_url), tmp_path)
    sandbox.stack.sequencer.close()

    def run(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, arguments, env=environment)
        return done.exit_code, done.stdout

    assert run("fsck") == (0, "1 entries, 0 findings\n")
    code, text = run("restore", "--source", sandbox.url)
    assert code == 0
    assert text.startswith("from 1 to 1 entries; 0 requests refused\n")
    code, text = run("restore", "--source", str(tmp_path / "saved-log"), "--json")
    assert (code, json.loads(text)["size"]) == (0, 1)
    with psycopg.connect(database_url) as admin:
        (table,) = admin.execute(
            "SELECT tableoid::regclass::text FROM checkpoints LIMIT 1"
        ).fetchone() or ("",)
        admin.execute("ALTER TABLE checkpoints DISABLE TRIGGER USER")
        admin.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        admin.execute("UPDATE checkpoints SET time_ms = 7")
    code, text = run("fsck")
    assert code == 1
    assert text.splitlines()[0].startswith("time-mismatch: checkpoint 1 is of 7 ms")
    code, text = run("fsck", "--json")
    assert [one["code"] for one in json.loads(text)["findings"]] == ["time-mismatch"]
