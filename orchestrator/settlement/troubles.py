"""Failures within one step of the pipeline: each is kept apart, and none stops the rest."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self, TypeVar

from orchestrator.chain.rpc import NodeError, ReplyError
from orchestrator.core.common.errors import DomainError
from orchestrator.core.refusal import RefusalKind

Value = TypeVar("Value")


class Troubles:
    """The failures of one step. At the end of its block the first of them is raised."""

    def __init__(self) -> None:
        self._errors: list[DomainError] = []

    @property
    def are_of_all(self) -> bool:
        """True if the node answers nothing now."""
        return any(isinstance(one, NodeError) and one.is_of_all for one in self._errors)

    @property
    def are_of_node(self) -> bool:
        """True if a node did not answer, or not with what can be."""
        return any(isinstance(one, NodeError) for one in self._errors)

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note a failure of this block, and go on after it."""
        try:
            yield
        except DomainError as error:
            self._errors.append(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if self._errors and error is None:
            raise self._errors[0]


def kept(read: Callable[[], Value]) -> Value | None:
    """Return what is read of a past state, or None where the nodes have not kept that state."""
    try:
        return read()
    except ReplyError as error:
        if error.kind is not RefusalKind.STATE:
            raise
        return None
