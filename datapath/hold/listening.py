"""Which closed slots have their SYNs kept: one tap for each interface, shared by all that is on the move there."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from datapath.engine import Address, DatapathError, Taken
from datapath.frames import ETHERNET_HEADER
from datapath.hashing import Unhashable
from datapath.hold.syns import has, slot_of, syn_of
from datapath.hold.tap import FRAMES_MAX, Tap

_VERSION_AND_LENGTH = ETHERNET_HEADER
_PLAIN_IPV4 = 0x45
_SOURCE = slice(ETHERNET_HEADER + 12, ETHERNET_HEADER + 16)
_DESTINATION = slice(ETHERNET_HEADER + 16, ETHERNET_HEADER + 20)
_PORTS_AND_NUMBER = slice(ETHERNET_HEADER + 20, ETHERNET_HEADER + 28)


@dataclass(slots=True)
class _Kept:
    """Of one address."""

    address: Address
    slots: set[int] = field(default_factory=set)
    refused: list[tuple[frozenset[int], Taken]] = field(default_factory=list)
    """what old owners have told about slots of theirs"""
    frames: dict[bytes, _Frame] = field(default_factory=dict)
    """by the name of the SYN, of all slots that are listened for; a client that repeats it is held once"""
    settled: dict[bytes, _Frame] = field(default_factory=dict)
    """the same, of those that came while their slots were closed for certain"""

    def slot_of(self, syn: bytes) -> int | Unhashable | None:
        """None: one of those that are listened for, whichever, because all are."""
        if len(self.slots) == self.address.slots and not self.address.port_rules:
            return None
        return slot_of(syn, self.address)

    def settle(self, slots: Collection[int]) -> None:
        """What was read so far came before these slots opened."""
        chosen, self.frames = self._split(self.frames, slots)
        self.settled |= chosen

    def take_settled(self, slots: Collection[int]) -> list[bytes]:
        chosen, self.settled = self._split(self.settled, slots)
        return self._not_taken(chosen, slots)

    def take_out(self, slots: Collection[int]) -> list[bytes]:
        """The frames of these slots, but of what their old owner has taken."""
        settled = self.take_settled(slots)
        chosen, self.frames = self._split(self.frames, slots)
        return settled + self._not_taken(chosen, slots)

    def _not_taken(self, frames: dict[bytes, _Frame], slots: Collection[int]) -> list[bytes]:
        taken = [told for of, told in self.refused if not of.isdisjoint(slots)]
        return [kept.frame for syn, kept in frames.items() if not any(has(told, syn) for told in taken)]

    def _split(
        self, frames: dict[bytes, _Frame], slots: Collection[int]
    ) -> tuple[dict[bytes, _Frame], dict[bytes, _Frame]]:
        """(of these slots, of others)."""
        chosen = frozenset(slots)
        if self.slots <= chosen:
            return frames, {}
        own: dict[bytes, _Frame] = {}
        others: dict[bytes, _Frame] = {}
        for syn, kept in frames.items():
            slot = kept.slot if kept.slot is not None else slot_of(syn, self.address)
            (own if slot in chosen else others)[syn] = kept
        return own, others


class _Frame(NamedTuple):
    slot: int | Unhashable | None
    """see `_Kept.slot_of`"""
    frame: bytes


class Listening:
    """`make` opens a tap (tests hand in their own)."""

    def __init__(self, make: Callable[[str], Tap] = Tap) -> None:
        self._make = make
        self._taps: dict[str, Tap] = {}
        self._kept: dict[str, _Kept] = {}
        """by the address' resource"""

    def begin(self, address: Address, slots: Collection[int]) -> None:
        """Keep SYNs to these slots from now on.  DatapathError when the interface cannot be listened to."""
        self._open(address)
        former = self._kept.get(address.resource)
        if former is None or former.address != address:
            self._kept[address.resource] = _Kept(address)
            if former is not None and former.address.interface != address.interface:
                self._let_go(former.address.interface)
        self._kept[address.resource].slots |= set(slots)

    def _open(self, address: Address) -> None:
        """Hear this address on its interface as well, or change nothing."""
        interface = address.interface
        tap = self._taps.get(interface)
        fresh = tap is None
        tap = tap or self._make(interface)
        try:
            tap.hear({*self._ips(interface), address.ip.packed})
        except DatapathError:
            if fresh:
                tap.close()
            raise
        self._taps[interface] = tap

    def refuse(self, resource: str, slots: Collection[int], taken: Taken) -> None:
        """What the old owner of these slots has taken is not held.

        Reads what has come so far, so that less is left to do when the slots are open.
        """
        kept = self._kept.get(resource)
        if kept is None:
            return
        kept.refused.append((frozenset(slots), taken))
        self._read(kept.address.interface)
        kept.frames = {syn: frame for syn, frame in kept.frames.items() if not has(taken, syn)}
        kept.settle(slots)

    def settled(self, resource: str, slots: Collection[int]) -> list[bytes]:
        """Frames that were read before the slots opened (`refuse`): they came to nobody else.  Taken out."""
        kept = self._kept.get(resource)
        return kept.take_settled(slots) if kept is not None else []

    def end(self, resource: str, slots: Collection[int]) -> list[bytes]:
        """No SYN to these slots is kept any more: the frames of those that were, and are not the old owner's."""
        kept = self._kept.get(resource)
        if kept is None or kept.slots.isdisjoint(slots):
            return []
        if kept.slots <= set(slots) and len(self._on(kept.address.interface)) == 1:
            self._taps[kept.address.interface].deafen()
        self._read(kept.address.interface)
        frames = kept.take_out(slots)
        kept.slots -= set(slots)
        kept.refused = [(of, told) for of, told in kept.refused if not of.isdisjoint(kept.slots)]
        if not kept.slots:
            del self._kept[resource]
            self._let_go(kept.address.interface)
        return frames

    def close(self) -> None:
        self._kept.clear()
        for interface in list(self._taps):
            self._let_go(interface)

    def _on(self, interface: str) -> list[_Kept]:
        return [kept for kept in self._kept.values() if kept.address.interface == interface]

    def _ips(self, interface: str) -> list[bytes]:
        return [kept.address.ip.packed for kept in self._on(interface)]

    def _let_go(self, interface: str) -> None:
        tap = self._taps[interface]
        if ips := self._ips(interface):
            tap.hear(ips)
            return
        del self._taps[interface]
        tap.close()

    def _read(self, interface: str) -> None:
        """From the tap's queue to the address that each SYN is for."""
        by_ip = {kept.address.ip.packed: kept for kept in self._on(interface)}
        for frame in self._taps[interface].read():
            if frame[_VERSION_AND_LENGTH] == _PLAIN_IPV4:  # the filter has looked at all else; a call costs more
                destination, name = frame[_DESTINATION], frame[_SOURCE] + frame[_PORTS_AND_NUMBER]
            elif (found := syn_of(frame[ETHERNET_HEADER:])) is not None:
                destination, name = found
            else:
                continue
            kept = by_ip.get(destination)
            if kept is None or len(kept.frames) >= FRAMES_MAX or name in kept.frames or name in kept.settled:
                continue
            slot = kept.slot_of(name)
            if slot is None or slot in kept.slots:
                kept.frames[name] = _Frame(slot, frame)
