"""The page tells what the snapshots say."""

from scripts.bench.gas_table import PAGE, read, section, with_section


def test_the_page_is_what_the_snapshots_give() -> None:
    page = PAGE.read_text()
    assert with_section(page, section(read())) == page, "run scripts/bench/gas"


def test_the_page_follows_every_figure() -> None:
    figures = read()
    told = section(figures)
    for name in figures.gas:
        figures.gas[name] += 100_000
        assert section(figures) != told, f"{name} is measured for nothing"
        figures.gas[name] -= 100_000
