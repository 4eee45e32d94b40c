"""URLs of webhooks: what an account may name, and where we connect to."""

from ipaddress import ip_address, ip_network

import pytest

from orchestrator.core.account.outward_url import OutwardUrl, is_open, read_outward_url
from orchestrator.core.common.errors import InputError

CLOSED = [
    # This host, private, shared, link-local with the metadata of clouds, and loopback.
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.9.9.9"),  # noqa: S104
    *("169.254.0.1", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255"),
    *("192.168.0.1", "192.0.0.192", "168.63.129.16"),
    # Documentation, benchmarks, relays, multicast, reserved, broadcast.
    *("192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "198.19.255.255", "192.88.99.1"),
    *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    # Of IPv6: unspecified, loopback, unique local with metadata, link-local, multicast.
    *("::", "::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1"),
    # Addresses of IPv4 in other clothes: mapped, compatible, translated, 6to4, Teredo.
    *("::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1"),
    *("2002:7f00:1::", "2002:a9fe:a9fe::", "2001:0:5ef5:79fb::1", "2001:db8::1", "3fff::1"),
    *("100::1", "5f00::1", "2001:20::1", "4000::1"),
]
OPEN = [
    "8.8.8.8",
    "1.1.1.1",
    "172.32.0.1",
    "100.128.0.1",
    "192.0.3.1",
    "2606:4700::1111",
    "2a00::1",
]


@pytest.mark.parametrize("address", CLOSED)
def test_addresses_that_are_not_of_the_public_internet_are_closed(address: str) -> None:
    assert not is_open(ip_address(address))
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(InputError) as refused:
        read_outward_url(f"https://{host}/hook")
    assert refused.value.code in {"url-closed", "url-malformed"}


@pytest.mark.parametrize("address", OPEN)
def test_others_are_open(address: str) -> None:
    assert is_open(ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "https:///path",
        "https://",
        "//example.com/",
        "https://user@example.com/",
        "https://user:word@example.com/",
        "https://example.com@10.0.0.1/",
        "https://example.com/#part",
        "https://example.com:0/",
        "https://example.com:65536/",
        "https://example.com:port/",
        "https://exa mple.com/",
        "https://example.com/\n",
        "https://example.com\\@10.0.0.1/",
        "https://exämple.com/",
        "https://a..b/",
        "https://%31%32%37.0.0.1/",
        f"https://{'a' * 64}.com/",
        "https://[::1/",
        "https://[example.com]/",
        "https://example.com/" + "a" * 1_024,
    ],
)
def test_what_is_no_plain_https_url_is_refused(url: str) -> None:
    with pytest.raises(InputError) as refused:
        read_outward_url(url)
    assert refused.value.code == "url-malformed"


def test_the_parts_of_a_url() -> None:
    assert read_outward_url("https://Example.com/a?b=c") == OutwardUrl(
        "https", "example.com", 443, "/a?b=c"
    )
    assert read_outward_url("https://example.com:8443").authority == "example.com:8443"
    assert read_outward_url("https://example.com").authority == "example.com"
    assert read_outward_url("https://[2606:4700::1111]:1/").authority == "[2606:4700::1111]:1"
    # Other forms of numbers are names to us; what they resolve to is judged like any other.
    for odd in ("2130706433", "0x7f.1", "127.1", "0177.0.0.1"):
        assert read_outward_url(f"https://{odd}/").host == odd


def test_networks_that_a_deployment_opens() -> None:
    networks = (ip_network("127.0.0.0/8"), ip_network("fd00::/8"))
    assert is_open(ip_address("127.0.0.1"), networks)
    assert is_open(ip_address("fd00::1"), networks)
    assert not is_open(ip_address("10.0.0.1"), networks)
    assert not is_open(ip_address("::ffff:127.0.0.1"), networks)
    assert read_outward_url("http://127.0.0.1:80/", networks).authority == "127.0.0.1"
    with pytest.raises(InputError):
        read_outward_url("http://127.0.0.1/")
