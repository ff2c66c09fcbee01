"""ARP frames: what is read back is what was built, and both agree with scapy."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from scapy.layers.l2 import ARP, Ether

from datapath import frames
from datapath.frames import Arp, ArpOperation, build_arp, parse_arp
from datapath.mac import pack_mac

VIP = IPv4Address("192.168.110.120")
CLIENT = IPv4Address("192.168.110.1")
SHARED = pack_mac("21:37:6f:88:c2:a0")
OWN = pack_mac("02:00:00:00:00:21")
ASKER = pack_mac("02:00:00:00:00:01")
REQUEST = Arp(frames.BROADCAST, ASKER, ArpOperation.REQUEST, ASKER, CLIENT, frames.UNKNOWN_MAC, VIP)


def test_a_request_is_the_one_that_scapy_builds() -> None:
    theirs = Ether(src="02:00:00:00:00:01", dst="ff:ff:ff:ff:ff:ff") / ARP(
        op="who-has", hwsrc="02:00:00:00:00:01", psrc=str(CLIENT), hwdst="00:00:00:00:00:00", pdst=str(VIP)
    )
    assert build_arp(REQUEST) == bytes(theirs)
    assert frames.arp_request(VIP, CLIENT, ASKER) == bytes(theirs)


def test_a_reply_teaches_the_shared_mac_from_the_interfaces_own() -> None:
    seen = Ether(frames.arp_reply(REQUEST, SHARED, OWN))
    assert (seen.src, seen.dst) == ("02:00:00:00:00:21", "02:00:00:00:00:01")
    assert (seen[ARP].op, seen[ARP].hwsrc, seen[ARP].psrc) == (2, "21:37:6f:88:c2:a0", str(VIP))
    assert (seen[ARP].hwdst, seen[ARP].pdst) == ("02:00:00:00:00:01", str(CLIENT))


def test_an_announcement_is_a_request_and_a_reply_about_itself_to_everyone() -> None:
    request, reply = (parse_arp(frame) for frame in frames.gratuitous_arp(VIP, SHARED, OWN))
    assert request is not None
    assert reply is not None
    assert (request.operation, reply.operation) == (ArpOperation.REQUEST, ArpOperation.REPLY)
    for announcement in (request, reply):
        assert announcement.is_announcement
        assert announcement.destination == frames.BROADCAST
        assert (announcement.source, announcement.sender_mac) == (OWN, SHARED)


def test_padding_behind_a_frame_is_ignored() -> None:
    assert parse_arp(build_arp(REQUEST).ljust(60, b"\0")) == REQUEST


def test_a_probe_is_told_from_a_question() -> None:
    assert replace(REQUEST, sender_ip=frames.UNSPECIFIED).is_probe
    assert not REQUEST.is_probe
    assert not replace(REQUEST, operation=ArpOperation.REPLY, sender_ip=frames.UNSPECIFIED).is_probe


@pytest.mark.parametrize(
    ("at", "value", "what"),
    [
        (12, b"\x08\x00", "IPv4"),
        (14, b"\x00\x06", "another kind of hardware"),
        (16, b"\x86\xdd", "another protocol"),
        (18, b"\x08", "another length of MAC"),
        (19, b"\x10", "another length of address"),
        (20, b"\x00\x03", "reverse ARP"),
        (20, b"\x00\x00", "no operation"),
    ],
)
def test_what_is_not_arp_for_ipv4_over_ethernet_is_refused(at: int, value: bytes, what: str) -> None:
    frame = bytearray(build_arp(REQUEST))
    frame[at : at + len(value)] = value
    assert parse_arp(frame) is None, what


def test_every_shortened_frame_is_refused() -> None:
    whole = build_arp(REQUEST)
    assert [length for length in range(len(whole)) if parse_arp(whole[:length]) is not None] == []


def test_a_mac_of_the_wrong_length_is_our_own_mistake() -> None:
    with pytest.raises(ValueError, match="six bytes"):
        build_arp(replace(REQUEST, sender_mac=b"\x02"))
