"""`tallystick status` against a real health server, once and again and again."""

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.main import main
from tests.support.health import ALL, health_service
from tests.support.http_server import serving_json

COMMAND = str(Path(sys.executable).with_name("tallystick"))


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command in this process and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["tallystick", "status", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_it_shows_each_part_and_ends_with_3_if_one_is_not_well(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with health_service(database_url, lambda service: service.work(*ALL)) as service:
        assert run(monkeypatch, "--metrics", service.url) == 0
        shown = capsys.readouterr().out
        assert "ok  sequencer  worked 0 s ago" in shown
        assert "relayer has 1.2345" in shown


def test_its_json_is_one_document(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with health_service(database_url, lambda service: service.work("pipeline")) as service:
        monkeypatch.setenv("TALLYSTICK_METRICS", service.url.removeprefix("http://"))
        assert run(monkeypatch, "--json") == 3
        found = json.loads(capsys.readouterr().out)
        unwell = [part["part"] for part in found["parts"] if not part["is_well"]]
        assert unwell == ["sequencer", "registrar", "webhooks"]


def test_it_says_that_nothing_answers_or_that_nothing_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--metrics", "http://127.0.0.1:1") == 3
    told = capsys.readouterr().err
    assert "nothing answers at http://127.0.0.1:1: is `tallystick serve` running?" in told
    monkeypatch.setenv("TALLYSTICK_METRICS", "off")
    assert run(monkeypatch) == 2
    said = capsys.readouterr().err
    assert said == "tallystick: TALLYSTICK_METRICS is off: say with --metrics whom to ask\n"


TOLD: dict[str, Any] = {
    "now_ms": 0,
    "size": "\x1b[2J",
    "waiting": 3,
    "figures": {},
    "parts": [{"part": "a\x1b", "is_well": True, "detail": "worked\u202e"}],
}


def test_what_another_service_says_does_not_steer_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving_json(lambda _: TOLD) as url:
        assert run(monkeypatch, "--metrics", url) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith("tallystick at ")
    assert lines == ["  ok  a?         worked?", "  log ?[2J entries, 3 requests wait"]


@pytest.mark.parametrize(
    "told",
    [
        [],
        {},
        TOLD | {"parts": None},
        TOLD | {"parts": [{"part": "a"}]},
        TOLD | {"parts": [TOLD["parts"][0] | {"is_well": "no"}]},
        TOLD | {"now_ms": "now"},
        TOLD | {"figures": None},
        TOLD | {"figures": {"balance_wei": "much"}},
    ],
)
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_what_is_no_status_is_no_sign_of_health(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    told: Any,
    options: list[str],
) -> None:
    with serving_json(lambda _: told) as url:
        assert run(monkeypatch, "--metrics", url, *options) == 3
    said = capsys.readouterr()
    assert "does not say how its parts are" in said.err
    if options:
        assert json.loads(said.out)["error"]["code"] == "answer-garbled"


def test_it_is_shown_again_until_interrupted(database_url: str) -> None:
    with health_service(database_url, lambda service: service.work(*ALL)) as service:
        ours, theirs = pty.openpty()
        # Tests that run in the background ignore the signal, and so would this.
        command = [
            "env",
            "--default-signal=INT",
            COMMAND,
            "status",
            "--watch",
            "--metrics",
            service.url,
        ]
        environment = os.environ | {"TERM": "xterm"}
        with subprocess.Popen(command, stdout=theirs, env=environment) as process:
            os.close(theirs)
            shown = b""
            while shown.count(b"tallystick at") < 2:
                shown += os.read(ours, 65_536)
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        os.close(ours)
