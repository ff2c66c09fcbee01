"""Whose MAC is this?  The kernel's neighbour table knows those that this host talks to, the members among them.

A member's address is probed each second (daemon/cluster/transport.py), so it has an entry on each link.  On an
interface that is no link its MAC is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

_TABLE = Path("/proc/net/arp")
_BYTES_MAX = 1 << 18
"""some 3,000 entries; nobody waits for more"""


def hosts_with(mac: str, table: str) -> Iterator[str]:
    """IP addresses that have this MAC (lower case, colons) in a table such as /proc/net/arp (proc(5))."""
    for line in table.splitlines()[1:]:
        words = line.split()
        if len(words) >= 4 and words[3].lower() == mac:
            yield words[0]


def member_with(mac: str, name_at: Callable[[str], str]) -> str:
    """The node whose own MAC this is, where `name_at` tells the node at an IP address; "": none that is known."""
    try:
        with _TABLE.open(encoding="ascii", errors="replace") as file:
            table = file.read(_BYTES_MAX)
    except OSError:
        return ""
    names = (name_at(host) for host in hosts_with(mac, table))
    return next((name for name in names if name), "")
