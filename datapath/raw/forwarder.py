"""The raw engine's forwarder: an ordinary process that hands accepted packets from the wire to the stack.

    python -m datapath.raw.forwarder --table /run/vipcast/raw.table

It knows only the shared table (table.py) and is kept alive by vipcast-runner.  A new table is acknowledged once no
packet can be written by the former one: the engine waits for that.  Packets that were queued before a table came
are not accepted on the strength of it (judge.cautious).
"""

from __future__ import annotations

import argparse
import gc
import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from datapath.engine import DatapathError
from datapath.flows import FlowProbe
from datapath.frames import ETHERTYPE_IPV4, ETHERTYPE_IPV6
from datapath.raw import tun
from datapath.raw.judge import DRAINS, Known, Refused, cautious, is_settling
from datapath.raw.pump import BURST, Outcome, Pump, WireLostError
from datapath.raw.refusals import Refusals
from datapath.raw.table import ACKNOWLEDGED_AT, BEAT_AT, EMPTY, GENERATION_AT, Bell, SharedTable, Table
from datapath.raw.talks import Heard, KeptElsewhere
from datapath.raw.wire import QUEUE_PACKETS_MAX, Wire

BEAT_MS = 250
PRIORITY = -15
"""nice value: packets wait for this process, and slots that move for its word"""
ENDED_ORDERLY, FAILED, TABLE_GIVEN_UP = 0, 1, 3

WireName = tuple[str, int]
"""interface and ethertype"""


class Forwarder:
    def __init__(self, shared: SharedTable, bell: int) -> None:
        """DatapathError when the kernel cannot tell its connections."""
        self._shared = shared
        self._words = shared.words
        self._bell = bell
        probe = FlowProbe()
        self._known = Known(
            lambda c: probe.has(c.local, c.local_port, c.remote, c.remote_port),
            lambda c: probe.half_open(c.local, c.local_port, c.remote, c.remote_port),
        )
        self._heard = Heard(shared)
        self._known.hears = self._hears
        self._pump = Pump(shared.words, shared.map_counters(), self._known, shared.log_syn, self._heard.note)
        self._refusals = Refusals(shared.path)
        self._kept_elsewhere = KeptElsewhere(shared.path)
        self._rows: dict[bytes, int] = {}
        """address → where its counters begin, by which its conversations are known"""
        self._table = EMPTY
        self._in_force = EMPTY
        """what packets are judged by: the table, or a cautious one while older packets may be queued"""
        self._generation = -1
        self._tun = -1
        self._device = ""
        self._wanted: dict[WireName, list[tuple[bytes, bytes]]] = {}
        """the (address, shared MAC) pairs that each wire is to hear"""
        self._wires: dict[WireName, Wire] = {}
        self._look_again_ns = 0
        """when to look for an interface that was missing"""
        self._older_packets: dict[WireName, int] = {}
        """wires whose queue may hold packets older than the table, and how many at most"""
        self._complaints: set[str] = set()
        self._poll = select.poll()
        self._poll.register(bell, select.POLLIN)
        self._ending = False

    def run(self) -> int:
        """Forward until told to end, or the table is given up; the exit status.  DatapathError as `_adopt`."""
        with suppress(OSError):  # without CAP_SYS_NICE it is as good as any other process
            os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, self._end)
        gc.collect()
        gc.freeze()
        while not self._ending:
            now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            self._words[BEAT_AT] = now_ns
            if self._shared.replaced:
                return TABLE_GIVEN_UP
            if self._words[GENERATION_AT] != self._generation:
                self._adopt()
            for name, wire in list(self._wires.items()):
                if name in self._older_packets:
                    self._serve(name, wire)
            if not is_settling(self._in_force, self._table):
                self._words[ACKNOWLEDGED_AT] = self._generation
            if len(self._wires) < len(self._wanted) and now_ns >= self._look_again_ns:
                self._look_again_ns = now_ns + BEAT_MS * 1_000_000
                self._open_wires()
            ready = {descriptor for descriptor, _ in self._poll.poll(0 if self._older_packets else BEAT_MS)}
            if self._tun in ready:
                raise DatapathError(f"the TUN device {self._device} was deleted; vipcastd makes it again")
            if self._bell in ready:
                with suppress(BlockingIOError):
                    os.read(self._bell, 4096)
            for name, wire in list(self._wires.items()):
                if wire.fileno() in ready:
                    self._serve(name, wire)
        return ENDED_ORDERLY

    def _end(self, number: int, frame: object) -> None:
        self._ending = True

    def _adopt(self) -> None:
        """Take up the table in force; DatapathError when it cannot be read or the TUN device cannot be used."""
        generation, tables, in_step = self._shared.read_since(self._generation)
        table = tables[-1]
        if table.device != self._device:
            self._open_device(table.device)
        self._in_force = cautious(self._in_force, self._table, tables, in_step=in_step)
        self._table, self._generation = table, generation
        self._known.refused = Refused(self._refusals.read())
        self._known.leave(self._kept_elsewhere.read())
        self._rows = {row.ip: row.counters for row in table.rows}
        if not any(DRAINS.intersection(row.states) for now in (self._in_force, table) for row in now.rows):
            self._heard.clear()
        self._pump.use(self._in_force, generation, self._tun)
        self._pump.hold_on()
        self._wanted = _pairs_by_wire(table)
        # before any wire is closed: that of the last one would mean that no queue is left to be read
        self._older_packets = {} if self._in_force == table else dict.fromkeys(self._wires, QUEUE_PACKETS_MAX)
        self._filter_wires()
        if self._in_force == table:
            self._words[ACKNOWLEDGED_AT] = generation
            self._pump.let_in_kept()
        else:
            self._trust_when_queues_are_empty()

    def _hears(self, ip: bytes, name: bytes) -> bool:
        row = self._rows.get(ip)
        return row is not None and self._heard.knows(row, name)

    def _open_device(self, name: str) -> None:
        if self._tun >= 0:
            self._poll.unregister(self._tun)
            os.close(self._tun)
            self._tun, self._device = -1, ""
        if name:
            self._tun, self._device = tun.attach(name), name
            self._poll.register(self._tun, 0)  # told only of its end (POLLERR): nothing is read from it

    def _serve(self, name: WireName, wire: Wire) -> None:
        """Forward what waits at one wire; judge by the newest table when it changes meanwhile."""
        try:
            outcome = self._pump.forward(wire.socket)
            while outcome is Outcome.TABLE_CHANGED:
                self._adopt()
                outcome = self._pump.forward(wire.socket)
        except WireLostError as error:
            if self._wires.get(name) is wire:  # else a newer table has closed it meanwhile
                self._complain(f"{name[0]}: {error}")
                self._drop_wire(name)
            return
        if name in self._older_packets:
            self._older_packets[name] -= BURST
            if outcome is Outcome.EMPTY or self._older_packets[name] <= 0:
                del self._older_packets[name]
                self._trust_when_queues_are_empty()

    def _trust_when_queues_are_empty(self) -> None:
        if not self._older_packets and self._in_force != self._table:
            self._in_force = self._table
            self._pump.use(self._table, self._generation, self._tun)
            self._pump.let_in_kept()

    def _filter_wires(self) -> None:
        """Give every open wire the filter of its addresses, and close those that have none left."""
        wanted = self._wanted
        for name, wire in list(self._wires.items()):
            if name not in wanted:
                self._drop_wire(name)
                continue
            try:
                wire.serve(wanted[name])
            except DatapathError as error:
                self._complain(str(error))
                self._drop_wire(name)
        self._open_wires()

    def _open_wires(self) -> None:
        """Open wires that are missing: at the start, and when an interface that was not there may have come."""
        for name in self._wanted.keys() - self._wires.keys():
            try:
                wire = Wire(*name)
            except DatapathError as error:
                self._complain(str(error))
                continue
            try:
                wire.serve(self._wanted[name])
            except DatapathError as error:
                self._complain(str(error))
                wire.close()
                continue
            self._wires[name] = wire
            self._poll.register(wire.fileno(), select.POLLIN)

    def _drop_wire(self, name: WireName) -> None:
        wire = self._wires.pop(name)
        self._poll.unregister(wire.fileno())
        wire.close()
        self._older_packets.pop(name, None)
        self._trust_when_queues_are_empty()

    def _complain(self, sentence: str) -> None:
        """Once each, until something else happens: an absent interface is looked for four times a second."""
        if sentence not in self._complaints:
            if len(self._complaints) > 100:
                self._complaints.clear()
            self._complaints.add(sentence)
            _say(sentence)


def _pairs_by_wire(table: Table) -> dict[WireName, list[tuple[bytes, bytes]]]:
    found: dict[WireName, list[tuple[bytes, bytes]]] = {}
    for row in table.rows:
        ethertype = ETHERTYPE_IPV4 if len(row.ip) == 4 else ETHERTYPE_IPV6
        found.setdefault((row.interface, ethertype), []).append((row.ip, row.mac))
    return found


def _say(sentence: str) -> None:
    print(f"vipcast raw forwarder: {sentence}", file=sys.stderr, flush=True)  # noqa: T201  the runner logs it


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="vipcast raw forwarder")
    parser.add_argument("--table", type=Path, required=True, help="the table that vipcastd has made")
    path = parser.parse_args(arguments).table
    try:
        shared = SharedTable.open(path)
        if not shared.claim():
            _say(f"another forwarder serves {path}")
            return FAILED
        return Forwarder(shared, Bell(path).listen()).run()
    except DatapathError as error:
        _say(str(error))
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
