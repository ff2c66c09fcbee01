"""Which of the SYNs that a tap has kept are handed out, and when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from datapath.engine import DatapathError, PortFate, PortRule, Taken
from datapath.hold.listening import Listening
from datapath.hold.syns import flow_of, slot_of
from datapath.hold.tap import Tap
from tests.unit.datapath_hold.taps import ADDRESS, QueueOfATap, name_of, syn


@pytest.fixture
def tap() -> QueueOfATap:
    return QueueOfATap()


@pytest.fixture
def listening(tap: QueueOfATap) -> Listening:
    return Listening(lambda interface: tap)  # type: ignore[arg-type, return-value]


def in_slot(slot: int, count: int = 2) -> list[bytes]:
    frames = [syn(port) for port in range(2000, 2200)]
    return [frame for frame in frames if slot_of(name_of(frame), ADDRESS) == slot][:count]


def test_what_came_before_the_slots_opened_is_handed_out_first_and_once(
    listening: Listening, tap: QueueOfATap
) -> None:
    listening.begin(ADDRESS, range(4))
    early, late = [syn(1), syn(2)], [syn(3)]
    tap.arrived += early
    listening.refuse("VIP", range(4), Taken())
    tap.arrived += [early[0], *late]
    assert listening.settled("VIP", range(4)) == early
    assert listening.settled("VIP", range(4)) == []
    handed_out = listening.end("VIP", range(4))
    assert late[0] in handed_out
    assert tap.is_deaf


def test_what_was_read_for_another_address_is_not_taken_for_what_came_before_the_slots_opened(
    listening: Listening, tap: QueueOfATap
) -> None:
    other = replace(ADDRESS, resource="VIP2", ip=IPv4Address("192.168.110.121"))
    for address in (ADDRESS, other):
        listening.begin(address, range(4))
    early = syn(1, other)
    tap.arrived += [early]
    for address in (ADDRESS, other):
        listening.refuse(address.resource, range(4), Taken())
    accepted = syn(2, other)  # by the rules: all slots are open now
    tap.arrived += [accepted]
    listening.end("VIP", range(4))
    assert listening.settled("VIP2", range(4)) == [early]
    assert listening.end("VIP2", range(4)) == [accepted]


@pytest.mark.parametrize("by", ["number", "flow"])
def test_what_the_old_owner_has_taken_is_never_handed_out(listening: Listening, tap: QueueOfATap, by: str) -> None:
    listening.begin(ADDRESS, range(4))
    frames = [syn(port) for port in range(1, 9)]
    tap.arrived += frames[:4]
    names = {name_of(frame) for frame in (frames[1], frames[5])}
    told = Taken(syns=frozenset(names)) if by == "number" else Taken(flows=frozenset(map(flow_of, names)))
    listening.refuse("VIP", range(4), told)
    tap.arrived += frames[4:]
    handed_out = listening.settled("VIP", range(4)) + listening.end("VIP", range(4))
    assert handed_out == [frame for frame in frames if frame not in (frames[1], frames[5])]


def test_only_slots_that_are_listened_for_are_kept_and_each_is_handed_out_by_itself(
    listening: Listening, tap: QueueOfATap
) -> None:
    listening.begin(ADDRESS, {0, 1})
    by_slot = {slot: in_slot(slot) for slot in range(3)}
    for frames in by_slot.values():
        tap.arrived += frames
    listening.refuse("VIP", {0}, Taken())
    listening.begin(ADDRESS, {2})  # what came to it before was not kept: its old owner may have taken it unnoted
    assert listening.settled("VIP", {0}) == by_slot[0]
    assert listening.end("VIP", {0}) == []
    assert listening.end("VIP", {1}) == by_slot[1]
    assert listening.end("VIP", {2}) == []


def test_slots_that_were_all_listened_for_are_told_apart_when_they_open_one_by_one(
    listening: Listening, tap: QueueOfATap
) -> None:
    listening.begin(ADDRESS, range(4))
    by_slot = {slot: in_slot(slot) for slot in range(4)}
    for frames in by_slot.values():
        tap.arrived += frames
    listening.refuse("VIP", range(4), Taken())
    assert [listening.end("VIP", {slot}) for slot in range(4)] == list(by_slot.values())


def test_a_port_that_is_refused_is_not_kept_although_all_slots_are(listening: Listening, tap: QueueOfATap) -> None:
    barred = replace(ADDRESS, port_rules=(PortRule(443, 443, PortFate.REFUSED),))
    listening.begin(barred, range(4))
    tap.arrived += [syn(1, barred), syn(2, barred, to=443)]
    listening.refuse("VIP", range(4), Taken())
    assert listening.settled("VIP", range(4)) + listening.end("VIP", range(4)) == [syn(1, barred)]


def test_an_interface_that_cannot_be_listened_to_leaves_nothing_that_has_to_end() -> None:
    class Refusing(QueueOfATap):
        def hear(self, addresses: Iterable[bytes]) -> None:
            raise DatapathError("no filter can be attached")

    def absent(interface: str) -> Tap:
        raise DatapathError(f"there is no interface {interface}")

    refusing = Refusing()
    for make in (absent, lambda interface: refusing):
        listening = Listening(make)  # type: ignore[arg-type]
        with pytest.raises(DatapathError):
            listening.begin(ADDRESS, range(4))
        listening.refuse("VIP", range(4), Taken())
        assert listening.settled("VIP", range(4)) == []
        assert listening.end("VIP", range(4)) == []
    assert refusing.is_closed


def test_an_address_that_has_gone_to_another_interface_leaves_no_tap_behind() -> None:
    taps: dict[str, QueueOfATap] = {}
    listening = Listening(lambda interface: taps.setdefault(interface, QueueOfATap()))  # type: ignore[arg-type, return-value]
    listening.begin(ADDRESS, range(4))
    listening.begin(replace(ADDRESS, interface="eth1"), range(4))
    assert (taps["eth0"].is_closed, taps["eth1"].is_closed) == (True, False)
