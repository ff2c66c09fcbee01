"""The raw engine: slots decided in user space, for kernels without nf_tables, and the reference for the others.

Two processes.  This class, in the real-time core, never spawns and only writes the shared table (table.py): slot
states by a generation, the lease by one store of eight bytes.  The forwarder, an ordinary process that the runner
keeps alive (`helper_argv`), moves the packets (forwarder.py).  Addresses are on a persistent TUN device, so that a
restart of either process breaks no connection.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from itertools import groupby
from pathlib import Path

from datapath.engine import Address, Change, Counter, DatapathError, SlotState, Wish
from datapath.flows import Flow, flows
from datapath.hashing import SLOTS_MAX, key_of
from datapath.hashing import slot as hash_slot
from datapath.host.setup import Host
from datapath.mac import format_mac, pack_mac
from datapath.raw import tun
from datapath.raw.table import (
    ACKNOWLEDGED_AT,
    BEAT_AT,
    DEADLINE_AT,
    EMPTY,
    RETIRED_AT,
    SLOT_VERDICTS,
    VERDICTS,
    Bell,
    Row,
    SharedTable,
    Table,
    address_counter,
    allocate_counters,
    slot_counter,
)

ACKNOWLEDGE_MS = 20
"""how long a change that closes slots waits for the forwarder; usual are 0.2 ms"""
ACKNOWLEDGE_STEP_S = 0.000_05
BEAT_LATE_NS = 2_000_000_000
"""a forwarder looks around four times a second: silent for so long it is stopped or starved"""

_VERBS = {
    SlotState.CLOSED: "closed",
    SlotState.OPEN: "opened",
    SlotState.DRAINING: "draining",
    SlotState.OPENING: "opening",
}


class RawEngine:
    """See datapath.engine.Engine."""

    name = "raw"

    def __init__(self, run_dir: Path, device: str = tun.DEVICE) -> None:
        """`run_dir` holds the table and its bell; `device` is the TUN's name, seven characters at most."""
        if not 0 < len(device.encode()) <= 7:
            raise DatapathError(f"the TUN device's name has 1 to 7 characters, not {device!r}")
        self._device = device
        self._path = run_dir / "raw.table"
        self._bell = Bell(self._path)
        self._host = Host(run_dir, place=device)
        self._shared: SharedTable | None = None

    def helper_argv(self) -> list[str]:
        """The forwarder's command line, for vipcast-runner to keep alive (agents.protocol.Serve)."""
        return [sys.executable, "-m", "datapath.raw.forwarder", "--table", str(self._path)]

    def start(self) -> None:
        if self._shared is not None:
            return
        tun.make(self._device)
        self._host.start()
        self._bell.make()
        self._shared = self._inherit() or SharedTable.create(self._path)

    def apply(self, wishes: Sequence[Wish]) -> list[Change]:
        shared = self._opened
        _refuse_contradictions(wishes)
        _, former = shared.read()
        table = self._table_of(wishes, former)
        addresses = [wish.address for wish in wishes]
        former_addresses = [_address_of(row) for row in former.rows]
        try:
            host_changes = self._host.grow(addresses)
            self._put_in_force(table, former)
        except DatapathError:
            self._host.shrink(former_addresses)
            raise
        host_changes += self._host.shrink(addresses)
        return [*_differences(former, table), *host_changes]

    def renew(self, deadline_ns: int) -> None:
        self._opened.words[DEADLINE_AT] = max(0, deadline_ns)

    def flows_left(self, resource: str, slot: int) -> int:
        _, table = self._opened.read()
        for row in table.rows:
            if row.resource == resource:
                return sum(_slot_of(flow, row) == slot for flow in flows(ip_address(row.ip)) if not flow.time_wait)
        raise DatapathError(f"{resource} is not an address of this host")

    def state(self) -> list[Wish]:
        _, table = self._opened.read()
        return [_wish_of(row) for row in table.rows]

    def counters(self) -> list[Counter]:
        _, table = self._opened.read()
        return [counter for row in table.rows for counter in _counters(row, self._opened.read_counters(row))]

    def ailment(self) -> str | None:
        """Why packets are not forwarded although this engine has done its part; None when the forwarder is well."""
        shared = self._opened
        if not shared.claimed():
            return "no forwarder is running: vipcast-runner starts it"
        silent_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - shared.words[BEAT_AT]
        if silent_ns > BEAT_LATE_NS:
            return f"the forwarder is stopped or starved: silent for {silent_ns / 1e9:.1f} s"
        return None

    def repair(self) -> list[Change]:
        """Device, addresses, settings and memberships; what ails the forwarder is told, the runner mends it."""
        shared = self._opened
        _, table = shared.read()
        changes = []
        if not tun.is_up(self._device):
            tun.make(self._device)
            changes.append(Change("", "repaired", detail=f"the TUN device {self._device} was gone or down"))
        addresses = [_address_of(row) for row in table.rows]
        for change in self._host.grow(addresses):
            changes.append(Change(change.address, "repaired", change.slots, f"{change.detail} was missing"))
        self._bell.make()
        ailment = self.ailment() if table.rows else None
        if ailment is not None:
            changes.append(Change("", "ailing", detail=ailment))
        return changes

    def remove(self) -> None:
        shared = self._opened
        shared.words[DEADLINE_AT] = 0
        generation = shared.publish(EMPTY)
        shared.words[RETIRED_AT] = 1
        self._bell.ring()
        self._is_acknowledged(generation)
        self._host.shrink([])
        tun.remove(self._device)
        self._bell.remove()
        self._path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        self._host.close()
        if self._shared is not None:
            self._shared.close()
            self._shared = None

    @property
    def _opened(self) -> SharedTable:
        if self._shared is None:
            raise DatapathError("the raw engine was not started")
        return self._shared

    def _inherit(self) -> SharedTable | None:
        """The table that a former process left under its lease, None when there is none that can be used."""
        try:
            shared = SharedTable.open(self._path)
        except DatapathError:
            return None
        try:
            usable = not shared.replaced and shared.read()[1].device in ("", self._device)
        except DatapathError:
            usable = False
        if not usable:
            shared.words[RETIRED_AT] = 1
            shared.close()
            self._bell.ring()
            return None
        return shared

    def _table_of(self, wishes: Sequence[Wish], former: Table) -> Table:
        """The rows of these wishes; an address that stays keeps its counters."""
        before = {row.resource: row for row in former.rows}
        rows: dict[str, Row] = {}
        fresh: list[Wish] = []
        for wish in wishes:
            old = before.get(wish.address.resource)
            if old is not None and old.slots == wish.address.slots:
                rows[wish.address.resource] = _row_of(wish, old.counters)
            else:
                fresh.append(wish)
        for wish in fresh:
            # beside the former rows too: they are counted until the forwarder has the new table
            taken = [*former.rows, *rows.values()]
            try:
                place = allocate_counters(wish.address.slots, taken)
            except DatapathError:
                place = allocate_counters(wish.address.slots, list(rows.values()))
            row = _row_of(wish, place)
            rows[wish.address.resource] = row
            self._opened.clear_counters(row)
        return Table(self._device, tuple(rows[wish.address.resource] for wish in wishes))

    def _put_in_force(self, table: Table, former: Table) -> None:
        """Publish, and return once the forwarder knows: what has been closed accepts nothing from then on.

        DatapathError when it does not answer and something closes; the former table is in force again then.
        A forwarder that is late to *open* does no harm.
        """
        if table == former:
            return
        generation = self._opened.publish(table)
        self._bell.ring()
        if self._is_acknowledged(generation) or not _closes_something(former, table):
            return
        self._opened.publish(former)
        self._bell.ring()
        raise DatapathError(
            f"the forwarder of the raw engine has not taken the new slot table within {ACKNOWLEDGE_MS} ms; "
            f"nothing was changed ({self.ailment() or 'it is busy'})"
        )

    def _is_acknowledged(self, generation: int) -> bool:
        """Wait until no packet can be accepted by an older table: none is written, or nobody is there to write."""
        shared = self._opened
        end = time.monotonic() + ACKNOWLEDGE_MS / 1000
        while shared.words[ACKNOWLEDGED_AT] < generation:
            if not shared.claimed():
                return True
            if time.monotonic() >= end:
                return False
            time.sleep(ACKNOWLEDGE_STEP_S)
        return True


def _refuse_contradictions(wishes: Sequence[Wish]) -> None:
    """DatapathError for wishes that no table can hold: our caller's mistake, told before anything is touched."""
    for what, names in (
        ("resource", [wish.address.resource for wish in wishes]),
        ("address", [str(wish.address.ip) for wish in wishes]),
    ):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DatapathError(f"the {what} {', '.join(twice)} is wanted more than once")
    for wish in wishes:
        address = wish.address
        if not 1 <= address.slots <= SLOTS_MAX:
            raise DatapathError(f"{address.resource} has {address.slots} slots; 1 to {SLOTS_MAX} are possible")
        beyond = sorted(number for number in wish.states if not 0 <= number < address.slots)
        if beyond:
            raise DatapathError(f"{address.resource} has slots 0 to {address.slots - 1}, but {beyond} are wanted")


def _row_of(wish: Wish, counters: int) -> Row:
    address = wish.address
    states = bytearray(address.slots)
    for number, state in wish.states.items():
        states[number] = state
    return Row(
        resource=address.resource,
        ip=address.ip.packed,
        prefixlen=address.prefixlen,
        interface=address.interface,
        mac=pack_mac(address.mac),
        hash_kind=address.hash_kind,
        seed=address.seed,
        slots=address.slots,
        mac_mode=address.mac_mode,
        counters=counters,
        states=bytes(states),
    )


def _address_of(row: Row) -> Address:
    return Address(
        resource=row.resource,
        ip=ip_address(row.ip),
        prefixlen=row.prefixlen,
        interface=row.interface,
        mac=format_mac(row.mac),
        hash_kind=row.hash_kind,
        seed=row.seed,
        slots=row.slots,
        mac_mode=row.mac_mode,
    )


def _wish_of(row: Row) -> Wish:
    states = {number: SlotState(state) for number, state in enumerate(row.states) if state != SlotState.CLOSED}
    return Wish(_address_of(row), states)


def _slot_of(flow: Flow, row: Row) -> int:
    return hash_slot(key_of(row.hash_kind, flow.remote, flow.remote_port, flow.local_port), row.seed, row.slots)


def _closes_something(former: Table, table: Table) -> bool:
    """Whether a packet that `former` accepts may be one that `table` drops."""
    now = {row.resource: row for row in table.rows}
    for old in former.rows:
        new = now.get(old.resource)
        if new is None or _address_of(new) != _address_of(old):
            return True
        for was, becomes in zip(old.states, new.states, strict=True):
            if was not in (SlotState.CLOSED, becomes) and becomes != SlotState.OPEN:
                return True
    return False


def _differences(former: Table, table: Table) -> Iterator[Change]:
    """What slots do now that they did not before, one Change per address and state."""
    before = {row.resource: row for row in former.rows}
    for row in table.rows:
        old = before.get(row.resource)
        old_states = old.states if old is not None and old.slots == row.slots else bytes(row.slots)
        changed = sorted((new, number) for number, new in enumerate(row.states) if new != old_states[number])
        for state, numbers in groupby(changed, key=lambda pair: pair[0]):
            yield Change(row.resource, _VERBS[SlotState(state)], tuple(number for _, number in numbers))


def _counters(row: Row, words: memoryview) -> Iterator[Counter]:
    """What has happened at all: verdicts and slots without a packet are left out."""
    for number in range(row.slots):
        for verdict in range(SLOT_VERDICTS):
            at = slot_counter(row, number, verdict) - row.counters
            if words[at]:
                yield Counter(row.resource, number, VERDICTS[verdict], words[at], words[at + 1])
    for verdict in range(SLOT_VERDICTS, len(VERDICTS)):
        at = address_counter(row, verdict) - row.counters
        if words[at]:
            yield Counter(row.resource, None, VERDICTS[verdict], words[at], words[at + 1])
