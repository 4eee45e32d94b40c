"""Places: who may hold how many, in one process and in several that count together."""

from multiprocessing import get_context

from api.places import CELLS, ConcurrencyLimit, Holders, Places, SharedCounts
from orchestrator.core.limits import MOST, Limits


def test_a_concurrency_limit_refuses_at_once_and_takes_again_after_a_release() -> None:
    limit = ConcurrencyLimit(40, of_one=2)
    assert [limit.acquire("a") for _ in range(3)] == [True, True, False]
    assert limit.acquire("b")
    limit.release("a")
    assert [limit.acquire("a"), limit.acquire("a")] == [True, False]
    last = ConcurrencyLimit(1, of_one=1)
    assert [last.acquire("a"), last.acquire("b")] == [True, False]


def test_however_many_take_all_they_can_the_next_finds_places() -> None:
    limit = ConcurrencyLimit(Limits().waiters, Limits().waiters_of_account)
    for number in range(10):
        while limit.acquire(f"wallet {number}"):
            pass
    assert sum(limit.acquire("another") for _ in range(10)) >= 5


def test_places_say_which_of_them_are_short() -> None:
    places = Places(3, 2)
    assert [places.take("a") for _ in range(3)] == ["taken", "taken", "source-full"]
    assert [places.take("b"), places.take("b")] == ["taken", "full"]
    places.leave("a")
    assert places.take("b") == "taken"


def in_processes(count: int) -> list[SharedCounts]:
    """Return the counts of so many processes, as each of them is given them."""
    shared = SharedCounts.begin(get_context("spawn"), count, b"secret")
    return [shared._replace(own=own) for own in range(count)]


def test_processes_count_together_what_one_holds() -> None:
    limits = [ConcurrencyLimit(MOST, 5, each.holders("at-once")) for each in in_processes(3)]
    taken = [limit.acquire("a") for _ in range(4) for limit in limits]
    assert taken == [True] * 5 + [False] * 7
    assert limits[2].acquire("b")
    limits[0].release("a")
    assert [limit.acquire("a") for limit in reversed(limits)] == [True, False, False]


def test_processes_count_together_what_all_hold_and_each_thing_apart() -> None:
    one, other = in_processes(2)
    ours, theirs = (Places(3, 2, each.holders("streams")) for each in (one, other))
    assert [ours.take("a"), theirs.take("a"), ours.take("a")] == ["taken", "taken", "source-full"]
    assert [theirs.take("b"), ours.take("c")] == ["taken", "full"]
    assert other.holders("reading").take("a") == (1, 1)


def test_what_a_process_held_is_free_once_its_row_is_cleared() -> None:
    dead, other = in_processes(2)
    limits = [ConcurrencyLimit(MOST, 2, each.holders("reading")) for each in (dead, other)]
    assert [limit.acquire("a") for limit in (*limits, limits[1])] == [True, True, False]
    dead.clear()
    assert [limits[1].acquire("a"), limits[1].acquire("a")] == [True, False]


def test_of_two_that_take_the_last_place_at_once_none_is_let_in_beyond_it() -> None:
    """Both count themselves before they look: in that order no place is given twice."""
    one, other = (each.holders("waiting") for each in in_processes(2))
    assert (one.take("a"), other.take("a")) == ((1, 1), (2, 2))


def test_holders_meet_rarely_and_not_by_choice() -> None:
    counts = in_processes(1)[0]
    holders = [f"0x{number:040x}" for number in range(CELLS // 64)]
    shared, alone = counts.holders("at-once"), Holders()
    met = sum(shared.take(each)[0] > 1 for each in holders)
    assert met < len(holders) // 16
    assert max(alone.take(each)[0] for each in holders) == 1
    secret = counts._replace(secret=b"another").holders("reading")
    own = counts.holders("streams")
    assert secret._add("a", 1) != own._add("a", 1)  # type: ignore[attr-defined]
