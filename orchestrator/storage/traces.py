"""Traces: what a request caused, part by part, for those who run the service (W3C Trace Context).

A trace is named by a `traceparent`, which is stored beside what waits to be done for it, so that
another process goes on with it. It decides nothing, and nothing of it is in the log.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from orchestrator.storage.database import NamedQuery

# Version 00 alone: of a later one it is not known how long it is.
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

# The most traces that are kept of what led to one thing, and links of a span.
MOST_TRACES = 32

# Facts of a span: routes, kinds, positions, ids and numbers, never what a caller wrote.
Facts = Mapping[str, str | int | Sequence[str]]

_followed: ContextVar[str] = ContextVar("followed_trace", default="")


class Span(Protocol):
    """A part's share of a trace. What comes of it names `trace` as its parent."""

    @property
    def trace(self) -> str: ...

    def end(self, name: str, facts: Facts, *, failed: bool = False) -> None:
        """End it now, under this name."""


class Tracer(Protocol):
    """The way of spans to a collector. It never waits: one that is away costs spans alone."""

    def begin(
        self,
        *,
        parent: str = "",
        links: Sequence[str] = (),
        since_ns: int | None = None,
        answers: bool = False,
    ) -> Span:
        """Begin a span, now or since then, under a parent or a trace of its own.

        With `answers` it is that of a server which answers a request.
        """


def is_trace(text: str) -> bool:
    """Return whether a text is a well-formed `traceparent`."""
    return _TRACEPARENT.fullmatch(text) is not None


def followed() -> str:
    """Return the trace that is followed here, empty for none."""
    return _followed.get()


@contextmanager
def following(trace: str) -> Iterator[None]:
    """Follow a trace until the block ends: what is asked for in it is stored with that trace."""
    token = _followed.set(trace)
    try:
        yield
    finally:
        _followed.reset(token)


def trace_query() -> list[NamedQuery]:
    """Return the query, if any, that has the requests of this transaction stored with the trace."""
    trace = _followed.get()
    return [("database.follow_trace", {"trace": trace})] if trace else []
