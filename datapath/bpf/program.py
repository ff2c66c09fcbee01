"""The compiled programs in the kernel, with their tables: loaded anew, or with the maps of a former process."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from datapath.bpf.attach import Hook
from datapath.bpf.inheritance import open_maps
from datapath.bpf.libbpf import libbpf
from datapath.bpf.tables import (
    MAPS,
    NOTED,
    Capacity,
    Tables,
    check_labels,
)
from datapath.engine import DatapathError, Wish

OBJECT = Path(__file__).with_name("slots.bpf.o")
PROGRAMS = {Hook.INGRESS: "vip_judge", Hook.EGRESS: "vip_announce"}
ADDRESSES_MIN = 256
SLOTS_MIN = 4096
"""so much that few hosts ever need tables that grow, for which the kernel verifies the program once more"""


class Program:
    """Owns its descriptors and mappings until `close`; what is attached lives on in the kernel."""

    def __init__(self, handle: int, fresh: Capacity | None) -> None:
        """Of a loaded object; use `load`, `adopt` or `wider`."""
        library = libbpf()
        self._handle = handle
        self.descriptors = {hook: library.program_descriptor(handle, name) for hook, name in PROGRAMS.items()}
        self.ids = {hook: library.program_id(descriptor) for hook, descriptor in self.descriptors.items()}
        self.maps = {name: library.map_descriptor(handle, name) for name in MAPS}
        self.tables = Tables(self.maps, library.possible_cpus(), fresh)

    @classmethod
    def load(cls, wishes: Sequence[Wish] = ()) -> Program:
        """With empty tables that have room for these wishes."""
        check_labels(wishes)
        least = Capacity(ADDRESSES_MIN, SLOTS_MIN, libbpf().possible_cpus())
        return cls._load(least.grown_for(wishes), {})

    @classmethod
    def adopt(cls, program_id: int) -> Program:
        """This program over the maps of one that is attached: addresses, states, lease and counters go on.

        DatapathError when that one is of another version, or when nobody opens it for us.
        """
        found = open_maps(program_id)
        try:
            if missing := sorted(set(MAPS) - found.keys()):
                raise DatapathError(f"the BPF program {program_id} has no {missing[0]}: another version made it")
            return cls._load(None, found)
        finally:
            for descriptor in found.values():
                os.close(descriptor)

    @classmethod
    def _load(cls, fresh: Capacity | None, reused: Mapping[str, int]) -> Program:
        if not OBJECT.exists():
            raise DatapathError(f"there is no {OBJECT}: make bpf compiles it (clang, libbpf-dev)")
        library = libbpf()
        handle = library.open_object(OBJECT)
        try:
            for name, descriptor in reused.items():
                if name in MAPS:
                    library.reuse_map(handle, name, descriptor)
            for name, entries in (fresh.entries() if fresh is not None else {}).items():
                library.size_map(handle, name, entries)
            library.load_object(handle)
            return cls(handle, fresh)
        except BaseException:
            library.close_object(handle)
            raise

    def close(self) -> None:
        self.tables.close()
        libbpf().close_object(self._handle)

    def wider(self, wishes: Sequence[Wish]) -> Program:
        """Another one with room for these and empty tables, which knows the SYNs that this one has noted."""
        return self._load(self.tables.capacity.grown_for(wishes), {name: self.maps[name] for name in NOTED})

    def hand_over(self, other: Program) -> None:
        """Make a wider one judge as this one does, until something is published there: lease and counters go along."""
        other.tables.deadline_ns = self.tables.deadline_ns
        other.tables.made = self.tables.made
        before = self.tables.rows()
        rows = other.tables.arrange([row.wish for row in before], [])
        assert rows is not None, "twice as much room as is needed"
        for row, former in zip(rows, before, strict=True):
            other.tables.carry_counters(row, self.tables, former)
        other.tables.publish(rows)

    def may_need_room(self, wishes: Sequence[Wish]) -> bool:
        """More than a half is used: what comes next stands beside what goes, and may not fit."""
        return not self.tables.capacity.has_room_for(wishes)

    def publish(self, wishes: Sequence[Wish]) -> bool:
        """Make these, and no others, what packets are judged by, in one step.

        False when there is no room (a `wider` one has it); DatapathError; either way nothing has changed for packets.
        """
        check_labels(wishes)
        former = self.tables.rows()
        rows = self.tables.arrange(wishes, former)
        if rows is None:
            return False
        places = {(row.wish.address.resource, row.first) for row in former}
        for row in rows:
            if (row.wish.address.resource, row.first) not in places:
                self.tables.clear_counters(row)
        self.tables.publish(rows)
        return True
