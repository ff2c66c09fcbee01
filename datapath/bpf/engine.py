"""The bpf engine: a program on tc ingress decides on each packet, and asks the kernel's own sockets about moves.

Limits.  A frame with a VLAN tag belongs to the VLAN's interface, never to the one below it.  Without CAP_SYS_ADMIN a
new process cannot open the maps of a former one (bpf(2)): then its first `apply` begins without a lease, and the
host is silent until the next grant.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from datapath.bpf.attach import Attached, Attachments, Hook
from datapath.bpf.program import Program
from datapath.engine import Address, Change, Counter, DatapathError, Wish
from datapath.flows import Flow, flows
from datapath.hashing import key_of, slot
from datapath.host.links import index_of
from datapath.host.setup import Host
from datapath.wishes import check, differences

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

    def start(self) -> None:
        if self._attachments is None:
            self._attachments = Attachments()
            self._host.start()
            self._program = self._inherit()

    def close(self) -> None:
        if self._program is not None:
            self._program.close()
            self._program = None
        if self._attachments is not None:
            self._attachments.close()
            self._attachments = None
        self._host.close()
        self._held = self._prepared = None

    def _inherit(self) -> Program | None:
        """The maps of a former process, whose program goes on judging by them; None when there is none to be had."""
        judging = {found.program_id for found in self._tc.found() if found.hook is Hook.INGRESS}
        for identity in sorted(judging, reverse=True):
            with contextlib.suppress(DatapathError):
                program = Program.adopt(identity)
                self._deadline_ns = program.tables.deadline_ns
                return program
        return None

    # wishes

    def apply(self, wishes: Sequence[Wish]) -> list[Change]:
        wanted = {wish.address.ip: wish for wish in check(wishes)}
        held = self._held if self._held is not None else {wish.address.ip: wish for wish in self.state()}
        if self._held is not None and self._prepared == _addresses(wanted):
            self._repair_filters(wanted)
            self._publish(wanted)
        else:
            self._change_with_host(held, wanted)
        self._held = wanted
        return differences(held.values(), wanted.values())

    def _change_with_host(self, held: Held, wanted: Held) -> None:
        """Addresses come to the host when they are judged, and leave before that ends: none is unguarded."""
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

    def detach(self) -> None:
        """Take the program off every interface and out of the kernel; the host itself stays set up."""
        self._detach_all_but(frozenset())
        self._held = self._prepared = None

    def _fresh(self, wanted: Held) -> Program:
        program = Program.load(list(wanted.values()))
        program.tables.deadline_ns = self._deadline_ns
        return program

    def _publish(self, wanted: Held) -> None:
        if self._program is None or self._program.publish(list(wanted.values())):
            return
        former, grown = self._program, self._program.grown(list(wanted.values()))
        self._program = grown
        for interface in sorted({found.interface for found in self._tc.found()}):
            self._attach(interface)
        former.close()
        grown.publish(list(wanted.values()))

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
            self._program.close()
            self._program = None

    # leases

    def renew(self, deadline_ns: int) -> None:
        self._deadline_ns = max(0, deadline_ns)
        if self._program is not None:
            self._program.tables.deadline_ns = self._deadline_ns

    def deadline_ns(self) -> int:
        return self._program.tables.deadline_ns if self._program is not None else 0

    # what is there

    def flows_left(self, resource: str, slot: int) -> int:
        for wish in self.state():
            if wish.address.resource == resource:
                living = (flow for flow in flows(wish.address.ip) if not flow.time_wait)
                return sum(_slot_of(wish.address, flow) == slot for flow in living)
        raise DatapathError(f"there is no address {resource!r} on this host")

    def state(self) -> list[Wish]:
        return [row.wish for row in self._program.tables.rows()] if self._program is not None else []

    def counters(self) -> list[Counter]:
        return self._program.tables.counters() if self._program is not None else []

    def repair(self) -> list[Change]:
        if self._held is None:
            return []
        addresses = [wish.address for wish in self._held.values()]
        mended = [
            Change(change.address, "repaired", change.slots, change.detail) for change in self._host.grow(addresses)
        ]
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
        if not changed and all(program.finds(row) for row in rows) and self._lease_stands():
            return []
        self.renew(self._deadline_ns)
        self._publish(held)
        detail = "the BPF maps had been changed by somebody else, and are ours again"
        return [Change(wish.address.resource, "repaired", (), detail) for wish in held.values()]

    def _lease_stands(self) -> bool:
        return self._program is not None and self._program.tables.deadline_ns == self._deadline_ns

    def remove(self) -> None:
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


def _slot_of(address: Address, flow: Flow) -> int:
    key = key_of(address.hash_kind, flow.remote, flow.remote_port, flow.local_port)
    return slot(key, address.seed, address.slots)
