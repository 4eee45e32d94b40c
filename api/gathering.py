"""Request coalescing: what comes while a transaction is under way goes together in the next one.

It is what databases call group commit, for whole transactions. An item that comes alone waits for
nothing. Under load a transaction's beginning and end, its flush to the disk and the way to another
thread are paid once for many items, and not once for each.
"""

from asyncio import CancelledError, Future, get_running_loop
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

# Does the work on items; the outcomes are in their order.
Work = Callable[[Sequence[Item]], Awaitable[Sequence[Outcome]]]


class NotTogetherError(Exception):
    """Several items that work does not take together, and each of which it may take alone."""


class _Place(Generic[Item, Outcome]):
    """An item that waits: to be called to work on a batch, itself the first of it, or for its end.

    `outcome` is empty if there is none, since others did not have it with theirs.
    """

    def __init__(self, item: Item) -> None:
        self.item = item
        self.called: Future[list[_Place[Item, Outcome]]] = get_running_loop().create_future()
        self.outcome: list[Outcome] = []


class Gathering(Generic[Item, Outcome]):
    """Groups of items, of each of which one batch at most is worked on at a time.

    It is for one event loop, whose callers come with items of one kind for a group, and with
    work that has the same effect whoever of them does it.
    """

    def __init__(self, most: int, is_everyones: Callable[[Exception], bool]) -> None:
        """`most` items make a batch; `is_everyones` tells errors that are no single item's."""
        self._most, self._is_everyones = most, is_everyones
        # Those who wait, by the groups that are worked on.
        self._waiting: dict[Hashable, list[_Place[Item, Outcome]]] = {}

    async def act(self, group: Hashable, item: Item, work: Work[Item, Outcome]) -> Outcome:
        """Return the outcome of an item, which goes with others of its group if some wait.

        Work on several that fails by one of them is done again for each alone, so it must be such
        that what was done once may be done twice. Raises what `work` raises for the item alone, or
        for all that it went with if that is none of theirs.
        """
        place = _Place[Item, Outcome](item)
        if group in self._waiting:
            self._waiting[group].append(place)
            batch = await self._call_of(group, place)
        else:
            self._waiting[group] = []
            batch = [place]
        if batch:
            await self._do(group, batch, work)
        return place.outcome[0] if place.outcome else (await work([item]))[0]

    async def _call_of(
        self, group: Hashable, place: _Place[Item, Outcome]
    ) -> list[_Place[Item, Outcome]]:
        """Wait until called, and return the batch to work on; none if another has done the work."""
        try:
            return await place.called
        except CancelledError:
            # One that was called and goes away leaves the work to another.
            if not place.called.cancelled() and (batch := place.called.result()):
                self._call_next(group, batch[1:])
            raise

    async def _do(
        self, group: Hashable, batch: list[_Place[Item, Outcome]], work: Work[Item, Outcome]
    ) -> None:
        """Work on a batch, tell those who wait for it, and call the next."""
        try:
            for each, outcome in zip(batch, await work([each.item for each in batch]), strict=True):
                each.outcome.append(outcome)
        except Exception as error:
            if self._is_everyones(error):
                for each in batch[1:]:
                    if not each.called.done():
                        each.called.set_exception(error)
            elif len(batch) > 1:
                return
            raise
        finally:
            for each in batch[1:]:
                if not each.called.done():
                    each.called.set_result([])
            self._call_next(group, [])

    def _call_next(self, group: Hashable, first: list[_Place[Item, Outcome]]) -> None:
        """Call one of those who wait to work on as many as may go together; `first` before all.

        Those who went away are passed over.
        """
        waiting = [each for each in (*first, *self._waiting[group]) if not each.called.done()]
        batch, self._waiting[group] = waiting[: self._most], waiting[self._most :]
        if batch:
            batch[0].called.set_result(batch)
        else:
            del self._waiting[group]
