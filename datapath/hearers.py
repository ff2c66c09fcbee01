"""Whether a program of this host could hear datagrams to an address: by the kernel's list of its UDP sockets.

A socket on all addresses may be anybody's, a time client's as well as a name server's.  Not asked about are those of
this process, for the daemon's links take what the other daemons say, and those of protocols that never leave a link.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

_LISTS = (Path("/proc/self/net/udp"), Path("/proc/self/net/udp6"))
_OF_A_LINK = frozenset({68, 546, 5353, 5355})
"""DHCP clients (RFC 2131, 8415), mDNS (RFC 6762), LLMNR (RFC 4795)"""
_LOCAL, _INODE = 1, 9
"""columns (net/ipv4/udp.c, udp4_format_sock)"""


def could_hear(ip: IPv4Address | IPv6Address) -> bool:
    """True also where it cannot be told."""
    own = frozenset(_own_inodes())
    try:
        return any(
            inode not in own and (local == ip or (_is_all(local, ip) and port not in _OF_A_LINK))
            for path in _LISTS
            if path.exists()
            for local, port, inode in parse(path.read_text())
        )
    except (OSError, ValueError, IndexError):
        return True


def parse(text: str) -> Iterator[tuple[IPv4Address | IPv6Address, int, int]]:
    """(local address, local port, inode) of each socket in /proc/net/udp or udp6."""
    for line in text.splitlines()[1:]:
        columns = line.split()
        word, _, port = columns[_LOCAL].partition(":")
        spelled = bytes.fromhex(word)
        # words of the host, each printed as a number
        packed = b"".join(
            int.from_bytes(spelled[at : at + 4], "big").to_bytes(4, sys.byteorder)
            for at in range(0, len(spelled), 4)
        )
        local = ip_address(packed)
        mapped = local.ipv4_mapped if isinstance(local, IPv6Address) else None
        yield mapped or local, int(port, 16), int(columns[_INODE])


def _is_all(local: IPv4Address | IPv6Address, ip: IPv4Address | IPv6Address) -> bool:
    """A socket on [::] hears IPv4 as well, unless it says otherwise, which the list does not show."""
    return local.is_unspecified and local.version in (ip.version, 6)


def _own_inodes() -> Iterator[int]:
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            yield os.stat(f"/proc/self/fd/{name}").st_ino
