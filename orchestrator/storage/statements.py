"""Statements that are sent later, with arguments that nothing changes any more."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from orchestrator.storage.database import NamedQuery, Session


def _say_nothing(_: str) -> None:
    pass


class Statements:
    """Statements of one transaction in their order, gathered before it is there.

    What is given is kept as it is, so it must be a value: what may change still is written down
    first. Statements that follow one another are sent in one round trip.
    """

    def __init__(self) -> None:
        self._parts: list[Callable[[Session, Callable[[str], None]], object]] = []
        # The statements at the end to which another may be added.
        self._open: list[NamedQuery] | None = None

    def run(self, query: str, /, **arguments: object) -> None:
        """Add a query."""
        if self._open is None:
            self._open = []
            self._parts.append(partial(_run_all, self._open))
        self._open.append((query, arguments))

    def run_each(self, query: str, /, arguments: Sequence[Mapping[str, object]]) -> None:
        """Add a query for each of these sets of arguments."""
        self._add(lambda session, _: session.run_each(query, arguments))

    def copy(self, query: str, types: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Add rows by a query that is `COPY … FROM STDIN (FORMAT binary)`."""
        kept = list(rows)
        self._add(lambda session, _: session.copy(query, types, kept))

    def reach(self, step: str) -> None:
        """Have this step told once all that was added before it is done."""
        self._add(lambda _, tell: tell(step))

    def send(self, session: Session, tell: Callable[[str], None] = _say_nothing) -> None:
        """Run all of them in a transaction; `tell` is called with each step."""
        for part in self._parts:
            part(session, tell)

    def _add(self, part: Callable[[Session, Callable[[str], None]], object]) -> None:
        self._parts.append(part)
        self._open = None


def _run_all(queries: Sequence[NamedQuery], session: Session, _: object) -> None:
    session.run_all(queries)
