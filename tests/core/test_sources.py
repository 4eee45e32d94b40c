"""Sources: who is one, and what a wide network of them may hold."""

import pytest

from orchestrator.core.sources import Source, SourcePlaces, source_of_host


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("192.0.2.9", Source("192.0.2.9")),
        ("::ffff:192.0.2.9", Source("192.0.2.9")),
        ("2001:db8:1:2:3::4", Source("2001:db8:1:2::/64", "2001:db8:1::/48")),
        ("a name", Source("a name")),
    ],
)
def test_who_has_one_address_of_ipv6_has_its_networks(host: str, expected: Source) -> None:
    assert source_of_host(host) == expected


def taken(places: SourcePlaces, source: Source, free: int | None = None) -> int:
    count = 0
    while places.full(source, free) is None:
        places.take(source)
        count += 1
    return count


def test_a_wide_network_holds_what_a_few_sources_do() -> None:
    places = SourcePlaces(20, wide_sources=4)
    near = [source_of_host(f"2001:db8:1:{n:x}::1") for n in range(100)]
    assert [taken(places, one) for one in near] == [20] * 4 + [0] * 96
    assert places.full(near[0]) == near[0].network
    assert places.full(near[50]) == near[0].wide
    assert taken(places, source_of_host("2001:db8:2::1")) == 20
    assert taken(places, source_of_host("192.0.2.9")) == 20
    places.leave(near[0])
    assert taken(places, near[50]) == 1


def test_of_what_is_free_none_has_more_than_its_share() -> None:
    places = SourcePlaces(20, wide_sources=4)
    assert taken(places, Source("one"), free=12) == 3
    assert taken(places, Source("two"), free=1) == 1
