"""Which slot a packet belongs to: the kernel's own functions, bit for bit, in plain Python.

slot = reciprocal_scale(jhash(key, seed), slots), with `jhash` as in include/linux/jhash.h, computed over the key as
nf_tables holds it in its registers (nft_hash.c) on a little-endian host, and `reciprocal_scale` as in
include/linux/kernel.h.  The key is a row of fields in network byte order, each padded to four bytes:

    sourceip                        address
    sourcenet                       address, its first 24 (IPv6: 56) bits, the others zero
    sourceip-sourceport             address | port 0 0
    sourceip-sourceport-destport    address | port 0 0 | port 0 0

What of a packet is the key (ARCHITECTURE.md, Slots), the same in every engine:

    a fragment (more-fragments set or offset not 0)   source address: only the first fragment has ports
    TCP, UDP, SCTP                                    by the kind
    an ICMP error                                     by the kind, from the packet that it quotes: this host sent
                                                      that one, so its *destination* is the client
    everything else, echo included                    source address

Before that, rules for ports may give a packet of TCP, UDP or SCTP to one slot or to none; an ICMP error goes as the
packet that it quotes.  In the order of `clusterip` the address is turned round, and port 0 stands where there is
none: what ipt_CLUSTERIP hashed (net/ipv4/netfilter/ipt_CLUSTERIP.c in Linux 6.5).

Neighbour Discovery is not for a client's slot (`is_neighbour_discovery`): no engine judges it.

This module is pure: no clock, no socket.  A packet costs about three microseconds.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from struct import Struct
from typing import NamedTuple

from datapath.engine import Address, HashKind, HashOrder, PortFate, PortRule

JHASH_INITVAL = 0xDEADBEEF
SLOTS_MAX = 65_536

PORT_PROTOCOLS = frozenset({6, 17, 132})
"""TCP, UDP, SCTP: those whose header begins with source port and destination port."""

ICMP = 1
TCP = 6
ICMPV6 = 58
ICMP_ERRORS = frozenset({3, 4, 5, 11, 12})
"""Unreachable, source quench, redirect, time exceeded, parameter problem: they quote a packet (RFC 792)."""
ICMPV6_ERROR_MAX = 127
"""Types up to this one are errors (RFC 4443, section 2.1)."""
ICMP_HEADER = 8
ND_TYPES = range(133, 138)
"""Solicitations, advertisements and redirects of Neighbour Discovery (RFC 4861, section 4)."""
ND_HOP_LIMIT = 255
"""what a router has forwarded has less: nobody beyond the link can ask or claim"""

IPV4_HEADER_MIN = 20
IPV6_HEADER = 40
IPV6_FRAGMENT = 44
IPV6_AUTHENTICATION = 51
IPV6_EXTENSIONS = frozenset({0, 43, 60})
"""Hop-by-hop, routing, destination options: length in units of 8 bytes, the first not counted (RFC 8200)."""
IPV6_EXTENSIONS_MAX = 64

PORTS_IN_KEY = {
    HashKind.SOURCEIP: 0,
    HashKind.SOURCENET: 0,
    HashKind.SOURCEIP_SOURCEPORT: 1,
    HashKind.SOURCEIP_SOURCEPORT_DESTPORT: 2,
}
NETWORK_BYTES = {4: 3, 16: 7}
"""Length of an address → how much of it `sourcenet` looks at."""

_M = 0xFFFFFFFF
_words1 = Struct("<I").unpack
_words2 = Struct("<II").unpack
_words3 = Struct("<III").unpack
_words3_from = Struct("<III").unpack_from


class Unhashable(enum.Enum):
    """Why a packet has no slot: it is dropped and counted."""

    TRUNCATED = "shorter than its headers say"
    MALFORMED = "header fields contradict each other"
    NOT_IP = "neither IPv4 nor IPv6"
    PORT_REFUSED = "its port is refused by a rule"


class Seen(NamedTuple):
    """What of a packet matters for its slot."""

    client: bytes
    """address, packed"""
    protocol: int
    """TCP, UDP or SCTP; 0 for everything that is hashed by address alone"""
    ports: bytes
    """the client's, then ours, as far as the packet has them"""


def _final(a: int, b: int, c: int) -> int:
    """__jhash_final: the last of the three words after mixing."""
    c = ((c ^ b) - (b << 14 | b >> 18)) & _M
    a = ((a ^ c) - (c << 11 | c >> 21)) & _M
    b = ((b ^ a) - (a << 25 | a >> 7)) & _M
    c = ((c ^ b) - (b << 16 | b >> 16)) & _M
    a = ((a ^ c) - (c << 4 | c >> 28)) & _M
    b = ((b ^ a) - (a << 14 | a >> 18)) & _M
    return ((c ^ b) - (b << 24 | b >> 8)) & _M


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    """__jhash_mix: fold twelve bytes into the state."""
    a = (a - c) & _M ^ (c << 4 | c >> 28) & _M
    c = (c + b) & _M
    b = (b - a) & _M ^ (a << 6 | a >> 26) & _M
    a = (a + c) & _M
    c = (c - b) & _M ^ (b << 8 | b >> 24) & _M
    b = (b + a) & _M
    a = (a - c) & _M ^ (c << 16 | c >> 16) & _M
    c = (c + b) & _M
    b = (b - a) & _M ^ (a << 19 | a >> 13) & _M
    a = (a + c) & _M
    c = (c - b) & _M ^ (b << 4 | b >> 28) & _M
    b = (b + a) & _M
    return a, b, c


def jhash(key: bytes, seed: int) -> int:
    """Bob Jenkins' lookup3 as the kernel has it (include/linux/jhash.h), on a little-endian host.

    `seed` is jhash's `initval`, 32 bits.  Any length of key works; 4, 8 and 12 bytes are the fast ones.
    """
    length = len(key)
    start = (JHASH_INITVAL + length + seed) & _M
    if length == 8:
        first, second = _words2(key)
        return _final((start + first) & _M, (start + second) & _M, start)
    if length == 4:
        return _final((start + _words1(key)[0]) & _M, start, start)
    a = b = c = start
    at = 0
    while length - at > 12:
        first, second, third = _words3_from(key, at)
        a, b, c = _mix((a + first) & _M, (b + second) & _M, (c + third) & _M)
        at += 12
    if at == length:
        return c  # only the empty key: nothing is left to fold
    first, second, third = _words3(key[at:].ljust(12, b"\0"))
    return _final((a + first) & _M, (b + second) & _M, (c + third) & _M)


def reciprocal_scale(value: int, slots: int) -> int:
    """Map 32 bits evenly onto 0 … slots-1 without a division (include/linux/kernel.h)."""
    return (value * slots) >> 32


def slot(key: bytes, seed: int, slots: int) -> int:
    """The slot of a key: what `jhash … mod SLOTS seed SEED` gives in nft.

    Without a packet in hand: `slot(key_of(kind, client, port), seed, slots)`.
    """
    return (jhash(key, seed) * slots) >> 32


def key_of(
    kind: HashKind,
    source: bytes | IPv4Address | IPv6Address,
    source_port: int | None = None,
    destination_port: int | None = None,
    order: HashOrder = HashOrder.NETWORK,
) -> bytes:
    """The key of a client: pass ports for TCP, UDP and SCTP, none for fragments and everything else.

    Without ports every kind hashes by address.  Raises ValueError when the kind needs a destination port and only
    the source port is known, or when a port is outside 0 … 65,535.
    """
    address = source if isinstance(source, bytes) else source.packed
    count = PORTS_IN_KEY[kind] if source_port is not None else 0
    ports = [source_port, destination_port][:count]
    if None in ports:
        raise ValueError(f"{kind.value} needs the destination port as well")
    try:
        packed = b"".join(port.to_bytes(2, "big") for port in ports if port is not None)
    except OverflowError:
        raise ValueError(f"ports are 0 to 65535, got {source_port} and {destination_port}") from None
    return _assembled(address, packed, kind, order)


def _assembled(client: bytes, ports: bytes, kind: HashKind, order: HashOrder) -> bytes:
    """The key of an address and as many ports (two bytes each) as count."""
    if kind is HashKind.SOURCENET:
        length = len(client)
        return client[: NETWORK_BYTES[length]].ljust(length, b"\0")
    if order is HashOrder.CLUSTERIP:
        client = client[::-1]
        ports = ports.ljust(2 * PORTS_IN_KEY[kind], b"\0")
    if not ports:
        return client
    first = client + ports[:2] + b"\0\0"
    return first if len(ports) == 2 else first + ports[2:] + b"\0\0"


def slot_of_flow(
    address: Address, client: bytes | IPv4Address | IPv6Address, port: int, own_port: int, protocol: int = TCP
) -> int | Unhashable:
    """The slot of a flow between a client and a port of the address, rules for ports included."""
    packed = client if isinstance(client, bytes) else client.packed
    seen = Seen(packed, protocol, port.to_bytes(2, "big") + own_port.to_bytes(2, "big"))
    return _slot_of_seen(
        seen, address.hash_kind, address.seed, address.slots, address.hash_order, address.port_rules
    )


def slot_of_packet(
    packet: bytes,
    kind: HashKind,
    seed: int,
    slots: int,
    order: HashOrder = HashOrder.NETWORK,
    rules: Sequence[PortRule] = (),
) -> int | Unhashable:
    """The slot of a packet, given from its IP header on; bytes after the IP length (padding) are ignored."""
    seen = look(packet)
    return seen if isinstance(seen, Unhashable) else _slot_of_seen(seen, kind, seed, slots, order, rules)


def slot_for(address: Address, packet: bytes) -> int | Unhashable:
    """The slot of a packet to this address."""
    rules = address.port_rules
    return slot_of_packet(packet, address.hash_kind, address.seed, address.slots, address.hash_order, rules)


def _slot_of_seen(
    seen: Seen, kind: HashKind, seed: int, slots: int, order: HashOrder, rules: Sequence[PortRule]
) -> int | Unhashable:
    if rules and seen.protocol:
        if len(seen.ports) < 4:
            return Unhashable.TRUNCATED
        rule = rule_for(rules, seen.protocol, seen.ports[2] << 8 | seen.ports[3])
        if rule is not None and rule.fate is PortFate.REFUSED:
            return Unhashable.PORT_REFUSED
        if rule is not None and rule.fate is PortFate.ONE:
            return rule.slot
    key = _key_of_seen(seen, kind, order)
    return key if isinstance(key, Unhashable) else (jhash(key, seed) * slots) >> 32


def rule_for(rules: Sequence[PortRule], protocol: int, port: int) -> PortRule | None:
    """The rule that decides about packets to this port; None where there is none, and they are hashed."""
    return next((rule for rule in rules if rule.fits(protocol, port)), None)


def key_of_packet(packet: bytes, kind: HashKind, order: HashOrder = HashOrder.NETWORK) -> bytes | Unhashable:
    """What of this packet is hashed, or why it cannot be."""
    seen = look(packet)
    return seen if isinstance(seen, Unhashable) else _key_of_seen(seen, kind, order)


def _key_of_seen(seen: Seen, kind: HashKind, order: HashOrder) -> bytes | Unhashable:
    wanted = 2 * PORTS_IN_KEY[kind] if seen.protocol else 0
    if len(seen.ports) < wanted:
        return Unhashable.TRUNCATED
    return _assembled(seen.client, seen.ports[:wanted], kind, order)


def is_neighbour_discovery(packet: bytes) -> bool:
    """Whether the segment speaks, and no client: such a packet has no slot, every host hears it.

    Told as every engine can tell it, and no router's neighbour can forge it (RFC 4861, section 11.2): the type, no
    extension header before it, and a hop limit that has not been touched.
    """
    return (
        len(packet) > IPV6_HEADER
        and packet[0] >> 4 == 6
        and packet[6] == ICMPV6
        and packet[7] == ND_HOP_LIMIT
        and packet[IPV6_HEADER] in ND_TYPES
    )


def look(packet: bytes) -> Seen | Unhashable:
    """What matters of this packet, or why nothing can be said."""
    if not packet:
        return Unhashable.TRUNCATED
    version = packet[0] >> 4
    if version == 4:
        return _look_at_ipv4(packet)
    if version == 6:
        return _look_at_ipv6(packet)
    return Unhashable.NOT_IP


def _look_at_ipv4(packet: bytes) -> Seen | Unhashable:
    if len(packet) < IPV4_HEADER_MIN:
        return Unhashable.TRUNCATED
    header = (packet[0] & 0x0F) * 4
    end = packet[2] << 8 | packet[3]
    if header < IPV4_HEADER_MIN or end < header:
        return Unhashable.MALFORMED
    if len(packet) < end:
        return Unhashable.TRUNCATED
    source = packet[12:16]
    if packet[6] & 0x3F or packet[7]:  # more fragments, or an offset
        return Seen(source, 0, b"")
    protocol = packet[9]
    if protocol in PORT_PROTOCOLS:
        return Seen(source, protocol, packet[header : min(header + 4, end)])
    if protocol == ICMP:
        if header + ICMP_HEADER > end:
            return Unhashable.TRUNCATED
        if packet[header] in ICMP_ERRORS:
            return _look_at_ipv4_quote(packet[header + ICMP_HEADER : end])
    return Seen(source, 0, b"")


def _look_at_ipv4_quote(quote: bytes) -> Seen | Unhashable:
    """The flow that an ICMP error is about; the quote was sent by us, so ends are the other way round.

    A quoted *first* fragment still shows its ports, and they name the connection: only an offset hides them.
    """
    if len(quote) < IPV4_HEADER_MIN:
        return Unhashable.TRUNCATED
    header = (quote[0] & 0x0F) * 4
    if quote[0] >> 4 != 4 or header < IPV4_HEADER_MIN:
        return Unhashable.MALFORMED
    client = quote[16:20]
    offset = (quote[6] & 0x1F) << 8 | quote[7]
    if offset or quote[9] not in PORT_PROTOCOLS:
        return Seen(client, 0, b"")
    return Seen(client, quote[9], _quoted_ports(quote, header))


def _look_at_ipv6_quote(quote: bytes) -> Seen | Unhashable:
    """As for IPv4; where extension headers stand before the ports, by address."""
    if len(quote) < IPV6_HEADER:
        return Unhashable.TRUNCATED
    if quote[0] >> 4 != 6:
        return Unhashable.MALFORMED
    client = quote[24:40]
    if quote[6] not in PORT_PROTOCOLS:
        return Seen(client, 0, b"")
    return Seen(client, quote[6], _quoted_ports(quote, IPV6_HEADER))


def _quoted_ports(quote: bytes, at: int) -> bytes:
    """The client's port, then ours; none where either has been cut off."""
    return quote[at + 2 : at + 4] + quote[at : at + 2] if at + 4 <= len(quote) else b""


def _look_at_ipv6(packet: bytes) -> Seen | Unhashable:
    if len(packet) < IPV6_HEADER:
        return Unhashable.TRUNCATED
    end = IPV6_HEADER + (packet[4] << 8 | packet[5])
    if len(packet) < end:
        return Unhashable.TRUNCATED
    source = packet[8:24]
    upper = _upper_layer(packet, end)
    if isinstance(upper, Unhashable):
        return upper
    protocol, at, is_fragment = upper
    if is_fragment:
        return Seen(source, 0, b"")
    if protocol in PORT_PROTOCOLS:
        return Seen(source, protocol, packet[at : min(at + 4, end)])
    if protocol == ICMPV6:
        if at + ICMP_HEADER > end:
            return Unhashable.TRUNCATED
        if packet[at] <= ICMPV6_ERROR_MAX:
            return _look_at_ipv6_quote(packet[at + ICMP_HEADER : end])
    return Seen(source, 0, b"")


class Upper(NamedTuple):
    """What stands behind the extension headers of an IPv6 packet."""

    protocol: int
    at: int
    """where it begins in the packet"""
    is_fragment: bool
    """a piece of it: only the first one shows its header"""


def upper_layer(packet: bytes) -> Upper | None:
    """Of an IPv6 packet; None for one that `look` does not understand."""
    if len(packet) < IPV6_HEADER:
        return None
    end = IPV6_HEADER + (packet[4] << 8 | packet[5])
    upper = _upper_layer(packet, end) if len(packet) >= end else None
    return upper if isinstance(upper, Upper) else None


def _upper_layer(packet: bytes, end: int) -> Upper | Unhashable:
    """The walk ends at a fragment header (RFC 8200, section 4.5).

    An atomic fragment (offset 0, nothing follows, RFC 6946) is a whole packet.  ESP, AH and what is unknown end the
    walk: they are protocols like any other, without ports.
    """
    protocol = packet[6]
    at = IPV6_HEADER
    for _ in range(IPV6_EXTENSIONS_MAX):
        if protocol == IPV6_FRAGMENT:
            if at + 8 > end:
                return Unhashable.TRUNCATED
            if packet[at + 2] or packet[at + 3] & 0xF9:
                return Upper(packet[at], at + 8, True)
            length = 8
        elif protocol in IPV6_EXTENSIONS:
            if at + 2 > end:
                return Unhashable.TRUNCATED
            length = (packet[at + 1] + 1) * 8
        elif protocol == IPV6_AUTHENTICATION and at + 2 > end:
            return Unhashable.TRUNCATED
        else:
            return Upper(protocol, at, False)
        protocol = packet[at]
        at += length
        if at > end:
            return Unhashable.TRUNCATED
    return Unhashable.MALFORMED
