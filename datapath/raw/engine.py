"""The raw engine: slots decided in user space, for kernels without nf_tables, and the reference for the others.

Two processes.  This class, in the real-time core, never spawns and only writes the shared table (table.py): slot
states by a generation, the lease by one store of eight bytes.  The forwarder, an ordinary process that the runner
keeps alive (`helper_argv`), moves the packets (forwarder.py).  Addresses are on a persistent TUN device, so that a
restart of either process breaks no connection.

Limits.  A frame to the interface's *own* MAC is judged by nobody, for a packet socket cannot withhold it; where there
is nf_tables it is dropped (datapath.wayout).  Between the forwarder's last look at the lease and its write lies about
a microsecond.  Accepted packets come in by the TUN: services bound to the interface (SO_BINDTODEVICE) and
per-interface firewall rules do not see them there.  Segments that were merged beyond 64 KiB (BIG TCP for IPv4) are
dropped.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from datapath.engine import (
    Address,
    Change,
    Conversations,
    Counter,
    DatapathError,
    SlotState,
    Taken,
    UnconfirmedError,
    Wish,
)
from datapath.host.setup import Host
from datapath.raw import talks, tun
from datapath.raw.holds import Holds
from datapath.raw.rows import address_of, closes_something, counters_of, table_of, wish_of
from datapath.raw.table import (
    ACKNOWLEDGED_AT,
    BEAT_AT,
    DEADLINE_AT,
    EMPTY,
    GENERATION_AT,
    RETIRED_AT,
    Bell,
    Row,
    SharedTable,
    Table,
)
from datapath.wishes import check, differences, whom_it_concerns

ACKNOWLEDGE_MS = 20
"""how long a change waits for the forwarder; usual are 0.2 ms"""
ACKNOWLEDGE_STEP_S = 0.000_05
ENDINGS_MAX = 4
"""how often conversations are ended that are heard of in that very moment"""
BEAT_LATE_NS = 2_000_000_000
"""a forwarder looks around four times a second: silent for so long it is stopped or starved"""


class RawEngine:
    """See datapath.engine.Engine."""

    name = "raw"

    def __init__(self, run_dir: Path, device: str = tun.DEVICE) -> None:
        """`run_dir` holds the table and its bell; `device` is the TUN's name, seven characters at most."""
        if not 0 < len(device.encode()) <= tun.NAME_BYTES_MAX:
            raise DatapathError(f"the TUN device's name has 1 to {tun.NAME_BYTES_MAX} characters, not {device!r}")
        self._device = device
        self.place = device
        self._path = run_dir / "raw.table"
        self._bell = Bell(self._path)
        self._host = Host(run_dir, place=device)
        self._shared: SharedTable | None = None
        self._started = False
        self._prepared: frozenset[Address] | None = None
        """the addresses that the host itself was last set up for; None: not by this process"""
        self._holds = Holds(self._path)
        self._closed_at = 0
        """the generation of the last table that closed something"""
        self._unconfirmed: list[Wish] | None = None
        """what was held before the first `apply` that the forwarder has not confirmed"""
        self._begun: list[Address] = []
        """whose slots began to note with it"""

    def helper_argv(self) -> list[str]:
        """The forwarder's command line, for vipcast-runner to keep alive (agents.protocol.Serve).

        It needs the table, so serve it after `start`.
        """
        return [sys.executable, "-m", "datapath.raw.forwarder", "--table", str(self._path)]

    def ailment(self) -> str | None:
        """Why packets are not forwarded although this engine has done its part; None when the forwarder is well."""
        shared = self._opened()
        if not shared.claimed():
            return "no forwarder is running: vipcast-runner starts it"
        silent_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - shared.words[BEAT_AT]
        if silent_ns > BEAT_LATE_NS:
            return f"the forwarder is stopped or starved: silent for {silent_ns / 1e9:.1f} s"
        return None

    def start(self) -> None:
        tun.require()
        self._host.start()
        self._started = True
        self._opened()

    def close(self) -> None:
        self._host.close()
        self._started = False
        self._prepared = None
        if self._shared is not None:
            self._shared.close()
            self._shared = None

    def apply(self, wishes: Sequence[Wish]) -> list[Change]:
        """As datapath.engine.Engine has it, but that UnconfirmedError leaves in force what was asked for.

        The forwarder takes it once it can, and the same asked again returns when it has.
        """
        wanted = check(wishes)
        shared = self._opened()
        _, former = shared.read()
        held = self._unconfirmed if self._unconfirmed is not None else [wish_of(row) for row in former.rows]
        table = table_of(self._device, wanted, former, self._holds.listening)
        addresses = [wish.address for wish in wanted]
        coming, leaving = whom_it_concerns(self._prepared, addresses)
        self._prepared = None
        try:
            if wanted:
                tun.make(self._device)
                self._host.grow(coming)
            self._clear_new_counters(table, former)
            begun = self._holds.begin_noting(shared, [wish_of(row) for row in former.rows], wanted)
            self._holds.forget_talks(shared, former, table)
            self._put_in_force(table, former)
        except DatapathError:
            # `former` may be asked for and not confirmed yet: the forwarder has it, or will
            self._host.shrink([*(wish.address for wish in held), *map(address_of, former.rows)])
            if not held and not former.rows:
                tun.remove(self._device)
            raise
        self._unconfirmed = held
        self._begun += begun
        self._await_closing()
        self._unconfirmed = None
        self._holds.note_half_open(self._begun)
        self._begun.clear()
        if leaving:
            self._host.shrink(addresses)
        if not wanted:
            tun.remove(self._device)
        self._prepared = frozenset(addresses)
        return differences(held, wanted)

    def renew(self, deadline_ns: int) -> None:
        # nothing to lease after `remove`: the next `apply` makes a table, and the next grant its lease
        if self._shared is not None:
            self._shared.words[DEADLINE_AT] = max(0, deadline_ns)

    def deadline_ns(self) -> int:
        return self._shared.words[DEADLINE_AT] if self._shared is not None else 0

    # moves (datapath.engine.Reconciles)

    def taken(self, resource: str, slots: Collection[int]) -> Taken:
        return self._holds.taken(self._opened(), self._row(resource), slots)

    def conversations(self, resource: str, slots: Collection[int], idle_ns: int) -> Conversations:
        shared, row = self._opened(), self._row(resource)
        draining = {slot for slot in slots if row.states[slot] == SlotState.DRAINING}
        lively = talks.lately(talks.of_slots(shared, row, slots), idle_ns)
        too_many = talks.are_too_many(shared, len(lively))
        kept = frozenset() if too_many else {entry.place for entry in lively}
        for _ in range(ENDINGS_MAX):
            left = talks.of_slots(shared, row, draining)
            ended = [entry for entry in left if entry.place not in kept]
            if not ended:
                known = [entry for entry in lively if entry.slot not in draining] + left
                return Conversations(too_many=True) if too_many else talks.conversations(known)
            talks.end(shared, ended)
            generation = shared.publish(self._table())
            self._bell.ring()
            if not self._is_acknowledged(shared, generation):
                break
        raise DatapathError("the forwarder of the raw engine is too busy to end conversations")

    def leave(self, resource: str, slots: Collection[int], names: Collection[bytes]) -> None:
        shared = self._opened()
        self._holds.leave(self._table(), self._row(resource), slots, names)
        generation = shared.publish(self._table())
        self._bell.ring()
        if not self._is_acknowledged(shared, generation):
            raise DatapathError("the forwarder of the raw engine is too busy to leave conversations")

    def listen(self, resource: str, slots: Collection[int]) -> None:
        self._holds.listen(self._row(resource), slots)
        if not self._publish_listening():
            raise DatapathError("the forwarder of the raw engine is too busy to keep SYNs")

    def refuse(self, resource: str, slots: Collection[int], taken: Taken) -> None:
        self._holds.refuse(self._table(), self._row(resource), slots, taken)

    def release(self, resource: str, slots: Collection[int]) -> int:
        """The forwarder has let in what it kept, or does so once it has read what was queued before."""
        self._holds.forget(resource, slots)  # that they are closed and kept no longer, the next table says
        return self._holds.let_in(self._opened())

    def forget(self, resource: str, slots: Collection[int]) -> None:
        if self._holds.forget(resource, slots):
            self._publish_listening()

    def _publish_listening(self) -> bool:
        """Whether the forwarder has taken it in time."""
        shared = self._opened()
        generation, former = shared.read()
        wishes = [wish_of(row) for row in former.rows]
        table = table_of(self._device, wishes, former, self._holds.listening)
        if table != former:
            generation = shared.publish(table)
            self._bell.ring()
        return self._is_acknowledged(shared, generation)

    def _row(self, resource: str) -> Row:
        for row in self._table().rows:
            if row.resource == resource:
                return row
        raise DatapathError(f"there is no address {resource!r} on this host")

    def state(self) -> list[Wish]:
        return [wish_of(row) for row in sorted(self._table().rows, key=lambda row: row.resource)]

    def counters(self) -> list[Counter]:
        if self._shared is None:
            return []
        shared = self._shared
        return [counter for row in self._table().rows for counter in counters_of(row, shared.read_counters(row))]

    def repair(self) -> list[Change]:
        """Device, addresses, settings and frames; what ails the forwarder is told, mending that is the runner's."""
        rows = self._table().rows
        if not rows:
            return []
        changes = []
        if not tun.is_up(self._device):
            tun.make(self._device)
            changes.append(Change("", "repaired", detail=f"the TUN device {self._device} was gone or down"))
        elif tun.accept_sources_of_other_interfaces(self._device):
            detail = f"rp_filter was strict on {self._device}, where every packet comes from elsewhere"
            changes.append(Change("", "repaired", detail=detail))
        changes += self._host.mend([address_of(row) for row in rows])
        self._bell.make()
        return changes

    def remove(self) -> None:
        if self._shared is not None:
            self._shared.words[DEADLINE_AT] = 0
            generation = self._shared.publish(EMPTY)
            self._shared.words[RETIRED_AT] = 1
            self._bell.ring()
            self._is_acknowledged(self._shared, generation)
            self._shared.close()
            self._shared = None
        self._prepared = None
        self._host.shrink([])
        tun.remove(self._device)
        self._bell.remove()
        self._holds.remove()
        self._path.unlink(missing_ok=True)

    def _opened(self) -> SharedTable:
        """The table: that of a former process when it is one of ours, else a new one."""
        if not self._started:
            raise DatapathError("the raw engine was not started")
        if self._shared is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._bell.make()
            self._shared = self._inherit() or SharedTable.create(self._path)
        return self._shared

    def _inherit(self) -> SharedTable | None:
        """What a former process left under its lease; None when there is nothing that can be used."""
        try:
            shared = SharedTable.open(self._path)
        except DatapathError:
            return None
        try:
            usable = not shared.replaced and shared.read()[1].device in ("", self._device)
        except DatapathError:
            usable = False
        if usable:
            self._closed_at = shared.words[GENERATION_AT]
            return shared
        shared.words[RETIRED_AT] = 1
        shared.close()
        self._bell.ring()
        return None

    def _table(self) -> Table:
        return self._shared.read()[1] if self._shared is not None else EMPTY

    def _clear_new_counters(self, table: Table, former: Table) -> None:
        places = {(row.resource, row.counters) for row in former.rows}
        for row in table.rows:
            if (row.resource, row.counters) not in places:
                self._opened().clear_counters(row)

    def _put_in_force(self, table: Table, former: Table) -> None:
        if table != former:
            generation = self._opened().publish(table)
            self._bell.ring()
            if closes_something(former, table):
                self._closed_at = generation

    def _await_closing(self) -> None:
        """Return once the forwarder knows the table: what has been closed accepts nothing from then on.

        UnconfirmedError when it does not answer and something closes.  The table stays nevertheless: to put the former
        one back would cross the forwarder's answer, and drop what arrives in between.  A forwarder that is late to
        *open* does no harm.
        """
        shared = self._opened()
        if self._is_acknowledged(shared, shared.words[GENERATION_AT]):
            return
        if shared.words[ACKNOWLEDGED_AT] < self._closed_at:
            raise UnconfirmedError(
                f"the forwarder of the raw engine has not taken the new slot table within {ACKNOWLEDGE_MS} ms "
                f"({self.ailment() or 'it is busy'}); nothing is reported as closed before it has"
            )

    def _is_acknowledged(self, shared: SharedTable, generation: int) -> bool:
        """Wait until no packet can be accepted by an older table: none is written, or nobody is there to write."""
        end = time.monotonic() + ACKNOWLEDGE_MS / 1000
        while shared.words[ACKNOWLEDGED_AT] < generation:
            if not shared.claimed():
                return True
            if time.monotonic() >= end:
                return False
            time.sleep(ACKNOWLEDGE_STEP_S)
        return True
