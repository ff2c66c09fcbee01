"""Slots, rules 23 to 28: planted in State and Executor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from daemon.executor.slots import AddressWant, DrainProgress, SlotDuty
from daemon.state import commands, reports
from daemon.state.outcome import Outcome
from daemon.state.slots import Phase, Slot
from daemon.state.state import State
from datapath.engine import SlotState
from tests.simulation.cast import Cast
from tests.simulation.omissions.omission import Omission
from tests.simulation.workloads.daemon import DaemonWorkload

_wish, _move, _lost, _update, _closed = Slot.wish, Slot.move, Slot.lost, SlotDuty.update, Slot.closed


def moves_at_once_where_nobody_has_opened(slot: Slot, successor: str | None, generation: int) -> Slot:
    """Rule 23: a holder that has not reported `opened` is taken for one that accepts nothing."""
    if not slot.opened and successor is not None:
        return Slot(successor, generation)
    return _move(slot, successor, generation)


def opens_before_the_other_has_drained(slot: Slot, node: str) -> SlotState:
    """Rule 24: the successor accepts as soon as the move has begun."""
    if slot.phase is Phase.DRAINING and node == slot.successor:
        return SlotState.OPENING
    return _wish(slot, node)


def opens_before_the_other_has_closed(slot: Slot, node: str) -> SlotState:
    """Rule 24: the successor takes everything as soon as the holder has drained."""
    if slot.phase is Phase.SPLIT and node == slot.successor:
        return SlotState.OPEN
    return _wish(slot, node)


def counts_reports_of_any_generation(state: State, report: commands.Slots) -> Outcome:
    """Rule 25: a report is taken for what the state asks today."""
    now = {n: s.generation for n, s in state.slots.get(report.address, {}).items() if n in report.generations}
    fresh = commands.Slots(report.node, report.incarnation, report.address, report.what, now, report.reason)
    return _slots_moved(state, fresh)


_slots_moved = reports._slots_moved


def forgets_that_it_has_closed(duty: SlotDuty, address: str, number: int, slots: Mapping[int, Slot]) -> bool:
    """Rule 26: the kernel follows the applied state, whatever this node has said in between."""
    slot = slots.get(number)
    key = (address, number)
    if slot is None or duty.latched.get(key) != slot.generation:
        return False
    have = duty.have.get(address)
    return have is None or number in have.states  # closed once, and open again as the state still has it


def waits_for_a_lost_successor(slot: Slot, node: str, generation: int) -> Slot | None:
    """Rule 27: a move goes on although the node that was to take the slot is lost."""
    if node == slot.successor and node != slot.holder:
        return slot
    return _lost(slot, node, generation)


def keeps_a_lost_holder(slot: Slot, node: str, generation: int) -> Slot | None:
    """Rule 27: in a move that has begun the old holder is waited for, lost or not."""
    if node == slot.holder and slot.phase is Phase.SPLIT:
        return replace(slot, opened=False)
    return _lost(slot, node, generation)


def ends_the_draining_of_others(duty: SlotDuty, state: State, now_ns: int) -> bool:
    """Rule 28: the successor counts the drain time-out, too, and opens when it is over on its own clock."""
    waiting = {key: progress for key, progress in duty.drains.items() if key[1] < 0}
    _update(duty, state, now_ns)
    for address, slots in state.slots.items():
        for number, slot in slots.items():
            key = (address, -1 - number)  # beside the keys of what drains here
            duty.drains.pop(key, None)
            want = duty.want.get(address)
            if slot.phase is not Phase.SPLIT or slot.successor != duty.node or want is None:
                continue
            duty.drains[key] = waiting.get(key, DrainProgress(slot.generation, now_ns))
            if now_ns - duty.drains[key].since_ns >= duty.drain_timeout_ns:
                states = {**want.states, number: SlotState.OPEN}
                duty.want[address] = AddressWant(want.definition, states)
    return duty.needs_kernel()


def planted(owner: object, name: str, mistake: object) -> Cast:
    return Cast(workload=DaemonWorkload(), plants=((owner, name, mistake),))


OMISSIONS = (
    Omission(
        "unopened",
        "23",
        "a holder that has not reported `opened` is taken for one that accepts nothing",
        planted(Slot, "move", moves_at_once_where_nobody_has_opened),
        first_seed=0,
    ),
    Omission(
        "undrained",
        "24",
        "the successor accepts new flows as soon as the move has begun",
        planted(Slot, "wish", opens_before_the_other_has_drained),
        first_seed=0,
    ),
    Omission(
        "unclosed",
        "24",
        "the successor accepts all flows as soon as the holder has drained",
        planted(Slot, "wish", opens_before_the_other_has_closed),
        first_seed=0,
    ),
    Omission(
        "generation",
        "25",
        "a report counts whatever generation it names",
        planted(reports, "_slots_moved", counts_reports_of_any_generation),
        first_seed=4,
        edit_pause_ms=25,
    ),
    Omission(
        "latch",
        "26",
        "the kernel follows the applied state, whatever this node has said in between",
        planted(SlotDuty, "_is_latched", forgets_that_it_has_closed),
        first_seed=0,
    ),
    Omission(
        "lost-successor",
        "27",
        "a move goes on although the node that was to take the slot is lost",
        planted(Slot, "lost", waits_for_a_lost_successor),
        first_seed=0,
        edit_pause_ms=25,
    ),
    Omission(
        "lost-holder",
        "27",
        "in a move that has begun the old holder is waited for, lost or not",
        planted(Slot, "lost", keeps_a_lost_holder),
        first_seed=0,
        edit_pause_ms=25,
    ),
    Omission(
        "drain-clock",
        "28",
        "the successor counts the drain time-out, too, and opens when it is over on its own clock",
        planted(SlotDuty, "update", ends_the_draining_of_others),
        first_seed=0,
    ),
)
