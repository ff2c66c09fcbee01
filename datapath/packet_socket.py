"""Packet sockets as vipcast opens them: deaf until told what to hear, and members of shared MACs (packet(7))."""

from __future__ import annotations

import fcntl
import socket
from collections.abc import Iterable
from contextlib import suppress
from struct import Struct

from datapath import bpf_filter
from datapath.engine import DatapathError
from datapath.mac import format_mac, is_group

SOL_PACKET = 263
_ADD_MEMBERSHIP, _DROP_MEMBERSHIP = 1, 2
_MULTICAST, _UNICAST = 0, 3
_membership = Struct("=iHH8s")

SIOCGIFHWADDR = 0x8927
SIOCGIFINDEX = 0x8933
ARPHRD_ETHER = 1
INTERFACE_NAME_MAX = 15
_ifreq_int = Struct("=16si20x")


def open_deaf() -> socket.socket:
    """A non-blocking packet socket that receives nothing before `bind`, and then only what a later filter lets in.

    DatapathError when the process may not have one.
    """
    try:
        # protocol 0: nothing is received before bind, when the filter is already in place
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0)
    except PermissionError as error:
        raise DatapathError("not permitted to open a packet socket: CAP_NET_RAW is needed") from error
    except OSError as error:
        raise DatapathError(f"cannot open a packet socket: {error.strerror or error}") from error
    try:
        bpf_filter.attach(sock, bpf_filter.REFUSE_ALL)
    except DatapathError:
        sock.close()
        raise
    return sock


def interface_index(sock: socket.socket, interface: str) -> int:
    """Its number in the network namespace of `sock`; DatapathError when there is no such interface."""
    if not 0 < len(interface.encode()) <= INTERFACE_NAME_MAX:
        raise DatapathError(f"{interface!r} is not the name of an interface (1 to {INTERFACE_NAME_MAX} bytes)")
    try:
        answer = fcntl.ioctl(sock.fileno(), SIOCGIFINDEX, _ifreq_int.pack(interface.encode(), 0))
    except OSError as error:
        raise DatapathError(f"there is no interface {interface}: {error.strerror or error}") from error
    return int(_ifreq_int.unpack(answer)[1])


def interface_mac(sock: socket.socket, interface: str) -> bytes:
    """The interface's own MAC (SIOCGIFHWADDR, netdevice(7)); DatapathError when it is not an Ethernet device."""
    try:
        answer = fcntl.ioctl(sock.fileno(), SIOCGIFHWADDR, interface.encode()[:INTERFACE_NAME_MAX].ljust(40, b"\0"))
    except OSError as error:
        raise DatapathError(f"cannot read the MAC of {interface}: {error.strerror or error}") from error
    if int.from_bytes(answer[16:18], "little") != ARPHRD_ETHER:
        raise DatapathError(f"{interface} is not an Ethernet device: shared addresses need one")
    return bytes(answer[18:24])


class Memberships:
    """Which MACs a packet socket receives beside the interface's own.  They end with the socket."""

    def __init__(self, sock: socket.socket, interface: str) -> None:
        """DatapathError when there is no such interface."""
        self._socket = sock
        self._interface = interface
        self._index = interface_index(sock, interface)
        self._joined: set[bytes] = set()

    def add(self, macs: Iterable[bytes]) -> list[bytes]:
        """Join what is not joined yet; the new ones.  DatapathError when one is refused; then none is joined."""
        new = sorted(set(macs) - self._joined)
        for at, mac in enumerate(new):
            try:
                self._change(_ADD_MEMBERSHIP, mac)
            except OSError as error:
                self.drop(new[:at])
                raise DatapathError(
                    f"{self._interface} cannot receive frames for {format_mac(mac)}: {error.strerror or error}"
                ) from error
            self._joined.add(mac)
        return new

    def drop(self, macs: Iterable[bytes]) -> None:
        for mac in set(macs) & self._joined:
            with suppress(OSError):  # the interface itself may be gone
                self._change(_DROP_MEMBERSHIP, mac)
            self._joined.discard(mac)

    def keep_only(self, macs: Iterable[bytes]) -> None:
        self.drop(self._joined - set(macs))

    def _change(self, option: int, mac: bytes) -> None:
        kind = _MULTICAST if is_group(format_mac(mac)) else _UNICAST
        self._socket.setsockopt(SOL_PACKET, option, _membership.pack(self._index, kind, 6, mac))
