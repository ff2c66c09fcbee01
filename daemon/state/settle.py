"""From a plan to holders: who is given a free slot, which move begins, what is taken back.

Runs inside every entry, after the entry itself has changed configuration or status, so on every node alike.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from daemon.scheduler.view import Plan
from daemon.state.slots import Phase, Slot

Slots = dict[int, Slot]


def settle_address(
    slots: Slots, planned: Mapping[int, str], plan: Plan, address: str, able: Collection[str], index: int
) -> Slots:
    """The slots of one address as the plan wants them now, as far as that may happen at once.

    A free slot is given out at once; a move begins only when its successor has everything that clients of the
    address need.  `able` are the nodes that may be given slots at all.
    """
    unready = plan.unready.get(address, {})
    after: Slots = {}
    for number in sorted({*slots, *planned}):
        slot, target = slots.get(number), planned.get(number)
        settled = _free(target, able, index) if slot is None else _held(slot, target, unready, able, index)
        if settled is not None:
            after[number] = settled
    return after


def _free(target: str | None, able: Collection[str], index: int) -> Slot | None:
    return Slot(target, index) if target is not None and target in able else None


def _held(slot: Slot, target: str | None, unready: Mapping[str, object], able: Collection[str], index: int) -> Slot:
    """A slot that somebody holds; SPLIT and CLOSING wait for reports whatever the plan says (rule 24)."""
    if slot.phase is Phase.OPEN and target == slot.holder:
        return slot
    possible = target is None or (target not in unready and target in able)
    if slot.phase is Phase.OPEN:
        return slot.move(target, index) if possible else slot
    if slot.phase is Phase.DRAINING and target != slot.successor:
        if target == slot.holder or not possible:
            return slot.cancel(index)
        return slot.move(target, index)
    return slot


def close_address(slots: Slots, index: int) -> Slots:
    """Have every slot closed at once; one that is split goes on until it is one holder's again."""
    return {n: s.close(index) if s.phase in (Phase.OPEN, Phase.DRAINING) else s for n, s in slots.items()}


def release_address(slots: Slots, index: int) -> Slots:
    """Have every slot drained and given to nobody."""
    after = {}
    for number, slot in slots.items():
        moving = slot.phase is Phase.DRAINING and slot.successor is not None
        after[number] = slot.move(None, index) if slot.phase is Phase.OPEN or moving else slot
    return after
