"""Plain addresses on interfaces, by rtnetlink(7): with their prefix, broadcast address and label."""

from __future__ import annotations

import errno
import socket
from struct import Struct

from agents.ipaddr2_parameters import FOREVER_S, Parameters, broadcast_of
from agents.placement import Placement
from datapath.host.links import Assigned, Links, index_of
from datapath.netlink import HOST_U32, NLM_F_CREATE, NLM_F_EXCL, OCTETS, TEXT, Fields, KernelError, Message, Socket

_NETLINK_ROUTE = 0
_RTM_NEWADDR = 20
_RTM_DELADDR = 21
_IFA_F_NODAD = 0x02
_IFA_F_NOPREFIXROUTE = 0x200
_SCOPE_UNIVERSE = 0

_ifaddrmsg = Struct("=BBBBI")
_ifa_cacheinfo = Struct("=IIII")  # preferred, valid, created, updated
_ADDRESS = Fields(
    address=(1, OCTETS),
    local=(2, OCTETS),
    label=(3, TEXT),
    broadcast=(4, OCTETS),
    cacheinfo=(6, OCTETS),
    flags=(8, HOST_U32),
)


class PlainLinks:
    """The door to rtnetlink for plain addresses; close it after use."""

    def __init__(self) -> None:
        self._links = Links()
        self._netlink = Socket(_NETLINK_ROUTE)

    def close(self) -> None:
        self._links.close()
        self._netlink.close()

    def assigned(self) -> list[Assigned]:
        """Every address of every interface.  Raises DatapathError."""
        return self._links.assigned()

    def add(self, wanted: Parameters, where: Placement) -> None:
        """Put the address on the interface; one that is there already is no error.  Raises DatapathError."""
        ip = wanted.ip
        members: dict[str, object] = {"local": ip.packed, "address": ip.packed}
        if (broadcast := broadcast_of(wanted, where.prefixlen)) is not None:
            members["broadcast"] = broadcast.packed
            members["label"] = f"{where.interface}:{wanted.iflabel}" if wanted.iflabel else where.interface
        if wanted.preferred_lft != FOREVER_S:
            members["cacheinfo"] = _ifa_cacheinfo.pack(wanted.preferred_lft, FOREVER_S, 0, 0)
        members["flags"] = (_IFA_F_NODAD if wanted.nodad and ip.version == 6 else 0) | (
            _IFA_F_NOPREFIXROUTE if wanted.noprefixroute else 0
        )
        body = _head(ip.version, where.prefixlen, where.interface) + _ADDRESS.pack(members)
        what = f"put {ip}/{where.prefixlen} on {where.interface}"
        self._request(Message(_RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, body, what), {errno.EEXIST})

    def remove(self, one: Assigned) -> None:
        """Take exactly this address off; one that is gone is no error.  Raises DatapathError."""
        members = {"local": one.ip.packed, "address": one.ip.packed}
        body = _head(one.ip.version, one.prefixlen, one.interface) + _ADDRESS.pack(members)
        what = f"take {one.ip}/{one.prefixlen} off {one.interface}"
        self._request(Message(_RTM_DELADDR, 0, body, what), {errno.EADDRNOTAVAIL, errno.ENODEV})

    def _request(self, message: Message, harmless: set[int]) -> None:
        try:
            self._netlink.request(message)
        except KernelError as refusal:
            if refusal.errno not in harmless:
                raise


def _head(version: int, prefixlen: int, interface: str) -> bytes:
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    return _ifaddrmsg.pack(family, prefixlen, 0, _SCOPE_UNIVERSE, index_of(interface))
