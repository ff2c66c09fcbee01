"""The hash against a second implementation, written from the text of the kernel's headers.

`Reference` is C's arithmetic spelled out slowly: 32-bit words that wrap, the loop over twelve bytes, the switch
over the rest.  It shares no line with datapath.hashing.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

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

from datapath.engine import HashKind, HashOrder, PortFate, PortRule
from datapath.hashing import PORTS_IN_KEY, Unhashable, jhash, key_of, key_of_packet, slot_of_packet

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
    assert key_of_packet(bytes(fragment), kind) == key_of(kind, IPv4Address(client))


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
    address = key_of(kind, bytes(ip)[8:24])
    fragment = IPv6ExtHdrFragment(offset=offset, m=int(more or not offset), nh=17)
    assert key_of_packet(bytes(ip / fragment / UDP(sport=port)), kind) == address
    assert key_of_packet(bytes(ip / ICMPv6EchoRequest(id=port)), kind) == address


@given(KINDS, ADDRESSES, PORTS, PORTS)
def test_the_clusterip_order_reads_the_address_as_a_number_of_the_host(
    kind: HashKind, client: str, port: int, service: int
) -> None:
    """jhash_1word(ntohl(saddr), …), jhash_2words(…, sport, …), jhash_3words(…, dport, …) of ipt_CLUSTERIP."""
    if kind is HashKind.SOURCENET:
        return
    words = [int(IPv4Address(client)), *(int.from_bytes(p.to_bytes(2, "big"), "little") for p in (port, service))]
    key = b"".join(word.to_bytes(4, "little") for word in words[: 1 + PORTS_IN_KEY[kind]])
    assert key_of(kind, IPv4Address(client), port, service, HashOrder.CLUSTERIP) == key
    # it knew port 0 where there is none
    assert key_of(kind, IPv4Address(client), order=HashOrder.CLUSTERIP) == key[:4].ljust(len(key), b"\0")


@given(st.integers(0, 0xFFFFFFFF), st.integers(0, 2**128 - 1), st.integers(0, 255), st.integers(0, 2**72 - 1))
def test_clients_of_one_network_stay_together(four: int, six: int, host4: int, host6: int) -> None:
    kind = HashKind.SOURCENET
    assert key_of(kind, IPv4Address(four)) == key_of(kind, IPv4Address(four & ~0xFF | host4))
    assert key_of(kind, IPv6Address(six)) == key_of(kind, IPv6Address(six & ~(2**72 - 1) | host6))
    assert key_of(kind, IPv4Address(four)) != key_of(kind, IPv4Address(four ^ 0x100))
    assert key_of(kind, IPv6Address(six)) != key_of(kind, IPv6Address(six ^ 2**72))


RULES = (
    PortRule(22, 22, PortFate.ONE, slot=3, protocol=6),
    PortRule(20, 30, PortFate.REFUSED),
    PortRule(80, 443, PortFate.SHARED),
    PortRule(0, 65_535, PortFate.ONE, slot=1),
)


@given(KINDS, ADDRESSES, PORTS, st.sampled_from([21, 22, 30, 79, 80, 443, 444, 0, 65_535]), st.booleans())
def test_the_first_rule_that_fits_decides(kind: HashKind, client: str, port: int, service: int, tcp: bool) -> None:
    layer = TCP(sport=port, dport=service) if tcp else UDP(sport=port, dport=service)
    packet = bytes(IP(src=client, dst="192.0.2.1") / layer)
    got = slot_of_packet(packet, kind, 7, 64, rules=RULES)
    if service == 22 and tcp:
        assert got == 3
    elif 20 <= service <= 30:
        assert got is Unhashable.PORT_REFUSED
    elif 80 <= service <= 443:
        assert got == slot_of_packet(packet, kind, 7, 64)
    else:
        assert got == 1
    back = TCP(sport=service, dport=port) if tcp else UDP(sport=service, dport=port)
    error = IP(src="192.0.2.9", dst="192.0.2.1") / ICMP(type=3) / IP(src="192.0.2.1", dst=client) / back
    assert slot_of_packet(bytes(error), kind, 7, 64, rules=RULES) == got


@given(KINDS, ADDRESSES)
def test_what_has_no_ports_knows_no_rules_for_ports(kind: HashKind, client: str) -> None:
    for layer in (ICMP(type=8), Raw(b"x" * 8)):
        packet = bytes(IP(src=client, dst="192.0.2.1") / layer)
        assert slot_of_packet(packet, kind, 7, 64, rules=RULES) == slot_of_packet(packet, kind, 7, 64)
    fragment = bytes(IP(src=client, dst="192.0.2.1", flags="MF", proto=6) / Raw(b"\0\x14\0\x16"))
    assert slot_of_packet(fragment, kind, 7, 64, rules=RULES) == slot_of_packet(fragment, kind, 7, 64)
