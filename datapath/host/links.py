"""Addresses and link-layer filters of interfaces, by rtnetlink(7) and one ioctl of netdevice(7)."""

from __future__ import annotations

import errno
import fcntl
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
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

_ifaddrmsg = Struct("=BBBBI")
_ndmsg = Struct("=BxxxiHBB")
_ifreq = Struct("=16sH6s16x")
_ADDRESS = Fields(address=(1, OCTETS), local=(2, OCTETS), label=(3, TEXT), flags=(8, HOST_U32))
_NEIGHBOUR = Fields(lladdr=(2, OCTETS))

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
        known = ", ".join(name for _, name in socket.if_nameindex())
        raise DatapathError(f"there is no interface {interface!r} on this host; it has {known}") from None


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
        found = []
        for body in self._netlink.dump(request):
            family, prefixlen, _, _, index = _ifaddrmsg.unpack_from(body)
            members = _ADDRESS.unpack(body[_ifaddrmsg.size :])
            packed = members.get("local", members.get("address"))
            if family not in _FAMILY.values() or packed is None:
                continue
            found.append(Assigned(ip_address(packed), prefixlen, names.get(index, "?"), members.get("label", "")))
        return found

    def assign(self, ip: IPv4Address | IPv6Address, interface: str) -> None:
        """Put the address on an interface with its full length and host scope: it is never picked as a source.

        A shorter prefix on the loopback would make the whole subnet local.
        """
        members = {"local": ip.packed, "address": ip.packed}
        if ip.version == 4:
            members["label"] = f"{interface}:{LABEL}"  # type: ignore[assignment]
        flags = _IFA_F_NODAD if ip.version == 6 else 0
        body = self._address(ip, ip.max_prefixlen, interface, _SCOPE_HOST, members | {"flags": flags})
        self._add(_RTM_NEWADDR, body, f"put {ip}/{ip.max_prefixlen} on {interface}")

    def withdraw(self, ip: IPv4Address | IPv6Address, interface: str) -> None:
        """Take the address off; one that is gone already, with or without its interface, is no error."""
        try:
            body = self._address(ip, ip.max_prefixlen, interface, 0, {"local": ip.packed, "address": ip.packed})
        except DatapathError:
            return
        self._remove(_RTM_DELADDR, body, f"take {ip}/{ip.max_prefixlen} off {interface}")

    def join_group(self, group: IPv4Address, interface: str) -> None:
        """Be a member of a multicast group for as long as the interface has it as an auto-joining address.

        Unlike IP_ADD_MEMBERSHIP it needs no open socket: a restart of the daemon sends no IGMP leave.
        """
        members = {"local": group.packed, "address": group.packed, "flags": _IFA_F_MCAUTOJOIN}
        body = self._address(group, 32, interface, _SCOPE_UNIVERSE, members)
        self._add(_RTM_NEWADDR, body, f"join the group {group} on {interface}")

    def leave_group(self, group: IPv4Address, interface: str) -> None:
        try:
            body = self._address(group, 32, interface, 0, {"local": group.packed, "address": group.packed})
        except DatapathError:
            return
        self._remove(_RTM_DELADDR, body, f"leave the group {group} on {interface}")

    def admit_group_mac(self, mac: str, interface: str) -> bool:
        """Let frames to a group MAC through the interface's filter, as `ip maddress add` does; False: they were.

        It stays until it is taken back: a membership of a packet socket would end with the daemon's process, and an
        interface that filters would be deaf during each restart (0 of 100 frames arrived in the measurement).
        """
        if _is_admitted(mac, interface):
            return False  # the kernel would say yes again (net/core/dev_addr_lists.c, dev_mc_add_global)
        return self._filter(_SIOCADDMULTI, mac, interface, errno.EEXIST)

    def dismiss_group_mac(self, mac: str, interface: str) -> bool:
        return self._filter(_SIOCDELMULTI, mac, interface, errno.ENOENT)

    def admit_unicast_mac(self, mac: str, interface: str) -> bool:
        """A second individual MAC, as `bridge fdb add MAC dev IF self` does; it stays too.  False: it was there."""
        return self._add(_RTM_NEWNEIGH, self._forwarding(mac, interface), f"admit {mac} on {interface}")

    def dismiss_unicast_mac(self, mac: str, interface: str) -> None:
        try:
            body = self._forwarding(mac, interface)
        except DatapathError:
            return
        self._remove(_RTM_DELNEIGH, body, f"dismiss {mac} on {interface}")

    def _address(
        self, ip: IPv4Address | IPv6Address, prefixlen: int, interface: str, scope: int, members: dict[str, object]
    ) -> bytes:
        head = _ifaddrmsg.pack(_FAMILY[ip.version], prefixlen, 0, scope, index_of(interface))
        return head + _ADDRESS.pack(members)

    def _forwarding(self, mac: str, interface: str) -> bytes:
        head = _ndmsg.pack(_AF_BRIDGE, index_of(interface), _NUD_PERMANENT, _NTF_SELF, 0)
        return head + _NEIGHBOUR.pack({"lladdr": pack_mac(mac)})

    def _add(self, kind: int, body: bytes, what: str) -> bool:
        """True when it was not there before."""
        try:
            self._netlink.request(Message(kind, NLM_F_CREATE | NLM_F_EXCL, body, what))
        except KernelError as refusal:
            if refusal.errno != errno.EEXIST:
                raise
            return False
        return True

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


def _is_admitted(mac: str, interface: str) -> bool:
    """Whether the interface's filter lets a group MAC in for good, whatever sockets ask (net/core/net-procfs.c)."""
    with open("/proc/self/net/dev_mcast", encoding="ascii", errors="replace") as table:
        for line in table:
            _, name, _, global_use, address = line.split()
            if name == interface and address == mac.replace(":", "") and global_use != "0":
                return True
    return False
