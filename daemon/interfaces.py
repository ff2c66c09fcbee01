"""This host's network interfaces and IPv4 addresses, and which of them a cluster's link should take.

Asked of the kernel by ioctl and /proc (netdevice(7), route tables in proc_net): no library, no privilege.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

from datapath.host.links import readable

ROUTES = Path("/proc/net/route")

_SIOCGIFCONF, _SIOCGIFFLAGS, _SIOCGIFNETMASK = 0x8912, 0x8913, 0x891B  # linux/sockios.h
_IFF_UP, _IFF_LOOPBACK, _IFF_MULTICAST = 0x1, 0x8, 0x1000  # linux/if.h
_IFREQ_BYTES = 40
_IFREQ_ADDRESS = slice(20, 24)  # of a sockaddr_in in struct ifreq
_ADDRESSES_MAX = 1024
_RTF_UP = 0x1


@dataclass(frozen=True, slots=True)
class Interface:
    name: str
    addresses: tuple[IPv4Interface, ...]
    up: bool = True
    multicast: bool = True
    loopback: bool = False

    @property
    def is_candidate(self) -> bool:
        """Whether a link may be put there without being told so."""
        return self.up and not self.loopback and any(not a.ip.is_link_local for a in self.addresses)

    def on(self, network: IPv4Network) -> bool:
        return any(address.ip in network for address in self.addresses)

    def __str__(self) -> str:
        told = ", ".join(str(address) for address in self.addresses)
        return f"{readable(self.name)} ({told or 'no IPv4 address'}{'' if self.up else ', down'})"


@dataclass(frozen=True, slots=True)
class Choice:
    interface: Interface
    why: str


class NoInterfaceError(Exception):
    """No interface can be taken without being told; the text lists what there is."""


def of_this_host() -> list[Interface]:
    """Every interface of this network namespace, in the kernel's order."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        addresses = _addresses(channel)
        return [_interface(channel, name, addresses.get(name, ())) for _, name in socket.if_nameindex()]


def default_route() -> str | None:
    """The interface of the IPv4 default route with the lowest metric."""
    with contextlib.suppress(OSError):
        return default_route_in(os.fsdecode(ROUTES.read_bytes()))
    return None


def default_route_in(table: str) -> str | None:
    """The same, of the text of /proc/net/route: Iface Destination Gateway Flags RefCnt Use Metric Mask …, in hex."""
    found: list[tuple[int, str]] = []
    # not splitlines() and split(): a name may have what only Unicode takes for the end of a line, or for white space
    for line in table.split("\n")[1:]:
        fields = line.split("\t")
        if len(fields) >= 8 and int(fields[1], 16) == 0 == int(fields[7], 16) and int(fields[3], 16) & _RTF_UP:
            found.append((int(fields[6]), fields[0]))
    return min(found)[1] if found else None


def choose(interfaces: Sequence[Interface], routed: str | None, near: IPv4Address | None = None) -> Choice:
    """Where a link goes that nobody has named: to the network of `near` (another node's address on it), else to the
    interface of the default route, else to the only one with an address.  Raises NoInterfaceError.
    """
    candidates = [interface for interface in interfaces if interface.is_candidate]
    if near is not None:
        for interface in candidates:
            for address in interface.addresses:
                if near in address.network:
                    return Choice(interface, f"it is on the network of {near}")
    for interface in candidates:
        if near is None and interface.name == routed:
            return Choice(interface, "it has the default route")
    if near is None and len(candidates) == 1:
        return Choice(candidates[0], "no other has an address")
    wanted = (
        f"no interface of this host is on the network of {near}" if near else "which interface is for the cluster?"
    )
    told = "; ".join(str(interface) for interface in interfaces if not interface.loopback) or "none"
    raise NoInterfaceError(f"{wanted} Name one with --link; there are: {told}")


def find(interfaces: Sequence[Interface], name: str) -> Interface:
    """The interface of this name.  Raises NoInterfaceError, which lists what there is."""
    for interface in interfaces:
        if interface.name == name:
            return interface
    told = ", ".join(readable(interface.name) for interface in interfaces if not interface.loopback) or "none"
    raise NoInterfaceError(f"there is no interface '{name}' on this host; there are: {told}")


def _interface(channel: socket.socket, name: str, addresses: Sequence[IPv4Interface]) -> Interface:
    flags = 0
    with contextlib.suppress(OSError):  # it may just have gone
        answer = fcntl.ioctl(channel, _SIOCGIFFLAGS, struct.pack("16s24x", os.fsencode(name)))
        (flags,) = struct.unpack_from("H", answer, 16)
    return Interface(
        name=name,
        addresses=tuple(addresses),
        up=bool(flags & _IFF_UP),
        multicast=bool(flags & _IFF_MULTICAST),
        loopback=bool(flags & _IFF_LOOPBACK),
    )


def _addresses(channel: socket.socket) -> dict[str, list[IPv4Interface]]:
    """Interface → its IPv4 addresses, the first one first."""
    room = array.array("B", bytes(_IFREQ_BYTES * _ADDRESSES_MAX))
    request = struct.pack("iP", len(room), room.buffer_info()[0])
    (filled, _) = struct.unpack("iP", fcntl.ioctl(channel, _SIOCGIFCONF, request))
    found: dict[str, list[IPv4Interface]] = {}
    for record in _records(room.tobytes()[:filled]):
        label = record[:16].split(b"\0", 1)[0]
        address = IPv4Address(record[_IFREQ_ADDRESS])
        netmask = IPv4Address("255.255.255.255")
        with contextlib.suppress(OSError):
            netmask = IPv4Address(fcntl.ioctl(channel, _SIOCGIFNETMASK, record)[_IFREQ_ADDRESS])
        name = os.fsdecode(label).split(":", 1)[0]  # eth0:1 is a label of an address of eth0
        found.setdefault(name, []).append(IPv4Interface(f"{address}/{netmask}"))
    return found


def _records(filled: bytes) -> Iterator[bytes]:
    for start in range(0, len(filled) - _IFREQ_BYTES + 1, _IFREQ_BYTES):
        yield filled[start : start + _IFREQ_BYTES]
