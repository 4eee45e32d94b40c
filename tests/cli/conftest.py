"""The market whose people act by the command line, and the service that a module's tests share."""

from tests.support.api_fixtures import service
from tests.support.market import market, run

__all__ = ["market", "run", "service"]
