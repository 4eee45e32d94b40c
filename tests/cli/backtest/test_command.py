"""The command `tallystick backtest` on exports: its output, its page, its exit codes."""

import io
import json
from pathlib import Path

import pytest

from orchestrator.backtest.inputs import TouchRow
from orchestrator.cli.backtest.command import told_rows
from orchestrator.cli.output import Progress
from tests.support.market import Run

EXAMPLE = Path(__file__).parents[3] / "docs/example"
OPTIONS = [
    "backtest",
    *("--from", f"segment={EXAMPLE / 'segment.ndjson'}"),
    *("--from", f"stripe={EXAMPLE / 'stripe.ndjson'}"),
    *("--mapping", f"{EXAMPLE / 'mapping.yaml'}"),
    *("--touches", f"{EXAMPLE / 'T.csv'}"),
    *("--policy", f"{EXAMPLE / 'P.yaml'}"),
    *("--contracts", f"{EXAMPLE / 'C.yaml'}"),
]


def test_the_example_of_exports_pays_what_it_says(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = run([*OPTIONS, "--html", str(page), "--json"], "")
    assert done.code == 0
    document = json.loads(done.stdout)
    assert document["contracts"]["activation"]["payable_units"] == "16200000"
    # A tenth of 100 less 5, and of 50 EUR at the rate of that day.
    assert document["contracts"]["revenue-share"]["payable_units"] == str(9_500_000 + 5_456_000)
    first = document["inputs"][0]
    assert (first["rows"], first["taken"]) == (6, 2)
    assert first["ignored"] == {"Signed Up": 1, "$page": 1}
    assert first["refused"]["lead-missing"]["first_lines"] == [6]
    assert first["repeated"] == {"rows": 1, "first_lines": [4]}
    assert "<script" not in page.read_text()


def test_the_terminal_says_what_was_left_out_and_suggests_terms(run: Run) -> None:
    done = run([*OPTIONS, "--suggest", "activation", "--budget", "50"], "")
    assert done.code == 0
    for said in (
        "ignored, since the mapping does not name them: Signed Up (1), $page (1)",
        "refused, lead-missing: 1 (lines 6)",
        "told before under the same id: 1 (lines 4)",
        "a price of 25.00 for an outcome pays all of them: 50.00 in all",
    ):
        assert said in done.stdout


def test_exports_settle_to_the_figures_that_they_are_evaluated_to(run: Run, tmp_path: Path) -> None:
    # Times finer than the log's, a second that stands whole, and rows of every source.
    (tmp_path / "posthog").write_text(
        '{"uuid":"p-1","event":"onboarded","distinct_id":"user-19","timestamp":'
        '"2026-03-03T09:00:00.123456Z","properties":{}}\n'
    )
    (tmp_path / "csv").write_text(
        "Created (UTC),Customer ID,Amount,Currency\n2026-03-06 10:00,user-19,30.00,USD\n"
    )
    mapping = tmp_path / "mapping.yaml"
    text = (EXAMPLE / "mapping.yaml").read_text()
    mapping.write_text(f"{text}  posthog: {{events: {{onboarded: activate}}}}\n")
    options = [str(mapping) if one.endswith("mapping.yaml") else one for one in OPTIONS]
    options += ["--from", f"posthog={tmp_path / 'posthog'}", "--from", f"csv={tmp_path / 'csv'}"]
    evaluated = run([*options, "--json"], "")
    settled = run([*options, "--settle", "--json"], "")
    assert (evaluated.code, settled.code) == (0, 0), settled.stderr
    assert settled.stdout == evaluated.stdout
    assert "settled on a real chain: log, escrow and wallets give the same" in settled.stderr


def test_long_work_is_told_by_time_and_not_by_rows() -> None:
    stream, times = io.StringIO(), iter((0.0, 1.9, 2.0, 3.9, 4.1))
    row = TouchRow(0, "lead", "ada", "email")

    def begin(what: str) -> Progress:
        return Progress(what, asked=True, stream=stream, clock=lambda: next(times))

    assert list(told_rows(iter([row] * 4), begin)) == [row] * 4
    assert stream.getvalue() == "   2.0s  rows evaluated: 2\n   4.1s  rows evaluated: 4\n"


def test_a_history_that_says_nothing_has_another_exit_code(run: Run, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("")
    options = [*OPTIONS[:2], f"segment={empty}", *OPTIONS[5:]]
    done = run(options, "")
    assert done.code == 2
    assert f"file-empty: {empty} has no row" in done.stdout
    broken = tmp_path / "broken"
    broken.write_text("{\n" * 9 + (EXAMPLE / "segment.ndjson").read_text())
    done = run([*OPTIONS[:2], f"segment={broken}", *OPTIONS[5:]], "")
    assert done.code == 2
    assert "rows-refused" in done.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--policy", "P"], "give --events, or --from with an export"),
        (["--policy", "P", "--from", "csv=x"], "give both --from and --mapping"),
        (["--policy", "P", "--events", "x", "--suggest", "activation"], "give both --suggest and"),
        (
            ["--policy", "P", "--events", "x", "--suggest", "love", "--budget", "1"],
            "--suggest must be one of acquisition, activation, conversion, expansion, not 'love'",
        ),
        (
            ["--policy", "P", "--events", "x", "--suggest", "activation", "--budget", "much"],
            "--budget must be a decimal amount",
        ),
    ],
)
def test_options_that_do_not_fit(run: Run, options: list[str], said: str) -> None:
    done = run(["backtest", *(str(EXAMPLE / "P.yaml") if o == "P" else o for o in options)], "")
    assert done.code == 2
    assert said in done.stderr
