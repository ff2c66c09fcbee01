"""Slots that change hands under living connections: which flows stay with whom.

The order that loses no connection: note new SYNs, then read the sockets, then switch.  A SYN that comes before the
noting begins has its socket (a half-open one) in the list that is read; one that comes after it is in `mine`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from datapath.engine import Address, HashKind, SlotState, Wish
from datapath.flows import TcpState, flows
from datapath.hashing import slot
from datapath.nft.ruleset import flow_key

MOVING = frozenset({SlotState.DRAINING, SlotState.OPENING})
_HALF_OPEN = frozenset({TcpState.SYN_RECV, TcpState.NEW_SYN_RECV})


@dataclass(frozen=True, slots=True)
class Movement:
    """The slots of one address that change their state."""

    address: Address
    before: Mapping[int, SlotState]
    after: Mapping[int, SlotState]
    changed: Mapping[int, tuple[SlotState, SlotState]]
    """slot → (state before, state after), only where they differ"""

    @property
    def ip(self) -> IPv4Address | IPv6Address:
        return self.address.ip

    @property
    def to_note(self) -> list[int]:
        """Open slots that are to drain: their new SYNs are noted first."""
        return sorted(n for n, change in self.changed.items() if change == (SlotState.OPEN, SlotState.DRAINING))

    @property
    def to_keep(self) -> set[int]:
        """Slots that begin to move: the flows of local sockets stay here."""
        return {number for number, (_, after) in self.changed.items() if after in MOVING}

    @property
    def ended(self) -> bool:
        """Some slot's move is over."""
        return any(before in MOVING and after not in MOVING for before, after in self.changed.values())


def movement(held: Wish, wanted: Wish) -> Movement:
    before, after = held.states, wanted.states
    closed = SlotState.CLOSED
    slots = {slot_number for slot_number, _ in before.items() ^ after.items()}
    changed = {number: (before.get(number, closed), after.get(number, closed)) for number in slots}
    return Movement(wanted.address, before, after, changed)


def is_moving(wish: Wish) -> bool:
    """Some slot of it drains or opens gently."""
    return not MOVING.isdisjoint(wish.states.values())


@dataclass(frozen=True, slots=True)
class LocalFlow:
    """A TCP connection that a local socket serves."""

    slot: int
    key: bytes
    """as keep and mine hold it (ruleset.flow_key)"""
    is_half_open: bool


def local_flows(address: Address) -> list[LocalFlow]:
    """The connections of this address; those in TIME_WAIT are over: nobody is served by them any more."""
    found = []
    for flow in flows(address.ip):
        if not flow.time_wait:
            key = flow_key(flow.remote, flow.remote_port, flow.local_port)
            found.append(LocalFlow(_slot_of_key(address, key), key, flow.state in _HALF_OPEN))
    return found


def stale_flows(wish: Wish, known: Iterable[bytes]) -> list[bytes]:
    """Those flows whose slot is not on the move any more."""
    return [flow for flow in known if wish.states.get(_slot_of_key(wish.address, flow)) not in MOVING]


def _slot_of_key(address: Address, flow: bytes) -> int:
    """A flow's key is the longest key there is; the other kinds use its beginning."""
    ports = {HashKind.SOURCEIP: 0, HashKind.SOURCEIP_SOURCEPORT: 4, HashKind.SOURCEIP_SOURCEPORT_DESTPORT: 8}
    length = len(flow) - 8 + ports[address.hash_kind]
    return slot(flow[:length], address.seed, address.slots)
