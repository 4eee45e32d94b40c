"""Gathering: what comes at one time is done together, alone if that fails, and nothing is left."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.gathering import Gathering


class Bench:
    """A gathering whose work waits until it is let go, and notes what it was given."""

    def __init__(self, most: int = 8, refused: frozenset[int] = frozenset()) -> None:
        self.gathering = Gathering[int, str](most, lambda error: isinstance(error, OSError))
        self.is_away = False
        self.refused = refused
        self.works: list[list[int]] = []
        self.under_way: list[asyncio.Event] = []
        self._tasks: list[asyncio.Task[str]] = []

    async def work(self, items: Sequence[int]) -> list[str]:
        self.works.append(list(items))
        go = asyncio.Event()
        self.under_way.append(go)
        await go.wait()
        if self.is_away:
            raise OSError("away")
        if refused := self.refused.intersection(items):
            raise ValueError(f"refused {sorted(refused)}")
        return [f"done {item}" for item in items]

    async def come(self, *items: int, group: str = "one") -> list[asyncio.Task[str]]:
        """Have items come, and return once none of them can go on by itself."""
        tasks = [asyncio.create_task(self.gathering.act(group, item, self.work)) for item in items]
        self._tasks += tasks
        await quiet()
        return tasks

    async def let_go(self, number: int = 0) -> None:
        """Have the work of this number, of those under way, end."""
        self.under_way.pop(number).set()
        await quiet()

    async def finish(self) -> list[str | BaseException]:
        """Let all go that comes; return what became of every item."""
        while self.under_way:
            await self.let_go()
        return await asyncio.gather(*self._tasks, return_exceptions=True)


async def quiet() -> None:
    """Let every task run until it waits: none here takes as many turns as this."""
    for _ in range(20):
        await asyncio.sleep(0)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def test_one_alone_waits_for_none() -> None:
    async def test() -> None:
        bench = Bench()
        await bench.come(1)
        assert bench.works == [[1]]
        assert await bench.finish() == ["done 1"]

    run(test)


def test_what_comes_meanwhile_goes_together_in_its_order() -> None:
    async def test() -> None:
        bench = Bench(most=3)
        await bench.come(1)
        await bench.come(2, 3, 4, 5, 6)
        assert bench.works == [[1]]
        await bench.let_go()
        assert bench.works == [[1], [2, 3, 4]]
        await bench.come(7)
        await bench.let_go()
        assert bench.works[2:] == [[5, 6, 7]]
        assert await bench.finish() == [f"done {n}" for n in range(1, 8)]

    run(test)


def test_groups_do_not_wait_for_one_another() -> None:
    async def test() -> None:
        bench = Bench()
        await bench.come(1)
        await bench.come(2, group="another")
        assert bench.works == [[1], [2]]
        await bench.let_go(1)
        await bench.come(3, group="another")
        assert bench.works == [[1], [2], [3]]
        assert await bench.finish() == ["done 1", "done 2", "done 3"]

    run(test)


def test_what_cannot_be_done_together_is_done_alone() -> None:
    async def test() -> None:
        bench = Bench(refused=frozenset({3}))
        await bench.come(1)
        await bench.come(2, 3, 4)
        await bench.let_go()
        await bench.let_go()
        assert sorted(bench.works[1:]) == [[2], [2, 3, 4], [3], [4]]
        first, second, third, fourth = await bench.finish()
        assert (first, second, fourth) == ("done 1", "done 2", "done 4")
        assert str(third) == "refused [3]"

    run(test)


def test_what_is_no_single_ones_fault_is_everyones_at_once() -> None:
    async def test() -> None:
        bench = Bench()
        await bench.come(1)
        _, third, _ = await bench.come(2, 3, 4)
        await bench.let_go()
        bench.is_away = True
        third.cancel()
        await quiet()
        await bench.let_go()
        first, second, _, fourth = await bench.finish()
        assert bench.works == [[1], [2, 3, 4]]
        assert (first, str(second), str(fourth)) == ("done 1", "away", "away")
        bench.is_away = False
        await bench.come(5)
        assert (await bench.finish())[4] == "done 5"

    run(test)


def test_one_alone_that_fails_is_not_tried_again() -> None:
    async def test() -> None:
        bench = Bench(refused=frozenset({1}))
        await bench.come(1)
        (answer,) = await bench.finish()
        assert isinstance(answer, ValueError)
        assert bench.works == [[1]]
        await bench.come(2)
        assert (await bench.finish())[1] == "done 2"

    run(test)


def test_who_waits_and_goes_away_holds_no_one_up() -> None:
    async def test() -> None:
        bench = Bench()
        await bench.come(1)
        second, _ = await bench.come(2, 3)
        second.cancel()
        await bench.let_go()
        assert bench.works == [[1], [3]]
        answers = await bench.finish()
        assert (answers[0], answers[2]) == ("done 1", "done 3")
        assert isinstance(answers[1], asyncio.CancelledError)

    run(test)


def test_who_goes_away_once_it_is_called_hands_the_work_on() -> None:
    async def test() -> None:
        bench = Bench()
        await bench.come(1)
        second, *_ = await bench.come(2, 3, 4)

        # Called in the turn in which the first ends, and cancelled before its own.
        bench.under_way.pop().set()
        while not second.cancelling():
            await asyncio.sleep(0)
            if bench.gathering._waiting["one"] == []:  # the moment after the call
                second.cancel()
        await quiet()
        assert bench.works == [[1], [3, 4]]
        answers = await bench.finish()
        assert (answers[0], answers[2], answers[3]) == ("done 1", "done 3", "done 4")

    run(test)


def test_who_goes_away_while_it_works_leaves_the_others_to_themselves() -> None:
    async def test() -> None:
        bench = Bench()
        await bench.come(1)
        second, *_ = await bench.come(2, 3, 4)
        await bench.let_go()
        second.cancel()
        await quiet()
        assert bench.works == [[1], [2, 3, 4], [3], [4]]
        bench.under_way.pop(0)
        answers = await bench.finish()
        assert (answers[2], answers[3]) == ("done 3", "done 4")

    run(test)


def test_who_goes_away_while_another_works_for_it_is_passed_over() -> None:
    async def test() -> None:
        bench = Bench()
        await bench.come(1)
        _, third, _ = await bench.come(2, 3, 4)
        await bench.let_go()
        third.cancel()
        await quiet()
        answers = await bench.finish()
        assert bench.works == [[1], [2, 3, 4]]
        assert (answers[1], answers[3]) == ("done 2", "done 4")

    run(test)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("come"), st.integers(0, 1), st.integers(1, 5)),
        st.tuples(st.just("go"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("cancel"), st.integers(0, 30), st.just(0)),
    ),
    max_size=25,
)


@given(steps=STEPS, most=st.integers(1, 4), refused=st.frozensets(st.integers(0, 40)))
def test_each_has_its_own_outcome_and_nothing_is_kept(
    steps: list[tuple[str, int, int]], most: int, refused: frozenset[int]
) -> None:
    async def test() -> None:
        bench, came = Bench(most, refused), list[asyncio.Task[str]]()
        for step, number, many in steps:
            if step == "come":
                items = range(len(came), len(came) + many)
                came += await bench.come(*items, group=f"group {number}")
            elif step == "go" and bench.under_way:
                await bench.let_go(number % len(bench.under_way))
            elif step == "cancel" and came:
                came[number % len(came)].cancel()
                await quiet()
        for item, answer in enumerate(await bench.finish()):
            if isinstance(answer, asyncio.CancelledError):
                continue
            if item in refused:
                assert str(answer) == f"refused [{item}]"
            else:
                assert answer == f"done {item}"
        assert max(map(len, bench.works), default=0) <= most
        assert not bench.gathering._waiting  # what would grow

    run(test)


def test_outcomes_are_as_many_as_items() -> None:
    async def work(_: Sequence[int]) -> list[str]:
        return []

    with pytest.raises(ValueError, match="zip"):
        asyncio.run(Gathering[int, str](2, lambda _: False).act("one", 1, work))
