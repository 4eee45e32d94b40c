"""The options that signing commands share, and the exit code of a command that did nothing."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from orchestrator.cli.options import (
    NOTHING_DONE,
    Action,
    find_endpoints,
    find_key_file,
    signing_command,
)
from orchestrator.cli.session import Endpoints, RunOptions
from orchestrator.core.common.errors import InputError

NODE, SERVER = "http://127.0.0.1:8545", "http://127.0.0.1:8000"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("RPC_URL", "PUBLIC_URL", "KEY_FILE"):
        monkeypatch.delenv(f"TALLYSTICK_{name}", raising=False)
    return monkeypatch


def test_an_option_goes_before_the_setting(environment: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="name a node"):
        find_endpoints(SERVER, None, None)
    environment.setenv("TALLYSTICK_RPC_URL", NODE)
    environment.setenv("TALLYSTICK_PUBLIC_URL", SERVER)
    assert find_endpoints(None, None, "0x12", "0x34") == Endpoints(NODE, SERVER, "0x12", "0x34")
    for alone in (("0x12", None), (None, "0x34")):
        with pytest.raises(InputError, match="give both --escrow and --lens"):
            find_endpoints(None, None, *alone)
    assert find_endpoints("http://a", "http://b", None) == Endpoints("http://b", "http://a")


def test_the_key_is_named_by_the_option_or_by_the_setting(
    environment: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(InputError, match="give --key-file, or set TALLYSTICK_KEY_FILE"):
        find_key_file(None)
    environment.setenv("TALLYSTICK_KEY_FILE", "set.key")
    assert find_key_file(None) == Path("set.key")
    assert find_key_file(Path("given.key")) == Path("given.key")


@pytest.mark.parametrize(("is_done", "code"), [(True, 0), (False, NOTHING_DONE)])
def test_a_signing_command_has_its_own_and_the_common_options(is_done: bool, code: int) -> None:
    seen: list[tuple[int, Endpoints, RunOptions]] = []

    @signing_command
    def count(number: int) -> Action:
        def run(endpoints: Endpoints, options: RunOptions) -> bool:
            seen.append((number, endpoints, options))
            return is_done

        return run

    app = typer.Typer()
    app.command()(count)
    arguments = ["7", "--rpc", NODE, "--api", SERVER, "--key-file", "key", "--yes", "--json"]
    assert CliRunner().invoke(app, arguments).exit_code == code
    options = RunOptions(Path("key"), yes=True, dry_run=False, as_json=True)
    assert seen == [(7, Endpoints(NODE, SERVER), options)]
