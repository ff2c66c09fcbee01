"""The raw engine: slots decided in user space, for kernels without nf_tables, and the reference for the others.

Two processes.  This class, in the real-time core, never spawns and only writes the shared table (table.py): slot
states by a generation, the lease by one store of eight bytes.  The forwarder, an ordinary process that the runner
keeps alive (`helper_argv`), moves the packets (forwarder.py).  Addresses are on a persistent TUN device, so that a
restart of either process breaks no connection.

Limits.  A frame to the interface's *own* MAC is the kernel's, whatever its IP destination: a client that has a
wrong MAC for the address reaches this host without a slot (nft sees such frames, a packet socket cannot withhold
them).  Between the forwarder's last look at the lease and its write lies about a microsecond.  Accepted packets
come in by the TUN: services bound to the interface (SO_BINDTODEVICE) and per-interface firewall rules do not see
them there.  Segments that were merged beyond 64 KiB (BIG TCP for IPv4) are dropped.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

from datapath.engine import Change, Counter, DatapathError, Wish
from datapath.flows import flows
from datapath.host.setup import Host
from datapath.raw import tun
from datapath.raw.rows import address_of, closes_something, counters_of, slot_of, table_of, wish_of
from datapath.raw.table import ACKNOWLEDGED_AT, BEAT_AT, DEADLINE_AT, EMPTY, RETIRED_AT, Bell, SharedTable, Table
from datapath.wishes import check, differences

ACKNOWLEDGE_MS = 20
"""how long a change waits for the forwarder; usual are 0.2 ms"""
ACKNOWLEDGE_STEP_S = 0.000_05
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
        if self._shared is not None:
            self._shared.close()
            self._shared = None

    def apply(self, wishes: Sequence[Wish]) -> list[Change]:
        wanted = check(wishes)
        shared = self._opened()
        _, former = shared.read()
        held = [wish_of(row) for row in former.rows]
        table = table_of(self._device, wanted, former)
        addresses = [wish.address for wish in wanted]
        try:
            if wanted:
                tun.make(self._device)
                self._host.grow(addresses)
            self._clear_new_counters(table, former)
            self._put_in_force(table, former)
        except DatapathError:
            self._host.shrink([wish.address for wish in held])
            if not held:
                tun.remove(self._device)
            raise
        self._host.shrink(addresses)
        if not wanted:
            tun.remove(self._device)
        return differences(held, wanted)

    def renew(self, deadline_ns: int) -> None:
        # nothing to lease after `remove`: the next `apply` makes a table, and the next grant its lease
        if self._shared is not None:
            self._shared.words[DEADLINE_AT] = max(0, deadline_ns)

    def deadline_ns(self) -> int:
        return self._shared.words[DEADLINE_AT] if self._shared is not None else 0

    def flows_left(self, resource: str, slot: int) -> int:
        for row in self._table().rows:
            if row.resource == resource:
                return sum(slot_of(flow, row) == slot for flow in flows(ip_address(row.ip)) if not flow.time_wait)
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
        for change in self._host.grow([address_of(row) for row in rows]):
            changes.append(Change(change.address, "repaired", change.slots, change.detail))
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
        self._host.shrink([])
        tun.remove(self._device)
        self._bell.remove()
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
        """Publish, and return once the forwarder knows: what has been closed accepts nothing from then on.

        DatapathError when it does not answer and something closes; the former table is in force again then.
        A forwarder that is late to *open* does no harm.
        """
        if table == former:
            return
        shared = self._opened()
        generation = shared.publish(table)
        self._bell.ring()
        if self._is_acknowledged(shared, generation) or not closes_something(former, table):
            return
        shared.publish(former)
        self._bell.ring()
        raise DatapathError(
            f"the forwarder of the raw engine has not taken the new slot table within {ACKNOWLEDGE_MS} ms; "
            f"nothing was changed ({self.ailment() or 'it is busy'})"
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
