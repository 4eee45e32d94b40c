"""The context of the routes: its database role, and the limit on those who wait."""

import httpx

from api.context import ConcurrencyLimit, Reader, StreamPlaces
from orchestrator.core.limits import Limits
from orchestrator.core.sources import source_of_host
from orchestrator.storage.database import API
from tests.support.api_service import ApiService, event, open_surface, report, row_count


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


def test_the_database_is_asked_as_the_caller_alone(
    service: ApiService, owner: httpx.Client
) -> None:
    """The API's role sees no tenant row unless a transaction names whose it is."""
    surface = open_surface(owner, "rows")
    report(owner, surface, "rows", event("rows"))
    tenant = ("leads", "lead_identities", "private_payloads", "requests", "results", "api_keys")
    with service.admin() as admin:
        filled = {name: row_count(admin, name) for name in tenant}
        assert all(filled.values()), filled
        admin.execute(f"SET ROLE {API}")
        assert {name: row_count(admin, name) for name in tenant} == dict.fromkeys(tenant, 0)
        admin.execute("RESET ROLE")
