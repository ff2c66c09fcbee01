"""Frames for tests: every shape of packet that a client can send, defined once, made with scapy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP, IPOption_RR
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.l2 import Ether
from scapy.layers.sctp import SCTP
from scapy.packet import Packet, Raw

from datapath.engine import Address

CLIENT_MAC = "02:00:00:00:00:99"
_PER_SHAPE = 12


@dataclass(frozen=True)
class Shape:
    """Packets of one kind, from several clients."""

    name: str
    packets: tuple[bytes, ...]
    """from the IP header on"""
    mac: str

    @property
    def frames(self) -> list[bytes]:
        ethertype = 0x0800 if self.packets[0][0] >> 4 == 4 else 0x86DD
        head = bytes(Ether(dst=self.mac, src=CLIENT_MAC, type=ethertype))
        return [head + packet for packet in self.packets]


@lru_cache(maxsize=32)
def shapes(address: Address) -> list[Shape]:
    """All shapes of packets to an address of IPv4."""
    vip = str(address.ip)
    made: dict[str, list[Packet]] = {}

    def add(name: str, packet: Packet) -> None:
        made.setdefault(name, []).append(packet)

    for number in range(_PER_SHAPE):
        client, port = f"10.78.{number}.{200 - 7 * number}", 1024 + 4099 * number
        ip = IP(src=client, dst=vip)
        options = [IPOption_NOP(), IPOption_RR(routers=["0.0.0.0"]), IPOption_NOP()]
        quoted = IP(src=vip, dst=client)
        payload = Raw(b"x" * 64)
        add("TCP SYN", ip / TCP(sport=port, dport=9, flags="S"))
        add("TCP segments of a connection", ip / TCP(sport=port, dport=8080, flags="A", seq=7) / payload)
        add("UDP", ip / UDP(sport=port, dport=9) / payload)
        add("SCTP", ip / SCTP(sport=port, dport=9) / payload)
        add("TCP with IP options", IP(src=client, dst=vip, options=options) / TCP(sport=port, dport=9))
        add("echo request", ip / ICMP(type=8, id=number) / payload)
        add("timestamp request", ip / ICMP(type=13))
        add("GRE", IP(src=client, dst=vip, proto=47) / Raw(bytes(8)))
        first = IP(src=client, dst=vip, flags="MF")
        add("first fragment of UDP", first / UDP(sport=port, dport=9, chksum=0) / Raw(b"y" * 16))
        add("later fragment of UDP", IP(src=client, dst=vip, frag=3, proto=17) / payload)
        add("last fragment of TCP", IP(src=client, dst=vip, frag=100, proto=6) / payload)
        add("fragment of an ICMP error", first / ICMP(type=3, code=3) / Raw(bytes(56)))
        router = IP(src="10.78.99.99", dst=vip)
        for name, kind in (("unreachable", 3), ("time exceeded", 11), ("parameter problem", 12), ("redirect", 5)):
            add(f"{name} about TCP", router / ICMP(type=kind, code=1) / quoted / TCP(sport=80, dport=port))
        error = router / ICMP(type=3, code=4)
        add("unreachable about UDP", error / quoted / UDP(sport=53, dport=port) / payload)
        add("unreachable about SCTP", error / quoted / SCTP(sport=53, dport=port))
        add("unreachable about echo", error / quoted / ICMP(type=0))
        with_options = IP(src=vip, dst=client, options=options)
        add("unreachable about options", error / with_options / TCP(sport=80, dport=port))
        first = IP(src=vip, dst=client, flags="MF")
        later = IP(src=vip, dst=client, frag=9, proto=17)
        add("unreachable about a first fragment", error / first / UDP(sport=53, dport=port))
        add("unreachable about a later fragment", error / later / payload)
        add("unreachable that quotes nothing", error)
        add("unreachable that quotes rubbish", error / Raw(b"\x12" * 40))
        add("TCP without ports", IP(src=client, dst=vip, proto=6) / Raw(b"\1\2"))
        add("TCP of one byte", IP(src=client, dst=vip, proto=6) / Raw(b"\1"))
        outside = IP(src=client, dst=vip, options=options) / ICMP(type=3, code=1)
        add("error with options about TCP", outside / quoted / TCP(sport=80, dport=port))
    return [Shape(name, tuple(bytes(packet) for packet in packets), address.mac) for name, packets in made.items()]


@lru_cache(maxsize=32)
def shapes6(address: Address) -> list[Shape]:
    """All shapes of packets to an address of IPv6."""
    vip = str(address.ip)
    made: dict[str, list[Packet]] = {}

    def add(name: str, packet: Packet) -> None:
        made.setdefault(name, []).append(packet)

    for number in range(_PER_SHAPE):
        client, port = f"fd78::{number}:{7 + 9 * number:x}", 1024 + 4099 * number
        ip = IPv6(src=client, dst=vip)
        quoted = IPv6(src=vip, dst=client)
        payload = Raw(b"x" * 64)
        tcp = TCP(sport=port, dport=9)
        add("TCP SYN", ip / tcp)
        add("UDP", ip / UDP(sport=port, dport=9) / payload)
        add("SCTP", ip / SCTP(sport=port, dport=9) / payload)
        add("TCP behind options", ip / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / tcp)
        add("TCP behind a routing header", ip / IPv6ExtHdrRouting(segleft=0) / tcp)
        add("TCP in an atomic fragment", ip / IPv6ExtHdrFragment(offset=0, m=0) / tcp)
        add("first fragment of UDP", ip / IPv6ExtHdrFragment(offset=0, m=1) / UDP(sport=port, dport=9) / payload)
        add("later fragment of UDP", ip / IPv6ExtHdrFragment(offset=9, m=0, nh=17) / payload)
        add("fragment behind options", ip / IPv6ExtHdrDestOpt() / IPv6ExtHdrFragment(offset=0, m=1) / tcp)
        add("echo request", ip / ICMPv6EchoRequest(id=number))
        add("neighbour solicitation", IPv6(src=client, dst=vip, hlim=255) / ICMPv6ND_NS(tgt=vip))
        add("neighbour advertisement", IPv6(src=client, dst=vip, hlim=255) / ICMPv6ND_NA(tgt=client))
        add("forwarded solicitation", IPv6(src=client, dst=vip, hlim=254) / ICMPv6ND_NS(tgt=vip))
        add("no next header", IPv6(src=client, dst=vip, nh=59))
        add("GRE", IPv6(src=client, dst=vip, nh=47) / Raw(bytes(8)))
        router = IPv6(src="fd78::99", dst=vip)
        for error in (ICMPv6DestUnreach(), ICMPv6PacketTooBig(), ICMPv6TimeExceeded(), ICMPv6ParamProblem()):
            add(f"{error.name} about TCP", router / error / quoted / TCP(sport=80, dport=port))
        error = router / ICMPv6DestUnreach()
        add("unreachable about UDP", error / quoted / UDP(sport=53, dport=port) / payload)
        add("unreachable about echo", error / quoted / ICMPv6EchoRequest())
        add("unreachable about options", error / quoted / IPv6ExtHdrDestOpt() / TCP(sport=80, dport=port))
        add("unreachable that quotes nothing", error)
        add("unreachable behind options", router / IPv6ExtHdrDestOpt() / ICMPv6DestUnreach() / quoted / tcp)
    return [Shape(name, tuple(bytes(packet) for packet in packets), address.mac) for name, packets in made.items()]


def breaking_resets(frames: Iterable[bytes]) -> list[bytes]:
    """Resets by anybody but the host that has closed that connection itself.

    A host's FIN, of another processor, may overtake its last ACK; then the client acknowledges twice, and what is
    closed already answers the second with a reset that nobody misses.
    """
    closed: set[bytes] = set()
    breaking = []
    for frame in frames:
        flags = tcp_flags(frame)
        flow = frame[6:12] + frame[26:34] + frame[34:38] if flags else b""
        if "F" in flags:
            closed.add(flow)
        if "R" in flags and flow not in closed:
            breaking.append(frame)
    return breaking


def tcp_flags(frame: bytes) -> str:
    """Flags of a TCP packet in a frame as scapy writes them (`SA`, `R`), empty for everything else."""
    if frame[12:14] != b"\x08\x00" or frame[23] != 6:
        return ""
    at = 14 + (frame[14] & 0x0F) * 4
    return str(TCP(frame[at:]).flags)
