"""Charts: drawings that follow the page's colours, and none where there is nothing to draw."""

from orchestrator.cli.backtest.charts import entered_chart, money_chart, time_chart
from tests.support.growth import hostile_report


def test_a_chart_has_the_text_s_own_colour_and_every_name() -> None:
    _, growth = hostile_report("a long name of a contract")
    for chart in (entered_chart(growth), money_chart(growth), time_chart(growth)):
        assert chart is not None
        assert 'fill="currentColor"' in chart
        assert "#010203" not in chart
        assert "style=" not in chart
    assert "a long name of a contract" in (money_chart(growth) or "")


def test_nothing_is_drawn_of_nothing() -> None:
    _, growth = hostile_report("a")
    bare = growth._replace(contracts=(), lifts=())
    assert (entered_chart(bare), money_chart(bare), time_chart(bare)) == (None, None, None)
