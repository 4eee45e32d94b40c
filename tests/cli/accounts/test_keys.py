"""The command of keys, against a real server."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.accounts.keys import parse_scopes
from orchestrator.cli.main import main
from orchestrator.core.account.scopes import SCOPE_SETS
from orchestrator.core.common.errors import InputError
from tests.support.api_service import ApiService, running_service, wallet

Run = Callable[..., Any]


@pytest.fixture
def service(database_url: str) -> Any:
    with running_service(database_url) as running:
        yield running


@pytest.fixture
def run(
    service: ApiService,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Run `tallystick keys` with a wallet, and return what it prints for programs."""
    key_file = tmp_path / "wallet"
    key_file.touch(0o600)
    key_file.write_text(bytes(wallet("keeper").key).hex())

    def command(*arguments: str, ends_with: int = 0) -> Any:
        options = ["--api", service.url, "--key-file", str(key_file), "--yes", "--json"]
        monkeypatch.setattr("sys.argv", ["tallystick", "keys", *arguments, *options])
        with pytest.raises(SystemExit) as ended:
            main()
        assert (ended.value.code or 0) == ends_with
        said = capsys.readouterr()
        return json.loads(said.out) if not ends_with else said.err

    return command


def test_a_delegate_is_made_rotated_listed_and_revoked(service: ApiService, run: Run) -> None:
    made = run("new", "shop", "--scope", "reviewer")
    assert made["scopes"] == list(SCOPE_SETS["reviewer"])
    delegate = service.client(made["key"])
    assert delegate.get("/v1/keys/current").json()["name"] == "shop"
    new = run("rotate", made["id"], "--overlap", "60")
    assert (new["name"], new["scopes"]) == ("shop", made["scopes"])
    assert delegate.get("/v1/keys/current").status_code == 200
    live = {key["id"] for key in run("list")["keys"] if key["revoked_ms"] is None}
    assert {made["id"], new["id"]} <= live
    run("revoke", made["id"])
    assert delegate.get("/v1/keys/current").json()["code"] == "key-revoked"
    assert service.client(new["key"]).get("/v1/keys/current").status_code == 200
    run("revoke", "--all")
    assert service.client(new["key"]).get("/v1/keys/current").json()["code"] == "key-revoked"


def test_a_run_leaves_no_key_behind_that_it_does_not_need(run: Run) -> None:
    run("list")
    own = [key for key in run("list")["keys"] if key["revoked_ms"] is None]
    assert len(own) == 1  # the one that lists


def test_what_cannot_be_done_is_said(run: Run) -> None:
    assert "'owner:all' is no scope" in run("new", "n", "--scope", "owner:all", ends_with=2)
    assert "name the key" in run("revoke", ends_with=2)


def test_scopes_are_named_one_by_one_or_as_sets() -> None:
    assert parse_scopes(["reader", "owner:read"]) == ["owner:read"]
    with pytest.raises(InputError, match="is no scope"):
        parse_scopes(["admin"])
