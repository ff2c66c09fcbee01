"""Addresses and link-layer filters of interfaces, by rtnetlink(7) and one ioctl of netdevice(7)."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from struct import Struct

from datapath.engine import DatapathError
from datapath.mac import pack_mac
from datapath.netlink import (
    HOST_U32,
    NLM_F_CREATE,
    NLM_F_EXCL,
    OCTETS,
    TEXT,
    Fields,
    KernelError,
    Message,
    Socket,
    attributes,
)

_NETLINK_ROUTE = 0
_RTM_NEWADDR = 20
_RTM_DELADDR = 21
_RTM_GETADDR = 22
_RTM_NEWNEIGH = 28
_RTM_DELNEIGH = 29
_SIOCADDMULTI = 0x8931
_SIOCDELMULTI = 0x8932
_AF_BRIDGE = 7
_NTF_SELF = 0x02
_NUD_PERMANENT = 0x80
_IFA_F_NODAD = 0x02
_IFA_F_MCAUTOJOIN = 0x400
_SCOPE_UNIVERSE = 0
_SCOPE_HOST = 254
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
_ADDRESS_OF: dict[int, type[IPv4Address] | type[IPv6Address]] = {
    socket.AF_INET: IPv4Address,
    socket.AF_INET6: IPv6Address,
}
_IFA_ADDRESS, _IFA_LOCAL, _IFA_LABEL = 1, 2, 3
_NEW = NLM_F_CREATE | NLM_F_EXCL

_ifaddrmsg = Struct("=BBBBI")
_ndmsg = Struct("=BxxxiHBB")
_ifreq = Struct("=16sH6s16x")
_ADDRESS = Fields(
    address=(1, OCTETS), local=(2, OCTETS), label=(3, TEXT), cacheinfo=(6, OCTETS), flags=(8, HOST_U32)
)
_DEPRECATED_FOREVER = Struct("=IIII").pack(0, 0xFFFF_FFFF, 0, 0)
"""struct ifa_cacheinfo: preferred for no time, valid for ever"""
_NEIGHBOUR = Fields(lladdr=(2, OCTETS))

Membership = tuple[str, IPv4Address | IPv6Address]
"""interface, multicast group"""

LABEL = "vipcast"
"""An address that we put on an interface is called `<interface>:vipcast` (IPv4), so that it can be told as ours."""


@dataclass(frozen=True, slots=True)
class Assigned:
    """An address as an interface has it."""

    ip: IPv4Address | IPv6Address
    prefixlen: int
    interface: str
    label: str

    @property
    def is_ours(self) -> bool:
        return self.label.endswith(f":{LABEL}")


def index_of(interface: str) -> int:
    """Raises DatapathError, with the interfaces that there are, when there is none of that name."""
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        known = ", ".join(readable(name) for _, name in socket.if_nameindex())
        raise DatapathError(f"there is no interface {interface!r} on this host; it has {known}") from None


def readable(name: str) -> str:
    """An interface's name as text that can be sent and stored: the kernel allows names that are no UTF-8."""
    return os.fsencode(name).decode(errors="backslashreplace")


class Links:
    """The door to rtnetlink, in the network namespace in which it was made."""

    def __init__(self) -> None:
        self._netlink = Socket(_NETLINK_ROUTE)
        self._control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def close(self) -> None:
        self._netlink.close()
        self._control.close()

    def assigned(self) -> list[Assigned]:
        """Every address of every interface."""
        names = dict(socket.if_nameindex())
        request = Message(_RTM_GETADDR, 0, _ifaddrmsg.pack(socket.AF_UNSPEC, 0, 0, 0, 0), "list the addresses")
        read = (_assigned(body, names) for body in self._netlink.dump(request))
        return [assigned for assigned in read if assigned is not None]

    def assign(self, ips: Sequence[IPv4Address | IPv6Address], interface: str) -> None:
        """Put addresses on an interface with their full length and host scope: they are never picked as a source.

        IPv6 knows no such scope; there they are deprecated from the start, so that any other one is preferred
        (RFC 6724, rule 3).

        A shorter prefix on the loopback would make the whole subnet local.
        """
        if ips:
            index = index_of(interface)
            self._add([_assignment(ip, interface, index) for ip in ips])

    def withdraw(self, ip: IPv4Address | IPv6Address, interface: str) -> None:
        """Take the address off; one that is gone already, with or without its interface, is no error."""
        try:
            body = _address(ip, index_of(interface), 0, {"local": ip.packed, "address": ip.packed})
        except DatapathError:
            return
        self._remove(_RTM_DELADDR, body, f"take {ip}/{ip.max_prefixlen} off {interface}")

    def join_groups(self, groups: Sequence[Membership]) -> list[bool]:
        """Be a member of multicast groups for as long as an interface has them as auto-joining addresses.

        False: it was one already.

        Unlike IP_ADD_MEMBERSHIP it needs no open socket: a restart of the daemon sends no IGMP or MLD leave.
        """
        indices = {interface: index_of(interface) for interface in {interface for interface, _ in groups}}
        # an interface that goes down loses its IPv6 addresses, but the kernel's own socket, which joins for them,
        # stays a member (net/ipv6/addrconf.c: addrconf_ifdown leaves no group): then this is what was wanted
        joins = [_joining(group, interface, indices[interface]) for interface, group in groups]
        return self._add(joins, errno.EADDRINUSE)

    def leave_group(self, group: IPv4Address | IPv6Address, interface: str) -> None:
        try:
            body = _address(group, index_of(interface), 0, {"local": group.packed, "address": group.packed})
        except DatapathError:
            return
        self._remove(_RTM_DELADDR, body, f"leave the group {group} on {interface}")

    def admitted(self) -> set[tuple[str, str]]:
        """(interface, group MAC) of what is let in for good, whatever sockets ask (net/core/net-procfs.c)."""
        found = set()
        # bytes: a name may have what is white space to Unicode and not to the kernel (net/core/dev.c, dev_valid_name)
        with open("/proc/self/net/dev_mcast", "rb") as table:
            for line in table:
                _, name, _, global_use, octets = line.split()
                if global_use != b"0":
                    mac = octets.decode("ascii", errors="replace")
                    found.add((os.fsdecode(name), ":".join(mac[at : at + 2] for at in range(0, len(mac), 2))))
        return found

    def admit_group_mac(self, mac: str, interface: str) -> bool:
        """Let frames to a group MAC through the interface's filter, as `ip maddress add` does.

        For what is not among those `admitted`: of those the kernel says yes again (net/core/dev_addr_lists.c,
        dev_mc_add_global).  False: the device has no filter.

        It stays until it is taken back: a membership of a packet socket would end with the daemon's process, and an
        interface that filters would be deaf during each restart (0 of 100 frames arrived in the measurement).
        """
        return self._filter(_SIOCADDMULTI, mac, interface, errno.EEXIST)

    def dismiss_group_mac(self, mac: str, interface: str) -> bool:
        return self._filter(_SIOCDELMULTI, mac, interface, errno.ENOENT)

    def admit_unicast_mac(self, mac: str, interface: str) -> bool:
        """A second individual MAC, as `bridge fdb add MAC dev IF self` does; it stays too.  False: it was there."""
        body = self._forwarding(mac, interface)
        return self._add([Message(_RTM_NEWNEIGH, _NEW, body, f"admit {mac} on {interface}")])[0]

    def dismiss_unicast_mac(self, mac: str, interface: str) -> None:
        try:
            body = self._forwarding(mac, interface)
        except DatapathError:
            return
        self._remove(_RTM_DELNEIGH, body, f"dismiss {mac} on {interface}")

    def _forwarding(self, mac: str, interface: str) -> bytes:
        head = _ndmsg.pack(_AF_BRIDGE, index_of(interface), _NUD_PERMANENT, _NTF_SELF, 0)
        return head + _NEIGHBOUR.pack({"lladdr": pack_mac(mac)})

    def _add(self, requests: Sequence[Message], *done_already: int) -> list[bool]:
        """For each: True when it was not there before.  KernelError for the first that is refused; the others are."""
        refusals = self._netlink.try_each(requests)
        for refusal in refusals:
            if refusal is not None and refusal.errno not in {errno.EEXIST, *done_already}:
                raise refusal
        return [refusal is None for refusal in refusals]

    def _remove(self, kind: int, body: bytes, what: str) -> None:
        try:
            self._netlink.request(Message(kind, 0, body, what))
        except KernelError as refusal:
            if refusal.errno not in {errno.EADDRNOTAVAIL, errno.ENOENT, errno.ENODEV}:
                raise

    def _filter(self, request: int, mac: str, interface: str, done_already: int) -> bool:
        """True when the call changed something."""
        try:
            fcntl.ioctl(self._control, request, _ifreq.pack(interface.encode(), socket.AF_UNSPEC, pack_mac(mac)))
        except OSError as problem:
            if problem.errno in {done_already, errno.EINVAL}:
                return False  # EINVAL: the device has no filter (no ndo_set_rx_mode), every frame passes
            if problem.errno == errno.ENODEV and request == _SIOCDELMULTI:
                return False
            what = "admit" if request == _SIOCADDMULTI else "dismiss"
            raise KernelError(f"{what} {mac} on {interface}", problem.errno or 0, "") from problem
        return True


def _assigned(body: bytes, names: Mapping[int, str]) -> Assigned | None:
    """None for what is no address of IP."""
    *_, index = _ifaddrmsg.unpack_from(body)
    return _read(body, names.get(index, "?"))


@lru_cache(maxsize=8192)
def _read(body: bytes, interface: str) -> Assigned | None:
    """Kept, since the kernel says the same of an address for as long as nothing changes, and hundreds are listed."""
    family, prefixlen, *_ = _ifaddrmsg.unpack_from(body)
    members = dict(attributes(body[_ifaddrmsg.size :]))
    packed = members.get(_IFA_LOCAL, members.get(_IFA_ADDRESS))
    if family not in _ADDRESS_OF or packed is None:
        return None
    return Assigned(_ADDRESS_OF[family](packed), prefixlen, interface, TEXT.unpack(members.get(_IFA_LABEL, b"")))


def _assignment(ip: IPv4Address | IPv6Address, interface: str, index: int) -> Message:
    members: dict[str, object] = {"local": ip.packed, "address": ip.packed}
    if ip.version == 4:
        members["label"] = f"{interface}:{LABEL}"
    else:
        members["cacheinfo"] = _DEPRECATED_FOREVER
    members["flags"] = _IFA_F_NODAD if ip.version == 6 else 0
    body = _address(ip, index, _SCOPE_HOST, members)
    return Message(_RTM_NEWADDR, _NEW, body, f"put {ip}/{ip.max_prefixlen} on {interface}")


def _joining(group: IPv4Address | IPv6Address, interface: str, index: int) -> Message:
    flags = _IFA_F_MCAUTOJOIN | (_IFA_F_NODAD if group.version == 6 else 0)
    body = _address(group, index, _SCOPE_HOST, {"local": group.packed, "address": group.packed, "flags": flags})
    return Message(_RTM_NEWADDR, _NEW, body, f"join the group {group} on {interface}")


def _address(ip: IPv4Address | IPv6Address, index: int, scope: int, members: Mapping[str, object]) -> bytes:
    """Of full length; on the interface of this index."""
    return _ifaddrmsg.pack(_FAMILY[ip.version], ip.max_prefixlen, 0, scope, index) + _ADDRESS.pack(members)
