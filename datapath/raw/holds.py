"""The raw engine's part in moves that answer each packet once (`datapath.engine.Reconciles`).

The forwarder does it: it notes the SYNs that it lets in by a log in the shared table, keeps those of slots that are
listened for, and lets them in when such a slot opens.  It sees one packet after the other, so it cannot meet one
twice; what is here tells it what to do, and reads its log.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from ipaddress import ip_address
from pathlib import Path

from datapath.engine import NOTES, Address, DatapathError, SlotState, Taken, Wish
from datapath.flows import half_open_flows
from datapath.hold import datagrams
from datapath.hold.syns import TAKEN_MAX, check, slot_of
from datapath.raw.judge import OPENS
from datapath.raw.refusals import Refusals, Told
from datapath.raw.rows import address_of
from datapath.raw.table import LET_IN_AT, LOGGED_AT, Row, SharedTable, Table
from datapath.raw.talks import Kept, KeptElsewhere, end, of_slots


class Holds:
    def __init__(self, table: Path) -> None:
        self._refusals = Refusals(table)
        self._kept_elsewhere = KeptElsewhere(table)
        self._told: list[Told] = []
        self.listening: dict[str, set[int]] = {}
        """resource → closed slots whose SYNs the forwarder keeps"""
        self._noting_from: dict[tuple[str, int], int] = {}
        """(resource, slot) → the first SYN of the log that may be one that it took"""
        self._half_open: dict[str, frozenset[bytes]] = {}
        """resource → connections that were half open when slots of it began to note"""
        self._let_in = 0

    def begin_noting(self, shared: SharedTable, held: Iterable[Wish], wanted: Iterable[Wish]) -> list[Address]:
        """Before slots begin to note: where in the log; the addresses of which slots do, for `note_half_open`."""
        before = {wish.address: wish.states for wish in held}
        fresh = []
        for wish in wanted:
            was = before.get(wish.address, {})
            new = [n for n, s in wish.states.items() if s is SlotState.NOTING and was.get(n) not in NOTES]
            self._noting_from |= {(wish.address.resource, n): shared.words[LOGGED_AT] for n in new}
            if new:
                fresh.append(wish.address)
        return fresh

    def forget_talks(self, shared: SharedTable, former: Table, table: Table) -> None:
        """Before slots begin to drain or to open: what was heard of them or told in an earlier move means nothing."""
        before = {row.resource: row for row in former.rows}
        for row in table.rows:
            was = before.get(row.resource)
            states = was.states if was is not None and was.slots == row.slots else bytes(row.slots)
            if draining := _beginning(NOTES, states, row.states):
                end(shared, of_slots(shared, row, draining))
            if opening := _beginning(OPENS, states, row.states):
                told = self._kept_elsewhere.read()
                kept = [one for one in told if one.ip != row.ip or one.slots.isdisjoint(opening)]
                if len(kept) != len(told):
                    self._kept_elsewhere.write(kept)

    def leave(self, table: Table, row: Row, slots: Collection[int], names: Collection[bytes]) -> None:
        """Beside what other old owners keep of slots that still open."""
        datagrams.check(names, address_of(row))
        opening = {other.ip: {n for n, s in enumerate(other.states) if s in OPENS} for other in table.rows}
        chosen = frozenset(slots)
        kept = [
            told
            for told in self._kept_elsewhere.read()
            if (told.ip != row.ip or not told.slots & chosen) and opening.get(told.ip, set()) & told.slots
        ]
        self._kept_elsewhere.write([*kept, Kept(row.ip, chosen, frozenset(names))])

    def note_half_open(self, addresses: Iterable[Address]) -> None:
        for address in addresses:
            try:
                self._half_open[address.resource] = frozenset(half_open_flows(address.ip, TAKEN_MAX))
            except DatapathError:
                self._noting_from = {
                    key: since for key, since in self._noting_from.items() if key[0] != address.resource
                }

    def taken(self, shared: SharedTable, row: Row, slots: Collection[int]) -> Taken:
        since = [self._noting_from.get((row.resource, slot), -1) for slot in slots]
        if not since or min(since) < 0:
            raise DatapathError(f"it is not known which SYNs {row.resource} took lately")
        address = address_of(row)
        syns = frozenset(
            name for at, slot, name in shared.logged(min(since)) if at == row.counters and slot in slots
        )
        flows = frozenset(f for f in self._half_open.get(row.resource, ()) if slot_of(f, address) in slots)
        if len(syns) + len(flows) > TAKEN_MAX:
            raise DatapathError(f"{len(syns) + len(flows)} SYNs to {row.resource} are too many to tell")
        return Taken(syns, flows)

    def listen(self, row: Row, slots: Collection[int]) -> None:
        """What was told of these slots in an earlier move means nothing in this one."""
        told = [told for told in self._told if told.ip != row.ip or told.slots.isdisjoint(slots)]
        if told != self._told or self._refusals.path.exists():
            self._told = told
            self._refusals.write(told)
        self.listening.setdefault(row.resource, set()).update(slots)

    def forget(self, resource: str, slots: Collection[int]) -> bool:
        """True where that changes anything."""
        listening = self.listening.get(resource, set())
        changed = not listening.isdisjoint(slots)
        listening.difference_update(slots)
        return changed

    def refuse(self, table: Table, row: Row, slots: Collection[int], taken: Taken) -> None:
        """Beside what is still needed of what was told before."""
        check(taken, address_of(row))
        opening = {other.ip: {n for n, state in enumerate(other.states) if state in OPENS} for other in table.rows}
        chosen = frozenset(slots)
        self._told = [told for told in self._told if (opening.get(told.ip, set()) - chosen) & told.slots]
        now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self._told.append(Told(ip_address(row.ip).packed, chosen, taken, now_ns))
        self._refusals.write(self._told)

    def let_in(self, shared: SharedTable) -> int:
        """How many held SYNs came in since this was last asked."""
        before, self._let_in = self._let_in, shared.words[LET_IN_AT]
        return max(0, self._let_in - before)

    def remove(self) -> None:
        self._refusals.remove()
        self._kept_elsewhere.remove()


def _beginning(group: Collection[int], before: bytes, after: bytes) -> list[int]:
    """Slots whose state is one of the group now, and was not."""
    return [n for n, (was, now) in enumerate(zip(before, after, strict=True)) if now in group and was not in group]
