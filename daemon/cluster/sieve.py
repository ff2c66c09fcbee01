"""Which datagrams are worth the daemon's time, decided by the kernel before they wake it up.

Everybody on the segment can send to the cluster's port.  To refuse a forged datagram costs this process some
microseconds, which is nothing for one and a whole core for some hundred thousand a second.  So each link has two
sockets on one port, and a classic BPF program (linux/filter.h, socket(7) SO_ATTACH_FILTER) says which datagram
belongs to which:

* the *members'* socket takes datagrams that bear the salt of a session that this process has proven;
* the *strangers'* socket takes the rest and is read a few at a time: a new process of a node is heard a moment
  later under a flood, and a flood costs no more than those few.

A salt is no secret: who listens on the segment can forge it, and then pays for himself with the seal's cheap tag.
It keeps out whoever floods without listening, and mistakes, such as a cluster with another key on the same group.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Iterable
from typing import NamedTuple

SALTS_MAX = 254
"""a jump of classic BPF reaches 255 instructions; of a cluster's 127 others and as many strangers none is left out"""
SO_ATTACH_FILTER = 26
SO_ATTACH_REUSEPORT_CBPF = 51
"""asm-generic/socket.h; Python has no names for them"""

_LOAD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K
_UDP_HEADER_BYTES = 8
"""a filter of a UDP socket sees the UDP header first, a reuseport program does not"""
_WHOLE = 0xFFFFFFFF
_NOTHING = 0


class Layout(NamedTuple):
    """Where a sealed datagram has what the kernel is to look at."""

    magic: bytes
    """its first four bytes"""
    salt_at: int
    """offset of the sender's salt, of which four bytes are compared"""


def members_filter(layout: Layout, salts: Iterable[bytes]) -> bytes:
    return _program(layout, salts, _UDP_HEADER_BYTES, known=_WHOLE, other=_NOTHING)


def strangers_filter(layout: Layout, salts: Iterable[bytes]) -> bytes:
    return _program(layout, salts, _UDP_HEADER_BYTES, known=_NOTHING, other=_WHOLE)


def unicast_steering(layout: Layout, salts: Iterable[bytes]) -> bytes:
    """Which of the two sockets gets a datagram that was sent to this host alone: 0, bound first, is the members'."""
    return _program(layout, salts, 0, known=0, other=1)


def attach(opened: socket.socket, option: int, program: bytes) -> None:
    """Raises OSError.  Replaces an earlier program at once; what is queued already stays."""
    instructions = ctypes.create_string_buffer(program, len(program))
    address = ctypes.addressof(instructions)
    opened.setsockopt(socket.SOL_SOCKET, option, struct.pack("HxxxxxxP", len(program) // 8, address))


def _program(layout: Layout, salts: Iterable[bytes], skip: int, *, known: int, other: int) -> bytes:
    """Too short a datagram ends the program at the load, with 0 (Documentation/networking/filter.rst).

    For the strangers' socket that is a drop, and for the steering it is the members' socket, whose filter drops it.
    """
    words = list(dict.fromkeys(int.from_bytes(salt[:4], "big") for salt in salts))[:SALTS_MAX]
    count = len(words)
    program = [
        (_LOAD_WORD, 0, 0, skip),
        (_JUMP_EQUAL, 0, count + 1, int.from_bytes(layout.magic, "big")),
        (_LOAD_WORD, 0, 0, skip + layout.salt_at),
        *((_JUMP_EQUAL, count - number, 0, word) for number, word in enumerate(words)),
        (_RETURN, 0, 0, other),
        (_RETURN, 0, 0, known),
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
