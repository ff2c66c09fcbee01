"""Slots that change hands under living connections: which flows stay with whom.

The order that loses no connection: note new SYNs, then read the sockets, then switch.  A SYN that comes before the
noting begins has its socket (a half-open one) in the list that is read; one that comes after it is in `mine`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from datapath.engine import Address, SlotState, Wish
from datapath.flows import connections
from datapath.hashing import Unhashable
from datapath.lanes import slots_of
from datapath.nft.contents import flow_key_of, name_of
from datapath.wishes import Transition, transitions

MOVING = frozenset(state for state in SlotState if state.drains or state.opens)
NOTED = MOVING | {SlotState.NOTING}
"""states in which keep and mine say something"""


@dataclass(frozen=True, slots=True)
class Movement:
    """The slots of one address that change their state."""

    address: Address
    before: Mapping[int, SlotState]
    ways: Mapping[Transition, Sequence[int]]
    """(state before, state after) → slots"""

    @property
    def ip(self) -> IPv4Address | IPv6Address:
        return self.address.ip

    @property
    def to_note(self) -> list[int]:
        """Open slots that are to drain: their new SYNs are noted first."""
        return sorted(self._slots(lambda before, after: before is SlotState.OPEN and after.drains))

    @property
    def to_keep(self) -> set[int]:
        """Slots that begin to move: the flows of local sockets stay here."""
        return set(
            self._slots(
                lambda before, after: (after.drains and not before.drains) or (after.opens and not before.opens)
            )
        )

    @property
    def beginning(self) -> set[int]:
        """Slots that begin to move gently: what was noted in an earlier move of theirs means nothing."""
        return set(self._slots(lambda before, after: after in NOTED and before not in NOTED))

    @property
    def ended(self) -> bool:
        """Some slot's move is over."""
        return any(before in NOTED and after not in NOTED for before, after in self.ways)

    def _slots(self, goes: Callable[[SlotState, SlotState], bool]) -> list[int]:
        return [slot for way, slots in self.ways.items() if goes(*way) for slot in slots]


def movement(held: Wish, wanted: Wish) -> Movement:
    return Movement(wanted.address, held.states, transitions(held.states, wanted.states))


def ends_a_move(held: Wish, wanted: Wish) -> bool:
    """Some slot's move is over."""
    return not NOTED.isdisjoint(held.states.values()) and movement(held, wanted).ended


def is_moving(wish: Wish) -> bool:
    """Some slot of it drains or opens gently."""
    return not MOVING.isdisjoint(wish.states.values())


@dataclass(frozen=True, slots=True)
class LocalFlows:
    """The connections of an address that local sockets serve, named as keep and mine hold them (contents.flow_key)."""

    slots: dict[bytes, int | Unhashable]
    half_open: set[bytes]


def local_flows(address: Address) -> LocalFlows:
    """Those in TIME_WAIT are over: nobody is served by them any more."""
    found = LocalFlows({}, set())
    for batch in connections(address.ip):
        names = batch.names
        keys = list(map(flow_key_of, names))
        found.slots.update(zip(keys, slots_of(address, b"".join(names)), strict=True))
        found.half_open.update(key for key, is_half_open in zip(keys, batch.half_open, strict=True) if is_half_open)
    return found


def slots_of_keys(address: Address, flows: Iterable[bytes]) -> Sequence[int | Unhashable]:
    """The slots of flows as keep and mine hold them."""
    return slots_of(address, b"".join(map(name_of, flows)))
