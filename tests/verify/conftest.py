"""The market in which the walk of the page about checking is tried."""

from tests.support.market import market, run

__all__ = ["market", "run"]
