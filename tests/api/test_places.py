"""Places: who may hold how many, in one process and in several that count together."""

from multiprocessing import get_context

from api.places import (
    CELLS,
    ConcurrencyLimit,
    Holders,
    Reader,
    SharedCounts,
    SourcePlaces,
    StreamPlaces,
)
from orchestrator.core.account.sources import NetworkSource, source_of_host
from orchestrator.core.common.limits import MOST, Limits


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


def taken(places: SourcePlaces, source: NetworkSource, free: int | None = None) -> int:
    count = 0
    while places.take(source, free) is None:
        count += 1
    return count


def test_a_wide_network_holds_what_a_few_sources_do() -> None:
    places = SourcePlaces(20, wide_sources=4)
    near = [source_of_host(f"2001:db8:1:{n:x}::1") for n in range(100)]
    assert [taken(places, one) for one in near] == [20] * 4 + [0] * 96
    assert places.take(near[0]) == near[0].network
    assert places.take(near[50]) == near[0].wide
    assert taken(places, source_of_host("2001:db8:2::1")) == 20
    assert taken(places, source_of_host("192.0.2.9")) == 20
    places.leave(near[0])
    assert taken(places, near[50]) == 1


def test_of_what_is_free_none_has_more_than_its_share() -> None:
    places = SourcePlaces(20, wide_sources=4)
    assert taken(places, NetworkSource("one"), free=12) == 3
    assert taken(places, NetworkSource("two"), free=1) == 1


def test_streams_of_many_networks_leave_places_to_those_who_show_a_key() -> None:
    """A /48 has 65,536 networks of the size that is counted, and an address costs little, too."""
    places, hosts = StreamPlaces(Limits()), [f"2001:db8:{n % 50:x}:{n:x}::1" for n in range(1_000)]
    flood = [
        Reader(source_of_host(host)) for host in [*hosts, *(f"192.0.2.{n}" for n in range(99))]
    ]
    held = [each for each in flood for _ in range(30) if places.take(each) == "taken"]
    assert len(held) == 300
    assert places.take(Reader(source_of_host("198.51.100.7"))) == "full"
    # Nor do those who show one, many accounts from one network or one from many, take them all.
    home = source_of_host("203.0.113.1")
    keyed = [Reader(home, f"wallet {n}") for n in range(99)]
    keyed += [Reader(each.source, "roaming") for each in flood]
    held += [each for each in keyed if places.take(each) == "taken"]
    assert len(held) == 340
    own = Reader(source_of_host("198.51.100.7"), "another")
    assert [places.take(own) for _ in range(21)] == ["taken"] * 20 + ["reader-full"]
    for each in held:
        places.leave(each)
    assert places.take(flood[0]) == "taken"


def test_however_many_networks_follow_the_next_finds_a_place() -> None:
    places = StreamPlaces(Limits())
    for number in range(15):
        reader = Reader(source_of_host(f"192.0.2.{number}"))
        while places.take(reader) == "taken":
            pass
    assert places.take(Reader(source_of_host("198.51.100.7"))) == "taken"


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


def test_processes_count_streams_and_wide_networks_together() -> None:
    one, other = in_processes(2)
    limits = Limits(streams=40, source_streams=2, wide_sources=2, account_streams=3)
    both = [StreamPlaces(limits, each.holders) for each in (one, other)]
    near = [Reader(source_of_host(f"2001:db8:1:{n:x}::1")) for n in range(3)]
    taken = [places.take(reader) for reader in near for places in both]
    assert taken == ["taken"] * 4 + ["reader-full"] * 2
    assert both[0].take(near[0]) == "reader-full"
    far = [Reader(source_of_host(f"192.0.2.{n}")) for n in range(20)]
    assert [places.take(reader) for reader in far for places in both].count("taken") == 20
    assert [places.take(near[2]) for places in both] == ["full"] * 2
    # With a key there are places, and an account's are counted together too.
    keyed = [Reader(source_of_host(f"198.51.100.{n}"), "wallet") for n in range(2)]
    assert [places.take(reader) for reader in keyed for places in both].count("taken") == 3
    both[0].leave(near[0])
    assert both[1].take(Reader(source_of_host("203.0.113.9"))) == "taken"
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
