"""The nft engine: nf_tables at netdev ingress decides on each packet before the host's stack sees it."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from datapath.engine import Address, Change, Conversations, Counter, DatapathError, Taken, Wish
from datapath.host.setup import Host
from datapath.netlink import KernelError, Message, Socket
from datapath.nft import belts, contents, ruleset
from datapath.nft.holds import Holds
from datapath.nft.kept import Kept
from datapath.nft.lease import Term, deadline_of, renewal, term_until
from datapath.nft.moves import NOTED, ends_a_move, movement
from datapath.nft.names import Names
from datapath.nft.protocol import NETLINK_NETFILTER, batch
from datapath.nft.readback import Reader
from datapath.nft.structure import Structure
from datapath.nft.talks import Talks
from datapath.wishes import check, differences, transitions, whom_it_concerns

log = logging.getLogger("vipcast.datapath")

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
        self._deadline_ns = 0
        self._holds = Holds(self._touch)
        self._kept = Kept(self._touch)
        self._talks = Talks(self._touch)
        self._structure = Structure()
        self._generation = 0
        """of the rules when we last looked, plus one for each transaction since that was ours (not the way out's)"""

    def start(self) -> None:
        if self._socket is None:
            self._socket = Socket(NETLINK_NETFILTER)
            self._host.start()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._host.close()
        self._holds.close()
        self._held = self._prepared = None

    # wishes

    def apply(self, wishes: Sequence[Wish]) -> list[Change]:
        wanted = {wish.address.ip: wish for wish in check(wishes)}
        ruleset.check_room(_addresses(wanted))
        held = self._inherit(wanted) if self._held is None else self._held
        if self._prepared == _addresses(wanted):
            self._change(held, wanted)
        else:
            self._change_with_host(held, wanted)
        self._held = wanted
        for ip, wish in wanted.items():
            if _stays(held, wish):
                self._kept.follow(held[ip], wish)
                if ends_a_move(held[ip], wish) and NOTED.isdisjoint(wish.states.values()):
                    self._talks.end(wish)
        return differences(held.values(), wanted.values())

    def _change_with_host(self, held: Held, wanted: Held) -> None:
        """Addresses come to the host when their rules stand, and leave before those fall: none is unguarded."""
        before, after = list(_addresses(held)), list(_addresses(wanted))
        coming, leaving = whom_it_concerns(self._prepared, after)
        self._prepared = None
        stands = held
        try:
            self._host.prepare(coming)
            if leaving:
                self._host.withdraw(after)
            self._change(held, wanted)
            stands = wanted
            self._host.assign(coming)
        except DatapathError:
            if stands is wanted:
                self._change(wanted, held)
            self._host.grow(before)
            self._host.shrink(before)
            raise
        if leaving:
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
        self._kept.inherit(inherited.keys())
        return inherited

    def _known_flows(self, held: Held) -> list[Message]:
        """Messages that put the flows of keep and mine, as they are now, into the sets of a new table."""
        messages = []
        for ip in held:
            names = Names.of(ip)
            noted = self._reader.flows(names.mine)
            messages += contents.keep_flows(ip, sorted({*self._reader.flows(names.keep), *noted}))
            messages += contents.note_flows(ip, noted)
            messages += contents.refuse_syns(
                ip, self._reader.flows(names.never), self._reader.flows(names.never_syns)
            )
            messages += self._talks.carried(self._reader, held[ip].address)
        return messages

    def _rebuild(self, held: Held, flows: Sequence[Message], lease: Term) -> None:
        """All of it anew, in one transaction that does not ask what is there."""
        messages = [
            *ruleset.drop_tables(),
            *ruleset.netdev_table(),
            *belts.arp_table(),
            *belts.neighbour_table(),
        ]
        for interface in sorted({wish.address.interface for wish in held.values()}):
            messages += ruleset.hook_interface(interface)
        for wish in held.values():
            messages += _add(wish)
        before = self._look()
        self._transact([*messages, *flows, *renewal(lease)])
        self._generation = before + 1
        self._structure.learn(self._reader)
        self._distrust_what_was_read_after(before + 1)

    def _change(self, held: Held, wanted: Held) -> None:
        """From what is held to what is wanted; where somebody has meddled with what is held, all of it anew."""
        try:
            self._step(held, wanted)
        except KernelError as refusal:
            if refusal.errno not in _NOT_AS_WE_LEFT_IT:
                raise
            self._kept.inherit(wanted.keys())
            flows = self._known_flows({ip: wish for ip, wish in wanted.items() if _stays(held, wish)})
            for wish in wanted.values():
                flows += self._kept.messages(movement(Wish(wish.address), wish))
            self._rebuild(wanted, flows, term_until(self._deadline_ns))

    def _step(self, held: Held, wanted: Held) -> None:
        """One transaction, preceded by noting SYNs where slots drain."""
        moves = [
            movement(held[ip], wish)
            for ip, wish in wanted.items()
            if _stays(held, wish) and held[ip].states != wish.states
        ]
        noting = [message for move in moves for message in contents.note_syns(move.ip, move.to_note)]
        if noting:
            self._transact(noting)
        before = self._look()
        try:
            messages = self._structural(held, wanted)
            for move in moves:
                messages += self._talks.begin(self._reader, move)
                messages += contents.set_slots(move.ip, move.ways)
            self._switch(messages, [message for move in moves for message in self._kept.messages(move)])
        except DatapathError:
            if noting:
                self._transact([m for move in moves for m in contents.reopen(move.ip, move.to_note)])
            raise
        left = [wish.address for ip, wish in held.items() if ip not in wanted or not _stays(held, wanted[ip])]
        came = [wish.address for wish in wanted.values() if not _stays(held, wish)]
        if left or came:
            self._structure.follow(self._reader, left, came, hooks=_interfaces(held) != _interfaces(wanted))
            self._distrust_what_was_read_after(before + 1)

    def _switch(self, messages: Sequence[Message], flows: Sequence[Message]) -> None:
        """What changes, and the flows that stay, at once.

        A flood of SYNs may have filled the sets: then the flows for which there is room come first, and the slots move
        all the same.
        """
        try:
            self._transact([*messages, *flows])
        except KernelError as refusal:
            if refusal.errno != errno.ENFILE or not flows:
                raise
            log.warning("there is no room for all connections that stay while slots move: some break")
            for message in flows:
                with suppress(KernelError):
                    self._touch([message])
            self._transact(messages)

    def _distrust_what_was_read_after(self, generation: int) -> None:
        """What somebody has changed since is in what was read: then the next `repair` puts everything there anew."""
        if self._look() != generation:
            self._structure.forget()

    def _structural(self, held: Held, wanted: Held) -> list[Message]:
        """Whole addresses and interfaces that come and go."""
        leaving = [wish for ip, wish in held.items() if ip not in wanted or not _stays(held, wanted[ip])]
        coming = [wish for wish in wanted.values() if not _stays(held, wish)]
        hooked, needed = _interfaces(held), _interfaces(wanted)
        messages: list[Message] = []
        for wish in leaving:
            messages += [*belts.unshare_mac(wish.address), *ruleset.remove_address(wish.address)]
        for interface in sorted(hooked - needed):
            messages += ruleset.unhook_interface(interface)
        for interface in sorted(needed - hooked):
            messages += ruleset.hook_interface(interface)
        for wish in coming:
            messages += _add(wish)
            self._kept.begin(wish.address.ip)
            messages += self._kept.messages(movement(Wish(wish.address), wish))
        return messages

    # leases

    def renew(self, deadline_ns: int) -> None:
        term = term_until(deadline_ns)
        if term.timeout_ms > 0:
            self._transact(renewal(term))
        else:
            self._touch(renewal(term))
        self._deadline_ns = deadline_ns

    def deadline_ns(self) -> int:
        began_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        return deadline_of(self._reader.lease(), began_ns)

    # moves (datapath.engine.KeepsFlows, Reconciles)

    def prepare(self, resource: str) -> Iterator[None]:
        return self._kept.prepare(self._wish_of(resource))

    def tidy(self) -> Iterator[None]:
        return self._kept.tidy(lambda: self._held or {})

    def taken(self, resource: str, slots: Collection[int]) -> Taken:
        return self._holds.taken(self._reader, self._wish_of(resource), slots)

    def conversations(self, resource: str, slots: Collection[int], idle_ns: int) -> Conversations:
        return self._talks.heard(self._reader, self._wish_of(resource), slots, idle_ns)

    def leave(self, resource: str, slots: Collection[int], names: Collection[bytes]) -> None:
        self._talks.leave(self._reader, self._wish_of(resource).address, slots, names)

    def listen(self, resource: str, slots: Collection[int]) -> None:
        self._holds.listen(self._wish_of(resource).address, slots)

    def refuse(self, resource: str, slots: Collection[int], taken: Taken) -> None:
        self._holds.refuse(self._wish_of(resource), slots, taken)

    def release(self, resource: str, slots: Collection[int]) -> int:
        return self._holds.release(self._reader, self._wish_of(resource).address, slots, self._deadline_ns)

    def forget(self, resource: str, slots: Collection[int]) -> None:
        self._holds.forget(resource, slots)

    def _wish_of(self, resource: str) -> Wish:
        for wish in (self._held or {}).values():
            if wish.address.resource == resource:
                return wish
        raise DatapathError(f"there is no address {resource!r} on this host")

    # what is there

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
        addresses = [wish.address for wish in self._held.values()]
        mended = self._host.mend(addresses)
        generation = self._look()
        if generation == self._generation:
            return mended
        found = {wish.address.ip: wish for wish in self.state()}
        stands = self._structure.stands(self._reader, addresses)
        if stands and not differences(found.values(), self._held.values()):
            self._generation = generation
            return mended
        self._kept.inherit(self._held.keys())
        self._rebuild(self._held, self._known_flows(self._held), term_until(self._deadline_ns))
        detail = "the rule set had been changed by somebody else, and is ours again"
        return [*mended, *(Change(address.resource, "repaired", (), detail) for address in addresses)]

    def _look(self) -> int:
        """The generation of the rules, but for our changes of the way out."""
        return self._reader.generation() - self._host.rule_changes

    def remove(self) -> None:
        self._holds.close()
        self._host.withdraw([])
        self._transact(ruleset.drop_tables())
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
        if not messages:
            return
        self._open.transact(batch(messages))
        self._generation += 1

    def _touch(self, messages: Sequence[Message]) -> None:
        """Elements of sets alone.  Where they change nothing the kernel counts no generation (nf_tables_commit).

        One that we had counted all the same would hide the next change of somebody else's.
        """
        if not messages:
            return
        before = self._reader.generation()
        self._open.transact(batch(messages))
        self._generation += min(self._reader.generation() - before, 1)


def _add(wish: Wish) -> list[Message]:
    address = wish.address
    return [
        *ruleset.add_address(address),
        *belts.share_mac(address),
        *contents.set_slots(address.ip, transitions({}, wish.states)),
    ]


def _stays(held: Held, wish: Wish) -> bool:
    """The address is held already, with the same parameters."""
    former = held.get(wish.address.ip)
    return former is not None and (former.address is wish.address or former.address == wish.address)


def _interfaces(held: Held) -> set[str]:
    return {wish.address.interface for wish in held.values()}


def _addresses(held: Held) -> frozenset[Address]:
    return frozenset(wish.address for wish in held.values())
