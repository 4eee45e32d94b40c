"""Keys as a server tells of them: its words steer no terminal, and other shapes are refused."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.http_server import Request, serving_json
from tests.support.market import DONE, MISSING, Run

KEY: dict[str, Any] = {
    "id": "0x\x1b[2J",
    "name": "shop",
    "parent": None,
    "expires_ms": 0,
    "revoked_ms": None,
    "surfaces": ["a\u202eb"],
    "scopes": ["owner:read"],
    "key": "secret\x9b",
}


def told(run: Run, folder: Path, answer: Any, *arguments: str) -> Any:
    """Run a command of keys at a server that answers so whatever it is asked."""
    key = folder / "key"
    key.touch(0o600)
    key.write_text("02" * 32)

    def answered(request: Request) -> object:
        host = request.headers["Host"]
        if request.path == "/v1/sign-in/nonce":
            named = {"nonce": "f" * 32, "domain": host, "uri": f"http://{host}", "chain_id": 1}
            return named | {"time_ms": 1_767_222_000_000, "expires_ms": 1_767_225_600_000}
        if request.path == "/v1/sign-in":
            return {"key": "mine"}
        if request.method == "DELETE":
            return {}
        is_list = request.path == "/v1/keys" and request.method == "GET"
        return {"keys": [answer], "next": None} if is_list else answer

    with serving_json(answered) as url:
        options = ["--api", url, "--key-file", str(key), "--yes"]
        return run(["keys", *arguments, *options], "")


COMMANDS = [["list"], ["new", "shop", "--scope", "reader"], ["rotate", "0x12"]]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda one: one[0])
def test_what_a_server_says_of_keys_does_not_steer_a_terminal(
    run: Run, tmp_path: Path, command: list[str]
) -> None:
    done = told(run, tmp_path, KEY, *command)
    assert done.code == DONE, done
    line, *rest = done.stdout.splitlines()
    assert line == ("0x?[2J  'shop' (wallet), until 1970-01-01T00:00:00.000Z: owner:read; on a?b")
    assert rest in ([], ["its key, which is shown this once: secret?"])


@pytest.mark.parametrize("command", COMMANDS, ids=lambda one: one[0])
@pytest.mark.parametrize(
    "answer", [7, {}, KEY | {"scopes": 7}, KEY | {"expires_ms": "x"}, KEY | {"surfaces": [1]}]
)
def test_what_is_no_key_is_the_servers_fault(
    run: Run, tmp_path: Path, command: list[str], answer: Any
) -> None:
    done = told(run, tmp_path, answer, *command)
    assert done.code == MISSING, done
    assert "does not say wh" in done.stderr
