"""The bpf engine: a program on tc ingress decides on each packet, and asks the kernel's own sockets about moves.

Limits.  A frame with a VLAN tag belongs to the VLAN's interface, never to the one below it.  Where neither this process
nor vipcast-runner may open the maps of a former one (`datapath.bpf.inheritance`), the first `apply` begins without a
lease, and the host is silent until the next grant.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from datapath.bpf.attach import Attached, Attachments, Hook
from datapath.bpf.holds import Holds
from datapath.bpf.program import Program
from datapath.bpf.spare import Spare
from datapath.engine import Address, Change, Conversations, Counter, DatapathError, Taken, Wish
from datapath.host.links import index_of
from datapath.host.setup import Host
from datapath.wishes import check, differences, whom_it_concerns

log = logging.getLogger("vipcast.datapath")

Held = Mapping[IPv4Address | IPv6Address, Wish]


class BpfEngine:
    """`datapath.engine.Engine` by a BPF program; what a method promises is written there."""

    name = "bpf"
    place = "lo"

    def __init__(self, run_dir: Path) -> None:
        """`run_dir` keeps notes of what the host was like before (see datapath.host.setup)."""
        self._host = Host(run_dir, self.place)
        self._attachments: Attachments | None = None
        self._program: Program | None = None
        self._held: Held | None = None
        """what the kernel holds by our doing; None until the first `apply` of this process"""
        self._prepared: frozenset[Address] | None = None
        """the addresses that the host itself was last set up for; slots alone do not concern it"""
        self._deadline_ns = 0
        self._holds = Holds()
        self._spare = Spare()

    def start(self) -> None:
        if self._attachments is None:
            self._attachments = Attachments()
            self._host.start()
            self._program = self._inherit()
            if self._program is None:
                self._spare.prepare()

    def close(self) -> None:
        self._spare.close()
        if self._program is not None:
            self._program.close()
            self._program = None
        if self._attachments is not None:
            self._attachments.close()
            self._attachments = None
        self._host.close()
        self._holds.close()
        self._held = self._prepared = None

    def _inherit(self) -> Program | None:
        """The maps of a former process, whose program goes on judging by them; None when there is none to be had."""
        judging = {found.program_id for found in self._tc.found() if found.hook is Hook.INGRESS}
        for identity in sorted(judging, reverse=True):
            try:
                program = Program.adopt(identity)
            except DatapathError as refusal:
                log.warning(
                    "the tables of the former process are not to be had, what is open begins anew: %s", refusal
                )
                continue
            self._deadline_ns = program.tables.deadline_ns
            return program
        return None

    # wishes

    def apply(self, wishes: Sequence[Wish]) -> list[Change]:
        wanted = {wish.address.ip: wish for wish in check(wishes)}
        held = self._held if self._held is not None else {wish.address.ip: wish for wish in self.state()}
        noting = self._holds.begin_noting(self._program, held.values(), wanted.values())
        if self._held is not None and self._prepared == _addresses(wanted):
            self._repair_filters(wanted)
            self._publish(wanted)
        else:
            self._change_with_host(held, wanted)
        self._held = wanted
        if noting and self._program is not None:
            self._holds.note_half_open(self._program, noting)
        return differences(held.values(), wanted.values())

    def _change_with_host(self, held: Held, wanted: Held) -> None:
        """Addresses come to the host when they are judged, and leave before that ends: none is unguarded."""
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

    def _change(self, held: Held, wanted: Held) -> None:
        """Publish what is wanted, with the program on all of its interfaces and, in the end, on no others."""
        if wanted and self._program is None:
            self._program = self._fresh(wanted)
        before = {found.interface for found in self._tc.found()}
        interfaces = _interfaces(wanted)
        try:
            for interface in sorted(interfaces):
                self._attach(interface)
            self._publish(wanted)
        except DatapathError:
            self._detach_all_but(before & _interfaces(held))
            raise
        self._detach_all_but(interfaces)
        if not wanted and held:
            self._spare.prepare()  # for the address that comes next

    def detach(self) -> None:
        """Take the program off every interface and out of the kernel; the host itself stays set up."""
        self._detach_all_but(frozenset())
        self._held = self._prepared = None

    def _fresh(self, wanted: Held) -> Program:
        program = self._spare.take() or Program.load(list(wanted.values()))
        program.tables.deadline_ns = self._deadline_ns
        return program

    def _publish(self, wanted: Held) -> None:
        if self._program is None:
            return
        wishes = list(wanted.values())
        if not self._program.publish(wishes):
            self._widen(wishes)
        if self._program.may_need_room(wishes):
            self._spare.prepare(partial(self._program.wider, wishes))

    def _widen(self, wishes: Sequence[Wish]) -> None:
        """Go on with larger tables, which as a rule are loaded already: what judged by the others ends with them."""
        assert self._program is not None
        former, wider = self._program, self._spare.take()
        if wider is None or not wider.tables.capacity.has_room_for(wishes):
            if wider is not None:
                wider.close()
            wider = former.wider(wishes)
        former.hand_over(wider)
        self._program = wider
        for interface in sorted({found.interface for found in self._tc.found()}):
            self._attach(interface)
        former.close()
        wider.publish(wishes)

    def _attach(self, interface: str) -> None:
        assert self._program is not None
        if self._tc.attach(interface, self._program.descriptors):
            self._program.tables.made |= {index_of(interface)}

    def _detach_all_but(self, interfaces: frozenset[str] | set[str]) -> None:
        """Take the program off all other interfaces; with the last one it leaves the kernel."""
        made = self._program.tables.made if self._program is not None else frozenset()
        for interface in {found.interface for found in self._tc.found()} - interfaces:
            self._tc.detach(interface)
        for index, name in socket.if_nameindex():
            if index in made and name not in interfaces:
                self._tc.unmake(name)
                made -= {index}
        if self._program is None:
            return
        self._program.tables.made = made
        if not interfaces:
            self._spare.close()  # it knows what this program has noted
            self._program.close()
            self._program = None

    # leases

    def renew(self, deadline_ns: int) -> None:
        self._deadline_ns = max(0, deadline_ns)
        if self._program is not None:
            self._program.tables.deadline_ns = self._deadline_ns

    def deadline_ns(self) -> int:
        return self._program.tables.deadline_ns if self._program is not None else 0

    # moves (datapath.engine.Reconciles)

    def taken(self, resource: str, slots: Collection[int]) -> Taken:
        return self._holds.taken(self._judging, resource, slots)

    def conversations(self, resource: str, slots: Collection[int], idle_ns: int) -> Conversations:
        return self._holds.conversations(self._judging, resource, slots, idle_ns)

    def leave(self, resource: str, slots: Collection[int], names: Collection[bytes]) -> None:
        self._holds.leave(self._judging, resource, slots, names)

    def listen(self, resource: str, slots: Collection[int]) -> None:
        address = self._address(resource)
        if Hook.EGRESS not in self._tc.hooks(address.interface):
            raise DatapathError(f"{address.interface} has somebody's ingress qdisc: held SYNs cannot come in there")
        self._holds.listening.begin(address, slots)

    def refuse(self, resource: str, slots: Collection[int], taken: Taken) -> None:
        self._holds.refuse(self._judging, resource, slots, taken)

    def release(self, resource: str, slots: Collection[int]) -> int:
        return self._holds.release(self._judging, resource, slots)

    def forget(self, resource: str, slots: Collection[int]) -> None:
        self._holds.listening.end(resource, slots)

    @property
    def _judging(self) -> Program:
        if self._program is None:
            raise DatapathError("no address is held")
        return self._program

    def _address(self, resource: str) -> Address:
        for wish in (self._held or {}).values():
            if wish.address.resource == resource:
                return wish.address
        raise DatapathError(f"there is no address {resource!r} on this host")

    # what is there

    def state(self) -> list[Wish]:
        return [row.wish for row in self._program.tables.rows()] if self._program is not None else []

    def counters(self) -> list[Counter]:
        return self._program.tables.counters() if self._program is not None else []

    def repair(self) -> list[Change]:
        if self._held is None:
            return []
        addresses = [wish.address for wish in self._held.values()]
        mended = self._host.mend(addresses)
        return [*mended, *self._repair_filters(self._held), *self._repair_tables(self._held)]

    def _repair_filters(self, held: Held) -> list[Change]:
        if self._program is None:
            return []
        wanted = {
            Attached(interface, hook, self._program.ids[hook])
            for interface in _interfaces(held)
            for hook in self._tc.hooks(interface)
        }
        missing = {attached.interface for attached in wanted.difference(self._tc.found())}
        mended = []
        for interface in sorted(missing):
            self._attach(interface)
            detail = f"the filter on {interface} was gone or another's, and is ours again"
            mended += [
                Change(wish.address.resource, "repaired", (), detail)
                for wish in held.values()
                if wish.address.interface == interface
            ]
        return mended

    def _repair_tables(self, held: Held) -> list[Change]:
        if self._program is None:
            return []
        program = self._program
        rows = program.tables.rows()
        changed = differences((row.wish for row in rows), held.values())
        if not changed and program.tables.finds(rows) and self._lease_stands():
            return []
        self.renew(self._deadline_ns)
        self._publish(held)
        detail = "the BPF maps had been changed by somebody else, and are ours again"
        return [Change(wish.address.resource, "repaired", (), detail) for wish in held.values()]

    def _lease_stands(self) -> bool:
        return self._program is not None and self._program.tables.deadline_ns == self._deadline_ns

    def remove(self) -> None:
        self._holds.close()
        self._spare.close()
        self._host.withdraw([])
        self._deadline_ns = 0
        if self._program is not None:
            self._program.tables.deadline_ns = 0
        self.detach()
        self._host.shrink([])

    @property
    def _tc(self) -> Attachments:
        if self._attachments is None:
            raise DatapathError("the bpf engine was not started")
        return self._attachments


def _addresses(held: Held) -> frozenset[Address]:
    return frozenset(wish.address for wish in held.values())


def _interfaces(held: Held) -> frozenset[str]:
    return frozenset(wish.address.interface for wish in held.values())
