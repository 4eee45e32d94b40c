"""Sources: the networks by which callers without a key are known.

A caller with one address of IPv6 usually has all of its /64, and for little money a /48, which is
65,536 of these. So both are counted: a wide network holds no more than a few networks do.
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple

NETWORK_BITS, WIDE_BITS = 64, 48


class NetworkSource(NamedTuple):
    """The network that a caller comes from, and for IPv6 the wide network that it is part of."""

    network: str
    wide: str | None = None


def address_of(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a host is, or None if it is none."""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    # One host is one source, by whichever of its two forms it comes.
    return getattr(address, "ipv4_mapped", None) or address


def source_of_host(host: str) -> NetworkSource:
    """Return the source that a host is: an IPv4 address, or the /64 of one of IPv6 and its /48."""
    address = address_of(host)
    if isinstance(address, IPv6Address):
        networks = (
            IPv6Network((address, bits), strict=False) for bits in (NETWORK_BITS, WIDE_BITS)
        )
        return NetworkSource(*map(str, networks))
    return NetworkSource(host if address is None else str(address))
