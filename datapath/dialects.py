"""The two dialects in which a segment asks where an address is: ARP for IPv4, Neighbour Discovery for IPv6.

What a frame asks or claims is told alike, so that one responder speaks both.  Pure: no clock, no socket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Generic, TypeVar

from datapath import bpf_filter, frames, neighbours

IPAddress = IPv4Address | IPv6Address
Ip = TypeVar("Ip", IPv4Address, IPv6Address)


@dataclass(frozen=True, slots=True)
class Question:
    """Somebody wants to know where an address is."""

    asked: IPAddress
    asker: bytes
    """the MAC that the answer goes to"""
    answer: Callable[[bytes, bytes], bytes]
    """(shared MAC, the interface's own MAC) → the frame"""


@dataclass(frozen=True, slots=True)
class Claim:
    """Somebody says where an address is."""

    ip: IPAddress
    mac: bytes


@dataclass(frozen=True, slots=True)
class Heard:
    """What a frame says; ARP can do both at once."""

    source: bytes
    """Ethernet source: where on the segment it comes from"""
    question: Question | None = None
    claim: Claim | None = None


@dataclass(frozen=True, slots=True)
class Dialect(Generic[Ip]):
    """How a family asks and answers."""

    name: str
    ethertype: int
    frame_bytes_max: int
    filter_for: Callable[[Iterable[tuple[Ip, bytes]]], bpf_filter.Program]
    """what lets the questions for (address, shared MAC), and strangers' claims, through to a socket"""
    read: Callable[[bytes], Heard | None]
    announcements: Callable[[Ip, bytes, bytes], tuple[bytes, ...]]
    """(address, shared MAC, own MAC) → frames that tell everybody"""
    probe: Callable[[Ip, bytes], bytes]
    """(address, own MAC) → who has it?  From nobody (RFC 5227, section 1.1; RFC 4862, section 5.4), so that no cache
    learns anything by it"""


def _read_arp(frame: bytes) -> Heard | None:
    arp = frames.parse_arp(frame)
    if arp is None:
        return None
    question = None
    if arp.operation is frames.ArpOperation.REQUEST and arp.sender_ip != arp.target_ip:
        question = Question(arp.target_ip, arp.sender_mac, partial(frames.arp_reply, arp))
    return Heard(arp.source, question, Claim(arp.sender_ip, arp.sender_mac))


def _read_neighbours(frame: bytes) -> Heard | None:
    match neighbours.parse(frame):
        case neighbours.Solicitation(source=source, sender_mac=asker, target=target) as asked:
            return Heard(source, question=Question(target, asker, partial(neighbours.answer, asked)))
        case neighbours.Advertisement(source=source, target=target, target_mac=mac) if mac is not None:
            return Heard(source, claim=Claim(target, mac))
    return None


def _announce_neighbour(ip: IPv6Address, mac: bytes, source: bytes) -> tuple[bytes, ...]:
    return (neighbours.announcement(ip, mac, source),)


def _probe_arp(ip: IPv4Address, source: bytes) -> bytes:
    return frames.arp_request(ip, frames.UNSPECIFIED, source)


def _probe_neighbour(ip: IPv6Address, source: bytes) -> bytes:
    return neighbours.solicitation(ip, neighbours.UNSPECIFIED, source)


ARP: Dialect[IPv4Address] = Dialect(
    name="ARP",
    ethertype=frames.ETHERTYPE_ARP,
    frame_bytes_max=frames.ARP_FRAME_BYTES,
    filter_for=bpf_filter.arp_for,
    read=_read_arp,
    announcements=frames.gratuitous_arp,
    probe=_probe_arp,
)
NEIGHBOUR_DISCOVERY: Dialect[IPv6Address] = Dialect(
    name="Neighbour Discovery",
    ethertype=frames.ETHERTYPE_IPV6,
    frame_bytes_max=neighbours.FRAME_BYTES_MAX,
    filter_for=bpf_filter.solicitations_for,
    read=_read_neighbours,
    announcements=_announce_neighbour,
    probe=_probe_neighbour,
)
DIALECTS: dict[int, Dialect[Any]] = {4: ARP, 6: NEIGHBOUR_DISCOVERY}
"""by the version of IP"""
