"""Which conversations of UDP stay with the holder of moving slots: both parts, step by step."""

from __future__ import annotations

import msgspec
import pytest

from daemon.cluster.messages import Hold, HoldTaken, UdpKept, decode
from daemon.executor import datagrams
from daemon.executor.datagrams import EVER_NS, GUARD_NS, LOOK_NS, SKEW_NS, Giving, Keeping, Taking
from datapath.engine import Conversations, SlotState
from tests.unit.executor.cluster import Cluster, shared

SECOND_NS = 1_000_000_000
IDLE_NS = 5 * SECOND_NS
A, B = (bytes((10, 0, 0, last, 4, 0, 0, 53)) for last in (1, 2))


def keeping() -> Giving:
    giving = Giving(promised=True, serves=True)
    giving.decide(IDLE_NS)
    assert giving.kernel_has(SlotState.KEEPING_UDP, SECOND_NS) is None
    return giving


def settled(*names: bytes) -> tuple[Giving, int]:
    """The holder once it has told of these, and the time."""
    giving, now_ns = keeping(), SECOND_NS + IDLE_NS
    assert giving.look_at_clock(now_ns)
    assert giving.kernel_has(SlotState.DRAINING, now_ns) is None
    assert giving.kernel_has(SlotState.DRAINING, now_ns + GUARD_NS) == EVER_NS
    giving.heard(Conversations(dict.fromkeys(names, 0)))
    assert giving.due(now_ns + GUARD_NS)
    return giving, now_ns + GUARD_NS


@pytest.mark.parametrize(("promised", "serves", "idle_ns"), [(False, True, 1), (True, False, 1), (True, True, 0)])
def test_nothing_is_kept_without_a_promise_a_program_and_a_time_out(
    promised: bool, serves: bool, idle_ns: int
) -> None:
    giving = Giving(promised=promised, serves=serves)
    giving.decide(idle_ns)
    assert giving.stage is Keeping.NOTHING
    assert not giving.waits(0)


def test_all_is_kept_for_the_time_out_then_what_was_heard_and_the_slot_waits_for_it() -> None:
    giving = keeping()
    assert giving.waits(0)
    assert not giving.look_at_clock(SECOND_NS + IDLE_NS - 1)
    giving, _ = settled(A)
    assert giving.waits(0)
    assert not giving.waits(1)
    assert datagrams.names_in(datagrams.list_of(7, "VIP", 3, giving)) == {A}


def test_who_falls_silent_is_forgotten_first_and_told_after_the_skew() -> None:
    giving, now_ns = settled(A, B)
    giving.confirm(1)
    now_ns += LOOK_NS
    assert giving.kernel_has(SlotState.DRAINING, now_ns) == IDLE_NS
    giving.heard(Conversations({A: 0}))
    assert not giving.due(now_ns)
    assert not giving.due(now_ns + SKEW_NS - 1)
    assert giving.due(now_ns + SKEW_NS)
    assert datagrams.list_of(7, "VIP", 3, giving).number == 2


def test_a_list_is_repeated_until_that_very_one_is_confirmed() -> None:
    giving, now_ns = settled(A)
    assert giving.due(now_ns + SECOND_NS)
    giving.confirm(0)
    assert giving.due(now_ns + 2 * SECOND_NS)
    giving.confirm(1)
    assert not giving.due(now_ns + 3 * SECOND_NS)
    giving.asked(now_ns + 4 * SECOND_NS)
    assert giving.due(now_ns + 4 * SECOND_NS), "the successor has forgotten"


def test_of_too_many_none_is_kept() -> None:
    giving = keeping()
    assert giving.kernel_has(SlotState.KEEPING_UDP, SECOND_NS + LOOK_NS) == EVER_NS
    assert giving.heard(Conversations(too_many=True)), "the kernel is to drain"
    assert giving.kernel_has(SlotState.DRAINING, 2 * SECOND_NS) is None
    assert giving.kernel_has(SlotState.DRAINING, 3 * SECOND_NS) == 0, "all are forgotten"
    giving.heard(Conversations())
    assert giving.told == frozenset()
    assert not giving.waits(0)


def test_the_successor_takes_nothing_before_it_is_told_and_goes_by_the_newest_list() -> None:
    taking = Taking(promised=True)
    assert not taking.holder_says(keeps=True)
    assert not taking.may_open
    taking.told(UdpKept(7, "VIP", 3, 2, 8, A))
    taking.told(UdpKept(7, "VIP", 3, 1, 8, A + B))
    assert taking.due() == {A}
    assert taking.did(done=True)
    assert taking.may_open
    assert taking.confirm == [2]
    taking.told(UdpKept(7, "VIP", 3, 1, 8, A + B))
    assert taking.due() is None


def test_a_list_that_the_engine_could_not_take_in_is_waited_for_again() -> None:
    taking = Taking(promised=True)
    taking.told(UdpKept(7, "VIP", 3, 1, 8, A))
    assert taking.due() == {A}
    assert not taking.did(done=False)
    assert not taking.may_open
    assert taking.confirm == []


@pytest.mark.parametrize("length", [0, 7, 9, 20])
def test_a_list_that_makes_no_sense_changes_nothing(length: int) -> None:
    taking = Taking()
    taking.told(UdpKept(7, "VIP", 3, 1, length, A + b"x"))
    assert taking.due() is None
    assert not taking.may_open


def test_an_earlier_version_neither_promises_nor_keeps() -> None:
    listening = decode(msgspec.msgpack.encode(["ho", 7, "VIP", 3, "listening"]))
    taken = decode(msgspec.msgpack.encode(["ht", 7, "VIP", 3, True, 0, b"", b""]))
    assert isinstance(listening, Hold)
    assert isinstance(taken, HoldTaken)
    assert not listening.leaves_udp
    assert not taken.keeps_udp


@pytest.mark.parametrize(("text", "seconds"), [("", 30), ("10s", 10), ("0", 0), ("5h", 3_600), ("never", 30)])
def test_the_time_out_is_the_addresses_own(text: str, seconds: int) -> None:
    cluster = Cluster(shared(udp_timeout=text))
    cluster.probed("VIP")
    assert datagrams.timeout_ns(cluster.state, "VIP") == seconds * SECOND_NS


def test_there_is_nothing_to_wait_for_once_the_kernel_has_closed_the_slots() -> None:
    """`closed` may not be committed for as long as there is no quorum."""
    giving, now_ns = settled(A)
    giving.confirm(1)
    later_ns = now_ns + 3600 * SECOND_NS
    assert giving.kernel_has(None, later_ns) is None
    assert giving.deadline_ns() is None
