"""Exports as rows of a history: every row is accounted for, whatever a file holds."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.backtest.exports import (
    MAX_LINE_BYTES,
    Export,
    ExportCounts,
    ExportReader,
    parse_exports,
    read_intake,
    sorted_rows,
)
from orchestrator.backtest.inputs import EventRow, RowCounts, read_events
from orchestrator.core.common.errors import InputError
from orchestrator.core.intake.found import SkippedError
from orchestrator.core.intake.mapping import parse_intake
from tests.support.intake_payloads import INTAKE, captured, charge, refunded, track
from tests.support.worlds import SETTINGS as SURFACE_SETTINGS

SETTINGS = parse_intake(INTAKE)
AT = "2026-01-05T10:00:00.000Z"


def read(path: Path, data: str | bytes, source: str = "segment") -> tuple[list[EventRow], Any]:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    reader = ExportReader([Export(source, path)], SETTINGS)
    rows = list(reader.rows())
    (counts,) = reader.counts
    assert counts.rows == (
        counts.taken
        + counts.refusals
        + counts.repeated.count
        + counts.unmapped.total()
        + counts.skipped.total()
    )
    return rows, counts


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "export"


def lines(*payloads: object) -> str:
    return "".join(f"{json.dumps(one)}\n" for one in payloads)


SIGNUP = track(1, "Signed Up", "u1", AT)
ORDER = track(2, "Order Completed", "u1", "2026-01-04T10:00:00Z", revenue=9.5, order_id="o1")


@pytest.mark.parametrize(
    "text",
    [
        lines(SIGNUP, ORDER),
        f"\ufeff\n{lines(SIGNUP, ORDER)}\n\n",
        json.dumps([SIGNUP, ORDER]),
        f"\ufeff {json.dumps([SIGNUP, ORDER], indent=2)}",
        json.dumps({"batch": [SIGNUP, ORDER]}, indent=1),
        lines({"batch": [SIGNUP, ORDER], "sentAt": AT}),
    ],
)
def test_the_forms_of_a_file(path: Path, text: str) -> None:
    rows, counts = read(path, text)
    # In order of time, and at the end of a whole second.
    assert [row[1:5] for row in rows] == [
        ("u1", "buy", 9_500_000, "o1"),
        ("u1", "signup", None, ""),
    ]
    assert rows[0].time_ns % 10**9 == 999_000_000
    assert (counts.taken, counts.refused) == (2, {})


def test_what_is_not_taken_is_told_with_its_first_lines(path: Path) -> None:
    changed = SIGNUP | {"userId": "u2"}
    rows, counts = read(
        path,
        lines(SIGNUP, {"type": "page"}, SIGNUP, changed)
        + "{'no': json}\n"
        + '{"a": NaN}\n'
        + lines(track(3, "Order Completed", "u1", AT, revenue="5", currency="XYZ")) * 7
        + lines(track(4, "Menu Opened", "u1", AT), track(5, "Signed Up", "", AT), 5),
    )
    assert len(rows) == 1
    told = counts.to_json()
    assert (told["rows"], told["taken"]) == (16, 1)
    assert told["ignored"] == {"$page": 1, "Menu Opened": 1}
    assert told["repeated"] == {"rows": 1, "first_lines": [3]}
    found = {code: (one["rows"], one["first_lines"]) for code, one in told["refused"].items()}
    assert found == {
        "id-differs": (1, [4]),
        "json-malformed": (2, [5, 6]),
        "currency-unknown": (7, [7, 8, 9, 10, 11]),
        "lead-missing": (1, [15]),
        "payload-invalid": (1, [16]),
    }
    assert "'XYZ' has no rate" in told["refused"]["currency-unknown"]["message"]


def test_one_id_counts_once_across_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(lines(SIGNUP))
    exports = [Export("segment", tmp_path / name) for name in ("one", "two")]
    reader = ExportReader(exports, SETTINGS)
    assert len(list(reader.rows())) == 1
    assert [one.repeated.count for one in reader.counts] == [0, 1]
    assert reader.place_name(1 << 40 | 7) == f"{tmp_path}/two, line 7"


def test_equal_rows_without_an_id_count_and_are_told(tmp_path: Path) -> None:
    bare = {name: value for name, value in ORDER.items() if name != "messageId"}
    for name in ("one", "two"):
        (tmp_path / name).write_text(
            lines(bare, ORDER | {"messageId": name}, bare | {"userId": "u2"})
        )
    exports = [Export("segment", tmp_path / name) for name in ("one", "two")]
    reader = ExportReader(exports, SETTINGS)
    assert len(list(reader.rows())) == 6
    assert [one.to_json()["equal"] for one in reader.counts] == [
        {"rows": 0, "first_lines": []},
        {"rows": 2, "first_lines": [1, 3]},
    ]


def test_an_id_is_told_by_one_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "export").write_text(lines(SIGNUP))
    reader = ExportReader([Export("segment", tmp_path / "export")], SETTINGS)
    exported = reader.rows()
    (tmp_path / "E.csv").write_text(
        f"time,lead,event,value,id\n{AT},u2,signup,,other\n{AT},u1,signup,,{SIGNUP['messageId']}\n"
    )
    rows = read_events(tmp_path / "E.csv", RowCounts(), reader.place_of_id)
    assert next(rows).lead == "u2"
    with pytest.raises(InputError, match=r"line 3: .* stands in .*export, line 1 too") as refused:
        next(rows)
    assert refused.value.code == "id-elsewhere"
    assert len(list(exported)) == 1


def test_stripe_events_of_a_page_of_its_api(path: Path) -> None:
    page = {
        "object": "list",
        "data": [
            refunded("1", "c", 1_000, 0, 300, 1_768_000_100),
            charge("1", "c", 1_000, 1_768_000_000),
            charge("2", "c", 1_000, 1_768_000_000) | {"livemode": False},
        ],
    }
    rows, counts = read(path, json.dumps(page, indent=2), "stripe")
    assert [(row.event, row.value_units, row.order) for row in rows] == [
        ("buy", 10_000_000, "pi_1"),
        ("refund", 3_000_000, "pi_1"),
    ]
    assert counts.skipped == {"test-mode": 1}


def test_posthog(path: Path) -> None:
    rows, _ = read(path, lines(captured("1", "signed up", "p", AT)), "posthog")
    assert [row.lead for row in rows] == ["p"]


HEADER = "id,Created (UTC),Customer ID,Amount,Currency,Description\n"


def test_csv_with_a_map_of_its_header(path: Path) -> None:
    rows, counts = read(
        path,
        f"\ufeff{HEADER}"
        'a,2026-01-05 10:00:00,c1,10.00,eur,"two\nlines"\n'
        "b,1767607200,c1,7,usd,\n"
        "c,2026-01-05,c1,,,\n"
        "d,2026-01-05,c1\n"
        "e,,c1,1,usd,\n",
        "csv",
    )
    assert [row.value_units for row in rows] == [None, 11_000_000, 7_000_000]
    assert {code: one.lines for code, one in counts.refused.items()} == {
        "cells-mismatch": [6],
        "time-missing": [7],
    }


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (
            "Created,Client,Amount,Currency",
            "lacks the columns for time ('Created (UTC)'), lead ('Customer ID'); the columns",
        ),
        ("Created (UTC),Customer ID,Amount", "lacks the columns for currency ('Currency')"),
        ("a,a", "has the column 'a' twice"),
    ],
)
def test_columns_that_are_missing(path: Path, header: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read(path, f"{header}\n", "csv")
    assert said in caught.value.message


def test_files_that_are_none(path: Path) -> None:
    assert read(path, "")[1].rows == 0
    assert read(path, "", "csv")[1].rows == 0
    with pytest.raises(InputError, match=f"a CSV file is read as --from csv={path}"):
        read(path, "time,lead\n")
    with pytest.raises(InputError, match="No such file"):
        list(ExportReader([Export("segment", path.with_name("none"))], SETTINGS).rows())
    with pytest.raises(InputError, match="unexpected end of data"):
        read(path, f'{HEADER}"a,b\n', "csv")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"[" + lines(SIGNUP).encode().strip() + b", {]", "json-malformed"),
        (b"[" + lines(SIGNUP).encode().strip(), "json-malformed"),
        (b"[" + lines(SIGNUP).encode().strip() + b', {"a": "\xff"}]', "json-malformed"),
        (lines(SIGNUP).encode() + b'{"a": "' + b"x" * MAX_LINE_BYTES + b'"}\n', "line-too-long"),
        (lines(SIGNUP).encode() + b"[" * 200_000 + b"\n", "json-malformed"),
    ],
)
def test_hostile_files(path: Path, data: bytes, code: str) -> None:
    rows, counts = read(path, data)
    assert len(rows) == 1
    assert list(counts.refused) == [code]
    rows, _ = read(path, data + lines(ORDER).encode()) if data[:1] == b"{" else (rows + rows, 0)
    assert len(rows) == 2


def test_an_array_is_read_in_pieces(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.backtest.exports._READ_CHARS", 50)
    payloads = [track(n, "Signed Up", f"renée {n}", AT) for n in range(40)]
    rows, counts = read(path, json.dumps(payloads, indent=1, ensure_ascii=False))
    assert [row.lead for row in rows] == [one["userId"] for one in payloads]
    text = path.read_text().splitlines()
    first = rows[0].place
    assert text[first - 1].strip() == "{"
    assert counts.taken == 40


@given(st.lists(st.integers(0, 50), max_size=60), st.integers(1, 7))
def test_rows_are_sorted_with_little_in_memory(times: list[int], chunk: int) -> None:
    rows: list[Any] = [(time, n, "l", "e", None, "") for n, time in enumerate(times)]
    assert list(sorted_rows(iter(rows), chunk)) == sorted(rows)


def test_options_and_mapping_files(tmp_path: Path) -> None:
    assert parse_exports(["stripe=a=b"]) == [Export("stripe", Path("a=b"))]
    for text in ("stripe", "ga4=x", "=x", "csv="):
        with pytest.raises(InputError, match="--from must be one of segment=FILE"):
            parse_exports([text])
    with pytest.raises(InputError, match="names 65 files; at most 64"):
        parse_exports(["csv=x"] * 65)

    file = tmp_path / "mapping.yaml"

    def write(document: object) -> Path:
        file.write_text(yaml.safe_dump(document))
        return file

    assert read_intake(write(INTAKE)).sources.keys() == INTAKE["sources"].keys()
    whole = read_intake(write(SURFACE_SETTINGS | {"sources": {"csv": {"events": {"a": "b"}}}}))
    assert list(whole.sources) == ["csv"]
    for document, code in (
        ([], "not-a-table"),
        ({"source": {}}, "key-unknown"),
        ({"sources": {"csv": {}}}, "key-missing"),
        (
            {"sources": {"csv": {"events": {f"{n}" * 60: "x" * 60 for n in range(400)}}}},
            "settings-too-long",
        ),
    ):
        with pytest.raises(InputError) as caught:
            read_intake(write(document))
        assert caught.value.code == code
    with pytest.raises(InputError, match="map no events of stripe"):
        ExportReader([Export("stripe", file)], read_intake(write({})))


def test_names_that_are_ignored_are_bounded() -> None:
    counts = ExportCounts("segment", "x")
    for number in range(1_000):
        counts.skip(SkippedError("event-unmapped", f"event {number}"))
    assert len(counts.unmapped) == 201
    assert counts.unmapped["(others)"] == 800
