"""The options of a check, and the table of all options: one name for one thing."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

from orchestrator.cli.checks.options import read_options
from orchestrator.cli.main import app
from orchestrator.core.common.errors import InputError
from orchestrator.runtime.settings import NAMES
from orchestrator.verify.pinned import Pinned
from tests.support.terms import OWNER, VERIFIER


class Option(NamedTuple):
    """One option of one command: its name, its text, and the variable that stands in for it."""

    command: str
    name: str
    text: str
    variable: str | None


def options_of(command: Any, path: tuple[str, ...] = ()) -> Iterator[Option]:
    """Yield the options of a command and of all below it."""
    for name, below in getattr(command, "commands", {}).items():
        yield from options_of(below, (*path, name))
    for one in command.params:
        if one.param_type_name == "option" and one.name != "help":
            variable = re.search(r"else (TALLYSTICK_[A-Z_]+)", one.help)
            yield Option(
                " ".join(path), one.opts[0], one.help, None if variable is None else variable[1]
            )


OPTIONS = list(options_of(typer.main.get_command(app)))


def doubled(options: list[Option], of: str, by: str) -> dict[str, set[str]]:
    """Return what has more than one value `of` for one value `by`."""
    found: dict[str, set[str]] = defaultdict(set)
    for option in options:
        key = getattr(option, by)
        if key is not None:
            found[key].add(getattr(option, of).split(";")[0])
    return {key: values for key, values in found.items() if len(values) > 1}


def test_the_table_has_all_commands() -> None:
    commands = {option.command for option in OPTIONS}
    assert {"verify", "replay", "keys new", "job complete", "log report-fork"} <= commands
    assert len(OPTIONS) > 100


def test_one_name_is_one_thing() -> None:
    assert doubled(OPTIONS, "text", "name") == {}


def test_one_thing_has_one_name() -> None:
    assert doubled(OPTIONS, "name", "text") == {}
    assert doubled(OPTIONS, "name", "variable") == {}


def test_a_second_name_is_found() -> None:
    api = next(option for option in OPTIONS if option.name == "--api")
    assert doubled([*OPTIONS, api._replace(name="--url")], "name", "text") == {
        api.text: {"--api", "--url"}
    }
    assert doubled([*OPTIONS, api._replace(text="Another.")], "text", "name")


def test_a_variable_is_a_setting_and_honoured_wherever_its_option_is() -> None:
    by_name = {option.name: option.variable for option in OPTIONS if option.variable}
    assert set(by_name.values()) <= set(NAMES)
    assert by_name["--api"] == "TALLYSTICK_PUBLIC_URL"
    assert by_name["--rpc"] == "TALLYSTICK_RPC_URL"
    for option in OPTIONS:
        assert option.variable == by_name.get(option.name), option


# --- What is pinned -------------------------------------------------------------------------------


def test_options_win_over_the_trust_file(tmp_path: Path) -> None:
    trust = tmp_path / "trust.json"
    file = {"chain_id": 1, "origin": "a", "verifiers": [OWNER], "publishers": [OWNER]}
    trust.write_text(json.dumps(file))
    assert read_options() == Pinned()
    assert read_options(trust) == Pinned(
        chain_id=1, origin="a", verifiers=(OWNER,), publishers=(OWNER,)
    )
    assert read_options(trust, chain_id=2, verifier=[VERIFIER]) == Pinned(
        chain_id=2, origin="a", verifiers=(VERIFIER,), publishers=(OWNER,)
    )
    assert read_options(trust, publisher=[VERIFIER, OWNER]) == Pinned(
        chain_id=1, origin="a", verifiers=(OWNER,), publishers=(VERIFIER, OWNER)
    )


@pytest.mark.parametrize("text", ["{", "[]", '{"chain": 1}', '{"chain_id": 1, "chain_id": 1}'])
def test_a_file_that_is_none_is_refused_by_its_name(tmp_path: Path, text: str) -> None:
    trust = tmp_path / "trust.json"
    trust.write_text(text)
    with pytest.raises(InputError, match=str(trust)) as refused:
        read_options(trust)
    assert refused.value.code == "trust-malformed"
