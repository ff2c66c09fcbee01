"""The nft engine's part in moves that answer each SYN once (`datapath.engine.Reconciles`).

Flows are what its rules note, not SYNs: that of a client which takes the same port again meanwhile stays with the
old owner, as its first one did.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence

from datapath.engine import Address, DatapathError, SlotState, Taken, Wish
from datapath.frames import ETHERNET_HEADER
from datapath.hold.listening import Listening
from datapath.hold.syns import TAKEN_MAX, check, flow_of, syn_of
from datapath.hold.way_in import WayIn
from datapath.netlink import Message
from datapath.nft import contents, ruleset
from datapath.nft.moves import NOTED, slots_of_keys
from datapath.nft.names import Names
from datapath.nft.readback import Reader


class Holds:
    """Of one engine.  `transact` carries out messages in one transaction."""

    def __init__(self, transact: Callable[[Sequence[Message]], None]) -> None:
        self._transact = transact
        self._listening = Listening()
        self._way_in: WayIn | None = None

    def close(self) -> None:
        self._listening.close()
        if self._way_in is not None:
            self._way_in.close()
            self._way_in = None

    def taken(self, reader: Reader, wish: Wish, slots: Collection[int]) -> Taken:
        address = wish.address
        keys = reader.all_flows(Names.of(address.ip).mine)
        if len(keys) >= ruleset.FLOWS_MAX:
            raise DatapathError(f"more SYNs came to {address.resource} than could be noted")
        if any(state in NOTED and number not in slots for number, state in wish.states.items()):
            listed = list(keys)
            found = slots_of_keys(address, listed)
            keys = {key for key, slot in zip(listed, found, strict=True) if slot in slots}
        flows = frozenset(map(contents.name_of, keys))
        if len(flows) > TAKEN_MAX:
            raise DatapathError(f"{len(flows)} SYNs to {address.resource} are too many to tell")
        return Taken(flows=flows)

    def listen(self, address: Address, slots: Collection[int]) -> None:
        if self._way_in is None:
            self._way_in = WayIn()
        self._listening.begin(address, slots)

    def refuse(self, wish: Wish, slots: Collection[int], taken: Taken) -> None:
        address = wish.address
        check(taken, address)
        messages = contents.refuse_syns(
            address.ip,
            (contents.flow_key_of(flow) for flow in taken.flows),
            (contents.flow_key_of(syn) for syn in taken.syns),
        )
        if not _others_open(wish.states, slots):
            messages = [*contents.forget_refused(address.ip), *messages]
        self._transact(messages)
        self._listening.refuse(address.resource, slots, taken)

    def release(self, reader: Reader, address: Address, slots: Collection[int], deadline_ns: int) -> int:
        """`deadline_ns`: of the lease, for what is held passes no rule that would ask it (LEASES.md, rule 15)."""
        way_in = self._way_in
        if way_in is None:
            return 0
        settled = _by_flow(self._listening.settled(address.resource, slots))
        try:
            taken = self._take_in(way_in, address, settled, deadline_ns)
        finally:
            # whatever became of them: a tap that is left would keep every SYN from now on
            late = _by_flow(self._listening.end(address.resource, slots))
        if late:
            # in this order: what the tap has last, the rules have noted by now
            mine = {contents.name_of(key) for key in reader.all_flows(Names.of(address.ip).mine)}
            late = {flow: packet for flow, packet in late.items() if flow not in mine}
            taken += self._take_in(way_in, address, late, deadline_ns)
        return taken

    def _take_in(self, way_in: WayIn, address: Address, packets: Mapping[bytes, bytes], deadline_ns: int) -> int:
        """Noted first: they do not pass the rules, so that what follows them would belong to nobody."""
        if not packets or time.clock_gettime_ns(time.CLOCK_BOOTTIME) >= deadline_ns:
            return 0
        self._transact(contents.note_flows(address.ip, map(contents.flow_key_of, packets)))
        return way_in.take(packets.values(), deadline_ns)

    def forget(self, resource: str, slots: Collection[int]) -> None:
        self._listening.end(resource, slots)


def _by_flow(frames: Collection[bytes]) -> dict[bytes, bytes]:
    """Flow → SYN.  With two of a flow the client has begun anew: the later one counts."""
    packets = (frame[ETHERNET_HEADER:] for frame in frames)
    return {flow_of(found[1]): packet for packet in packets if (found := syn_of(packet)) is not None}


def _others_open(states: Mapping[int, SlotState], slots: Collection[int]) -> bool:
    return any(state.opens for number, state in states.items() if number not in slots)
