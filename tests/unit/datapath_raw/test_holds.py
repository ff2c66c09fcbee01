"""The forwarder's part in a move: what it notes, what it keeps, and what of that it lets in."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP

from datapath.engine import DatapathError, SlotState, Taken
from datapath.hold.syns import flow_of, syn_of
from datapath.raw.judge import Refused, cautious
from datapath.raw.refusals import Refusals, Told
from datapath.raw.table import DEADLINE_AT, LET_IN_AT, LISTENING, LOG_ENTRIES, LOGGED_AT, SharedTable
from tests.unit.datapath_raw.test_pump import CLIENT, VIP, Line

SLOTS = 4


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    made = Line(tmp_path / "raw.table")
    try:
        yield made
    finally:
        made.close()


def syn(number: int, sequence: int = 7) -> bytes:
    return bytes(IP(src=CLIENT, dst=VIP) / TCP(sport=4000 + number, dport=80, flags="S", seq=sequence))


def name_of(packet: bytes) -> bytes:
    found = syn_of(packet)
    assert found is not None
    return found[1]


def turn(line: Line, *states: int) -> None:
    """All slots have gone through these states when the forwarder looks; nothing older is queued."""
    former = line.table
    for state in states:
        line.publish(bytes([state] * SLOTS))
    generation, tables, in_step = line.shared.read_since(line.generation - len(states))
    line.pump.use(cautious(former, former, tables, in_step=in_step), generation, -1)
    line.pump.hold_on()
    line.use()
    line.pump.let_in_kept()


def packets(line: Line) -> list[bytes]:
    return [written[10:] for written in line.delivered()]


def refuse(line: Line, taken: Taken) -> None:
    now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    line.known.refused = Refused((Told(syn(0)[16:20], frozenset(range(SLOTS)), taken, now_ns),))


def test_a_noting_slot_lets_everything_in_and_logs_each_syn(line: Line) -> None:
    turn(line, SlotState.NOTING)
    other = bytes(IP(src=CLIENT, dst=VIP) / TCP(sport=4000, dport=80, flags="A"))
    for packet in (syn(1), other, syn(2)):
        line.arrive(packet)
    line.forward()
    assert packets(line) == [syn(1), other, syn(2)]
    assert [name for _, _, name in line.shared.logged(0)] == [name_of(syn(1)), name_of(syn(2))]


def test_a_draining_slot_goes_on_with_what_it_noted_and_takes_no_other_syn(line: Line) -> None:
    turn(line, SlotState.NOTING)
    line.arrive(syn(1))
    line.forward()
    turn(line, SlotState.DRAINING)
    line.delivered()
    for packet in (syn(1), syn(1, sequence=8), syn(2)):
        line.arrive(packet)
    line.forward()
    assert packets(line) == [syn(1)]


def test_what_is_kept_does_not_come_in_where_the_old_owner_has_not_told_what_it_took(line: Line) -> None:
    turn(line, LISTENING)
    line.arrive(syn(1))
    line.forward()
    turn(line, SlotState.OPENING)
    assert packets(line) == []


def test_what_a_slot_is_listened_for_comes_in_once_when_it_opens(line: Line) -> None:
    refuse(line, Taken())
    turn(line, LISTENING)
    for packet in (syn(1), syn(2), syn(1)):
        line.arrive(packet)
    line.forward()
    assert packets(line) == []
    turn(line, SlotState.OPENING)
    assert packets(line) == [syn(1), syn(2)]
    turn(line, SlotState.OPENING)
    assert packets(line) == []
    assert line.shared.words[LET_IN_AT] == 2


def test_what_the_old_owner_has_taken_neither_comes_in_nor_is_let_in(line: Line) -> None:
    turn(line, LISTENING)
    for number in range(1, 4):
        line.arrive(syn(number))
    line.forward()
    refuse(line, Taken(frozenset({name_of(syn(1))}), frozenset({flow_of(name_of(syn(2)))})))
    turn(line, SlotState.OPENING)
    assert packets(line) == [syn(3)]
    for packet in (syn(1), syn(2, sequence=9), syn(1, sequence=9)):
        line.arrive(packet)
    line.forward()
    assert packets(line) == [syn(1, sequence=9)]


def test_what_came_in_by_the_wire_is_not_let_in_again(line: Line) -> None:
    refuse(line, Taken())
    turn(line, LISTENING)
    line.arrive(syn(1))
    line.forward()
    line.publish(bytes([SlotState.OPENING] * SLOTS))
    line.use()
    line.arrive(syn(1))
    line.forward()
    assert packets(line) == [syn(1)]
    line.pump.let_in_kept()
    assert packets(line) == []


@pytest.mark.parametrize("state", [SlotState.CLOSED, SlotState.OPEN])
def test_what_is_kept_is_forgotten_when_the_slot_comes_another_way_or_not_at_all(line: Line, state: int) -> None:
    refuse(line, Taken())
    turn(line, LISTENING)
    line.arrive(syn(1))
    line.forward()
    turn(line, state)
    turn(line, SlotState.OPENING)
    assert packets(line) == []


def test_nothing_is_let_in_without_a_lease(line: Line) -> None:
    refuse(line, Taken())
    turn(line, LISTENING)
    line.arrive(syn(1))
    line.forward()
    line.shared.words[DEADLINE_AT] = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    turn(line, SlotState.OPENING)
    assert packets(line) == []


def test_what_is_kept_comes_in_although_the_forwarder_slept_until_the_move_was_over(line: Line) -> None:
    refuse(line, Taken(frozenset({name_of(syn(2))})))
    turn(line, LISTENING)
    for number in (1, 2):
        line.arrive(syn(number))
    line.forward()
    turn(line, SlotState.OPENING, SlotState.OPEN)
    assert packets(line) == [syn(1)]


def test_what_has_not_come_in_when_the_table_changes_does_so_under_the_next_one(line: Line) -> None:
    refuse(line, Taken())
    turn(line, LISTENING)
    for number in (1, 2):
        line.arrive(syn(number))
    line.forward()
    line.publish(bytes([SlotState.OPENING] * SLOTS))
    line.use()
    line.publish(bytes([SlotState.OPEN] * SLOTS))
    line.pump.let_in_kept()
    assert packets(line) == []
    turn(line, SlotState.NOTING)
    assert packets(line) == [syn(1), syn(2)]
    assert [name for _, _, name in line.shared.logged(0)] == [name_of(syn(1)), name_of(syn(2))]


@pytest.mark.parametrize("state", [SlotState.CLOSED, SlotState.DRAINING])
def test_what_has_not_come_in_before_its_slot_closes_stays_out(line: Line, state: int) -> None:
    refuse(line, Taken())
    turn(line, LISTENING)
    line.arrive(syn(1))
    line.forward()
    line.publish(bytes([SlotState.OPENING] * SLOTS))
    line.use()
    line.publish(bytes([SlotState.OPEN] * SLOTS))
    line.pump.let_in_kept()
    turn(line, state)
    turn(line, SlotState.OPEN)
    assert packets(line) == []


def test_what_is_kept_is_forgotten_when_its_slot_was_closed_while_the_forwarder_slept(line: Line) -> None:
    refuse(line, Taken())
    turn(line, LISTENING)
    line.arrive(syn(1))
    line.forward()
    turn(line, SlotState.CLOSED, LISTENING)
    turn(line, SlotState.OPENING)
    assert packets(line) == []


def test_a_log_that_was_overrun_is_said_to_be_so(tmp_path: Path) -> None:
    shared = SharedTable.create(tmp_path / "raw.table")
    for number in range(3):
        shared.log_syn(5, number, bytes([number] * 12))
    assert shared.logged(1) == [(5, 1, b"\1" * 12), (5, 2, b"\2" * 12)]
    shared.words[LOGGED_AT] = LOG_ENTRIES + 2
    with pytest.raises(DatapathError, match="more than were noted"):
        shared.logged(1)


def test_refusals_are_read_as_they_were_written_and_damaged_ones_refused(tmp_path: Path) -> None:
    refusals = Refusals(tmp_path / "raw.table")
    assert refusals.read() == ()
    told = (Told(b"\1\2\3\4", frozenset({1, 2}), Taken(frozenset({b"x" * 12}), frozenset({b"y" * 8})), 77),)
    refusals.write(told)
    assert refusals.read() == told
    refusals.path.write_bytes(b"\x93\xff")
    with pytest.raises(DatapathError, match="remove it"):
        refusals.read()
    refusals.remove()
    assert refusals.read() == ()
