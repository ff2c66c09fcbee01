"""Classic BPF for packet sockets: a small assembler, and the filters that vipcast attaches.

A filter runs in the kernel before a packet is queued, so that what does not concern us wakes nobody.  Attaching one
replaces the former atomically (Documentation/networking/filter.rst, SO_ATTACH_FILTER in socket(7)).

Building programs is pure; only `attach` touches a socket.
"""

from __future__ import annotations

import ctypes
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from struct import Struct
from typing import TypeVar

from datapath.engine import DatapathError
from datapath.frames import ETHERNET_HEADER, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ArpOperation

INSTRUCTIONS_MAX = 4096
"""BPF_MAXINSNS of include/uapi/linux/bpf_common.h"""
ADDRESSES_MAX = 400
"""what fits into one filter with room to spare: nine instructions an address for ARP, seven for IPv4"""

SO_ATTACH_FILTER = 26
_Ip = TypeVar("_Ip", IPv4Address, bytes)
_instruction = Struct("=HBBI")

# Opcodes of include/uapi/linux/bpf_common.h, composed as the kernel's documentation spells them.
LD_WORD_ABS = 0x20
LD_HALF_ABS = 0x28
LD_BYTE_ABS = 0x30
LD_SCRATCH = 0x60
STORE = 0x02
JUMP = 0x05
JUMP_EQUAL = 0x15
RETURN = 0x06

# Ancillary loads of include/uapi/linux/filter.h: what the kernel knows of a packet beside its bytes.
_ANCILLARY = 0x1_0000_0000 - 0x1000
ANCILLARY_PACKET_TYPE = _ANCILLARY + 4
ANCILLARY_VLAN_TAG_PRESENT = _ANCILLARY + 48

PACKET_HOST = 0
WHOLE_PACKET = 0xFFFF_FFFF

_IP_DESTINATION = ETHERNET_HEADER + 16
_IP6_DESTINATION = ETHERNET_HEADER + 24
_ARP_TYPES = ETHERNET_HEADER
_ARP_LENGTHS = ETHERNET_HEADER + 4
_ARP_OPERATION = ETHERNET_HEADER + 6
_ARP_SENDER_MAC = ETHERNET_HEADER + 8
_ARP_SENDER_IP = ETHERNET_HEADER + 14
_ARP_TARGET_IP = ETHERNET_HEADER + 24
_ARP_BYTES_KEPT = 64
_MAC_HIGH, _MAC_LOW = 0, 1
"""words of the filter's scratch memory: the first four bytes of a MAC, the last two"""


@dataclass(frozen=True, slots=True)
class Instruction:
    code: int
    k: int = 0
    """operand"""
    if_true: int = 0
    """instructions to skip when a jump's condition holds, 0 … 255"""
    if_false: int = 0


Program = tuple[Instruction, ...]

REFUSE_ALL: Program = (Instruction(RETURN, 0),)


def keep(length: int = WHOLE_PACKET) -> Instruction:
    """Take the packet, its first `length` bytes."""
    return Instruction(RETURN, length)


def require(load: Instruction, value: int) -> list[Instruction]:
    """Go on only if the loaded value is `value`."""
    return [load, Instruction(JUMP_EQUAL, value, 1, 0), Instruction(RETURN, 0)]


def refuse_if(load: Instruction, value: int) -> list[Instruction]:
    """Go on unless the loaded value is `value`."""
    return [load, Instruction(JUMP_EQUAL, value, 0, 1), Instruction(RETURN, 0)]


def arp_for(addresses: Iterable[tuple[IPv4Address, bytes]]) -> Program:
    """ARP that concerns these (address, shared MAC) pairs, on a socket bound to ETH_P_ARP:

    requests for one of them, unless the asker calls itself so too (a host's own question, a probe by announcement);
    and every claim of one of them with another MAC than the shared one.  Frames that carry a VLAN tag belong to
    another segment.  Raises DatapathError for more than ADDRESSES_MAX addresses.
    """
    pairs = _bounded(addresses)
    program = [
        *refuse_if(Instruction(LD_BYTE_ABS, ANCILLARY_VLAN_TAG_PRESENT), 1),
        *require(Instruction(LD_HALF_ABS, 12), ETHERTYPE_ARP),
        *require(Instruction(LD_WORD_ABS, _ARP_TYPES), 1 << 16 | ETHERTYPE_IPV4),
        *require(Instruction(LD_HALF_ABS, _ARP_LENGTHS), 6 << 8 | 4),
        *_note_mac(_ARP_SENDER_MAC),
        Instruction(LD_WORD_ABS, _ARP_SENDER_IP),
    ]
    for ip, mac in pairs:
        # with the shared MAC one of us says it, and there is nothing to answer
        program += _if_equal(int(ip), _if_mac(mac, then=Instruction(RETURN, 0), otherwise=keep(_ARP_BYTES_KEPT)))
    program += require(Instruction(LD_HALF_ABS, _ARP_OPERATION), ArpOperation.REQUEST)
    program += [Instruction(LD_WORD_ABS, _ARP_TARGET_IP)]
    for ip, _ in pairs:
        program += _if_equal(int(ip), [keep(_ARP_BYTES_KEPT)])
    return (*program, Instruction(RETURN, 0))


def packets_for(addresses: Iterable[tuple[bytes, bytes]]) -> Program:
    """IP packets to one of these (packed address, shared MAC) pairs, whole, on a socket that sees all incoming IP.

    A frame that names another MAC is not for us, and one that the kernel counts as its own (PACKET_HOST) it takes
    itself: forwarded as well, the host would see it twice.  Raises DatapathError for more than ADDRESSES_MAX
    (IPv6 addresses need 14 instructions each: some 290 fit).
    """
    pairs = _bounded(addresses)
    four = [Instruction(LD_WORD_ABS, _IP_DESTINATION)]
    six: list[Instruction] = []
    for packed, mac in pairs:
        found = _if_mac(mac, then=keep(), otherwise=Instruction(RETURN, 0))
        if len(packed) == 4:
            four += _if_equal(int.from_bytes(packed, "big"), found)
        else:
            six += _if_destination6(packed, found)
    four.append(Instruction(RETURN, 0))
    return (
        *refuse_if(Instruction(LD_BYTE_ABS, ANCILLARY_VLAN_TAG_PRESENT), 1),
        *refuse_if(Instruction(LD_BYTE_ABS, ANCILLARY_PACKET_TYPE), PACKET_HOST),
        *_note_mac(0),
        Instruction(LD_HALF_ABS, 12),
        Instruction(JUMP_EQUAL, ETHERTYPE_IPV4, 1, 0),
        Instruction(JUMP, len(four)),
        *four,
        *require(Instruction(LD_HALF_ABS, 12), ETHERTYPE_IPV6),
        *six,
        Instruction(RETURN, 0),
    )


def _note_mac(at: int) -> list[Instruction]:
    """Keep the MAC at this offset in the scratch memory: comparing it later costs no packet access."""
    return [
        Instruction(LD_WORD_ABS, at),
        Instruction(STORE, _MAC_HIGH),
        Instruction(LD_HALF_ABS, at + 4),
        Instruction(STORE, _MAC_LOW),
    ]


def _if_equal(value: int, then: Sequence[Instruction]) -> list[Instruction]:
    """`then`, which must return, if the accumulator is `value`; the accumulator is untouched otherwise."""
    return [Instruction(JUMP_EQUAL, value, 0, len(then)), *then]


def _if_mac(mac: bytes, then: Instruction, otherwise: Instruction) -> list[Instruction]:
    """Decide by the noted MAC."""
    return [
        Instruction(LD_SCRATCH, _MAC_HIGH),
        Instruction(JUMP_EQUAL, int.from_bytes(mac[:4], "big"), 0, 3),
        Instruction(LD_SCRATCH, _MAC_LOW),
        Instruction(JUMP_EQUAL, int.from_bytes(mac[4:], "big"), 0, 1),
        then,
        otherwise,
    ]


def _if_destination6(packed: bytes, then: Sequence[Instruction]) -> list[Instruction]:
    """`then` if the IPv6 destination is `packed`.  Its last word, which differs most, is compared first."""
    program: list[Instruction] = list(then)
    for at in (0, 4, 8, 12):
        word = int.from_bytes(packed[at : at + 4], "big")
        load = Instruction(LD_WORD_ABS, _IP6_DESTINATION + at)
        program = [load, Instruction(JUMP_EQUAL, word, 0, len(program)), *program]
    return program


def _bounded(addresses: Iterable[tuple[_Ip, bytes]]) -> list[tuple[_Ip, bytes]]:
    found = list(addresses)
    if len(found) > ADDRESSES_MAX:
        raise DatapathError(
            f"{len(found)} shared addresses on one interface, but a packet filter holds {ADDRESSES_MAX}; "
            "use fewer addresses or more interfaces"
        )
    return found


def assemble(program: Sequence[Instruction]) -> bytes:
    """The program as struct sock_filter[] (include/uapi/linux/filter.h)."""
    if not 0 < len(program) <= INSTRUCTIONS_MAX:
        raise DatapathError(f"a packet filter has 1 to {INSTRUCTIONS_MAX} instructions, not {len(program)}")
    return b"".join(_instruction.pack(i.code, i.if_true, i.if_false, i.k) for i in program)


class _SockFprog(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def attach(sock: socket.socket, program: Sequence[Instruction]) -> None:
    """Make `program` the filter of `sock`, in place of any former one.  DatapathError when the kernel refuses."""
    code = assemble(program)
    # the kernel copies the program during the call; until then `code` must live
    request = _SockFprog(len(program), code)
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, bytes(request))
    except OSError as error:
        raise DatapathError(
            f"cannot attach a packet filter of {len(program)} instructions: {error.strerror or error}; "
            "net.core.optmem_max may be too small"
        ) from error
