"""Packet sockets as vipcast opens them, deaf until told what to hear (packet(7)).

That frames to a shared MAC pass the interface's filter is the host's set-up (datapath.host): a membership of the
socket as well would end with the process, and make the kernel refuse the lasting one.
"""

from __future__ import annotations

import fcntl
import socket
from struct import Struct

from datapath import bpf_filter
from datapath.engine import DatapathError

SOL_PACKET = 263

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
