"""The compiled programs in the kernel, with their tables: loaded anew, or with the maps of a former process."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from datapath.bpf.attach import Hook
from datapath.bpf.libbpf import libbpf
from datapath.bpf.tables import (
    INDEX4,
    INDEX6,
    MAPS,
    SYNS,
    Capacity,
    Row,
    Tables,
    check_labels,
    index_key,
)
from datapath.engine import DatapathError, Wish

OBJECT = Path(__file__).with_name("slots.bpf.o")
PROGRAMS = {Hook.INGRESS: "vip_judge", Hook.EGRESS: "vip_announce"}
ADDRESSES_MIN = 64
SLOTS_MIN = 1024


class Program:
    """Owns its descriptors and mappings until `close`; what is attached lives on in the kernel."""

    def __init__(self, handle: int, fresh: Capacity | None) -> None:
        """Of a loaded object; use `load`, `adopt` or `grown`."""
        library = libbpf()
        self._handle = handle
        self.descriptors = {hook: library.program_descriptor(handle, name) for hook, name in PROGRAMS.items()}
        self.ids = {hook: library.program_id(descriptor) for hook, descriptor in self.descriptors.items()}
        self._maps = {name: library.map_descriptor(handle, name) for name in MAPS}
        self.tables = Tables(self._maps, library.possible_cpus(), fresh)

    @classmethod
    def load(cls, wishes: Sequence[Wish] = ()) -> Program:
        """With empty tables that have room for these wishes."""
        check_labels(wishes)
        least = Capacity(ADDRESSES_MIN, SLOTS_MIN, libbpf().possible_cpus())
        return cls._load(least.grown_for(wishes), {})

    @classmethod
    def adopt(cls, program_id: int) -> Program:
        """This program over the maps of one that is attached: addresses, states, lease and counters go on.

        DatapathError when that one is of another version, or when the process may not open it (CAP_SYS_ADMIN).
        """
        found = libbpf().maps_of_program(program_id)
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

    def grown(self, wishes: Sequence[Wish]) -> Program:
        """Another one with room for these, that judges as this one does until something is published.

        Lease, counters and noted SYNs go along.
        """
        capacity = self.tables.capacity.grown_for(wishes)
        other = self._load(capacity, {SYNS: self._maps[SYNS]})
        other.tables.deadline_ns = self.tables.deadline_ns
        other.tables.made = self.tables.made
        before = self.tables.rows()
        rows = other.tables.arrange([row.wish for row in before], [])
        assert rows is not None, "twice as much room as is needed"
        for row, former in zip(rows, before, strict=True):
            other.tables.carry_counters(row, self.tables, former)
        other._put_in_force(rows, [])
        return other

    def publish(self, wishes: Sequence[Wish]) -> bool:
        """Make these, and no others, what packets are judged by, in one step.

        False when there is no room (`grown` has it); DatapathError; in both cases nothing has changed for packets.
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
        self._put_in_force(rows, former)
        return True

    def _put_in_force(self, rows: Sequence[Row], former: Sequence[Row]) -> None:
        """An address that is found and has no entry in force is nobody's: so it is added before, removed after."""
        library = libbpf()
        for row in rows:
            name, key = index_key(row.wish.address.ip)
            library.update(self._maps[name], key, row.index.to_bytes(4, "little"))
        self.tables.publish(rows)
        staying = {row.wish.address.ip for row in rows}
        for row in former:
            if row.wish.address.ip not in staying:
                name, key = index_key(row.wish.address.ip)
                library.delete(self._maps[name], key)

    def finds(self, row: Row) -> bool:
        """Whether packets for the address are led to its entry."""
        name, key = index_key(row.wish.address.ip)
        assert name in (INDEX4, INDEX6)
        return libbpf().lookup(self._maps[name], key, 4) == row.index.to_bytes(4, "little")
