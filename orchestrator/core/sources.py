"""Sources: the networks by which callers without a key are known, and the places that each holds.

A caller with one address of IPv6 usually has all of its /64, and for little money a /48, which is
65,536 of these. So both are counted: a wide network holds no more than a few networks do.
"""

from collections import Counter
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple

from orchestrator.core.limits import SHARE

NETWORK_BITS, WIDE_BITS = 64, 48


class Source(NamedTuple):
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


def source_of_host(host: str) -> Source:
    """Return the source that a host is: an IPv4 address, or the /64 of one of IPv6 and its /48."""
    address = address_of(host)
    if isinstance(address, IPv6Address):
        networks = (
            IPv6Network((address, bits), strict=False) for bits in (NETWORK_BITS, WIDE_BITS)
        )
        return Source(*map(str, networks))
    return Source(host if address is None else str(address))


class SourcePlaces:
    """The places that each source holds, and each wide network: as many as so many sources."""

    def __init__(self, most: int, wide_sources: int) -> None:
        self._most = most
        self._wide_sources = wide_sources
        self._held: Counter[str] = Counter()

    def full(self, source: Source, free: int | None = None) -> str | None:
        """Return the network of a source that may hold no more places now, or None.

        Where so many are free for all, neither holds more than its share of these: however many
        take all that they can, the next one finds some.
        """
        share = self._most * self._wide_sources if free is None else max(1, free // SHARE)
        if self._held[source.network] >= min(self._most, share):
            return source.network
        if source.wide and self._held[source.wide] >= min(self._most * self._wide_sources, share):
            return source.wide
        return None

    def take(self, source: Source) -> None:
        """Give a source one more place."""
        self._held.update(network for network in source if network)

    def leave(self, source: Source) -> None:
        """Take a place back from a source."""
        self._held.subtract(network for network in source if network)
        for network in source:
            if network and not self._held[network]:
                del self._held[network]
