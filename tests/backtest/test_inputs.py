"""Reading a history: what is read, and one clear line with its place for whatever cannot be."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.backtest import inputs as history
from orchestrator.cli.main import BAD_INPUT, app
from orchestrator.core.errors import InputError

POLICY = """
initial: new
states: [new, paid]
transitions: [{on: buy, from: [new], to: paid, motion: conversion}]
attribution: first_touch
"""
CONTRACT = """
- id: a
  operator: ann
  outcome: paid
  unit_price: 8.10
  budget: 100
  opens_at: 2024-01-01
  deadline: 2024-12-31 23:59:59
  attribution_window_s: 604800
"""
EVENTS = "time,lead,event,value\n2024-01-02,x,buy,1.5\n"
TOUCHES = "time,lead,operator,action\n2024-01-01,x,ann,email\n"


def files(
    folder: Path, events: str = EVENTS, touches: str = TOUCHES, **documents: str
) -> list[str]:
    texts = {
        "events": events,
        "touches": touches,
        "policy": documents.get("policy", POLICY),
        "contracts": documents.get("contracts", CONTRACT),
    }
    arguments = ["backtest"]
    for name, text in texts.items():
        (folder / name).write_bytes(text.encode("utf-8", "surrogateescape"))
        arguments += [f"--{name}", str(folder / name)]
    return arguments


def read_all(values: dict[str, str]) -> None:
    policy = history.read_policy(Path(values["--policy"]))
    history.read_contracts(Path(values["--contracts"]), policy)
    for _ in history.rows(Path(values["--events"]), Path(values["--touches"])):
        pass


def refusal(arguments: list[str]) -> str:
    """The one line with which the command refuses these arguments."""
    values = dict(zip(arguments[1::2], arguments[2::2], strict=True))
    with pytest.raises(InputError) as caught:
        read_all(values)
    assert "\n" not in caught.value.message
    return caught.value.message


@pytest.mark.parametrize(
    ("events", "place"),
    [
        ("", "lacks a header"),
        ("time,lead,event\n", "line 1: lacks the column 'value'"),
        ("time,lead,lead,event,value\n", "line 1: has twice the column 'lead'"),
        ("time,lead,event,value\n2024-01-01,x,buy\n", "line 2: has 3 cells"),
        ("time,lead,event,value\nsoon,x,buy,\n", "line 2: time must be RFC 3339"),
        (
            "time,lead,event,value\n2024-01-02,x,buy,\n2024-01-01,x,buy,\n",
            "line 3: 2024-01-01 is before the row above it",
        ),
        ("time,lead,event,value\n2024-01-01,,buy,\n", "line 2: lead is empty"),
        ("time,lead,event,value\n2024-01-01,x,,\n", "line 2: event is empty"),
        ("time,lead,event,value\n2024-01-01,x,buy,-1\n", "line 2: value must be a decimal"),
        ("time,lead,event,value\n2024-01-01,x,buy,0.1234567\n", "line 2: value '0.1234567' has"),
        ("time,lead,event,value\n2024-01-01,x\0,buy,1\n", "line 2"),
        ('time,lead,event,value\n2024-01-01,"x"y,buy,1\n', "line 2"),
        ('time,lead,event,value\n2024-01-01,"x,buy,1\n', "line 2"),
        ("time,lead,event,value\n" + "y" * 70_000, "line 2: the row has more than 65536"),
        ("time,lead,event,value\n2024-01-01,\udcff,buy,1\n", "is not UTF-8"),
    ],
)
def test_bad_events(tmp_path: Path, events: str, place: str) -> None:
    assert place in refusal(files(tmp_path, events=events))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("8.10", "-8.10"), "contract 'a': unit_price must be a decimal amount"),
        (("8.10", "8.1000001"), "more than 6 decimals"),
        (("8.10", "0"), "both 0"),
        (("outcome: paid", "outcome: lost"), "outcome 'lost' is no state"),
        (("  budget: 100\n", ""), "lacks 'budget'"),
        (("budget: 100", "budget: 100\n  bonus: 1"), "unknown key 'bonus'"),
        (("budget: 100", "budget: 100\n  budget: 1"), "key 'budget' stands twice"),
        (("604800", "1.5"), "attribution_window_s must be a whole number"),
        (("604800", "-1"), "attribution_window_s must be a whole number"),
        (("604800", "1\n  revenue_share_bps: 10001"), "from 0 to 10000"),
        (("604800", "1\n  repeatable: maybe"), "repeatable must be true or false"),
        (("2024-12-31 23:59:59", "2023-12-31"), "deadline is before opens_at"),
        (("2024-12-31 23:59:59", "later"), "deadline must be RFC 3339"),
        (("id: a", "id: [a]"), "id must be a single value"),
        (("id: a", "id: ''"), "id must be 1 to 256 printable characters"),
        ((CONTRACT, CONTRACT + CONTRACT), "contract id 'a' stands twice"),
        ((CONTRACT, "a: b"), "must be a list of contracts"),
        ((CONTRACT, "[" * 5000), "is not readable as YAML"),
        ((CONTRACT, "- {id: ["), "contracts"),
    ],
)
def test_bad_contracts(tmp_path: Path, change: tuple[str, str], complaint: str) -> None:
    assert complaint in refusal(files(tmp_path, contracts=CONTRACT.replace(*change)))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("initial: new", "initial: old"), "initial names 'old', which is no state"),
        (("[new], to", "[old], to"), "from names 'old'"),
        (("to: paid", "to: old"), "to names 'old'"),
        (("conversion", "magic"), "motion must be one of"),
        (("first_touch", "any_touch"), "attribution must be one of"),
        (("states: [new, paid]", "states: [new, paid, new]"), "'new' stands twice"),
        (("attribution: first_touch", ""), "lacks 'attribution'"),
        (("attribution", "extra: 1\nattribution"), "unknown key 'extra'"),
        (("[new], to", "[new, new], to"), "leaves state 'new' twice"),
        (("[new], to", "new, to"), "must be a list"),
        (("[new], to", "[], to"), "at least one state"),
        (("attribution", "reversals: [{on: r, of: old}]\nattribution"), "of names 'old'"),
    ],
)
def test_bad_policies(tmp_path: Path, change: tuple[str, str], complaint: str) -> None:
    assert complaint in refusal(files(tmp_path, policy=POLICY.replace(*change)))


def test_missing_file(tmp_path: Path) -> None:
    arguments = files(tmp_path)
    (tmp_path / "events").unlink()
    assert "No such file" in refusal(arguments)


def test_touches_come_before_events_of_the_same_time(tmp_path: Path) -> None:
    events = "value,event,lead,time,more\n,buy,x,2024-01-01 00:00:01,\n"
    touches = "time,lead,operator,action\n2024-01-01T00:00:01Z,x,ann,email\n"
    files(tmp_path, events, touches)
    rows = list(history.rows(tmp_path / "events", tmp_path / "touches"))
    assert [type(row).__name__ for row in rows] == ["TouchRow", "EventRow"]


def test_nothing_is_written_when_a_late_row_is_bad(tmp_path: Path) -> None:
    arguments = files(tmp_path, events=EVENTS + "soon,x,buy,1\n")
    output = tmp_path / "out.json"
    result = CliRunner().invoke(app, [*arguments, "--output", str(output)])
    assert isinstance(result.exception, InputError)
    assert not output.exists()
    assert BAD_INPUT == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "contracts",
        "events",
        "policy",
        "touches",
    ]
