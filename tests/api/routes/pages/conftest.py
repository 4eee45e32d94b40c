"""The browser, and the market with a real chain, in which the pages are tried."""

from tests.support.browser import chromium
from tests.support.market import market, run

__all__ = ["chromium", "market", "run"]
