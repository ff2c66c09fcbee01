"""Conversations of UDP as the nft engine's sets know them (rules.py: heard, left)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from datapath.engine import CONVERSATIONS_MAX, Address, Conversations, SlotState, Wish
from datapath.hashing import Unhashable
from datapath.hold import datagrams
from datapath.netlink import Message
from datapath.nft import blocks, contents, ruleset
from datapath.nft.moves import NOTED, Movement
from datapath.nft.names import Names
from datapath.nft.protocol import Family
from datapath.nft.readback import Reader
from datapath.nft.states import HEARD_TIMEOUT_MS

NS_PER_MS = 1_000_000
_SLOTS_REMEMBERED = 65_536


class Talks:
    """Of one engine.  `transact` carries out messages in one transaction."""

    def __init__(self, transact: Callable[[Sequence[Message]], None]) -> None:
        self._transact = transact
        self._slots: dict[tuple[Address, bytes], int | Unhashable] = {}
        """of conversations: a hash takes longer than to look here"""

    def begin(self, reader: Reader, move: Movement) -> list[Message]:
        """Messages that forget what was known of slots which begin to move."""
        if not move.beginning:
            return []
        names = Names.of(move.ip)
        if NOTED.isdisjoint(move.before.values()):
            return _forget_all(names)
        return [
            message
            for of_set, keys in (
                (names.heard, reader.lasting(names.heard)),
                (names.left, reader.all_flows(names.left)),
            )
            for message in contents.forget_flows(of_set, self._of_slots(move.address, keys, move.beginning))
        ]

    def end(self, wish: Wish) -> None:
        """Nothing of it moves any more."""
        self._transact(_forget_all(Names.of(wish.address.ip)))
        self._slots = {key: slot for key, slot in self._slots.items() if key[0] != wish.address}

    def carried(self, reader: Reader, address: Address) -> list[Message]:
        """Messages that put what is known into the sets of a new table."""
        names = Names.of(address.ip)
        return [
            *contents.know_heard(address.ip, reader.lasting(names.heard)),
            *contents.leave_conversations(address.ip, sorted(reader.all_flows(names.left))),
        ]

    def heard(self, reader: Reader, wish: Wish, slots: Collection[int], idle_ns: int) -> Conversations:
        address = wish.address
        entries = reader.lasting(Names.of(address.ip).heard)
        by_key = {key: self._slot_of(address, key) for key in entries}
        own = {key: slot for key, slot in by_key.items() if isinstance(slot, int) and slot in slots}
        lately = [key for key in own if (HEARD_TIMEOUT_MS - entries[key]) * NS_PER_MS < idle_ns]
        too_many = len(entries) >= ruleset.HEARD_MAX or len(lately) > CONVERSATIONS_MAX
        kept = set() if too_many else set(lately)
        forgotten = [key for key in own if key not in kept and wish.states.get(own[key]) is SlotState.DRAINING]
        self._transact(contents.forget_flows(Names.of(address.ip).heard, forgotten))
        return Conversations({contents.name_of(key): own[key] for key in kept}, too_many)

    def leave(self, reader: Reader, address: Address, slots: Collection[int], names: Collection[bytes]) -> None:
        datagrams.check(names, address)
        of_set = Names.of(address.ip).left
        held = set(self._of_slots(address, reader.all_flows(of_set), slots))
        wanted = {contents.flow_key_of(name) for name in names}
        self._transact(
            [
                *contents.leave_conversations(address.ip, sorted(wanted - held)),
                *contents.forget_flows(of_set, sorted(held - wanted)),
            ]
        )

    def _of_slots(self, address: Address, keys: Collection[bytes], slots: Collection[int]) -> list[bytes]:
        return [key for key in keys if self._slot_of(address, key) in slots]

    def _slot_of(self, address: Address, key: bytes) -> int | Unhashable:
        found = self._slots.get((address, key))
        if found is None:
            if len(self._slots) >= _SLOTS_REMEMBERED:
                self._slots.clear()
            found = self._slots[address, key] = datagrams.slot_of(contents.name_of(key), address)
        return found


def _forget_all(names: Names) -> list[Message]:
    return [blocks.flush_set(Family.NETDEV, name) for name in (names.heard, names.left)]
