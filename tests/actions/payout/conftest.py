"""The market whose people act on splits by the command line."""

from tests.support.market import market, run

__all__ = ["market", "run"]
