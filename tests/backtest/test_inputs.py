"""Reading a history: what is read, and one clear line with its place for whatever cannot be."""

import contextlib
import csv
import itertools
import os
import re
import threading
import tracemalloc
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from api.http.fields import EventName, ExternalId
from orchestrator.backtest import inputs
from orchestrator.core.common.errors import InputError
from tests.support.backtest_files import (
    CONTRACTS,
    EVENT_HEADER,
    EVENTS,
    POLICY,
    TOUCH_HEADER,
    TOUCHES,
    write_history,
)
from tests.support.depth import examples

# A policy and a contract without anything optional.
PLAIN_POLICY = """
initial: new
states: [new, paid]
transitions: [{on: buy, from: [new], to: paid, motion: conversion}]
attribution: first_touch
touches_per_lead: 10000
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


FOUND = "the columns found, separated by commas, are"

# Texts with what a rule of names looks at, and any others.
NAMES = st.lists(
    st.one_of(
        st.sampled_from(["e", "\u0301", "\u0316", " ", "\u200b", "\ufe0f", "ﬁ", "x" * 200, "한"]),
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    ),
    max_size=5,
).map("".join)


# --- Tables ---------------------------------------------------------------------------------------


def test_touches_come_before_events_of_the_same_time(tmp_path: Path) -> None:
    events = "value,event,lead,time,more\n,buy,x,2024-01-01 00:00:01,\n"
    touches = "time,lead,operator,action\n2024-01-01T00:00:01Z,x,ann,email\n"
    files = write_history(tmp_path, events=events, touches=touches)
    rows = list(inputs.read_rows(files.events, files.touches))
    assert [type(row).__name__ for row in rows] == ["TouchRow", "EventRow"]


@pytest.mark.parametrize(
    ("events", "place"),
    [
        ("", "lacks a header"),
        (
            "time,lead,event\n",
            f"line 1: lacks the column 'value'; {FOUND} 'time', 'lead', 'event'",
        ),
        (
            "Zeit;naïve\n",
            f"lacks the column 'time'; {FOUND} 'Zeit;na\\xefve'",
        ),
        (",".join(f"c{n}" for n in range(25)) + "\n", "'c19' and 5 more"),
        ("time,lead,event,value,id,id\n", "line 1: has twice the column 'id'"),
        ("time,lead,lead,event,value\n", "line 1: has twice the column 'lead'"),
        ("time,lead,event,value\n2024-01-01,x,buy\n", "line 2: has 3 cells"),
        ("time,lead,event,value\nsoon,x,buy,\n", "line 2: time must be RFC 3339"),
        (
            "time,lead,event,value\n2024-01-02,x,buy,\n2024-01-01,x,buy,\n",
            "line 3: 2024-01-01 is before the row above it",
        ),
        ("time,lead,event,value\n2024-01-01,,buy,\n", "line 2: lead must not be empty"),
        ("time,lead,event,value\n2024-01-01,x,,\n", "line 2: event must not be empty"),
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
    assert place in write_history(tmp_path, events=events).refusal()


def test_missing_file(tmp_path: Path) -> None:
    files = write_history(tmp_path)
    files.events.unlink()
    assert "No such file" in files.refusal()


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
def test_a_row_is_bounded_however_many_lines_it_has(tmp_path: Path, tail: str, line: int) -> None:
    complaint = write_history(tmp_path, events=EVENT_HEADER + tail).refusal()
    assert f"events, line {line}: the row has more than 65536 characters" in complaint


def test_rows_may_have_up_to_65536_characters_each(tmp_path: Path) -> None:
    note = "n" * (65_536 - len('2024-01-02,x,buy,1.5,"\n"\n'))
    row = f'2024-01-02,x,buy,1.5,"{note}\n"\n'
    events = "time,lead,event,value,note\n" + row + "\n\n" + row
    report = write_history(tmp_path, events=events).report()
    assert report["events"] == {"accepted": 1, "refused": 1, "ignored": 0}
    longer = events + row.replace("n", "nn", 1)
    complaint = write_history(tmp_path, events=longer).refusal()
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
def test_tables_that_say_the_same(tmp_path: Path, events: bytes) -> None:
    plain = write_history(tmp_path).report()
    assert write_history(tmp_path, events=events).report() == plain


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
        (EVENTS.encode() + b"2024-02-01,x\0,buy,1\n", "line 7: lead must not have characters"),
        (EVENTS.encode() + b"2024-02-01," + b"x" * 513 + b",buy,1\n", "at most 512 bytes of UTF-8"),
        (EVENTS.encode() + b"2024-02-01,x," + b"x" * 256 + b",1\n", "at most 255 bytes of UTF-8"),
        (EVENTS.encode() + b"2024-02-01,x ,buy,1\n", "line 7: lead must not begin or end with a s"),
        (EVENTS.encode() + b"2024-02-01,x,buy ,1\n", "line 7: event must not begin or end with a"),
        ((EVENTS + "2024-02-01,x\u200b,buy,1\n").encode(), "line 7: lead must not have char"),
        ((EVENTS + "2024-02-01,x,b\u00a0y,1\n").encode(), "U+00A0 NO-BREAK SPACE in 'b\\xa0y'"),
        (EVENTS.encode() + b"2024-02-30,x,buy,1\n", "line 7: time '2024-02-30' is no time"),
        (EVENTS.encode() + b"2024-02-01,x,buy,1e5\n", "line 7: value must be a decimal"),
        (EVENTS.encode() + b"2024-02-01,x,buy," + b"9" * 10_000 + b"\n", "is more than any escrow"),
        (EVENTS.encode() + b"2024-02-01,x,buy," + b"9" * 30 + b"\n", "is more than any escrow"),
        (EVENTS.encode() + b"2024-02-01,x,buy,\xd9\xa1\n", "line 7: value must be a decimal"),
        (EVENTS.encode() + b"2024-02-01,x,buy,0.0000001\n", "line 7: value '0.0000001' has more"),
        (EVENTS.encode() + b"2024-01-01,x,buy,1\n", "line 7: 2024-01-01 is before the row above"),
    ],
    ids=itertools.count(),
)
def test_hostile_tables(tmp_path: Path, events: bytes, complaint: str) -> None:
    files = write_history(tmp_path, events=events)
    found = files.refusal()
    assert complaint in found
    assert found.startswith(f"{tmp_path}/events")


def test_a_name_may_be_any_text_that_hides_nothing(tmp_path: Path) -> None:
    name = 'é, ""購""  ' + "x" * 501
    quoted, name = f'"{name}"', name.replace('""', '"')
    assert len(name.encode()) == 512
    files = write_history(
        tmp_path,
        events=EVENTS.replace(",x,", f",{quoted},"),
        touches=TOUCHES.replace(",x,", f",{quoted},"),
    )
    report = files.report()
    assert [outcome["lead"] for outcome in report["outcomes"]] == [name, name]


def test_two_spellings_of_a_name_are_one(tmp_path: Path) -> None:
    """Leads, operators and events: a history may be put together from several exports."""
    composed, decomposed = "ren\u00e9e", "rene\u0301e"
    policy = POLICY.replace("[{on: refund", "[{on: r, of: paid}, {on: refund")
    policy += f'events: {{"Remboursé": refund, "{composed} pays": buy}}\n'
    events = EVENTS.replace("buy", f"{decomposed} pays", 1).replace("refund", "Rembourse\u0301")
    found = [
        write_history(
            tmp_path,
            events=events.replace(",x,", f",{one},"),
            touches=TOUCHES.replace(",x,ann", f",{other},{one}"),
            contracts=CONTRACTS.replace("ann", other),
            policy=policy,
        ).report()
        for one in (composed, decomposed)
        for other in (composed, decomposed)
    ]
    assert found[0]["contracts"]["a"]["outcomes"] == 2
    assert found[0]["contracts"]["a"]["reversed"] == 1
    assert all(report == found[0] for report in found)


def test_an_event_that_the_policy_does_not_name_is_ignored(tmp_path: Path) -> None:
    rows = "".join(f"2024-01-03,x,{name},\n" for name in ("y" * 255, "注文が完了しました", "a b"))
    plain = write_history(tmp_path).report()
    report = write_history(
        tmp_path, events=EVENTS.replace("2024-01-03 12", f"{rows}2024-01-03 12")
    ).report()
    assert report["events"].pop("ignored") == plain["events"].pop("ignored") + 3
    assert report == plain


@settings(examples(200, deep=3000), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=NAMES)
@pytest.mark.parametrize(("column", "field"), [(1, ExternalId), (2, EventName)])
def test_a_history_and_the_api_take_the_same_names(
    tmp_path: Path, column: int, field: Any, name: str
) -> None:
    """The same names are taken, as the same, or refused in the same words."""
    over_http: tuple[object, str]
    try:
        over_http = TypeAdapter(field).validate_python(name), ""
    except ValidationError as error:
        over_http = None, error.errors()[0]["msg"].removeprefix("Value error, ")
    row = ["2024-01-03", "x", "buy", ""]
    row[column] = name
    path = tmp_path / "events"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([inputs.EVENT_COLUMNS, row])
    in_a_file: tuple[object, str]
    try:
        (read,) = inputs.read_events(path, inputs.RowCounts())
        in_a_file = read[column], ""
    except InputError as error:
        in_a_file = None, error.message.partition(f"{inputs.EVENT_COLUMNS[column]} ")[2]
    assert in_a_file == over_http


# --- Rows that are told twice ---------------------------------------------------------------------


def with_ids(table: str, *ids: str) -> str:
    """Return a table with a column of these ids, put first."""
    header, *rows = table.splitlines()
    pairs = zip(ids, rows, strict=True)
    return "\n".join([f"id,{header}", *(f"{row_id},{row}" for row_id, row in pairs)]) + "\n"


def twice(table: str) -> str:
    """Return a table with each of its rows told twice."""
    header, *rows = table.splitlines()
    return "\n".join([header, *(row for row in rows for _ in range(2))]) + "\n"


def test_a_row_told_twice_under_its_id_counts_once(tmp_path: Path) -> None:
    plain = write_history(tmp_path).report()
    assert (plain["equal_rows"], plain["repeated_rows"]) == (0, 0)
    report = write_history(
        tmp_path,
        events=twice(with_ids(EVENTS, "e1", "e2", "e3", "e4", "e5")),
        touches=twice(with_ids(TOUCHES, "e1")),
    ).report()
    assert (report.pop("equal_rows"), report.pop("repeated_rows")) == (0, 6)
    assert report == {key: plain[key] for key in report}


def test_without_ids_equal_rows_count_and_are_told(tmp_path: Path) -> None:
    report = write_history(tmp_path, events=twice(EVENTS), touches=twice(TOUCHES)).report()
    assert (report["equal_rows"], report["repeated_rows"]) == (6, 0)
    assert sum(report["events"].values()) == 10
    # Equal in what they say, not in how: another way to write a time or an amount is no difference.
    more = EVENTS.replace(
        "2024-01-02,x,buy,1.5", "2024-01-02,x,buy,1.5\n2024-01-02 00:00:00,x,buy,1.50"
    )
    assert write_history(tmp_path, events=more).report()["equal_rows"] == 1
    # Apart in time, lead, event or value: no two are equal.
    apart = EVENT_HEADER + "".join(
        f"2024-01-0{day},{lead},{what},{value}\n"
        for day in (2, 3)
        for lead in ("x", "y")
        for what in ("buy", "renew")
        for value in ("", "1")
    )
    assert write_history(tmp_path, events=apart).report()["equal_rows"] == 0


def test_equal_rows_of_two_ids_are_two(tmp_path: Path) -> None:
    report = write_history(tmp_path, events=with_ids(twice(EVENTS), *map(str, range(10)))).report()
    assert (report["equal_rows"], report["repeated_rows"]) == (0, 0)
    assert sum(report["events"].values()) == 10


@pytest.mark.parametrize(
    "other",
    ["2024-01-04,x,buy,1", "2024-01-03,y,buy,1", "2024-01-03,x,renew,1", "2024-01-03,x,buy,2"],
)
def test_one_id_with_two_rows_is_refused_with_both_lines(tmp_path: Path, other: str) -> None:
    events = with_ids(f"{EVENT_HEADER}2024-01-03,x,buy,1\n2024-01-03,z,buy,1\n{other}\n", *"aba")
    complaint = write_history(tmp_path, events=events).refusal()
    assert "events, line 4: id 'a' stood in line 2 with other values" in complaint


def test_an_id_of_a_touch_is_its_operators_own(tmp_path: Path) -> None:
    rows = "2024-01-01,x,ann,email\n2024-01-01,x,bob,email\n2024-01-01,x,ann,email\n"
    touches = with_ids(TOUCH_HEADER + rows, "1", "1", "1")
    report = write_history(tmp_path, touches=touches).report()
    assert report["repeated_rows"] == 1
    differs = touches.replace("1,2024-01-01,x,ann,email\n", "1,2024-01-01,x,ann,call\n", 1)
    assert "line 4: id '1' stood in line 2" in write_history(tmp_path, touches=differs).refusal()


@pytest.mark.parametrize("row_id", ["", "a b", "é", "x" * 129, '"a\nb"'])
def test_an_id_is_what_the_live_log_takes_as_a_key(tmp_path: Path, row_id: str) -> None:
    events = with_ids(f"{EVENT_HEADER}2024-01-03,x,buy,1\n", row_id)
    complaint = write_history(tmp_path, events=events).refusal()
    assert "id must be 1 to 128 visible ASCII characters" in complaint


def test_ids_take_a_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 20_000
    rows = "".join(f"2024-01-03,x,noise,,{number:036}\n" for number in range(count))
    files = write_history(tmp_path, events="time,lead,event,value,id\n" + rows)
    monkeypatch.setattr(inputs, "MAX_IDS", count)
    read = inputs.read_events(files.events, inputs.RowCounts())
    next(read)
    tracemalloc.start()
    try:
        assert sum(1 for _ in read) == count - 1
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 220 * count
    monkeypatch.setattr(inputs, "MAX_IDS", count - 1)
    assert f"line {count + 1}: at most {count - 1} ids are remembered" in files.refusal()


def test_an_action_is_free_text(tmp_path: Path) -> None:
    action = '"a call, the ""third"" of\nmany ' + "é" * 300 + '"'
    files = write_history(
        tmp_path, touches=TOUCHES.replace("email", action) + "2024-01-01,x,ann,\n"
    )
    assert files.report()["contracts"]["a"]["outcomes"] == 2


@pytest.mark.parametrize(
    ("name", "unit"),
    [("events", b"y"), ("events", b'\n","'), ("events", b","), ("events", b'"'), ("touches", b"y")],
    ids=["line", "lines of cells", "cells", "quotes", "line of touches"],
)
def test_a_row_without_end_is_refused_at_once(tmp_path: Path, name: str, unit: bytes) -> None:
    files = write_history(tmp_path)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    header = EVENT_HEADER if name == "events" else TOUCH_HEADER
    chunk = unit * (2**20 // len(unit))
    sent: list[int] = []

    def pour() -> None:
        with pipe.open("wb", buffering=0) as end, contextlib.suppress(BrokenPipeError):
            end.write(header.encode() + b'2024-01-02,x,y,"')
            sent.extend(end.write(chunk) for _ in range(200))

    pouring = threading.Thread(target=pour)
    pouring.start()
    tracemalloc.start()
    refusal = files._replace(**{name: pipe}).refusal()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    pouring.join()
    assert "the row has more than 65536 characters" in refusal
    assert sum(sent) < 2**20
    assert peak < 4 * 2**20


# --- Documents ------------------------------------------------------------------------------------


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
        (("id: a", "id: ''"), "id must not be empty"),
        ((CONTRACT, CONTRACT + CONTRACT), "contract id 'a' stands twice"),
        ((CONTRACT, "a: b"), "must be a list of contracts"),
        ((CONTRACT, "- {id: ["), "contracts"),
    ],
)
def test_bad_contracts(tmp_path: Path, change: tuple[str, str], complaint: str) -> None:
    assert complaint in write_history(tmp_path, contracts=CONTRACT.replace(*change)).refusal()


@pytest.mark.parametrize("key", ["id", "operator"])
@pytest.mark.parametrize("name", ['"\\ud800"', '"a\\nb"', '"\\e[31m"', '"\\0"', "a" * 513, "''"])
def test_names_that_cannot_be_printed(tmp_path: Path, key: str, name: str) -> None:
    contracts = re.sub(f"{key}: a(nn)?", lambda _: f"{key}: {name}", CONTRACTS)
    complaint = write_history(tmp_path, contracts=contracts).refusal()
    assert f"{key} must " in complaint
    assert complaint.isprintable()


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
    assert complaint in write_history(tmp_path, policy=PLAIN_POLICY.replace(*change)).refusal()


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
def test_hostile_documents(tmp_path: Path, texts: dict[str, str | bytes], complaint: str) -> None:
    assert complaint in write_history(tmp_path, **texts).refusal()


def test_the_limits_of_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = write_history(tmp_path)
    monkeypatch.setattr(inputs, "MAX_DOCUMENT_BYTES", max(len(POLICY), len(CONTRACTS)))
    monkeypatch.setattr(inputs, "MAX_CONTRACTS", 1)
    assert files.report()["contracts"]
    monkeypatch.setattr(inputs, "MAX_CONTRACTS", 0)
    assert "contracts: has 1 contracts; at most 0" in files.refusal()
    monkeypatch.setattr(inputs, "MAX_DOCUMENT_BYTES", len(POLICY) - 1)
    assert "policy: is larger than" in files.refusal()
