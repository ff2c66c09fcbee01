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
from ipaddress import IPv4Address, IPv6Address
from struct import Struct
from typing import TypeVar

from datapath import neighbours
from datapath.engine import DatapathError
from datapath.frames import ETHERNET_HEADER, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ArpOperation
from datapath.hashing import ICMPV6, ND_HOP_LIMIT

INSTRUCTIONS_MAX = 4096
"""BPF_MAXINSNS of include/uapi/linux/bpf_common.h"""
ADDRESSES_MAX = 400
"""what fits into one filter with room to spare: nine instructions an address for ARP, seven for IPv4"""
ADDRESSES6_MAX = 100
"""the same for questions about IPv6 addresses: seventeen instructions each, half of them loads, which the kernel
turns into eight of its own and counts against net.core.optmem_max"""

SO_ATTACH_FILTER = 26
_Ip = TypeVar("_Ip", IPv4Address, IPv6Address, bytes)
_instruction = Struct("=HBBI")

# Opcodes of include/uapi/linux/bpf_common.h, composed as the kernel's documentation spells them.
LD_WORD_ABS = 0x20
LD_HALF_ABS = 0x28
LD_BYTE_ABS = 0x30
LD_SCRATCH = 0x60
LD_BYTE_INDEXED = 0x50
LOAD_HEADER_LENGTH = 0xB1
"""X = 4 * (byte & 15): the length of an IPv4 header"""
STORE = 0x02
AND = 0x54
JUMP = 0x05
JUMP_EQUAL = 0x15
JUMP_IF_ANY_BIT = 0x45
RETURN = 0x06

# Ancillary loads of include/uapi/linux/filter.h: what the kernel knows of a packet beside its bytes.
_ANCILLARY = 0x1_0000_0000 - 0x1000
ANCILLARY_PACKET_TYPE = _ANCILLARY + 4
ANCILLARY_VLAN_TAG_PRESENT = _ANCILLARY + 48
"""only to a socket that hears everything (ETH_P_ALL): it comes before the kernel has taken tags off"""

PACKET_HOST = 0
PACKET_OTHERHOST = 3
WHOLE_PACKET = 0xFFFF_FFFF

_GROUP_BIT = 1
_IP_DESTINATION = ETHERNET_HEADER + 16
_IP6_DESTINATION = ETHERNET_HEADER + 24
_IP_FRAGMENT = ETHERNET_HEADER + 6
_IP_FRAGMENT_BITS = 0x3FFF
"""more fragments, or an offset"""
_IP_PROTOCOL = ETHERNET_HEADER + 9
_IP6_NEXT_HEADER = ETHERNET_HEADER + 6
_IP6_HEADER = 40
_TCP = 6
_TCP_FLAGS = 13
_FIN_SYN_RST_ACK = 0x17
_SYN = 0x02
_ARP_TYPES = ETHERNET_HEADER
_ARP_LENGTHS = ETHERNET_HEADER + 4
_ARP_OPERATION = ETHERNET_HEADER + 6
_ARP_SENDER_MAC = ETHERNET_HEADER + 8
_ARP_SENDER_IP = ETHERNET_HEADER + 14
_ARP_TARGET_IP = ETHERNET_HEADER + 24
_ARP_BYTES_KEPT = 64
_IP6_LENGTHS = ETHERNET_HEADER + 6
"""next header and hop limit, two bytes that are next to each other"""
_ICMPV6_TYPE = ETHERNET_HEADER + 40
_ND_TARGET = ETHERNET_HEADER + 48
_ND_OPTION_MAC = ETHERNET_HEADER + 66
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
        *_refuse_other_vlans(),
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


def solicitations_for(addresses: Iterable[tuple[IPv6Address, bytes]]) -> Program:
    """Questions for these addresses, and others' claims of them (Neighbour Discovery, RFC 4861), given as ARP's are.

    Only what was not forwarded (hop limit 255) and has no extension headers; the rest is checked by who reads it.
    Raises DatapathError for more than ADDRESSES6_MAX addresses.
    """
    pairs = _bounded(addresses, ADDRESSES6_MAX)
    program = [
        *_refuse_other_vlans(),
        *require(Instruction(LD_HALF_ABS, 12), ETHERTYPE_IPV6),
        *require(Instruction(LD_HALF_ABS, _IP6_LENGTHS), ICMPV6 << 8 | ND_HOP_LIMIT),
        Instruction(LD_BYTE_ABS, _ICMPV6_TYPE),
        Instruction(JUMP_EQUAL, neighbours.SOLICITATION, 2, 0),
        Instruction(JUMP_EQUAL, neighbours.ADVERTISEMENT, 1, 0),
        Instruction(RETURN, 0),
    ]
    for ip, mac in pairs:
        # a claim with the shared MAC is one of us; without a MAC it ends before the load, and claims nothing
        found = [
            Instruction(LD_BYTE_ABS, _ICMPV6_TYPE),
            *_if_equal(neighbours.SOLICITATION, [keep(neighbours.FRAME_BYTES_MAX)]),
            Instruction(LD_WORD_ABS, _ND_OPTION_MAC),
            Instruction(JUMP_EQUAL, int.from_bytes(mac[:4], "big"), 0, 3),
            Instruction(LD_HALF_ABS, _ND_OPTION_MAC + 4),
            Instruction(JUMP_EQUAL, int.from_bytes(mac[4:], "big"), 0, 1),
            Instruction(RETURN, 0),
            keep(neighbours.FRAME_BYTES_MAX),
        ]
        program += _if_words(ip.packed, _ND_TARGET, found)
    return (*program, Instruction(RETURN, 0))


def _refuse_other_vlans() -> list[Instruction]:
    """A frame to a group MAC that the kernel calls another host's carries the tag of a VLAN that is not here.

    Its tag is gone by now (net/core/dev.c); where the VLAN has an interface, the frame went there.  A mere priority
    (id 0) makes nobody another host's.  Of a unicast MAC beside the interface's own this cannot be told.
    """
    return [
        Instruction(LD_BYTE_ABS, 0),
        Instruction(AND, _GROUP_BIT),
        Instruction(JUMP_EQUAL, 0, 3, 0),
        *refuse_if(Instruction(LD_BYTE_ABS, ANCILLARY_PACKET_TYPE), PACKET_OTHERHOST),
    ]


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
            six += _if_words(packed, _IP6_DESTINATION, found)
    four.append(Instruction(RETURN, 0))
    return (
        *_refuse_other_vlans(),
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


def syns_to(addresses: Iterable[bytes]) -> Program:
    """TCP packets that begin a connection to one of these addresses (packed), whole.

    Neither fragments nor frames with a VLAN tag, nor IPv6 with extension headers.  Raises DatapathError for more than
    ADDRESSES_MAX.
    """
    if len(known := set(addresses)) > ADDRESSES_MAX:
        raise DatapathError(f"{len(known)} shared addresses are too many for one packet filter")
    four = [Instruction(LD_WORD_ABS, _IP_DESTINATION)]
    six: list[Instruction] = []
    for packed in sorted(known):
        found = _if_begins4() if len(packed) == 4 else _if_begins6()
        if len(packed) == 4:
            four += _if_equal(int.from_bytes(packed, "big"), found)
        else:
            six += _if_words(packed, _IP6_DESTINATION, found)
    four.append(Instruction(RETURN, 0))
    return (
        *refuse_if(Instruction(LD_BYTE_ABS, ANCILLARY_VLAN_TAG_PRESENT), 1),
        Instruction(LD_HALF_ABS, 12),
        Instruction(JUMP_EQUAL, ETHERTYPE_IPV4, 1, 0),
        Instruction(JUMP, len(four)),
        *four,
        *require(Instruction(LD_HALF_ABS, 12), ETHERTYPE_IPV6),
        *six,
        Instruction(RETURN, 0),
    )


def _if_begins4() -> list[Instruction]:
    return [
        *require(Instruction(LD_BYTE_ABS, _IP_PROTOCOL), _TCP),
        Instruction(LD_HALF_ABS, _IP_FRAGMENT),
        Instruction(JUMP_IF_ANY_BIT, _IP_FRAGMENT_BITS, 0, 1),
        Instruction(RETURN, 0),
        Instruction(LOAD_HEADER_LENGTH, ETHERNET_HEADER),
        *_if_first_syn(Instruction(LD_BYTE_INDEXED, ETHERNET_HEADER + _TCP_FLAGS)),
    ]


def _if_begins6() -> list[Instruction]:
    return [
        *require(Instruction(LD_BYTE_ABS, _IP6_NEXT_HEADER), _TCP),
        *_if_first_syn(Instruction(LD_BYTE_ABS, ETHERNET_HEADER + _IP6_HEADER + _TCP_FLAGS)),
    ]


def _if_first_syn(load_flags: Instruction) -> list[Instruction]:
    return [
        load_flags,
        Instruction(AND, _FIN_SYN_RST_ACK),
        Instruction(JUMP_EQUAL, _SYN, 0, 1),
        keep(),
        Instruction(RETURN, 0),
    ]


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


def _if_words(packed: bytes, at: int, then: Sequence[Instruction]) -> list[Instruction]:
    """`then` if the IPv6 address at this offset is `packed`.  Its last word, which differs most, is compared first."""
    program: list[Instruction] = list(then)
    for word_at in (0, 4, 8, 12):
        word = int.from_bytes(packed[word_at : word_at + 4], "big")
        load = Instruction(LD_WORD_ABS, at + word_at)
        program = [load, Instruction(JUMP_EQUAL, word, 0, len(program)), *program]
    return program


def _bounded(addresses: Iterable[tuple[_Ip, bytes]], most: int = ADDRESSES_MAX) -> list[tuple[_Ip, bytes]]:
    found = list(addresses)
    if len(found) > most:
        raise DatapathError(
            f"{len(found)} shared addresses on one interface, but a packet filter holds {most}; "
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
