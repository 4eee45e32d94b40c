"""The backtest command: its exit codes, its one line of complaint, its output, its memory."""

import contextlib
import errno
import itertools
import json
import os
import re
import stat
import subprocess
import sys
import tempfile
import threading
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from orchestrator.backtest import inputs as history
from orchestrator.cli import main as cli

COMMAND = Path(sys.executable).with_name("tallystick")
POLICY = """
initial: new
states: [new, paid]
transitions:
  - {on: buy, from: [new], to: paid, motion: conversion}
  - {on: renew, from: [paid], to: paid, motion: expansion}
reversals: [{on: refund, of: paid}]
attribution: first_touch
"""
CONTRACTS = """
- id: a
  operator: ann
  outcome: paid
  repeatable: true
  unit_price: 8.10
  revenue_share_bps: 250
  budget: 1000
  opens_at: 2024-01-01
  deadline: 2024-12-31 23:59:59
  attribution_window_s: 604800
  holdback_s: 86400
"""
EVENTS = """time,lead,event,value
2024-01-02,x,buy,1.5
2024-01-03,x,renew,2.000001
2024-01-03,x,buy,
2024-01-03,x,login,
2024-01-03 12:00:00,x,refund,
"""
TOUCHES = "time,lead,operator,action\n2024-01-01,x,ann,email\n"
EVENT_HEADER = "time,lead,event,value\n"


def write(folder: Path, **texts: str | bytes) -> list[str]:
    """The arguments of a backtest of these files; what is not given is a small sound history."""
    plain: dict[str, str | bytes] = {
        "events": EVENTS,
        "touches": TOUCHES,
        "policy": POLICY,
        "contracts": CONTRACTS,
    }
    arguments = ["backtest"]
    for name, text in (plain | texts).items():
        path = folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        arguments += [f"--{name}", str(path)]
    return arguments


class Outcome(NamedTuple):
    """How a run of the command ended."""

    code: int
    stdout: str
    stderr: str


class Run:
    """Runs the command's entry point in this process, where any traceback fails the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Outcome:
        self._monkeypatch.setattr(sys, "argv", ["tallystick", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        code = ended.value.code
        return Outcome(code if isinstance(code, int) else 0, *self._capsys.readouterr())

    def refusal(self, *arguments: str) -> str:
        """The line with which the command refuses these arguments."""
        return refusal(self(*arguments))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(monkeypatch, capsys)


def refusal(outcome: Outcome) -> str:
    assert outcome.code == cli.BAD_INPUT
    assert outcome.stdout == ""
    assert outcome.stderr.startswith("tallystick: ")
    assert outcome.stderr.count("\n") == 1
    assert outcome.stderr.endswith("\n")
    return outcome.stderr[len("tallystick: ") : -1]


def tallystick(*arguments: str) -> Outcome:
    """Run the installed command in a process of its own."""
    done = subprocess.run(
        [COMMAND, *arguments], capture_output=True, encoding="utf-8", timeout=120, check=False
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


# --- What it says ---------------------------------------------------------------------------------


def test_the_document(tmp_path: Path) -> None:
    done = tallystick(*write(tmp_path), "--json")
    assert (done.code, done.stderr) == (0, "")
    outcome = {"contract": "a", "lead": "x", "touch_time": "2024-01-01T00:00:00Z"}
    assert json.loads(done.stdout) == {
        "contracts": {
            "a": {
                "outcomes": 2,
                "reversed": 1,
                "earned_units": "16287500",
                "reversed_units": "8150000",
                "over_budget_units": "0",
                "payable_units": "8137500",
            }
        },
        "events": {"accepted": 3, "refused": 1, "ignored": 1},
        "outcomes": [
            {
                **outcome,
                "time": "2024-01-02T00:00:00Z",
                "value_units": "1500000",
                "earned_units": "8137500",
            },
            {
                **outcome,
                "time": "2024-01-03T00:00:00Z",
                "value_units": "2000001",
                "earned_units": "8150000",
            },
        ],
    }


def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    done = tallystick(*write(tmp_path, events=EVENTS + "soon,x,buy,1\n"), "--json")
    assert refusal(done) == (
        f"{tmp_path}/events, line 7: time must be RFC 3339 or YYYY-MM-DD[ HH:MM:SS] in UTC, "
        f"not 'soon'"
    )


# --- Hostile documents ----------------------------------------------------------------------------

# Ten lists of ten lists ...: a kilobyte that is a thousand million items when written out.
LAUGHS = "[&a [x, x, x, x, x, x, x, x, x, x], " + ", ".join(
    f"&{name} [{', '.join([f'*{before}'] * 10)}]" for before, name in pairwise("abcdefghi")
)


@pytest.mark.parametrize(
    ("texts", "complaint"),
    [
        ({"policy": f"states: {LAUGHS}]"}, "lacks 'attribution'"),
        ({"policy": POLICY.replace("new", LAUGHS + "]", 1)}, "initial names a list"),
        ({"policy": POLICY.replace("[new, paid]", LAUGHS + "]", 1)}, "not a list"),
        ({"contracts": f"{LAUGHS}]"}, "contract 1: must be a table"),
        ({"contracts": f"{LAUGHS}, {{? *i : x}}]"}, "line 1: a key must be text"),
        ({"contracts": CONTRACTS.replace("8.10", LAUGHS + "]")}, "unit_price must be a single"),
        ({"contracts": "&a [*a]"}, "recursive"),
        ({"contracts": "- " * 100_000}, "is not readable as YAML text"),
        ({"policy": "[" * 100_000}, "is not readable as YAML text"),
        ({"policy": "{a: " * 100_000}, "is not readable as YAML text"),
        ({"contracts": CONTRACTS + "  <<: {budget: 7}\n"}, "unknown key '<<'"),
        ({"contracts": CONTRACTS + "---\n[]\n"}, "another document"),
        ({"contracts": "!!python/object/apply:os.system [ls]"}, "contract 1: must be a table"),
        ({"policy": b"\xff\xfe\xff"}, "is not readable as YAML text"),
        ({"policy": b"\0"}, "is not readable as YAML text"),
        ({"policy": ""}, "must be a table"),
        ({"policy": " " * 1_048_577}, "larger than 1048576 bytes"),
    ],
)
def test_hostile_documents(
    run: Run, tmp_path: Path, texts: dict[str, str | bytes], complaint: str
) -> None:
    assert complaint in run.refusal(*write(tmp_path, **texts))


@pytest.mark.parametrize(
    ("field", "most", "earned"),
    [
        ("deadline: 2024-12-31 23:59:59", "deadline: 2024-01-01", "0"),
        ("unit_price: 8.10", "unit_price: 0", "87500"),
        ("unit_price: 8.10", "unit_price: 0.000001", "87502"),
        ("revenue_share_bps: 250", "revenue_share_bps: 0", "16200000"),
        ("revenue_share_bps: 250", "revenue_share_bps: 10000", "19700001"),
        ("budget: 1000", "budget: 0", "0"),
        ("budget: 1000", "budget: 1208925819614629174.706175", "16287500"),
        ("attribution_window_s: 604800", "attribution_window_s: 3162240000", "16287500"),
        ("attribution_window_s: 604800", "attribution_window_s: 0", "0"),
        ("repeatable: true", "repeatable: FALSE", "8137500"),
        ("  repeatable: true\n", "", "8137500"),
        ("  revenue_share_bps: 250\n", "", "16200000"),
        ("id: a", f"id: {'é' * 256}", "16287500"),
    ],
)
def test_the_limits_of_a_contract(
    run: Run, tmp_path: Path, field: str, most: str, earned: str
) -> None:
    assert field in CONTRACTS
    done = run(*write(tmp_path, contracts=CONTRACTS.replace(field, most)), "--json")
    (totals,) = json.loads(done.stdout)["contracts"].values()
    assert totals["earned_units"] == earned


def test_the_limits_of_documents(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = write(tmp_path)
    monkeypatch.setattr(history, "MAX_DOCUMENT_BYTES", max(len(POLICY), len(CONTRACTS)))
    monkeypatch.setattr(history, "MAX_CONTRACTS", 1)
    assert run(*files, "--json").code == 0
    monkeypatch.setattr(history, "MAX_CONTRACTS", 0)
    assert "contracts: has 1 contracts; at most 0" in run.refusal(*files)
    monkeypatch.setattr(history, "MAX_DOCUMENT_BYTES", len(POLICY) - 1)
    assert "policy: is larger than" in run.refusal(*files)


# --- Hostile tables -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tail", "line"),
    [
        ("y" * 65_537, 2),
        # Rows that never end: each line closes a quoted cell and opens the next.
        ('2024-01-02,x,buy,"' + '\n","' * 20_000, 16_382),
        ('2024-01-02,x,buy,"' + "\n" * 70_000, 65_520),
        ("," * 65_537, 2),
    ],
    ids=["line", "lines of cells", "lines of a cell", "cells"],
)
def test_a_row_is_bounded_however_many_lines_it_has(
    run: Run, tmp_path: Path, tail: str, line: int
) -> None:
    complaint = run.refusal(*write(tmp_path, events=EVENT_HEADER + tail))
    assert f"events, line {line}: the row has more than 65536 characters" in complaint


def test_rows_may_have_up_to_65536_characters_each(run: Run, tmp_path: Path) -> None:
    note = "n" * (65_536 - len('2024-01-02,x,buy,1.5,"\n"\n'))
    row = f'2024-01-02,x,buy,1.5,"{note}\n"\n'
    events = "time,lead,event,value,note\n" + row + "\n\n" + row
    done = run(*write(tmp_path, events=events), "--json")
    assert json.loads(done.stdout)["events"] == {"accepted": 1, "refused": 1, "ignored": 0}
    longer = events + row.replace("n", "nn", 1)
    complaint = run.refusal(*write(tmp_path, events=longer))
    assert "line 9: the row has more than 65536 characters" in complaint


@pytest.mark.parametrize(
    "events",
    [
        EVENTS.encode("utf-8-sig"),
        EVENTS.replace("\n", "\r\n").encode(),
        EVENTS.replace("\n", "\r").encode(),
        EVENTS.rstrip("\n").encode(),
        EVENTS.replace("\n", "\n\n").encode() + b"\r\n\n",
        re.sub(r"[^,\n]+", r'"\g<0>"', EVENTS).encode(),
        re.sub(r"[^,\n]+", r'"\g<0>"', EVENTS).encode("utf-8-sig"),
        re.sub("(?m)$", ',"a, ""note""\nof two lines"', EVENTS.rstrip()).encode(),
        EVENTS.replace("-03,x,buy", "-03T01:00:00+01:00,x,buy").encode(),
        re.sub("(?m)^([^,]*),([^,]*),([^,]*),([^,]*)$", r"\4,,\3,\2,,\1", EVENTS).encode(),
    ],
    ids=[
        "byte order mark",
        "CRLF",
        "CR",
        "no last newline",
        "blank lines",
        "quotes",
        "byte order mark and quotes",
        "a column more, over two lines",
        "a time in other words",
        "another order, columns without a name",
    ],
)
def test_tables_that_say_the_same(run: Run, tmp_path: Path, events: bytes) -> None:
    plain = run(*write(tmp_path), "--json")
    assert run(*write(tmp_path, events=events), "--json") == plain
    assert (plain.code, plain.stderr) == (0, "")


@pytest.mark.parametrize(
    ("events", "complaint"),
    [
        (b"", "events: lacks a header with time, lead, event, value"),
        (b"\n\n", "events: lacks a header"),
        (b"\xef\xbb\xbf", "events: lacks a header"),
        (b"\0\0\0\0", "line 1: lacks the column 'time'"),
        (EVENTS.encode("utf-16"), "line 1: is not UTF-8 text"),
        (EVENTS.encode() + b"2024-02-01,\xff,buy,1\n", "line 7: is not UTF-8 text"),
        (EVENTS.encode() + b"2024-02-01,\xed\xa0\x80,buy,1\n", "line 7: is not UTF-8 text"),
        (EVENTS.encode() + b"2024-02-01,x,buy,1\n\xe6\x97", "line 8: is not UTF-8 text"),
        (EVENTS.replace(",", ";").encode(), "line 1: lacks the column 'time'"),
        (EVENTS.replace("time", "Time").encode(), "line 1: lacks the column 'time'"),
        (EVENTS.replace("lead,", "time,").encode(), "line 1: has twice the column 'time'"),
        (EVENTS.encode() + b"2024-02-01,x,buy\n", "line 7: has 3 cells, but the header has 4"),
        (EVENTS.encode() + b"2024-02-01,x,buy,1,\n", "line 7: has 5 cells"),
        (EVENTS.encode() + b" \n", "line 7: has 1 cells"),
        (EVENTS.encode() + b'2024-02-01,"x"y,buy,1\n', "line 7: "),
        (EVENTS.encode() + b'2024-02-01,"x,buy,1\n', "line 7: unexpected end of data"),
        (EVENTS.encode() + b"2024-02-01,x\0,buy,1\n", "line 7: lead must be at most 256"),
        (EVENTS.encode() + b"2024-02-01," + b"x" * 257 + b",buy,1\n", "line 7: lead must be"),
        (EVENTS.encode() + b"2024-02-30,x,buy,1\n", "line 7: time '2024-02-30' is no time"),
        (EVENTS.encode() + b"2024-02-01,x,buy,1e5\n", "line 7: value must be a decimal"),
        (EVENTS.encode() + b"2024-02-01,x,buy," + b"9" * 31 + b"\n", "line 7: value must be"),
        (EVENTS.encode() + b"2024-02-01,x,buy," + b"9" * 30 + b"\n", "is more than any escrow"),
        (EVENTS.encode() + b"2024-02-01,x,buy,\xd9\xa1\n", "line 7: value must be a decimal"),
        (EVENTS.encode() + b"2024-02-01,x,buy,0.0000001\n", "line 7: value '0.0000001' has more"),
        (EVENTS.encode() + b"2024-01-01,x,buy,1\n", "line 7: 2024-01-01 is before the row above"),
    ],
    ids=itertools.count(),
)
def test_hostile_tables(run: Run, tmp_path: Path, events: bytes, complaint: str) -> None:
    files = write(tmp_path, events=events)
    found = run.refusal(*files, "--json")
    assert complaint in found
    assert found.startswith(f"{tmp_path}/events")


def test_a_name_is_kept_as_it_is_written(run: Run, tmp_path: Path) -> None:
    name = " é\u2028, \r\n" + "x" * 249
    quoted = f'"{name}"'
    assert len(name) == 256
    files = write(
        tmp_path,
        events=EVENTS.replace(",x,", f",{quoted},"),
        touches=TOUCHES.replace(",x,", f",{quoted},"),
    )
    report = json.loads(run(*files, "--json").stdout)
    assert [outcome["lead"] for outcome in report["outcomes"]] == [name, name]


def test_what_is_no_file(run: Run, tmp_path: Path) -> None:
    files = write(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for option in ("--events", "--touches", "--policy", "--contracts"):
        for name, complaint in (
            ("none", "No such file or directory"),
            ("folder", "Is a directory"),
            ("loop", "Too many levels of symbolic links"),
            ("none\nat all", "No such file or directory"),
        ):
            found = run.refusal(*files, option, str(tmp_path / name))
            assert found == f"{tmp_path}/{name.replace(chr(10), ' ')}: {complaint}"


# --- Edges, to the nanosecond ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("touch", "event", "is_paid"),
    [
        # The touch against the opening, on 1 January.
        ("2024-01-01T00:00:00Z", "2024-01-02", True),
        ("2023-12-31T23:59:59.999999999Z", "2024-01-02", False),
        # The event against the deadline.
        ("2024-12-31", "2024-12-31T23:59:59Z", True),
        ("2024-12-31", "2024-12-31T23:59:59.000000001Z", False),
        # The event against the window of a week.
        ("2024-03-01T12:00:00.000001Z", "2024-03-08T12:00:00.000001Z", True),
        ("2024-03-01T12:00:00.000001Z", "2024-03-08T12:00:00.000002Z", False),
        # The touch against the event; at equal times the touch comes first.
        ("2024-03-01T12:00:00.5+01:00", "2024-03-01 11:00:00.500000", True),
        ("2024-03-01T11:00:00.500000001Z", "2024-03-01 11:00:00.5", False),
    ],
)
def test_edges(run: Run, tmp_path: Path, touch: str, event: str, is_paid: bool) -> None:
    files = write(
        tmp_path,
        touches=f"time,lead,operator,action\n{touch},x,ann,email\n",
        events=f"{EVENT_HEADER}{event},x,buy,1\n",
    )
    report = json.loads(run(*files, "--json").stdout)
    assert report["contracts"]["a"]["earned_units"] == ("8125000" if is_paid else "0")
    assert len(report["outcomes"]) == is_paid


@pytest.mark.parametrize(
    ("refund", "is_reversed"),
    [("2024-03-02T12:00:00.000001Z", True), ("2024-03-02T12:00:00.000002Z", False)],
)
def test_the_edge_of_the_holdback(run: Run, tmp_path: Path, refund: str, is_reversed: bool) -> None:
    files = write(
        tmp_path,
        touches="time,lead,operator,action\n2024-03-01,x,ann,email\n",
        events=f"{EVENT_HEADER}2024-03-01T12:00:00.000001Z,x,buy,1\n{refund},x,refund,\n",
    )
    report = json.loads(run(*files, "--json").stdout)
    assert report["contracts"]["a"]["reversed"] == is_reversed
    assert report["outcomes"][0]["time"] == "2024-03-01T12:00:00.000001Z"


# --- Where the report goes ------------------------------------------------------------------------


def test_the_output_is_the_document_of_stdout(run: Run, tmp_path: Path) -> None:
    files = write(tmp_path)
    printed = run(*files, "--json")
    output = tmp_path / "report.json"
    output.write_text("an older report")
    done = run(*files, "--json", "--output", str(output))
    assert (done.code, done.stdout, done.stderr) == (0, "", "")
    assert output.read_text() == printed.stdout
    assert names(tmp_path) == ["contracts", "events", "policy", "report.json", "touches"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_bad_input_leaves_an_older_output_as_it_was(run: Run, tmp_path: Path) -> None:
    output = tmp_path / "report.json"
    output.write_text("an older report")
    files = write(tmp_path, events=EVENTS + "soon,x,buy,1\n")
    run.refusal(*files, "--output", str(output))
    assert output.read_text() == "an older report"
    assert names(tmp_path) == ["contracts", "events", "policy", "report.json", "touches"]


@pytest.mark.parametrize("place", [".", "folder", "pipe", "folder/none/report", "x" * 300])
def test_an_output_that_cannot_be_written_leaves_nothing(
    run: Run, tmp_path: Path, place: str
) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    files = write(tmp_path)
    before = names(tmp_path)
    complaint = run.refusal(*files, "--json", "--output", str(tmp_path / place))
    assert complaint.startswith(str(tmp_path))
    assert names(tmp_path) == before
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert names(tmp_path / "folder") == []


def test_a_full_disk_is_one_line_and_exit_code_3(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [COMMAND, *write(tmp_path), "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
    assert done.stderr == "tallystick: the system says: No space left on device\n"
    assert done.returncode == cli.MISSING


def test_the_table_shows_names_and_amounts_whole(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    most = "1208925819614629174.706175"
    name = "[/red]:smile:日" * 5
    contracts = CONTRACTS.replace("8.10", most).replace("1000", most).replace("250", "0")
    done = run(*write(tmp_path, contracts=contracts.replace("id: a", f"id: '{name}'")))
    assert (done.code, done.stderr) == (0, "")
    columns = zip(*(row.split("│") for row in done.stdout.splitlines() if "│" in row), strict=True)
    cells = ["".join(part.strip() for part in column) for column in columns]
    assert name in cells
    assert cells.count("1,208,925,819,614,629,174.706175") == 3


@pytest.mark.parametrize("key", ["id", "operator"])
@pytest.mark.parametrize("name", ['"\\ud800"', '"a\\nb"', '"\\e[31m"', '"\\0"', "a" * 257, "''"])
def test_names_that_cannot_be_printed(run: Run, tmp_path: Path, key: str, name: str) -> None:
    contracts = re.sub(f"{key}: a(nn)?", lambda _: f"{key}: {name}", CONTRACTS)
    assert f"{key} must be 1 to 256 printable" in run.refusal(*write(tmp_path, contracts=contracts))


def test_a_spool_that_cannot_be_opened_is_one_line_and_exit_code_3(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp/spool")  # noqa: S108

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    done = run(*write(tmp_path), "--json")
    assert done == (cli.MISSING, "", "tallystick: /tmp/spool: No space left on device\n")


# --- Touches that decide nothing ------------------------------------------------------------------


def test_an_action_is_free_text(run: Run, tmp_path: Path) -> None:
    action = '"a call, the ""third"" of\nmany ' + "é" * 300 + '"'
    files = write(tmp_path, touches=TOUCHES.replace("email", action) + "2024-01-01,x,ann,\n")
    assert json.loads(run(*files, "--json").stdout)["contracts"]["a"]["outcomes"] == 2


@pytest.mark.parametrize(
    ("limit", "attribution", "touch_day"),
    [(1, "last_touch", 1), (2, "last_touch", 2), (3, "last_touch", 3), (1, "first_touch", 1)],
)
def test_touches_over_the_limit_of_the_policy_do_not_count(
    run: Run, tmp_path: Path, limit: int, attribution: str, touch_day: int
) -> None:
    days = "".join(f"2024-01-0{day},x,ann,email\n" for day in (1, 2, 3))
    policy = POLICY.replace("first_touch", f"{attribution}\ntouches_per_lead: {limit}")
    files = write(
        tmp_path,
        touches=f"time,lead,operator,action\n{days}",
        events=f"{EVENT_HEADER}2024-01-04,x,buy,1\n",
        policy=policy,
    )
    report = json.loads(run(*files, "--json").stdout)
    assert report["outcomes"][0]["touch_time"] == f"2024-01-0{touch_day}T00:00:00Z"


# --- Its memory -----------------------------------------------------------------------------------

# Runs the command and reports the most memory it ever held, in KiB, as stderr's last line.
MEASURED = """
import re, sys
from pathlib import Path
from orchestrator.cli import main
try:
    main()
finally:
    print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1], file=sys.stderr)
"""


def measured(*arguments: str) -> tuple[Outcome, int]:
    """How the command ended in a process of its own, and its peak memory in KiB."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *arguments],
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    *lines, peak = done.stderr.splitlines(keepends=True)
    return Outcome(done.returncode, done.stdout, "".join(lines)), int(peak)


def history_of(rows: int) -> dict[str, str]:
    """Two files of this many rows, over fifty leads and five months."""
    begin = datetime(2024, 1, 1, tzinfo=UTC)
    events, touches = [EVENT_HEADER], ["time,lead,operator,action\n"]
    for number in range(rows):
        at = f"{begin + timedelta(days=150) * number / rows:%Y-%m-%d %H:%M:%S}"
        lead = f"lead {number % 50}"
        event = ("buy", "renew", "renew", "refund", "login")[number // 50 % 5]
        operator = "ann" if number % 2 else f"operator {number}"
        events.append(f"{at},{lead},{event},1.25\n")
        touches.append(f"{at},{lead},{operator},email {number}\n")
    return {"events": "".join(events), "touches": "".join(touches)}


@pytest.mark.parametrize(
    ("attribution", "most"), [("first_touch", 200_000), ("last_touch", 80_000)]
)
def test_memory_grows_with_leads_and_not_with_rows(
    tmp_path: Path, attribution: str, most: int
) -> None:
    policy = POLICY.replace("first_touch", attribution)
    contracts = CONTRACTS.replace("1000", "1000000").replace("604800", "31536000")
    peaks = []
    for rows in (20_000, most):
        files = write(tmp_path, **history_of(rows), policy=policy, contracts=contracts)
        done, peak = measured(*files, "--json")
        assert json.loads(done.stdout)["contracts"]["a"]["outcomes"] > rows // 8
        peaks.append(peak)
    # Less than 8 bytes for each row of both files: not even a pointer.
    assert peaks[1] - peaks[0] < 16 * (most - 20_000) // 1024


@pytest.mark.parametrize(
    ("name", "unit"),
    [("events", b"y"), ("events", b'\n","'), ("events", b","), ("events", b'"'), ("touches", b"y")],
    ids=["line", "lines of cells", "cells", "quotes", "line of touches"],
)
def test_a_row_without_end_is_refused_at_once(tmp_path: Path, name: str, unit: bytes) -> None:
    files = write(tmp_path)
    _, usual = measured(*files, "--json")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    header = EVENT_HEADER if name == "events" else "time,lead,operator,action\n"
    chunk = unit * (2**20 // len(unit))
    sent: list[int] = []

    def pour() -> None:
        with pipe.open("wb", buffering=0) as end, contextlib.suppress(BrokenPipeError):
            end.write(header.encode() + b'2024-01-02,x,y,"')
            sent.extend(end.write(chunk) for _ in range(200))

    pouring = threading.Thread(target=pour)
    pouring.start()
    done, peak = measured(*files, f"--{name}", str(pipe), "--json")
    pouring.join()
    assert "the row has more than 65536 characters" in refusal(done)
    assert sum(sent) < 2**20
    assert peak - usual < 4096
