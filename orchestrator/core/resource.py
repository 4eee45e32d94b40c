"""Resources that must be closed: the base of a single one, and of one that holds others."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Self


class Resource(ABC):
    """An object to close when its work is done. The end of its `with` block closes it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Let go of everything that this holds."""


class ResourceGroup(Resource):
    """A resource that holds others and closes them in the reverse order of their opening.

    A subclass opens them inside `_opening` and registers each in `_exits` as soon as it is open.
    """

    def __init__(self) -> None:
        self._exits = ExitStack()

    def close(self) -> None:
        self._exits.close()

    @contextmanager
    def _opening(self) -> Iterator[None]:
        """Close what is open so far if this block raises.

        A constructor that fails returns no object, so its caller has nothing to close.
        """
        try:
            yield
        except BaseException:
            self.close()
            raise
