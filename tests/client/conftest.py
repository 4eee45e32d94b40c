"""The service that a module's tests share."""

from tests.support.api_fixtures import service

__all__ = ["service"]
