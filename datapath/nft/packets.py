"""What a rule asks of a packet: its headers' layout in each family, and expressions that tell one kind from another.

Each expression leaves its rule where the packet is too short for what it loads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct

from datapath.hashing import ICMPV6_ERROR_MAX
from datapath.nft.expressions import (
    Base,
    Cmp,
    Expression,
    Meta,
    compare,
    load,
    load_extension,
    load_meta,
    mask,
    member,
)
from datapath.nft.names import ICMP_ERRORS

Rule = Sequence[Expression]

TCP = 6
UDP = 17
IPV6_FRAGMENT = 44
ICMP_HEADER = 8
_SYN = 0x02
_FIN_SYN_RST_ACK = 0x17
slot_mark = Struct("=I")

NO_IPV4 = ((Cmp.LT, b"\x45"), (Cmp.GT, b"\x4f"))
"""what a first byte is that cannot begin a header of IPv4: another version, or fewer than five words"""

# registers: a key lies in one row from 0 on, what is looked at in passing beyond it
KEY = 0
SLOT = 8
SCRATCH = 9
CLOCK = 10


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a family's headers keep what we read, in bytes."""

    version: int
    ethertype: bytes
    address_length: int
    source: int
    """of the source address in the IP header"""
    destination: int
    icmp: int
    """protocol number"""
    protocol: int
    """of the protocol (next header) field"""

    @property
    def address_registers(self) -> int:
        return self.address_length // 4


LAYOUTS = {
    4: Layout(version=4, ethertype=b"\x08\x00", address_length=4, source=12, destination=16, icmp=1, protocol=9),
    6: Layout(version=6, ethertype=b"\x86\xdd", address_length=16, source=8, destination=24, icmp=58, protocol=6),
}


def is_version6() -> Rule:
    return load(Base.NETWORK, 0, 1, SCRATCH), mask(SCRATCH, b"\xf0"), compare(SCRATCH, Cmp.EQ, b"\x60")


def protocol_is(number: int) -> Rule:
    return load_meta(Meta.L4PROTO, SCRATCH), compare(SCRATCH, Cmp.EQ, bytes((number,)))


def is_unfragmented_ipv4() -> Rule:
    """Neither more-fragments nor an offset."""
    return load(Base.NETWORK, 6, 2, SCRATCH), mask(SCRATCH, b"\x3f\xff"), compare(SCRATCH, Cmp.EQ, b"\0\0")


def is_ipv6_fragment() -> Rule:
    """A fragment header that is not atomic (RFC 6946): an offset, or more to come."""
    return (
        load_extension(IPV6_FRAGMENT, 2, 2, SCRATCH),
        mask(SCRATCH, b"\xff\xf9"),
        compare(SCRATCH, Cmp.NEQ, b"\0\0"),
    )


def is_icmp_error(layout: Layout) -> Rule:
    # the whole header is loaded, so that a shorter packet ends the rule; its first byte is the type
    kind = (load(Base.TRANSPORT, 0, ICMP_HEADER, SCRATCH), load(Base.TRANSPORT, 0, 1, SCRATCH))
    if layout.version == 4:
        return *kind, member(SCRATCH, ICMP_ERRORS)
    return *kind, compare(SCRATCH, Cmp.LTE, bytes((ICMPV6_ERROR_MAX,)))


def quote_is_no_later_fragment() -> Rule:
    at = ICMP_HEADER + 6
    return load(Base.TRANSPORT, at, 2, SCRATCH), mask(SCRATCH, b"\x1f\xff"), compare(SCRATCH, Cmp.EQ, b"\0\0")


def load_flow(layout: Layout) -> Rule:
    """The flow of a TCP packet as keep and mine have it: client, its port, our port."""
    port = layout.address_registers
    return (
        load(Base.NETWORK, layout.source, layout.address_length, KEY),
        load(Base.TRANSPORT, 0, 2, port),
        load(Base.TRANSPORT, 2, 2, port + 1),
    )


def load_quoted_flow(layout: Layout, protocol: int = TCP) -> Rule:
    """The flow that an ICMP error is about.  Our own packets carry no IP options: plain headers are enough."""
    port = layout.address_registers
    plain = b"\x45" if layout.version == 4 else b"\x60"
    header = 20 if layout.version == 4 else 40
    return (
        *is_quoted(layout, protocol),
        load(Base.TRANSPORT, ICMP_HEADER, 1, SCRATCH),
        *([mask(SCRATCH, b"\xf0")] if layout.version == 6 else []),
        compare(SCRATCH, Cmp.EQ, plain),
        load(Base.TRANSPORT, ICMP_HEADER + layout.destination, layout.address_length, KEY),
        load(Base.TRANSPORT, ICMP_HEADER + header + 2, 2, port),
        load(Base.TRANSPORT, ICMP_HEADER + header, 2, port + 1),
    )


def is_quoted(layout: Layout, protocol: int) -> Rule:
    return (
        *protocol_is(layout.icmp),
        *is_icmp_error(layout),
        load(Base.TRANSPORT, ICMP_HEADER + layout.protocol, 1, SCRATCH),
        compare(SCRATCH, Cmp.EQ, bytes((protocol,))),
    )


def flags_of_a_first_syn(how: Cmp) -> Rule:
    """A TCP packet that begins a connection (EQ), or one that does not (NEQ): SYN without ACK, FIN or RST."""
    return (
        *protocol_is(TCP),
        load(Base.TRANSPORT, 13, 1, SCRATCH),
        mask(SCRATCH, bytes((_FIN_SYN_RST_ACK,))),
        compare(SCRATCH, how, bytes((_SYN,))),
    )


def is_datagram() -> Rule:
    """Of what is no fragment (`_pieces`)."""
    return protocol_is(UDP)


def quoted_datagram(layout: Layout) -> Rule:
    if layout.version == 6:
        return load_quoted_flow(layout, UDP)
    return *load_quoted_flow(layout, UDP), *quote_is_no_later_fragment()
