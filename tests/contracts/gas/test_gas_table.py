"""The page on gas is made from the snapshots, and uses every one of them."""

from scripts.bench.gas_table import PAGE, read_figures, section, with_section


def test_the_page_is_what_the_snapshots_give() -> None:
    page = PAGE.read_text()
    assert with_section(page, section(read_figures())) == page, "run scripts/bench/gas"


def test_the_page_follows_every_figure() -> None:
    figures = read_figures()
    before = section(figures)
    for name in figures.gas:
        figures.gas[name] += 100_000
        assert section(figures) != before, f"{name} is measured for nothing"
        figures.gas[name] -= 100_000
