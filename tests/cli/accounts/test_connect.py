"""The command of connections: a person confirms at a terminal, and configurations are printed."""

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.main import main
from orchestrator.connect.confirmations import Asked, Confirmations
from orchestrator.core.deals.mandate import Mandate
from tests.support.connecting import COMMAND, ENVIRONMENT

LINE = "By signing, 0xaa agrees to these terms."


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    now_s = int(time.time())
    return Confirmations(tmp_path / "waiting").ask("0xaa", "proposal", {}, [LINE], now_s)


def at_terminal(folder: Path, id_: str, answer: str) -> tuple[int, str]:
    """Run the command at a terminal, and answer its question. Return its code and what it said."""
    ours, theirs = pty.openpty()
    arguments = [sys.executable, *COMMAND, "connect", "confirm", id_, "--folder", str(folder)]
    with subprocess.Popen(
        arguments, stdin=theirs, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as process:
        os.write(ours, f"{answer}\n".encode())
        said, _ = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    return process.returncode, said


def state_of(folder: Path, id_: str) -> list[bool]:
    waiting = Confirmations(folder / "waiting").waiting(int(time.time()))
    return [one.is_confirmed for one in waiting if one.id == id_]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["tallystick", "connect", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_a_person_at_a_terminal_confirms_what_it_has_read(tmp_path: Path, asked: Asked) -> None:
    code, said = at_terminal(tmp_path, asked.id, "y")
    assert code == 0
    assert LINE in said
    assert state_of(tmp_path, asked.id) == [True]


def test_a_no_takes_the_request_away(tmp_path: Path, asked: Asked) -> None:
    assert at_terminal(tmp_path, asked.id, "n")[0] == 4
    assert state_of(tmp_path, asked.id) == []


def test_a_yes_that_is_piped_in_confirms_nothing(tmp_path: Path, asked: Asked) -> None:
    arguments = [
        sys.executable,
        *COMMAND,
        "connect",
        "confirm",
        asked.id,
        "--folder",
        str(tmp_path),
    ]
    done = subprocess.run(
        arguments, input="y\n", capture_output=True, text=True, check=False, env=ENVIRONMENT
    )
    assert done.returncode == 2
    assert "by a person at a terminal" in done.stderr
    assert state_of(tmp_path, asked.id) == [False]


def test_what_waits_is_listed(
    tmp_path: Path, asked: Asked, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    assert run(monkeypatch, "confirm", "--folder", str(tmp_path)) == 0
    assert capsys.readouterr().out.startswith(f"{asked.id}  proposal, asked ")
    assert run(monkeypatch, "confirm", "--json", "--folder", str(tmp_path)) == 0
    assert json.loads(capsys.readouterr().out)[0]["lines"] == [LINE]
    assert run(monkeypatch, "confirm", "0" * 12, "--folder", str(tmp_path)) == 2
    assert run(monkeypatch, "confirm", "--folder", str(tmp_path / "empty")) == 0
    assert capsys.readouterr().out == "nothing waits\n"


def test_configurations_have_what_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    cold = "0x00000000000000000000000000000000000000AA"
    given = ["--as", "owner", "--api", "https://a.example", "--key-file", str(tmp_path / "key")]
    given += ["--outstanding", "500", "--a-day", "50", "--confirm", "above=20"]
    given += ["--most-fee", "3%", "--payee", cold, "--rpc", "http://localhost:8545"]
    given += ["--withdraw-to", cold, "--folder", str(tmp_path)]
    assert run(monkeypatch, *given, "--print-config", "--json") == 0
    setups = json.loads(capsys.readouterr().out)
    arguments = json.loads(setups[0]["text"])["mcpServers"]["tallystick"]["args"]
    assert arguments == ["connect", *given]
    assert run(monkeypatch, *given, "--print-config") == 0
    said = capsys.readouterr()
    assert "Claude Code (in a shell):\nclaude mcp add tallystick -- " in said.out
    assert f"note: {tmp_path / 'key'} is not there yet" in said.err
    (tmp_path / "key").touch(0o600)
    assert run(monkeypatch, *given, "--print-config") == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "there is no key to sign with: give --key-file, or set TALLYSTICK_KEY_FILE"),
        (["--key-file", "KEY", "--as", "king"], "'king' is neither operator nor owner"),
        (["--key-file", "KEY", "--confirm", "maybe"], "it must be always, never or above=AMOUNT"),
        (["--key-file", "KEY", "--a-day", "lots"], "a_day must be a decimal amount"),
        (["--key-file", "KEY", "--most-fee", "all"], "--most-fee"),
        (["--key-file", "KEY", "--payee", "0x12"], "no address"),
    ],
)
def test_options_that_cannot_be_read_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, options: list[str], says: str
) -> None:
    key = tmp_path / "key"
    key.touch(0o600)
    key.write_text("01" * 32)
    given = [str(key) if option == "KEY" else option for option in options]
    assert run(monkeypatch, *given, "--folder", str(tmp_path)) == 2
    assert says in capsys.readouterr().err


def test_the_folder_is_with_the_users_settings_and_closed_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    assert run(monkeypatch, "confirm") == 0
    assert (tmp_path / "settings/tallystick").stat().st_mode & 0o777 == 0o700


def test_the_defaults_let_nothing_be_signed() -> None:
    assert not Mandate("0xaa", "0xaa", "0", "0").signs_terms
