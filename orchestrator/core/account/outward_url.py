"""URLs of strangers, of webhooks and of documents: which we take, and which addresses we reach.

A name is resolved when it is sent to, and all of its addresses are judged then. What is refused is
every address that is not one host of the public Internet: our own networks, the metadata services
of clouds, and forms of IPv6 that hide an address of IPv4.
"""

import re
from collections.abc import Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)
from typing import NamedTuple

from orchestrator.core.common.errors import InputError, shown

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_URL_BYTES = 1_024
# Scheme, host, port, path with query; nothing that two readers could take for different hosts.
_URL = re.compile(
    r"(https?)://(\[[0-9A-Fa-f:.%a-z]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?"
    r"((?:[/?][!-\"$-\[\]-~]*)?)"
)
_LABEL = re.compile(r"[a-z0-9_-]{1,63}")
_PORTS = {"https": 443, "http": 80}

# IANA's special-purpose registry, multicast, and a service of a cloud that has a public address.
_CLOSED_IPV4 = tuple(
    map(
        IPv4Network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
            *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24"),
            *("192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24"),
            *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"),
            "168.63.129.16/32",
        ),
    )
)
# Of IPv6 only what is routed at all is open, and of that not what embeds or documents addresses.
_OPEN_IPV6 = IPv6Network("2000::/3")
_CLOSED_IPV6 = tuple(
    map(
        IPv6Network,
        ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"),
    )
)


class OutwardUrl(NamedTuple):
    """A URL in its parts. `host` is a name, or an address without brackets."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def read_outward_url(text: str, networks: Sequence[Network] = ()) -> OutwardUrl:
    """Return the parts of a URL that an account names. Raises InputError.

    `networks` are those that a deployment lets webhooks reach although they are closed; plain http
    is for them alone.
    """
    found = _URL.fullmatch(text) if len(text) <= MAX_URL_BYTES else None
    if found is None:
        raise _refused(
            f"is https:// with a host in ASCII, of at most {MAX_URL_BYTES} characters, without "
            f"user, password or fragment",
            text,
        )
    scheme, host, port, path = found[1], found[2].lower(), int(found[3] or 0), found[4]
    if scheme not in (_PORTS if networks else ("https",)):
        raise _refused("begins with https://", text)
    if not (port or found[3] is None) or port > 65_535:
        raise _refused("has a port from 1 to 65535", text)
    host = _host(host, text)
    address = address_in(host)
    if address is not None and not is_open(address, networks):
        raise InputError(
            "url-closed", f"{address} is not of the public Internet; nothing is sent there"
        )
    rooted = path if path.startswith("/") else f"/{path}"
    return OutwardUrl(scheme, host, port or _PORTS[scheme], rooted)


def address_in(host: str) -> Address | None:
    """Return the address that a host is written as, or None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def is_open(address: Address, networks: Sequence[Network] = ()) -> bool:
    """Return whether webhooks may go to an address."""
    if any(address in network for network in networks):
        return True
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _CLOSED_IPV4)
    return (
        address.scope_id is None
        and address in _OPEN_IPV6
        and not any(address in network for network in _CLOSED_IPV6)
    )


def _host(written: str, text: str) -> str:
    """Return a host without brackets. Raises InputError for what is neither name nor address."""
    host = written.strip("[]")
    labels = host.removesuffix(".").split(".")
    is_name = len(host) <= 253 and all(map(_LABEL.fullmatch, labels))
    if not (address_in(host) if written.startswith("[") else is_name):
        raise _refused("names a host", text)
    return host


def _refused(rule: str, text: str) -> InputError:
    return InputError("url-malformed", f"the URL {rule}, not {shown(text)}")
