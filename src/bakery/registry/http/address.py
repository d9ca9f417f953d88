"""From where an address can be reached. Pure: resolves no names.

One policy (registry.md 1.5 d and 7, rows 5, 7, 8) for addresses in URLs and for the addresses that names resolve to.
"""

from __future__ import annotations

import ipaddress
import re
from enum import Enum
from typing import Final


class Reach(Enum):
    """From where an address can be reached. The order of the checks is in `reach_of`."""

    PUBLIC = "public"
    PRIVATE = "private"  # RFC 1918, RFC 4193, shared address space
    LOOPBACK = "loopback"
    FORBIDDEN = "forbidden"  # link-local (the metadata services of clouds), unspecified, multicast, reserved


EVERYWHERE: Final = frozenset(Reach)
_METADATA: Final = frozenset({"fd00:ec2::254", "100.100.100.200", "192.0.0.192"})  # AWS, Alibaba, Oracle
_PRIVATE: Final = tuple(
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "fec0::/10")
)
_TRANSLATED: Final = ipaddress.ip_network("64:ff9b::/96")


def reach_of(address: str) -> Reach:
    """Return the class of an IP address. IPv4 inside IPv6 (mapped, 6to4, NAT64, Teredo) counts as the IPv4 address."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if found in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if found.teredo:
            inner = found.teredo[1]
        if inner is not None:
            return reach_of(str(inner))
    if str(found) in _METADATA or found.is_link_local or found.is_multicast:
        return Reach.FORBIDDEN
    if found.is_loopback:
        return Reach.LOOPBACK
    if any(found in network for network in _PRIVATE if network.version == found.version):
        return Reach.PRIVATE
    # The rest is public or reserved: 0.0.0.0/8, 240.0.0.0/4, documentation and the like.
    return Reach.PUBLIC if found.is_global else Reach.FORBIDDEN


def is_loopback_name(host: str) -> bool:
    """Return whether this host means this machine without a lookup: localhost and loopback addresses."""
    bare = host.strip("[]")
    if bare == "localhost" or bare.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False


def literal_reach(host: str) -> Reach | None:
    """Return the class of a host that is an IP address or localhost, or None for any other name.

    Numbers that some resolvers read as addresses (`2130706433`, `0x7f.1`, `0177.0.0.1`) are FORBIDDEN: honest servers
    do not use them.
    """
    bare = host.strip("[]").rstrip(".")
    try:
        return reach_of(bare)
    except ValueError:
        pass
    if is_loopback_name(bare):
        return Reach.LOOPBACK
    last = bare.rpartition(".")[2]
    return Reach.FORBIDDEN if last.isdigit() or re.fullmatch(r"0x[0-9a-f]*", last) else None
