"""Neighbour discovery as vipcast reads and writes it: who has this address, and where it is (RFC 4861).

Parsing is bounded and never raises: what is not a well-formed solicitation or advertisement of a neighbour on this
link is None (RFC 4861, sections 7.1.1 and 7.1.2).  Building raises ValueError when our own caller is wrong.

This module is pure: no clock, no socket.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address
from struct import Struct

from datapath.frames import ETHERNET_HEADER, ETHERTYPE_IPV6
from datapath.hashing import ICMPV6, IPV6_HEADER, ND_HOP_LIMIT

SOLICITATION = 135
ADVERTISEMENT = 136

UNSPECIFIED = IPv6Address("::")
ALL_NODES = IPv6Address("ff02::1")
FRAME_BYTES_MAX = 512
"""longer ones are not ours to understand: they would carry kilobytes of options"""

_SOLICITED_NODES = int(IPv6Address("ff02::1:ff00:0"))
_SOURCE_LINK_LAYER = 1
_TARGET_LINK_LAYER = 2
_OVERRIDE = 0x2000_0000
_SOLICITED = 0x4000_0000
_ethernet = Struct("!6s6sH")
_ipv6 = Struct("!IHBB16s16s")
_icmp = Struct("!BBHI16s")
_option = Struct("!BB6s")
_MESSAGE_AT = ETHERNET_HEADER + IPV6_HEADER


@dataclass(frozen=True, slots=True)
class Solicitation:
    """Who has `target`?  tell `sender`."""

    source: bytes
    """Ethernet source"""
    sender: IPv6Address
    """unspecified: the asker probes whether the address is free (RFC 4862, section 5.4)"""
    sender_mac: bytes
    """what the asker says where it is; the Ethernet source where it does not say so"""
    target: IPv6Address


@dataclass(frozen=True, slots=True)
class Advertisement:
    """`target` is at `target_mac`."""

    source: bytes
    """Ethernet source"""
    sender: IPv6Address
    target: IPv6Address
    target_mac: bytes | None
    """None where it is not said: whoever was asked directly need not say it"""


def parse(frame: bytes) -> Solicitation | Advertisement | None:
    """The neighbour message in `frame`, None when it is anything else.  Bytes behind it (padding) are ignored."""
    if len(frame) < _MESSAGE_AT + _icmp.size:
        return None
    _, source, ethertype = _ethernet.unpack_from(frame)
    word, length, protocol, hop_limit, sender, destination = _ipv6.unpack_from(frame, ETHERNET_HEADER)
    message = frame[_MESSAGE_AT : _MESSAGE_AT + length]
    if (ethertype, word >> 28, protocol, hop_limit) != (ETHERTYPE_IPV6, 6, ICMPV6, ND_HOP_LIMIT):
        return None
    if len(message) != length or length < _icmp.size or checksum(sender, destination, message) != 0:
        return None
    kind, code, _, _, target = _icmp.unpack_from(message)
    options = _link_layer_addresses(message[_icmp.size :])
    if code != 0 or target[0] == 0xFF or options is None:
        return None
    if kind == ADVERTISEMENT:
        said = options.get(_TARGET_LINK_LAYER)
        return Advertisement(source, IPv6Address(sender), IPv6Address(target), said)
    if kind != SOLICITATION:
        return None
    said = options.get(_SOURCE_LINK_LAYER)
    if not any(sender) and (said is not None or IPv6Address(destination) != solicited_node(IPv6Address(target))):
        return None
    return Solicitation(source, IPv6Address(sender), said or source, IPv6Address(target))


def _link_layer_addresses(options: bytes) -> dict[int, bytes] | None:
    """The first link-layer address of each kind; None where the options are not well-formed."""
    found: dict[int, bytes] = {}
    for kind, body in _walk(options):
        if body is None:
            return None
        if kind in (_SOURCE_LINK_LAYER, _TARGET_LINK_LAYER):
            found.setdefault(kind, body[:6])
    return found


def _walk(options: bytes) -> Iterator[tuple[int, bytes | None]]:
    """(type, content) of each option; content None for one that is longer than what is left, or of no length."""
    at = 0
    while at < len(options):
        length = options[at + 1] * 8 if at + 1 < len(options) else 0
        if not 0 < length <= len(options) - at:
            yield options[at], None
            return
        yield options[at], options[at + 2 : at + length]
        at += length


def answer(asked: Solicitation, mac: bytes, source: bytes) -> bytes:
    """The answer: its target is at `mac`, and every cache shall believe it (override).

    `source` is the Ethernet source, the interface's own MAC, so that no switch learns where the shared one lives.
    A probe is answered to all nodes, for its sender has no address yet.
    """
    if asked.sender == UNSPECIFIED:
        return announcement(asked.target, mac, source)
    return _advertisement(asked.target, asked.sender, asked.sender_mac, _SOLICITED | _OVERRIDE, mac, source)


def announcement(ip: IPv6Address, mac: bytes, source: bytes) -> bytes:
    """Unsolicited: `ip` is at `mac`, to all nodes (RFC 4861, section 7.2.6)."""
    return _advertisement(ip, ALL_NODES, multicast_mac(ALL_NODES), _OVERRIDE, mac, source)


def _advertisement(ip: IPv6Address, to: IPv6Address, to_mac: bytes, flags: int, mac: bytes, source: bytes) -> bytes:
    option = _option.pack(_TARGET_LINK_LAYER, 1, mac)
    return _frame(ADVERTISEMENT, flags, ip, option, (ip, to), (to_mac, source))


def solicitation(target: IPv6Address, sender: IPv6Address, mac: bytes) -> bytes:
    """Who has `target`? tell `sender` at `mac` (unspecified: a probe, which teaches nobody anything)."""
    group = solicited_node(target)
    option = _option.pack(_SOURCE_LINK_LAYER, 1, mac) if sender != UNSPECIFIED else b""
    return _frame(SOLICITATION, 0, target, option, (sender, group), (multicast_mac(group), mac))


def _frame(
    kind: int,
    flags: int,
    target: IPv6Address,
    option: bytes,
    ips: tuple[IPv6Address, IPv6Address],
    macs: tuple[bytes, bytes],
) -> bytes:
    """`ips` are source and destination, `macs` destination and source."""
    if any(len(mac) != 6 for mac in macs) or len(option) not in (0, _option.size):
        raise ValueError(f"a MAC is six bytes, got {' and '.join(mac.hex(':') for mac in macs)}")
    source, destination = ips[0].packed, ips[1].packed
    bare = _icmp.pack(kind, 0, 0, flags, target.packed) + option
    whole = _icmp.pack(kind, 0, checksum(source, destination, bare), flags, target.packed) + option
    head = _ipv6.pack(6 << 28, len(whole), ICMPV6, ND_HOP_LIMIT, source, destination)
    return _ethernet.pack(*macs, ETHERTYPE_IPV6) + head + whole


def checksum(source: bytes, destination: bytes, message: bytes) -> int:
    """Of an ICMPv6 message with its pseudo header (RFC 8200, section 8.1); 0 for one that carries the right sum."""
    covered = source + destination + len(message).to_bytes(4, "big") + ICMPV6.to_bytes(4, "big") + message
    if len(covered) % 2:
        covered += b"\0"
    total: int = sum(Struct(f"!{len(covered) // 2}H").unpack(covered))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def solicited_node(ip: IPv6Address) -> IPv6Address:
    """The group that questions for this address go to (RFC 4291, section 2.7.1)."""
    return IPv6Address(_SOLICITED_NODES | int(ip) & 0xFFFFFF)


def multicast_mac(group: IPv6Address) -> bytes:
    """The Ethernet address of an IPv6 multicast group (RFC 2464, section 7)."""
    return b"\x33\x33" + group.packed[12:]
