"""Sources: who is one."""

import pytest

from orchestrator.core.account.sources import NetworkSource, source_of_host


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("192.0.2.9", NetworkSource("192.0.2.9")),
        ("::ffff:192.0.2.9", NetworkSource("192.0.2.9")),
        ("2001:db8:1:2:3::4", NetworkSource("2001:db8:1:2::/64", "2001:db8:1::/48")),
        ("a name", NetworkSource("a name")),
    ],
)
def test_who_has_one_address_of_ipv6_has_its_networks(host: str, expected: NetworkSource) -> None:
    assert source_of_host(host) == expected
