"""Who claims our addresses: what is remembered, for how long, and how often it is told."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from hypothesis import given
from hypothesis import strategies as st

from datapath import frames, neighbours
from datapath.dialects import DIALECTS, IPAddress
from datapath.frames import Arp, ArpOperation
from datapath.mac import pack_mac
from datapath.strangers import (
    DEFEND_EVERY_NS,
    FORGOTTEN_AFTER_NS,
    SIGHTINGS_MAX,
    TOLD_EVERY_NS,
    ForeignClaim,
    News,
    Strangers,
    foreign_claim,
    sentence,
)

VIP = IPv4Address("192.168.110.120")
VIP6 = IPv6Address("2001:db8:110::78")
SHARED, STRANGER = pack_mac("21:37:6f:88:c2:a0"), pack_mac("52:54:00:00:00:66")
OURS: dict[IPAddress, bytes] = {VIP: SHARED, VIP6: SHARED}
SECOND_NS = 1_000_000_000
CLAIM = ForeignClaim(VIP, "52:54:00:00:00:66", "eth0", "52:54:00:00:00:66")


def claim(number: int) -> ForeignClaim:
    mac = f"52:54:00:00:{number >> 8:02x}:{number & 255:02x}"
    return ForeignClaim(VIP, mac, "eth0", mac)


def read(frame: bytes, version: int) -> ForeignClaim | None:
    heard = DIALECTS[version].read(frame)
    return None if heard is None else foreign_claim(heard, OURS, "eth0")


def test_each_way_to_claim_an_address_by_arp_is_heard() -> None:
    asks_gratuitously, answers_gratuitously = frames.gratuitous_arp(VIP, STRANGER, STRANGER)
    reply = Arp(SHARED, STRANGER, ArpOperation.REPLY, STRANGER, VIP, SHARED, IPv4Address(0))
    asks_as_the_address = frames.arp_request(IPv4Address("192.168.110.1"), VIP, STRANGER)
    said = (asks_gratuitously, answers_gratuitously, frames.build_arp(reply), asks_as_the_address)
    assert [read(frame, 4) for frame in said] == [CLAIM] * 4


def test_an_advertisement_with_another_mac_is_heard() -> None:
    assert read(neighbours.announcement(VIP6, STRANGER, STRANGER), 6) == ForeignClaim(
        VIP6, CLAIM.mac, "eth0", CLAIM.mac
    )


def test_what_members_and_askers_say_is_no_claim() -> None:
    shared = frames.gratuitous_arp(VIP, SHARED, STRANGER)
    probe = DIALECTS[4].probe(VIP, STRANGER)
    question = frames.arp_request(VIP, IPv4Address("192.168.110.1"), STRANGER)
    assert [read(frame, 4) for frame in (*shared, probe, question)] == [None] * 4
    assert read(neighbours.announcement(VIP6, SHARED, STRANGER), 6) is None
    assert read(DIALECTS[6].probe(VIP6, STRANGER), 6) is None


def test_a_probe_comes_from_nobody() -> None:
    probe = frames.parse_arp(DIALECTS[4].probe(VIP, STRANGER))
    assert probe is not None
    assert probe.is_probe
    solicitation = neighbours.parse(DIALECTS[6].probe(VIP6, STRANGER))
    assert isinstance(solicitation, neighbours.Solicitation)
    assert solicitation.sender == neighbours.UNSPECIFIED
    assert solicitation.target == VIP6


@given(st.binary(max_size=200), st.sampled_from([4, 6]))
def test_any_bytes_are_no_claim_or_one_of_an_address_of_ours(data: bytes, version: int) -> None:
    found = read(data, version)
    assert found is None or (found.ip in OURS and pack_mac(found.mac) != SHARED)


@given(st.data(), st.sampled_from([4, 6]))
def test_a_claim_with_bytes_changed_is_no_claim_or_one_of_an_address_of_ours(
    data: st.DataObject, version: int
) -> None:
    whole = (
        frames.gratuitous_arp(VIP, STRANGER, STRANGER)[0]
        if version == 4
        else neighbours.announcement(VIP6, STRANGER, STRANGER)
    )
    frame = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    found = read(bytes(frame[: data.draw(st.integers(0, len(frame)))]), version)
    assert found is None or (found.ip in OURS and pack_mac(found.mac) != SHARED)


def test_a_stranger_is_told_once_a_minute_and_counted_each_time() -> None:
    strangers = Strangers()
    told = [strangers.note(CLAIM, at * SECOND_NS).worth_telling for at in range(120)]
    assert [at for at, is_told in enumerate(told) if is_told] == [0, TOLD_EVERY_NS // SECOND_NS]
    (sighting,) = strangers.current(119 * SECOND_NS)
    assert (sighting.count, sighting.first_ns, sighting.last_ns) == (120, 0, 119 * SECOND_NS)


def test_two_macs_are_two_strangers() -> None:
    strangers = Strangers()
    assert [strangers.note(claim(number), 0).worth_telling for number in (1, 2, 1)] == [True, True, False]
    assert [sighting.claim.mac for sighting in strangers.current(0)] == [claim(1).mac, claim(2).mac]


def test_an_address_is_defended_at_most_once_in_ten_seconds_however_many_claim_it() -> None:
    strangers = Strangers()
    defended = [at for at in range(40) if strangers.note(claim(at % 3), at * SECOND_NS).defend]
    assert defended == [0, 10, 20, 30]
    assert DEFEND_EVERY_NS == 10 * SECOND_NS


def test_an_alarm_ends_when_nobody_has_claimed_the_address_for_a_while() -> None:
    strangers = Strangers()
    strangers.note(CLAIM, 0)
    assert len(strangers.current(FORGOTTEN_AFTER_NS - 1)) == 1
    assert strangers.current(FORGOTTEN_AFTER_NS) == ()
    assert strangers.note(CLAIM, FORGOTTEN_AFTER_NS).worth_telling


def test_a_flood_of_forged_macs_is_not_remembered_and_does_not_drive_out_who_was_there() -> None:
    strangers = Strangers()
    told = sum(strangers.note(claim(number), number).worth_telling for number in range(5000))
    assert told == SIGHTINGS_MAX
    assert len(strangers.current(5000)) == SIGHTINGS_MAX
    assert strangers.current(5000)[0].claim == claim(0)
    assert strangers.there_are_more(5000)
    assert not strangers.there_are_more(5000 + FORGOTTEN_AFTER_NS)


def test_nobody_is_a_stranger_to_an_address_that_is_no_longer_ours() -> None:
    strangers = Strangers()
    strangers.note(CLAIM, 0)
    strangers.keep(frozenset({VIP6}))
    assert strangers.current(0) == ()
    assert strangers.note(CLAIM, 1) == News(worth_telling=True, defend=True)


def test_a_member_is_called_by_its_name() -> None:
    strangers = Strangers()
    strangers.note(CLAIM, 0)
    strangers.name(CLAIM, "a2")
    (sighting,) = strangers.current(0)
    assert sighting.member == "a2"
    assert "52:54:00:00:00:66, the own MAC of a2, on eth0" in sentence(CLAIM, "a2")
    assert "192.168.110.120 is claimed by 52:54:00:00:00:66 on eth0: a duplicate address" in sentence(CLAIM)


def test_where_the_frames_come_from_is_said_when_it_is_another_mac() -> None:
    odd = ForeignClaim(VIP, CLAIM.mac, "eth0", "02:00:00:00:00:07")
    assert "(its frames come from 02:00:00:00:00:07)" in sentence(odd)
