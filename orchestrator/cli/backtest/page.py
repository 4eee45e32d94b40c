"""A backtest's report as one page of HTML: it loads nothing and runs nothing.

Names are the history's own, so all text is escaped; the page's policy forbids scripts, and lets in
no style but its own, by its hash.
"""

import base64
from collections.abc import Sequence
from hashlib import sha256
from html import escape
from typing import IO

from orchestrator.backtest.evaluate import Report
from orchestrator.backtest.exports import ExportReader
from orchestrator.cli.backtest.charts import entered_chart, money_chart, time_chart
from orchestrator.cli.backtest.view import (
    CONTRACT_HEADINGS,
    INPUT_HEADINGS,
    LIFT_HEADINGS,
    MOTION_HEADINGS,
    YIELD_HEADINGS,
    contract_cells,
    fold_lines,
    input_cells,
    input_lines,
    lift_cells,
    motion_cells,
    yield_cells,
)
from orchestrator.cli.output import printable
from orchestrator.core.common.units import format_time
from orchestrator.core.growth.report import GrowthReport, period_name
from orchestrator.core.growth.suggestion import Suggestion

_STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem}
table{border-collapse:collapse;margin:.6rem 0;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .7rem;border-bottom:1px solid #8886;text-align:right;overflow-wrap:anywhere}
th:first-child,td:first-child{text-align:left}
.pair{display:flex;flex-wrap:wrap;gap:2rem;align-items:flex-start}
.pair svg{max-width:100%;height:auto}
.odd li{margin:.3rem 0}.small{opacity:.8;font-size:.9rem}
"""


def write_page(
    growth: GrowthReport,
    report: Report,
    reader: ExportReader | None,
    suggestions: Sequence[Suggestion],
    file: IO[str],
) -> None:
    """Write the page of a report."""
    digest = base64.b64encode(sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    file.write(
        "<!DOCTYPE html>\n"
        '<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Backtest</title><style>{_STYLE}</style></head><body>\n"
        "<h1>What these contracts would have paid</h1>\n"
    )
    span = "an empty history"
    if growth.first_ns is not None:
        span = f"{format_time(growth.first_ns)} to {format_time(growth.last_ns)}"
    file.write(f"<p>{span}, {growth.leads:,} leads. Amounts are in tokens.</p>\n")
    if growth.remarks:
        items = "".join(
            f"<li><code>{escape(code)}</code>: {escape(printable(text))}</li>"
            for code, text in growth.remarks
        )
        file.write(f'<h2>What looks wrong</h2><ul class="odd">{items}</ul>\n')
    _write_contracts(growth, file)
    _section(
        file,
        "Touched leads, beside those that no operator touched",
        entered_chart(growth),
        _table(LIFT_HEADINGS, [lift_cells(one) for one in growth.lifts]),
        "A lead counts by its first entry into a state: as untouched if no operator had touched it "
        "by then. This is no experiment: operators choose whom they touch.",
    )
    _section(
        file,
        "By motion",
        None,
        _table(MOTION_HEADINGS, [motion_cells(one) for one in growth.motions]),
    )
    for one in suggestions:
        words = "".join(f"<p>{escape(printable(sentence))}</p>" for sentence in one.words())
        title = f"Suggested terms: {one.motion} into {one.target.state}"
        file.write(f"<h2>{escape(title)}</h2>{words}\n")
    lines = fold_lines(report, reader)
    file.write("<h2>What was read</h2>\n")
    if reader is not None:
        file.write(_table(INPUT_HEADINGS, [input_cells(one) for one in reader.counts]))
        lines = [*input_lines(reader), *lines]
    items = "".join(f"<li>{escape(printable(line))}</li>" for line in lines)
    file.write(f'<ul class="small">{items}</ul>\n</body></html>\n')


def _write_contracts(growth: GrowthReport, file: IO[str]) -> None:
    if not growth.contracts:
        return
    figures = growth.contracts
    _section(
        file,
        "Contracts",
        money_chart(growth),
        _table(CONTRACT_HEADINGS, [contract_cells(one) for one in figures])
        + _table(YIELD_HEADINGS, [yield_cells(one) for one in figures]),
    )
    chart = time_chart(growth)
    if chart is not None:
        headings = [f"from (spans of {growth.period_days} d)", *(one.name for one in figures)]
        rows = [
            [period_name(growth, place), *(f"{one.by_period[place]:,}" for one in figures)]
            for place in range(len(growth.periods))
            if any(one.by_period[place] for one in figures)
        ]
        _section(file, "Outcomes over time", chart, _table(headings, rows))


def _section(file: IO[str], title: str, chart: str | None, table: str, note: str = "") -> None:
    figure = "" if chart is None else f"<div>{chart}</div>"
    file.write(f'<h2>{escape(title)}</h2><div class="pair">{figure}<div>{table}</div></div>')
    file.write(f'<p class="small">{escape(note)}</p>\n' if note else "\n")


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(printable(one))}</th>" for one in headings)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(printable(cell))}</td>' for cell in row)}</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
