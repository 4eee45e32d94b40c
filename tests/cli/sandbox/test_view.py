"""The words of a beginning: commands that can be pasted, with the place of this sandbox."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from orchestrator.cli.main import main
from orchestrator.cli.sandbox.view import welcome


def test_it_names_the_place_and_the_first_steps(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    text = welcome("http://127.0.0.1:8700", "http://127.0.0.1:8545", 1_440)
    for part in ("a day a minute", "http://127.0.0.1:8700/docs", "http://127.0.0.1:8545"):
        assert part in text
    key = tmp_path / "agent.key"
    assert f"rand -hex 32 > {key})" in text
    assert f"agent_http.py http://127.0.0.1:8700 sandbox-trial {key}\n" in text
    assert "(--confirm never is for test money only)" in text
    assert "60 seconds a second" in welcome("http://a", "http://b", 60)
    assert "1 seconds" not in welcome("http://a", "http://b", 1)


def test_it_connects_as_print_config_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (line,) = re.findall(r"claude mcp add .*", welcome("http://a", "http://b", 60))
    command, *arguments = shlex.split(line.partition(" -- ")[2])
    assert Path(command).is_absolute()
    (tmp_path / "agent.key").touch(0o600)
    monkeypatch.setattr(sys, "argv", [command, *arguments, "--print-config"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert f"{line}\n" in capsys.readouterr().out
