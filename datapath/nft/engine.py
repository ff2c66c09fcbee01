"""The nft engine: nf_tables at netdev ingress decides on each packet before the host's stack sees it."""

from __future__ import annotations

import errno
import time
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from datapath.engine import Address, Change, Counter, DatapathError, Wish
from datapath.host.setup import Host
from datapath.netlink import KernelError, Message, Socket
from datapath.nft import ruleset
from datapath.nft.lease import Term, deadline_of, renewal, term_until
from datapath.nft.moves import Movement, is_moving, local_flows, movement, stale_flows
from datapath.nft.names import Names
from datapath.nft.protocol import NETLINK_NETFILTER, Family, batch
from datapath.nft.readback import Reader
from datapath.wishes import check, differences

_NOT_AS_WE_LEFT_IT = frozenset({errno.ENOENT, errno.EEXIST, errno.EBUSY})

Held = Mapping[IPv4Address | IPv6Address, Wish]


class NftEngine:
    """`datapath.engine.Engine` by rules in the kernel; what a method promises is written there."""

    name = "nft"
    place = "lo"

    def __init__(self, run_dir: Path) -> None:
        """`run_dir` keeps notes of what the host was like before (see datapath.host.setup)."""
        self._host = Host(run_dir, self.place)
        self._socket: Socket | None = None
        self._held: Held | None = None
        """what the kernel holds by our doing; None until the first `apply` of this process"""
        self._prepared: frozenset[Address] | None = None
        """the addresses that the host itself was last set up for; slots alone do not concern it"""
        self._to_forget: set[IPv4Address | IPv6Address] = set()
        """addresses whose keep and mine hold flows of slots that do not move any more"""
        self._deadline_ns = 0
        self._structure: frozenset[str] = frozenset()
        self._generation = 0
        """of the rules when we last looked, plus one for each transaction of ours since"""

    def start(self) -> None:
        if self._socket is None:
            self._socket = Socket(NETLINK_NETFILTER)
            self._host.start()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._host.close()
        self._held = self._prepared = None

    # wishes

    def apply(self, wishes: Sequence[Wish]) -> list[Change]:
        wanted = {wish.address.ip: wish for wish in check(wishes)}
        held = self._inherit(wanted) if self._held is None else self._held
        if self._prepared == _addresses(wanted):
            self._change(held, wanted)
        else:
            self._change_with_host(held, wanted)
        self._held = wanted
        ended = {ip for ip, wish in wanted.items() if _stays(held, wish) and movement(held[ip], wish).ended}
        self._to_forget |= ended
        self._forget_stale_flows()
        return differences(held.values(), wanted.values())

    def _change_with_host(self, held: Held, wanted: Held) -> None:
        """Addresses come to the host when their rules stand, and leave before those fall: none is unguarded."""
        before, after = list(_addresses(held)), list(_addresses(wanted))
        self._prepared = None
        stands = held
        try:
            self._host.prepare(after)
            self._host.withdraw(after)
            self._change(held, wanted)
            stands = wanted
            self._host.assign(after)
        except DatapathError:
            if stands is wanted:
                self._change(wanted, held)
            self._host.grow(before)
            self._host.shrink(before)
            raise
        self._host.shrink(after)
        self._prepared = _addresses(wanted)

    def _inherit(self, wanted: Held) -> Held:
        """Take over from a former process: fresh tables, in one transaction, in which the same slots are open.

        Addresses that are no longer wanted, or differently, are not in them; the lease, and the flows of slots that
        are on the move, are carried over.
        """
        reader = self._reader
        inherited = {
            address.ip: Wish(address, {slot: held.state for slot, held in reader.slots(address).items()})
            for address in reader.addresses()
            if address.ip in wanted and wanted[address.ip].address == address
        }
        self._host.withdraw([wish.address for wish in inherited.values()])
        self._rebuild(inherited, self._known_flows(inherited), reader.lease())
        self._held = inherited
        self._to_forget |= inherited.keys()
        return inherited

    def _known_flows(self, held: Held) -> list[Message]:
        """Messages that put the flows of keep and mine, as they are now, into the sets of a new table."""
        messages = []
        for ip in held:
            names = Names.of(ip)
            noted = self._reader.flows(names.mine)
            messages += ruleset.keep_flows(ip, sorted({*self._reader.flows(names.keep), *noted}))
            messages += ruleset.note_flows(ip, noted)
        return messages

    def _rebuild(self, held: Held, flows: Sequence[Message], lease: Term) -> None:
        """All of it anew, in one transaction that does not ask what is there."""
        messages = [
            *ruleset.drop_table(Family.NETDEV),
            *ruleset.drop_table(Family.ARP),
            *ruleset.netdev_table(),
            *ruleset.arp_table(),
        ]
        for interface in sorted({wish.address.interface for wish in held.values()}):
            messages += ruleset.hook_interface(interface)
        for wish in held.values():
            messages += _add(wish)
        self._transact([*messages, *flows, *renewal(lease)])
        self._look()

    def _change(self, held: Held, wanted: Held) -> None:
        """From what is held to what is wanted; where somebody has meddled with what is held, all of it anew."""
        try:
            self._step(held, wanted)
        except KernelError as refusal:
            if refusal.errno not in _NOT_AS_WE_LEFT_IT:
                raise
            flows = self._known_flows({ip: wish for ip, wish in wanted.items() if _stays(held, wish)})
            for wish in wanted.values():
                flows += self._keep_flows(movement(Wish(wish.address), wish))
            self._rebuild(wanted, flows, term_until(self._deadline_ns))

    def _step(self, held: Held, wanted: Held) -> None:
        """One transaction, preceded by noting SYNs where slots drain."""
        moves = [movement(held[ip], wish) for ip, wish in wanted.items() if _stays(held, wish)]
        noting = [message for move in moves for message in ruleset.note_syns(move.ip, move.to_note)]
        if noting:
            self._transact(noting)
        try:
            messages = self._structural(held, wanted)
            for move in moves:
                messages += ruleset.set_slots(move.ip, move.before, move.after)
                messages += self._keep_flows(move)
            if messages:
                self._transact(messages)
        except DatapathError:
            if noting:
                self._transact([m for move in moves for m in ruleset.reopen(move.ip, move.to_note)])
            raise
        if _addresses(held) != _addresses(wanted):
            self._look()

    def _structural(self, held: Held, wanted: Held) -> list[Message]:
        """Whole addresses and interfaces that come and go."""
        leaving = [wish for ip, wish in held.items() if ip not in wanted or not _stays(held, wanted[ip])]
        coming = [wish for wish in wanted.values() if not _stays(held, wish)]
        hooked = {wish.address.interface for wish in held.values()}
        needed = {wish.address.interface for wish in wanted.values()}
        messages: list[Message] = []
        for wish in leaving:
            messages += [*ruleset.unshare_mac(wish.address), *ruleset.remove_address(wish.address)]
        for interface in sorted(hooked - needed):
            messages += ruleset.unhook_interface(interface)
        for interface in sorted(needed - hooked):
            messages += ruleset.hook_interface(interface)
        for wish in coming:
            messages += _add(wish)
            messages += self._keep_flows(movement(Wish(wish.address), wish))
        return messages

    def _keep_flows(self, move: Movement) -> list[Message]:
        """Local sockets' flows of slots that begin to drain or to open gently stay here."""
        if not move.to_keep:
            return []
        own = [flow for flow in local_flows(move.address) if flow.slot in move.to_keep]
        return [
            *ruleset.keep_flows(move.ip, [flow.key for flow in own]),
            *ruleset.note_flows(move.ip, [flow.key for flow in own if flow.is_half_open]),
        ]

    def _forget_stale_flows(self) -> None:
        """Keep and mine say nothing any more about slots that do not move, and keep nothing about flows that ended.

        What cannot be forgotten now, because an entry has run out between reading and deleting it, is tried again
        with the next `apply` or `repair`.
        """
        for ip in list(self._to_forget):
            wish = (self._held or {}).get(ip)
            if wish is not None and not self._forget(wish):
                continue
            self._to_forget.discard(ip)

    def _forget(self, wish: Wish) -> bool:
        names = Names.of(wish.address.ip)
        try:
            for name in (names.keep, names.mine):
                if stale := stale_flows(wish, self._reader.flows(name)):
                    self._transact(ruleset.forget_flows(name, stale))
            if is_moving(wish):
                # the list of flows first, then the sockets: a flow that begins in between is in the second only
                kept = self._reader.flows(names.keep)
                living = {flow.key for flow in local_flows(wish.address)}
                if ended := [flow for flow in kept if flow not in living]:
                    self._transact(ruleset.forget_flows(names.keep, ended))
        except DatapathError:
            return False
        return True

    # leases

    def renew(self, deadline_ns: int) -> None:
        self._transact(renewal(term_until(deadline_ns)))
        self._deadline_ns = deadline_ns

    def deadline_ns(self) -> int:
        began_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        return deadline_of(self._reader.lease(), began_ns)

    # what is there

    def flows_left(self, resource: str, slot: int) -> int:
        for wish in (self._held or {}).values():
            if wish.address.resource == resource:
                return sum(1 for flow in local_flows(wish.address) if flow.slot == slot)
        raise DatapathError(f"there is no address {resource!r} on this host")

    def state(self) -> list[Wish]:
        reader = self._reader
        return [
            Wish(address, {slot: held.state for slot, held in sorted(reader.slots(address).items())})
            for address in sorted(reader.addresses(), key=lambda address: address.resource)
        ]

    def counters(self) -> list[Counter]:
        return self._reader.counters()

    def repair(self) -> list[Change]:
        if self._held is None:
            return []
        self._to_forget |= {ip for ip, wish in self._held.items() if is_moving(wish)}
        self._forget_stale_flows()
        addresses = [wish.address for wish in self._held.values()]
        mended = [
            Change(change.address, "repaired", change.slots, change.detail) for change in self._host.grow(addresses)
        ]
        generation = self._reader.generation()
        if generation == self._generation:
            return mended
        found = {wish.address.ip: wish for wish in self.state()}
        if self._reader.structure() == self._structure and not differences(found.values(), self._held.values()):
            self._generation = generation
            return mended
        self._rebuild(self._held, self._known_flows(self._held), term_until(self._deadline_ns))
        detail = "the rule set had been changed by somebody else, and is ours again"
        return [*mended, *(Change(address.resource, "repaired", (), detail) for address in addresses)]

    def remove(self) -> None:
        self._host.withdraw([])
        self._transact([*ruleset.drop_table(Family.NETDEV), *ruleset.drop_table(Family.ARP)])
        self._held = self._prepared = None
        self._deadline_ns = 0
        self._host.shrink([])

    # the kernel

    @property
    def _reader(self) -> Reader:
        return Reader(self._open)

    @property
    def _open(self) -> Socket:
        if self._socket is None:
            raise DatapathError("the nft engine was not started")
        return self._socket

    def _transact(self, messages: Sequence[Message]) -> None:
        self._open.transact(batch(messages))
        self._generation += 1

    def _look(self) -> None:
        """Remember what the tables look like by our doing, so that `repair` can tell."""
        # in this order: what somebody changes in between is then looked at by the next `repair`
        self._generation = self._reader.generation()
        self._structure = self._reader.structure()


def _add(wish: Wish) -> list[Message]:
    address = wish.address
    return [
        *ruleset.add_address(address),
        *ruleset.share_mac(address),
        *ruleset.set_slots(address.ip, {}, wish.states),
    ]


def _stays(held: Held, wish: Wish) -> bool:
    """The address is held already, with the same parameters."""
    return wish.address.ip in held and held[wish.address.ip].address == wish.address


def _addresses(held: Held) -> frozenset[Address]:
    return frozenset(wish.address for wish in held.values())
