"""The service and the callers that a module's tests share."""

from tests.support.api_fixtures import operator, owner, service

__all__ = ["operator", "owner", "service"]
