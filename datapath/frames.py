"""Frames that vipcast reads and writes itself: Ethernet and ARP (RFC 826, RFC 5227).

Parsing is bounded and never raises: what is not a well-formed ARP frame for IPv4 over Ethernet is None.  Building
raises ValueError when our own caller is wrong.  Neighbour discovery has a file of its own (neighbours.py).

This module is pure: no clock, no socket.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from ipaddress import IPv4Address
from struct import Struct

ETHERNET_HEADER = 14
ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_ARP = 0x0806
ETHERTYPE_IPV6 = 0x86DD
BROADCAST = b"\xff" * 6
UNKNOWN_MAC = b"\x00" * 6
UNSPECIFIED = IPv4Address(0)

_ETHERNET = Struct("!6s6sH")
_ARP = Struct("!HHBBH6s4s6s4s")
_HARDWARE_ETHERNET = 1
ARP_FRAME_BYTES = ETHERNET_HEADER + _ARP.size
"""42; on a wire a frame is padded to 60"""


class ArpOperation(enum.IntEnum):
    REQUEST = 1
    REPLY = 2


@dataclass(frozen=True, slots=True)
class Arp:
    """One ARP frame.  MACs are six bytes."""

    destination: bytes
    """Ethernet destination"""
    source: bytes
    """Ethernet source: with shared addresses it is *not* what the frame teaches"""
    operation: ArpOperation
    sender_mac: bytes
    sender_ip: IPv4Address
    target_mac: bytes
    target_ip: IPv4Address

    @property
    def is_probe(self) -> bool:
        """RFC 5227, section 1.1: somebody asks whether an address is free before taking it."""
        return self.operation is ArpOperation.REQUEST and self.sender_ip == UNSPECIFIED

    @property
    def is_announcement(self) -> bool:
        """Gratuitous: the sender asks for, or answers with, the address that it claims."""
        return self.sender_ip == self.target_ip


def parse_arp(frame: bytes | bytearray | memoryview) -> Arp | None:
    """The ARP frame in `frame`, None when it is anything else.

    Bytes after the ARP part (padding of short frames) are ignored.
    """
    if len(frame) < ARP_FRAME_BYTES:
        return None
    destination, source, ethertype = _ETHERNET.unpack_from(frame)
    if ethertype != ETHERTYPE_ARP:
        return None
    hardware, protocol, hardware_bytes, protocol_bytes, operation, sender_mac, sender_ip, target_mac, target_ip = (
        _ARP.unpack_from(frame, ETHERNET_HEADER)
    )
    if (hardware, protocol, hardware_bytes, protocol_bytes) != (_HARDWARE_ETHERNET, ETHERTYPE_IPV4, 6, 4):
        return None
    if operation not in (ArpOperation.REQUEST, ArpOperation.REPLY):
        return None
    return Arp(
        destination,
        source,
        ArpOperation(operation),
        sender_mac,
        IPv4Address(sender_ip),
        target_mac,
        IPv4Address(target_ip),
    )


def build_arp(arp: Arp) -> bytes:
    """The frame of `arp`, without padding: the sending device pads.  ValueError when a MAC is not six bytes."""
    for mac in (arp.destination, arp.source, arp.sender_mac, arp.target_mac):
        if len(mac) != 6:
            raise ValueError(f"a MAC is six bytes, got {mac.hex(':') or 'none'}")
    return _ETHERNET.pack(arp.destination, arp.source, ETHERTYPE_ARP) + _ARP.pack(
        _HARDWARE_ETHERNET,
        ETHERTYPE_IPV4,
        6,
        4,
        arp.operation,
        arp.sender_mac,
        arp.sender_ip.packed,
        arp.target_mac,
        arp.target_ip.packed,
    )


def arp_reply(request: Arp, mac: bytes, source: bytes) -> bytes:
    """The answer to a request: its target address is at `mac`.

    `source` is the Ethernet source, the interface's own MAC: were it the shared one, a switch would learn where
    "the" owner lives and stop sending to the others.
    """
    return build_arp(
        Arp(
            destination=request.sender_mac,
            source=source,
            operation=ArpOperation.REPLY,
            sender_mac=mac,
            sender_ip=request.target_ip,
            target_mac=request.sender_mac,
            target_ip=request.sender_ip,
        )
    )


def arp_request(ip: IPv4Address, sender_ip: IPv4Address, mac: bytes) -> bytes:
    """Who has `ip`? tell `sender_ip` (0.0.0.0: a probe, which teaches nobody anything)."""
    return build_arp(Arp(BROADCAST, mac, ArpOperation.REQUEST, mac, sender_ip, UNKNOWN_MAC, ip))


def gratuitous_arp(ip: IPv4Address, mac: bytes, source: bytes) -> tuple[bytes, bytes]:
    """An announcement that `ip` is at `mac`, as a request and as a reply.

    RFC 5227 wants the request; some devices refresh their caches by replies only, so both are sent.
    """
    request = Arp(BROADCAST, source, ArpOperation.REQUEST, mac, ip, UNKNOWN_MAC, ip)
    reply = Arp(BROADCAST, source, ArpOperation.REPLY, mac, ip, BROADCAST, ip)
    return build_arp(request), build_arp(reply)
