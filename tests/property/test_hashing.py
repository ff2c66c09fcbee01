"""The hash against a second implementation, written from the text of the kernel's headers.

`Reference` is C's arithmetic spelled out slowly: 32-bit words that wrap, the loop over twelve bytes, the switch
over the rest.  It shares no line with datapath.hashing.
"""

from __future__ import annotations

from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
)
from scapy.packet import Raw

from datapath.engine import HashKind
from datapath.hashing import Unhashable, jhash, key_of, key_of_packet, slot_of_packet

KINDS = st.sampled_from(list(HashKind))
PORTS = st.integers(0, 65_535)
ADDRESSES = st.integers(1, 0xDFFFFFFF).map(lambda n: str(IPv4Address(n)))
SEEDS = st.integers(0, 0xFFFFFFFF)


class Reference:
    """jhash() of include/linux/jhash.h, step by step."""

    def __init__(self, length: int, initval: int) -> None:
        self.a = self.b = self.c = (0xDEADBEEF + length + initval) % 2**32

    @staticmethod
    def rol32(word: int, shift: int) -> int:
        bits = f"{word:032b}"
        return int(bits[shift:] + bits[:shift], 2)

    def mix(self) -> None:
        for first, second, third, shift in (
            ("a", "c", "b", 4),
            ("b", "a", "c", 6),
            ("c", "b", "a", 8),
            ("a", "c", "b", 16),
            ("b", "a", "c", 19),
            ("c", "b", "a", 4),
        ):
            x, y, z = (getattr(self, name) for name in (first, second, third))
            setattr(self, first, ((x - y) % 2**32) ^ self.rol32(y, shift))
            setattr(self, second, (y + z) % 2**32)

    def final(self) -> None:
        for first, second, shift in (
            ("c", "b", 14),
            ("a", "c", 11),
            ("b", "a", 25),
            ("c", "b", 16),
            ("a", "c", 4),
            ("b", "a", 14),
            ("c", "b", 24),
        ):
            x, y = getattr(self, first), getattr(self, second)
            setattr(self, first, ((x ^ y) - self.rol32(y, shift)) % 2**32)

    def take(self, key: bytes) -> None:
        for name, at in (("a", 0), ("b", 4), ("c", 8)):
            word = sum(byte << 8 * place for place, byte in enumerate(key[at : at + 4]))
            setattr(self, name, (getattr(self, name) + word) % 2**32)


def reference_jhash(key: bytes, initval: int) -> int:
    state = Reference(len(key), initval)
    while len(key) > 12:
        state.take(key[:12])
        state.mix()
        key = key[12:]
    if key:
        state.take(key)
        state.final()
    return state.c


@given(st.binary(max_size=80), SEEDS)
def test_jhash_is_what_the_kernels_header_says(key: bytes, seed: int) -> None:
    assert jhash(key, seed) == reference_jhash(key, seed)


@given(st.binary(max_size=200), KINDS, SEEDS, st.integers(1, 65_536))
def test_any_bytes_have_a_slot_within_bounds_or_a_reason(
    packet: bytes, kind: HashKind, seed: int, slots: int
) -> None:
    result = slot_of_packet(packet, kind, seed, slots)
    assert isinstance(result, Unhashable) or 0 <= result < slots


@given(KINDS, ADDRESSES, ADDRESSES, PORTS, PORTS, st.integers(0, 9), st.binary(max_size=30))
def test_options_and_padding_change_no_key(
    kind: HashKind, client: str, vip: str, port: int, service: int, options: int, padding: bytes
) -> None:
    ip = IP(src=client, dst=vip, options=[IPOption_NOP()] * options)
    packet = bytes(ip / TCP(sport=port, dport=service))
    assert key_of_packet(packet + padding, kind) == key_of(kind, IPv4Address(client), port, service)


@given(KINDS, ADDRESSES, ADDRESSES, PORTS, PORTS)
def test_a_reply_that_bounces_belongs_to_the_slot_of_its_client(
    kind: HashKind, client: str, vip: str, port: int, service: int
) -> None:
    sent_by_us = IP(src=vip, dst=client) / UDP(sport=service, dport=port) / Raw(b"x" * 20)
    bounced = bytes(IP(src="192.0.2.7", dst=vip) / ICMP(type=3, code=3) / sent_by_us)
    asked = bytes(IP(src=client, dst=vip) / UDP(sport=port, dport=service))
    assert key_of_packet(bounced, kind) == key_of_packet(asked, kind)


@given(KINDS, ADDRESSES, ADDRESSES, PORTS, st.integers(0, 8191), st.booleans())
def test_all_fragments_of_a_datagram_meet(
    kind: HashKind, client: str, vip: str, port: int, offset: int, more: bool
) -> None:
    flags = "MF" if more or not offset else 0
    fragment = IP(src=client, dst=vip, frag=offset, flags=flags, proto=17) / Raw(port.to_bytes(2, "big") * 4)
    assert key_of_packet(bytes(fragment), kind) == IPv4Address(client).packed


@given(KINDS, st.integers(1, 2**64), PORTS, PORTS)
def test_extension_headers_hide_no_ports(kind: HashKind, host: int, port: int, service: int) -> None:
    client = f"fd00::{host & 0xFFFF:x}"
    ip = IPv6(src=client, dst="fd77::1")
    plain = bytes(ip / TCP(sport=port, dport=service))
    extended = bytes(ip / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / TCP(sport=port, dport=service))
    atomic = bytes(ip / IPv6ExtHdrFragment(offset=0, m=0) / TCP(sport=port, dport=service))
    assert key_of_packet(plain, kind) == key_of_packet(extended, kind) == key_of_packet(atomic, kind)
    bounced = IPv6(src="fd00::99", dst="fd77::1") / ICMPv6DestUnreach() / IPv6(src="fd77::1", dst=client)
    assert key_of_packet(bytes(bounced / TCP(sport=service, dport=port)), kind) == key_of_packet(plain, kind)


@given(KINDS, PORTS, st.integers(0, 8191), st.booleans())
def test_ipv6_fragments_and_echo_go_by_address(kind: HashKind, port: int, offset: int, more: bool) -> None:
    ip = IPv6(src="fd00::7", dst="fd77::1")
    address = bytes(ip)[8:24]
    fragment = IPv6ExtHdrFragment(offset=offset, m=int(more or not offset), nh=17)
    assert key_of_packet(bytes(ip / fragment / UDP(sport=port)), kind) == address
    assert key_of_packet(bytes(ip / ICMPv6EchoRequest(id=port)), kind) == address
