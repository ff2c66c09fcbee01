"""The sockets of a link: bound to one interface and port, in one group, with buffers for what comes at once.

There are two on one port, which `sieve` explains.  And what the kernel knows of the interface and of its groups.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import sys
from collections.abc import Collection
from pathlib import Path

from daemon.cluster import sieve
from daemon.cluster.seal import MAGIC, SALT_AT

BUFFER_BYTES = 8 << 20
STRANGERS_BUFFER_BYTES = 64 << 10
"""what a flood fills and overflows, and what a stranger's datagram waits in meanwhile"""

LAYOUT = sieve.Layout(MAGIC, SALT_AT)

_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33  # asm-generic/socket.h; Python has no names for them
_IP_MULTICAST_ALL = 49  # linux/in.h
_PRIORITY_INTERACTIVE = 6  # TC_PRIO_INTERACTIVE, linux/pkt_sched.h
_TOS_CS6 = 0xC0  # network control, RFC 4594 §3.1
_SIOCGIFFLAGS = 0x8913  # linux/sockios.h
_IFF_UP, _IFF_RUNNING = 0x1, 0x40  # linux/if.h

_GROUPS = Path("/proc/thread-self/net/igmp")


def open_sockets(interface: str, index: int, group: str, port: int) -> tuple[socket.socket, socket.socket]:
    """The members' and the strangers' socket: both hear the group and unicast to `port` on this interface only.

    Raises OSError.
    """
    _probe(interface, port)
    members = _open_socket(interface, index, group, port, BUFFER_BYTES)
    try:
        return members, _open_socket(interface, index, group, port, STRANGERS_BUFFER_BYTES)
    except OSError:
        members.close()
        raise


def _probe(interface: str, port: int) -> None:
    """Raise EADDRINUSE where somebody else has the port: our two sockets share it, and would with him, too."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
        probe.bind(("", port))


def sift(members: socket.socket, strangers: socket.socket, salts: Collection[bytes]) -> None:
    """Tell the kernel whose datagrams belong where.  Raises OSError."""
    sieve.attach(members, sieve.SO_ATTACH_REUSEPORT_CBPF, sieve.unicast_steering(LAYOUT, salts))
    sieve.attach(strangers, sieve.SO_ATTACH_FILTER, sieve.strangers_filter(LAYOUT, salts))
    sieve.attach(members, sieve.SO_ATTACH_FILTER, sieve.members_filter(LAYOUT, salts))


def _open_socket(interface: str, index: int, group: str, port: int, buffer_bytes: int) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
        opened.bind(("", port))
        there = membership(group, index)
        if group:
            opened.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, there)
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, there)
        # Only this socket's own group, whatever other processes on this host have joined.
        opened.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
        # Multicast does not leave the segment (a witness behind a router is reached by unicast), and no copy of
        # what we send wakes us up again.
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, _TOS_CS6)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, _PRIORITY_INTERACTIVE)
        # A long message leaves as thousands of datagrams at once, and arrives so.
        _enlarge(opened, _SO_SNDBUFFORCE, socket.SO_SNDBUF, BUFFER_BYTES)
        _enlarge(opened, _SO_RCVBUFFORCE, socket.SO_RCVBUF, buffer_bytes)
    except OSError:
        opened.close()
        raise
    return opened


def _enlarge(opened: socket.socket, forced: int, allowed: int, size: int) -> None:
    try:
        opened.setsockopt(socket.SOL_SOCKET, forced, size)
    except PermissionError:  # without CAP_NET_ADMIN: as much as net.core.rmem_max and wmem_max allow
        opened.setsockopt(socket.SOL_SOCKET, allowed, size)


def membership(group: str, index: int) -> bytes:
    """A struct ip_mreqn, ip(7)."""
    return struct.pack("=4s4si", socket.inet_aton(group) if group else bytes(4), bytes(4), index)


def is_member(index: int, group: str) -> bool:
    """Whether the kernel takes in this group on an interface; True where it does not tell.

    /proc/net/igmp (net/ipv4/igmp.c, igmp_mc_seq_show): a line that begins with an interface's index, and one that
    begins with blanks and the address as a number for each of its groups.
    """
    wanted = f"{int.from_bytes(socket.inet_aton(group), sys.byteorder):08X}"
    try:
        lines = _GROUPS.read_text().splitlines()[1:]
    except OSError:
        return True
    here = False
    for line in lines:
        first = line.split(maxsplit=1)[:1]
        if not line[:1].isspace():
            here = first == [str(index)]
        elif here and first == [wanted]:
            return True
    return False


def carries(opened: socket.socket, interface: str) -> bool:
    """Whether an interface that is up has a carrier (netdevice(7), IFF_RUNNING); True of one that is down or gone."""
    try:
        answer = fcntl.ioctl(opened, _SIOCGIFFLAGS, struct.pack("16s24x", interface.encode()))
    except OSError:
        return True
    (flags,) = struct.unpack_from("H", answer, 16)
    return not flags & _IFF_UP or bool(flags & _IFF_RUNNING)
