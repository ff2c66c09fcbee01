"""Frames of Neighbour Discovery, with scapy as the oracle."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import Ether

from datapath import neighbours
from datapath.neighbours import Advertisement, Solicitation

VIP = IPv6Address("fd77::ab:cdef")
CLIENT = IPv6Address("fd77::1")
SHARED = bytes.fromhex("21376f88c2a0")
OWN = bytes.fromhex("020000000021")
CLIENT_MAC = bytes.fromhex("020000000001")
OTHER_MAC = "02:00:00:00:00:77"

ASKED = neighbours.solicitation(VIP, CLIENT, CLIENT_MAC)
PROBED = neighbours.solicitation(VIP, neighbours.UNSPECIFIED, CLIENT_MAC)


def test_a_question_goes_to_the_solicited_node_group_in_its_own_frame() -> None:
    packet = Ether(ASKED)
    assert packet.dst == "33:33:ff:ab:cd:ef"
    assert packet[IPv6].dst == "ff02::1:ffab:cdef"
    assert packet[IPv6].hlim == 255
    assert packet[ICMPv6ND_NS].tgt == str(VIP)
    assert packet[ICMPv6NDOptSrcLLAddr].lladdr == CLIENT_MAC.hex(":")
    assert neighbours.parse(ASKED) == Solicitation(CLIENT_MAC, CLIENT, CLIENT_MAC, VIP)


def test_the_answer_tells_the_shared_mac_and_overrides_in_a_frame_from_the_interfaces_own() -> None:
    asked = neighbours.parse(ASKED)
    assert isinstance(asked, Solicitation)
    answer = neighbours.answer(asked, SHARED, OWN)
    packet = Ether(answer)
    assert (packet.dst, packet.src) == (CLIENT_MAC.hex(":"), OWN.hex(":"))
    assert (packet[IPv6].src, packet[IPv6].dst, packet[IPv6].hlim) == (str(VIP), str(CLIENT), 255)
    advertised = packet[ICMPv6ND_NA]
    assert (advertised.R, advertised.S, advertised.O, advertised.tgt) == (0, 1, 1, str(VIP))
    assert packet[ICMPv6NDOptDstLLAddr].lladdr == SHARED.hex(":")
    assert neighbours.parse(answer) == Advertisement(OWN, VIP, VIP, SHARED)


def test_a_probe_is_answered_to_all_nodes_for_its_sender_has_no_address() -> None:
    asked = neighbours.parse(PROBED)
    assert asked == Solicitation(CLIENT_MAC, neighbours.UNSPECIFIED, CLIENT_MAC, VIP)
    assert isinstance(asked, Solicitation)
    packet = Ether(neighbours.answer(asked, SHARED, OWN))
    assert (packet.dst, packet[IPv6].dst) == ("33:33:00:00:00:01", "ff02::1")
    assert (packet[ICMPv6ND_NA].S, packet[ICMPv6ND_NA].O) == (0, 1)


def test_checksums_are_those_of_scapy() -> None:
    for frame in (ASKED, PROBED, neighbours.announcement(VIP, SHARED, OWN)):
        packet = Ether(frame)
        del packet[IPv6].payload.cksum
        assert bytes(Ether(bytes(packet))) == frame


def test_the_answer_goes_where_the_asker_says_it_is() -> None:
    """Behind a proxy that is not where the frame comes from."""
    asked = Ether(src=OTHER_MAC, dst="33:33:ff:ab:cd:ef") / IPv6(src=str(CLIENT), dst="ff02::1:ffab:cdef", hlim=255)
    asked /= ICMPv6ND_NS(tgt=str(VIP)) / ICMPv6NDOptSrcLLAddr(lladdr=CLIENT_MAC.hex(":"))
    read = neighbours.parse(bytes(asked))
    assert isinstance(read, Solicitation)
    assert (read.source.hex(":"), read.sender_mac) == (OTHER_MAC, CLIENT_MAC)


def test_without_the_option_the_frame_says_where_the_asker_is() -> None:
    unicast = Ether(src=OTHER_MAC, dst=SHARED.hex(":")) / IPv6(src=str(CLIENT), dst=str(VIP), hlim=255)
    read = neighbours.parse(bytes(unicast / ICMPv6ND_NS(tgt=str(VIP))))
    assert read == Solicitation(bytes.fromhex("020000000077"), CLIENT, bytes.fromhex("020000000077"), VIP)


def changed(frame: bytes, at: int, value: bytes) -> bytes:
    return frame[:at] + value + frame[at + len(value) :]


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (changed(ASKED, 12, b"\x08\x00"), "another ethertype"),
        (changed(ASKED, 14, b"\x40"), "another version"),
        (changed(ASKED, 20, b"\x11"), "another protocol"),
        (changed(ASKED, 21, b"\xfe"), "forwarded by a router"),
        (changed(ASKED, 18, b"\0\x21"), "longer than the frame"),
        (changed(ASKED, 18, b"\0\x10"), "shorter than a solicitation"),
        (changed(ASKED, 56, b"\0\0"), "a wrong checksum"),
        (ASKED[:60], "cut off"),
        (PROBED[:70] + b"\0", "cut off"),
        (b"", "nothing"),
    ],
)
def test_what_is_not_well_formed_is_refused(frame: bytes, why: str) -> None:
    assert neighbours.parse(frame) is None, why


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (ICMPv6ND_NS(tgt="ff02::7"), "nobody is a group"),
        (ICMPv6ND_NS(tgt=str(VIP), code=1), "another code"),
        (ICMPv6ND_NS(tgt=str(VIP)) / bytes((1, 0, 2, 0, 0, 0, 0, 1)), "an option without a length"),
        (ICMPv6ND_NS(tgt=str(VIP)) / bytes((1, 2, 2, 0, 0, 0, 0, 1)), "an option that is longer than the message"),
        (ICMPv6ND_NS(tgt=str(VIP)) / b"\1", "half an option"),
    ],
)
def test_messages_that_contradict_themselves_are_refused(message: object, why: str) -> None:
    frame = bytes(Ether(src=OTHER_MAC) / IPv6(src=str(CLIENT), dst=str(VIP), hlim=255) / message)
    assert neighbours.parse(frame) is None, why


def test_a_probe_must_go_to_the_group_and_must_not_say_where_it_is() -> None:
    head = Ether(src=OTHER_MAC) / IPv6(src="::", dst=str(VIP), hlim=255)
    assert neighbours.parse(bytes(head / ICMPv6ND_NS(tgt=str(VIP)))) is None
    head = Ether(src=OTHER_MAC) / IPv6(src="::", dst="ff02::1:ffab:cdef", hlim=255) / ICMPv6ND_NS(tgt=str(VIP))
    assert neighbours.parse(bytes(head)) is not None
    assert neighbours.parse(bytes(head / ICMPv6NDOptSrcLLAddr(lladdr=OTHER_MAC))) is None


def test_a_mac_of_another_length_is_our_own_mistake() -> None:
    with pytest.raises(ValueError, match="six bytes"):
        neighbours.announcement(VIP, SHARED, b"\1\2")


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(frame: bytes) -> None:
    neighbours.parse(frame)


@given(st.integers(14, 85), st.integers(0, 255))
def test_no_damaged_byte_makes_another_question(at: int, value: int) -> None:
    """The checksum covers all but the lengths and limits, which are checked by themselves."""
    frame = changed(ASKED, at, bytes((value,)))
    assert neighbours.parse(frame) in (None, neighbours.parse(ASKED))


@given(st.integers(0, 2**128 - 1), st.binary(min_size=6, max_size=6), st.binary(min_size=6, max_size=6))
def test_what_is_announced_is_read_back(ip: int, mac: bytes, source: bytes) -> None:
    address = IPv6Address(ip)
    if not address.is_multicast:
        read = neighbours.parse(neighbours.announcement(address, mac, source))
        assert read == Advertisement(source, address, address, mac)
