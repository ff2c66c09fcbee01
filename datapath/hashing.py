"""Which slot a packet belongs to: the kernel's own functions, bit for bit, in plain Python.

slot = reciprocal_scale(jhash(key, seed), slots), with `jhash` as in include/linux/jhash.h, computed over the key as
nf_tables holds it in its registers (nft_hash.c) on a little-endian host, and `reciprocal_scale` as in
include/linux/kernel.h.  The key is a row of fields in network byte order, each padded to four bytes:

    sourceip                        address
    sourceip-sourceport             address | port 0 0
    sourceip-sourceport-destport    address | port 0 0 | port 0 0

What of a packet is the key (ARCHITECTURE.md, Slots), the same in every engine:

    a fragment (more-fragments set or offset not 0)   source address: only the first fragment has ports
    TCP, UDP, SCTP                                    by the kind
    an ICMP error                                     by the kind, from the packet that it quotes: this host sent
                                                      that one, so its *destination* is the client
    everything else, echo included                    source address

This module is pure: no clock, no socket.  A packet costs two to three microseconds.
"""

from __future__ import annotations

import enum
from ipaddress import IPv4Address, IPv6Address
from struct import Struct

from datapath.engine import HashKind

JHASH_INITVAL = 0xDEADBEEF
SLOTS_MAX = 65_536

PORT_PROTOCOLS = frozenset({6, 17, 132})
"""TCP, UDP, SCTP: those whose header begins with source port and destination port."""

ICMP = 1
ICMPV6 = 58
ICMP_ERRORS = frozenset({3, 4, 5, 11, 12})
"""Unreachable, source quench, redirect, time exceeded, parameter problem: they quote a packet (RFC 792)."""
ICMPV6_ERROR_MAX = 127
"""Types up to this one are errors (RFC 4443, section 2.1)."""
ICMP_HEADER = 8

IPV4_HEADER_MIN = 20
IPV6_HEADER = 40
IPV6_FRAGMENT = 44
IPV6_NO_NEXT_HEADER = 59
IPV6_EXTENSIONS = frozenset({0, 43, 60})
"""Hop-by-hop, routing, destination options: length in units of 8 bytes, the first not counted (RFC 8200)."""
IPV6_EXTENSIONS_MAX = 64

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
) -> bytes:
    """The key of a client: pass ports for TCP, UDP and SCTP, none for fragments and everything else.

    Without ports every kind hashes by address.  Raises ValueError when the kind needs a destination port and only
    the source port is known, or when a port is outside 0 … 65,535.
    """
    address = source if isinstance(source, bytes) else source.packed
    if kind is HashKind.SOURCEIP or source_port is None:
        return address
    try:
        if kind is HashKind.SOURCEIP_SOURCEPORT:
            return address + source_port.to_bytes(2, "big") + b"\0\0"
        if destination_port is None:
            raise ValueError(f"{kind.value} needs the destination port as well")
        return address + source_port.to_bytes(2, "big") + b"\0\0" + destination_port.to_bytes(2, "big") + b"\0\0"
    except OverflowError:
        raise ValueError(f"ports are 0 to 65535, got {source_port} and {destination_port}") from None


def slot_of_packet(packet: bytes, kind: HashKind, seed: int, slots: int) -> int | Unhashable:
    """The slot of a packet, given from its IP header on; bytes after the IP length (padding) are ignored."""
    key = key_of_packet(packet, kind)
    return key if isinstance(key, Unhashable) else (jhash(key, seed) * slots) >> 32


def key_of_packet(packet: bytes, kind: HashKind) -> bytes | Unhashable:
    """What of this packet is hashed, or why it cannot be."""
    if not packet:
        return Unhashable.TRUNCATED
    version = packet[0] >> 4
    if version == 4:
        return _key_of_ipv4(packet, kind)
    if version == 6:
        return _key_of_ipv6(packet, kind)
    return Unhashable.NOT_IP


def _key_of_ipv4(packet: bytes, kind: HashKind) -> bytes | Unhashable:
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
        return source
    protocol = packet[9]
    if protocol in PORT_PROTOCOLS:
        return _key_with_ports(packet, header, end, source, kind)
    if protocol == ICMP:
        if header + ICMP_HEADER > end:
            return Unhashable.TRUNCATED
        if packet[header] in ICMP_ERRORS:
            return _key_of_ipv4_quote(packet[header + ICMP_HEADER : end], kind)
    return source


def _key_with_ports(packet: bytes, at: int, end: int, source: bytes, kind: HashKind) -> bytes | Unhashable:
    if kind is HashKind.SOURCEIP:
        return source
    if at + 2 > end:
        return Unhashable.TRUNCATED
    if kind is HashKind.SOURCEIP_SOURCEPORT:
        return source + packet[at : at + 2] + b"\0\0"
    if at + 4 > end:
        return Unhashable.TRUNCATED
    return source + packet[at : at + 2] + b"\0\0" + packet[at + 2 : at + 4] + b"\0\0"


def _key_of_ipv4_quote(quote: bytes, kind: HashKind) -> bytes | Unhashable:
    """The key of the flow that an ICMP error is about; the quote was sent by us, so ports are the other way round.

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
        return client
    return _key_with_quoted_ports(quote, header, client, kind)


def _key_of_ipv6_quote(quote: bytes, kind: HashKind) -> bytes | Unhashable:
    """As for IPv4; where extension headers stand before the ports, by address."""
    if len(quote) < IPV6_HEADER:
        return Unhashable.TRUNCATED
    if quote[0] >> 4 != 6:
        return Unhashable.MALFORMED
    client = quote[24:40]
    if quote[6] not in PORT_PROTOCOLS:
        return client
    return _key_with_quoted_ports(quote, IPV6_HEADER, client, kind)


def _key_with_quoted_ports(quote: bytes, at: int, client: bytes, kind: HashKind) -> bytes | Unhashable:
    if kind is HashKind.SOURCEIP:
        return client
    if at + 4 > len(quote):
        return Unhashable.TRUNCATED
    if kind is HashKind.SOURCEIP_SOURCEPORT:
        return client + quote[at + 2 : at + 4] + b"\0\0"
    return client + quote[at + 2 : at + 4] + b"\0\0" + quote[at : at + 2] + b"\0\0"


def _key_of_ipv6(packet: bytes, kind: HashKind) -> bytes | Unhashable:
    if len(packet) < IPV6_HEADER:
        return Unhashable.TRUNCATED
    end = IPV6_HEADER + (packet[4] << 8 | packet[5])
    if len(packet) < end:
        return Unhashable.TRUNCATED
    source = packet[8:24]
    upper = _upper_layer(packet, end)
    if upper is None:
        return source
    if isinstance(upper, Unhashable):
        return upper
    protocol, at = upper
    if protocol in PORT_PROTOCOLS:
        return _key_with_ports(packet, at, end, source, kind)
    if protocol == ICMPV6:
        if at + ICMP_HEADER > end:
            return Unhashable.TRUNCATED
        if packet[at] <= ICMPV6_ERROR_MAX:
            return _key_of_ipv6_quote(packet[at + ICMP_HEADER : end], kind)
    return source


def _upper_layer(packet: bytes, end: int) -> tuple[int, int] | Unhashable | None:
    """Protocol and offset behind the extension headers; None for a fragment (RFC 8200, section 4.5).

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
                return None
            length = 8
        elif protocol in IPV6_EXTENSIONS:
            if at + 2 > end:
                return Unhashable.TRUNCATED
            length = (packet[at + 1] + 1) * 8
        else:
            return protocol, at
        protocol = packet[at]
        at += length
        if at > end:
            return Unhashable.TRUNCATED
    return Unhashable.MALFORMED
