"""The models of all bodies that the API takes."""

from collections.abc import Iterator

import api.app  # noqa: F401 - whatever has a route is imported by it
from api.http.bodies import Body


def body_models() -> dict[str, type[Body]]:
    """Return the models of the API's own bodies by their names."""
    return {model.__name__: model for model in _below(Body) if model.__module__.startswith("api.")}


def _below(model: type[Body]) -> Iterator[type[Body]]:
    for each in model.__subclasses__():
        yield each
        yield from _below(each)
