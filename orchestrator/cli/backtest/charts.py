"""Charts as SVG, drawn here: no script, nothing loaded, and colours that follow the page's own.

Each chart has a table beside it with the same numbers, so nothing is told by colour alone.
"""

import re
from collections.abc import Mapping, Sequence

import altair as alt
import vl_convert

from orchestrator.cli.output import printable
from orchestrator.core.common.units import TOKEN_DECIMALS
from orchestrator.core.growth.report import GrowthReport, period_name

WIDTH, BAR = 520, 22
MAX_LABEL = 40
# Stand for the page's own colours, and are replaced in the drawing.
_TEXT, _GRID = "#010203", "#040506"
TOUCHED, UNTOUCHED, SPENT, BROUGHT = "#2a78b8", "#8a8a8a", "#c2622d", "#3f8f4f"


def entered_chart(report: GrowthReport) -> str | None:
    """Draw the shares of touched and untouched leads that entered each state."""
    rows = []
    for one in report.lifts:
        for who, bps in (("touched", one.touched_bps), ("untouched", one.organic_bps)):
            if bps is not None:
                rows.append({"name": _label(one.state), "of": who, "percent": bps / 100})
    return _bars(rows, "percent", "share of leads, %", {"touched": TOUCHED, "untouched": UNTOUCHED})


def money_chart(report: GrowthReport) -> str | None:
    """Draw what each contract pays beside what its outcomes brought."""
    rows = []
    for one in report.contracts:
        for what, units in (("pays", one.payable_units), ("brought", one.net_revenue_units)):
            rows.append(
                {"name": _label(one.name), "of": what, "tokens": units / 10**TOKEN_DECIMALS}
            )
    return _bars(rows, "tokens", "tokens", {"pays": SPENT, "brought": BROUGHT})


def time_chart(report: GrowthReport) -> str | None:
    """Draw how many outcomes each contract had, over the time of the history."""
    shown = [one for one in report.contracts if any(one.by_period)][:8]
    rows = [
        {"day": period_name(report, place), "outcomes": count, "of": _label(one.name)}
        for one in shown
        for place, count in enumerate(one.by_period)
    ]
    if not rows:
        return None
    chart = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_line(point=True, strokeWidth=2)
        .encode(
            x=alt.X("day:T", title=None),
            y=alt.Y("outcomes:Q", title="outcomes"),
            color=alt.Color("of:N", title=None),
        )
        .properties(width=WIDTH, height=180)
    )
    return _draw(chart)


def _bars(
    rows: Sequence[Mapping[str, object]], field: str, title: str, colours: Mapping[str, str]
) -> str | None:
    if not rows:
        return None
    names = list(dict.fromkeys(str(row["name"]) for row in rows))
    chart = (
        alt.Chart(alt.InlineData(values=list(rows)))
        .mark_bar()
        .encode(
            y=alt.Y("name:N", title=None, sort=names),
            yOffset=alt.YOffset("of:N", sort=list(colours)),
            x=alt.X(f"{field}:Q", title=title),
            color=alt.Color(
                "of:N",
                title=None,
                scale=alt.Scale(domain=list(colours), range=list(colours.values())),
            ),
        )
        .properties(width=WIDTH, height=alt.Step(BAR))
    )
    return _draw(chart)


def _draw(chart: alt.Chart) -> str:
    plain = (
        chart.configure(background="transparent", font="sans-serif")
        .configure_axis(labelColor=_TEXT, titleColor=_TEXT, domainColor=_GRID, tickColor=_GRID)
        .configure_axisX(gridColor=_GRID, gridOpacity=0.4, labelLimit=280)
        .configure_axisY(gridColor=_GRID, gridOpacity=0.4, labelLimit=280)
        .configure_legend(labelColor=_TEXT, orient="top")
        .configure_view(stroke=None)
    )
    svg = vl_convert.vegalite_to_svg(plain.to_dict(), allowed_base_urls=[])
    svg = re.sub(r"\s(style|href|xlink:href|on\w+)=\"[^\"]*\"", "", svg)
    return svg.replace(f'"{_TEXT}"', '"currentColor"').replace(f'"{_GRID}"', '"#8888"')


def _label(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= MAX_LABEL else f"{shown[: MAX_LABEL - 3]}..."
