"""Which flows stay with this host while their slots move: the sets keep and mine follow the sockets.

Of a slot that begins to move every living connection has to be in keep before the switch.  A host may have tens of
thousands, and adding them takes as many microseconds as heartbeats are apart: so they are put there beforehand, step by
step, while the slot is NOTING (what is new then is in mine) or still CLOSED (then nothing is new), and `apply` finds
nothing left to do.  Where nobody prepared, it does so itself, at once.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from ipaddress import IPv4Address, IPv6Address
from itertools import islice

from datapath.engine import DatapathError, SlotState, Wish
from datapath.flows import connections
from datapath.lanes import slots_of
from datapath.netlink import KernelError, Message, Socket
from datapath.nft import contents
from datapath.nft.moves import MOVING, NOTED, Movement, ends_a_move, is_moving, local_flows, slots_of_keys
from datapath.nft.names import Names
from datapath.nft.protocol import NETLINK_NETFILTER
from datapath.nft.readback import flows_by_parts

Ip = IPv4Address | IPv6Address
STEP = 256
"""flows that are forgotten or put there in one transaction: about a millisecond"""


class Kept:
    """Of one engine.  `transact` carries out messages in one transaction."""

    def __init__(self, transact: Callable[[Sequence[Message]], None]) -> None:
        self._transact = transact
        self._revision: dict[Ip, int] = {}
        """counts the changes of an address' slots"""
        self._ready: dict[Ip, frozenset[int]] = {}
        """slots all of whose connections are in keep or in mine"""
        self._coming: dict[Ip, set[int]] = {}
        """slots of which the same is to be said once `prepare` ends"""
        self._absent: dict[Ip, frozenset[bytes]] = {}
        """flows in keep that had no socket when we last looked: a list that is read in parts may miss one"""
        self._to_forget: set[Ip] = set()
        """addresses whose sets may hold flows of slots that do not move any more"""

    def messages(self, move: Movement) -> list[Message]:
        """What is left to be put there when slots begin to drain or to open."""
        slots = move.to_keep - self._ready.get(move.ip, frozenset())
        if not slots:
            return []
        local = local_flows(move.address)
        own = [flow for flow, slot in local.slots.items() if slot in slots]
        return [
            *contents.keep_flows(move.ip, own),
            *contents.note_flows(move.ip, [flow for flow in own if flow in local.half_open]),
        ]

    def inherit(self, ips: Collection[Ip]) -> None:
        """A former process, or somebody else, may have left in the sets what they liked."""
        self._ready.clear()
        self._coming.clear()
        self._absent.clear()
        for ip in ips:
            self._revision[ip] = self._revision.get(ip, 0) + 1
        self._to_forget |= set(ips)

    def begin(self, ip: Ip) -> None:
        """The address has come, with sets that are empty: what was put into those of a former one is gone."""
        self._revision[ip] = self._revision.get(ip, 0) + 1
        self._ready.pop(ip, None)
        self._coming.pop(ip, None)
        self._absent.pop(ip, None)

    def follow(self, before: Wish, wish: Wish) -> None:
        """The kernel holds this now."""
        ip = wish.address.ip
        if before.states == wish.states:
            return
        self._revision[ip] = self._revision.get(ip, 0) + 1
        ready = self._ready.get(ip, frozenset())
        self._ready[ip] = frozenset(number for number in ready if _is_listable(wish, number))
        if (coming := self._coming.get(ip)) is not None:
            coming.intersection_update([number for number in coming if _is_listable(wish, number)])
        if ends_a_move(before, wish):
            self._to_forget.add(ip)
            self._forget_all(wish)

    def prepare(self, wish: Wish) -> Iterator[None]:
        """Put there, step by step, the connections of all slots that are not simply open."""
        ip = wish.address.ip
        coming = {number for number in range(wish.address.slots) if _is_listable(wish, number)}
        if coming <= self._ready.get(ip, frozenset()):
            return
        self._coming[ip] = coming
        self._revision[ip] = self._revision.get(ip, 0) + 1  # what is tidied meanwhile may be meant
        try:
            for batch in connections(ip):
                names = batch.names
                found = zip(names, slots_of(wish.address, b"".join(names)), batch.half_open, strict=True)
                own = [(contents.flow_key_of(name), half_open) for name, slot, half_open in found if slot in coming]
                self._transact(contents.keep_flows(ip, [flow for flow, _ in own]))
                self.note(ip, [flow for flow, half_open in own if half_open])
                yield
            if self._coming.get(ip) is coming:
                self._ready[ip] = frozenset(coming)
        finally:
            if self._coming.get(ip) is coming:
                del self._coming[ip]

    def note(self, ip: Ip, half_open: Sequence[bytes]) -> None:
        """A flood of SYNs may leave no room for them: then they begin once more, at the successor."""
        try:
            self._transact(contents.note_flows(ip, half_open))
        except KernelError as refusal:
            if refusal.errno != errno.ENFILE:
                raise

    def tidy(self, held: Callable[[], Mapping[Ip, Wish]]) -> Iterator[None]:
        """Step by step: forget flows of slots that do not move, and flows that have ended; put there what is missing.

        What cannot be forgotten now, because an entry has run out between reading and deleting it, is tried again with
        the next call.
        """
        for ip in list(held()):
            wish = held().get(ip)  # as it is by now, with its revision
            if wish is None:
                continue
            if is_moving(wish) or (ip in self._to_forget and not self._forget_all(wish)):
                try:
                    yield from self._tidy(wish)
                except DatapathError:
                    self._to_forget.add(ip)

    def _forget_all(self, wish: Wish) -> bool:
        """Where nothing is on the move, nor about to be."""
        ip = wish.address.ip
        if ip in self._coming or not NOTED.isdisjoint(wish.states.values()):
            return False
        try:
            self._transact(contents.forget_all_flows(ip))
        except DatapathError:
            return False
        self._to_forget.discard(ip)
        self._ready.pop(ip, None)
        self._absent.pop(ip, None)
        return True

    def _tidy(self, wish: Wish) -> Iterator[None]:
        ip, names = wish.address.ip, Names.of(wish.address.ip)
        began = self._revision.get(ip)
        self._to_forget.discard(ip)
        kept: set[bytes] = set()
        with closing(Socket(NETLINK_NETFILTER)) as beside:  # between the steps others talk to the kernel
            for of_set in (names.keep, names.mine):
                stale: list[bytes] = []
                for flows in flows_by_parts(beside, of_set):
                    stale += self._stale(wish, flows)
                    if of_set == names.keep:
                        kept.update(flows)
                    yield
                kept.difference_update(stale)
                yield from self._forget(ip, began, of_set, stale)
        # the list of flows first, then the sockets: a flow that begins in between is in the second only
        absent = set(kept)
        moving = {number for number, state in wish.states.items() if state in MOVING}
        for batch in connections(ip):
            names_of_batch = batch.names
            flows = list(map(contents.flow_key_of, names_of_batch))
            absent.difference_update(flows)
            found = zip(flows, slots_of(wish.address, b"".join(names_of_batch)), strict=True)
            missing = [flow for flow, slot in found if slot in moving and flow not in kept]
            if missing and self._revision.get(ip) == began:
                self._transact(contents.keep_flows(ip, missing))
            yield
        yield from self._forget(ip, began, names.keep, sorted(absent & self._absent.get(ip, frozenset())))
        self._absent[ip] = frozenset(absent)

    def _stale(self, wish: Wish, flows: Sequence[bytes]) -> list[bytes]:
        """Those whose slot neither moves nor was prepared to."""
        used = {number for number, state in wish.states.items() if state in NOTED}
        ip = wish.address.ip
        used |= self._ready.get(ip, frozenset()) | self._coming.get(ip, set())
        return [
            flow for flow, slot in zip(flows, slots_of_keys(wish.address, flows), strict=True) if slot not in used
        ]

    def _forget(self, ip: Ip, began: int | None, of_set: str, flows: Sequence[bytes]) -> Iterator[None]:
        """But not once slots have changed: then the same flow may mean something again."""
        left = iter(flows)
        while step := list(islice(left, STEP)):
            if self._revision.get(ip) != began:
                self._to_forget.add(ip)
                return
            try:
                self._transact(contents.forget_flows(of_set, step))
            except DatapathError:
                self._to_forget.add(ip)
            yield


def _is_listable(wish: Wish, number: int) -> bool:
    """Whether a slot's connections can be listed beforehand: what is new in it is noted, or dropped."""
    return wish.states.get(number) is not SlotState.OPEN
