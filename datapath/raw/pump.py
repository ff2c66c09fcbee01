"""The path of a packet through the forwarder: off the wire, judged, into the stack.

Judged by the slot table; then, right before the write, the shared table's generation and the lease's deadline are
read once more.  Between that last look and the write there is about a microsecond.
"""

from __future__ import annotations

import enum
import errno
import os
import socket
import time
from struct import Struct
from typing import Final

from datapath.engine import DatapathError
from datapath.raw.judge import DRAINING as STATE_DRAINING
from datapath.raw.judge import OPEN, Compiled, Known, belongs, read_segment
from datapath.raw.judge import OPENING as STATE_OPENING
from datapath.raw.judge import STALE_STATE as STATE_STALE
from datapath.raw.table import (
    ACCEPTED,
    DEADLINE_AT,
    DRAINING,
    EXPIRED,
    FOREIGN,
    GENERATION_AT,
    OPENING,
    REFUSED,
    STALE,
    UNPARSABLE,
    Row,
    Table,
    address_counter,
    slot_counter,
)
from datapath.raw.wire import FRAME_BYTES_MAX, PACKET_AT, VNET

BURST = 256
"""packets of one interface before others, the bell and signals have their turn"""
FLOWS_MAX = 1 << 16
"""flows whose slot is remembered: hashing costs as much as all the rest"""

_VERSION: Final = PACKET_AT
_FRAGMENT: Final = PACKET_AT + 6
_OFFSET: Final = PACKET_AT + 7
_PROTOCOL: Final = PACKET_AT + 9
_FLOW: Final = slice(PACKET_AT + 12, PACKET_AT + 24)
"""addresses and ports of IPv4 without options"""
_TCP_FLAGS: Final = PACKET_AT + 33
_HEADER_AT: Final = PACKET_AT - VNET
"""where the TUN's virtio header goes: over the end of the Ethernet header, right before the packet"""

_TCP: Final = 6
_UDP: Final = 17
_virtio = Struct("=BBHHHH")
_NEEDS_CSUM: Final = 1

_DROPPED = {STATE_DRAINING: DRAINING, STATE_OPENING: OPENING, STATE_STALE: STALE}


class Outcome(enum.Enum):
    EMPTY = "nothing waits any more"
    MORE = "the burst is used up"
    TABLE_CHANGED = "a packet is at hand, and there is a newer table to judge it by"


class WireLostError(Exception):
    """The interface went down or away: its socket hears nothing any more."""


class Target:
    """Where packets of one slot go under one table: its state, and the words that count them."""

    __slots__ = ("accepted", "dropped", "expired", "refused", "state")

    def __init__(self, row: Row, slot: int, state: int) -> None:
        self.state = state
        self.accepted = slot_counter(row, slot, ACCEPTED)
        verdict = _DROPPED.get(state)
        self.dropped = slot_counter(row, slot, FOREIGN) if verdict is None else address_counter(row, verdict)
        self.expired = address_counter(row, EXPIRED)
        self.refused = address_counter(row, REFUSED)


class Pump:
    """Moves packets under one table at a time."""

    def __init__(self, words: memoryview, counters: memoryview, known: Known) -> None:
        self._words = words
        self._counters = counters
        self._known = known
        self._buffer = bytearray(FRAME_BYTES_MAX)
        self._view = memoryview(self._buffer)
        self._compiled = Compiled(Table("", ()))
        self._generation = -1
        self._tun = -1
        self._flows: dict[bytes, Target] = {}
        self._waiting = 0
        """bytes of the packet at hand when the table changed"""

    def use(self, table: Table, generation: int, tun: int) -> None:
        """Judge by `table` from now on, and write to the device open as `tun`."""
        self._compiled = Compiled(table)
        self._generation = generation
        self._tun = tun
        self._flows.clear()

    def forward(self, sock: socket.socket) -> Outcome:
        """Move what waits at `sock`, at most BURST packets.  After TABLE_CHANGED call `use`, then this again.

        WireLostError when the interface is gone or down, DatapathError when the TUN device is gone.
        """
        # The usual packet is handled in this one function, with locals: each call counts at 10 µs a packet.
        receive = sock.recv_into
        buffer, view, words, counters, flows = self._buffer, self._view, self._words, self._counters, self._flows
        clock, boot_time = time.clock_gettime_ns, time.CLOCK_BOOTTIME
        write, tun, generation = os.write, self._tun, self._generation
        for _ in range(BURST):
            length, self._waiting = self._waiting, 0
            if not length:
                try:
                    length = receive(buffer)
                except BlockingIOError:
                    return Outcome.EMPTY
                except OSError as error:
                    _raise_if_lost(error)
                    continue  # EINVAL: merged in a way that no virtio header can tell; its sender repeats it
            protocol = buffer[_PROTOCOL]
            plain = (
                buffer[_VERSION] == 0x45
                and (protocol == _TCP or protocol == _UDP)  # noqa: PLR1714, SIM109  no tuple, no hash
                and not buffer[_OFFSET]
                and not buffer[_FRAGMENT] & 0x3F
                and length > _TCP_FLAGS
            )
            flow = bytes(view[_FLOW]) if plain else b""
            target = flows.get(flow)
            if target is None:
                target = self._target(flow, length)
                if target is None:
                    continue
            size = length - PACKET_AT
            state = target.state
            if state != OPEN and not (
                state in (STATE_DRAINING, STATE_OPENING)
                and belongs(state, bytes(view[PACKET_AT:length]), self._known, clock(boot_time))
            ):
                counters[target.dropped] += 1
                counters[target.dropped + 1] += size
                continue
            buffer[_HEADER_AT:PACKET_AT] = buffer[:VNET]
            if buffer[0] or buffer[1]:
                self._shift_header()
            packet = view[_HEADER_AT:length]
            if words[GENERATION_AT] != generation:
                self._waiting = length
                return Outcome.TABLE_CHANGED
            now_ns = clock(boot_time)
            if now_ns >= words[DEADLINE_AT]:
                counters[target.expired] += 1
                counters[target.expired + 1] += size
                continue
            try:
                write(tun, packet)
            except OSError as error:
                _raise_if_gone(error)
                counters[target.refused] += 1
                counters[target.refused + 1] += size
                continue
            counters[target.accepted] += 1
            counters[target.accepted + 1] += size
            if state == STATE_OPENING:
                self._note_syn(bytes(view[PACKET_AT:length]), now_ns)
        return Outcome.MORE

    def _target(self, flow: bytes, length: int) -> Target | None:
        """Where the packet in the buffer goes; None for what cannot be hashed or has no address here."""
        packet = bytes(self._view[PACKET_AT:length])
        placed = self._compiled.place(packet)
        if placed is None:
            return None  # queued before its address was removed
        row, slot, state = placed
        if slot is None:
            self._counters[address_counter(row, UNPARSABLE)] += 1
            self._counters[address_counter(row, UNPARSABLE) + 1] += len(packet)
            return None
        target = Target(row, slot, state)
        if flow:
            if len(self._flows) >= FLOWS_MAX:
                self._flows.clear()
            self._flows[flow] = target
        return target

    def _shift_header(self) -> None:
        """Offsets in the virtio header count from the frame's start; the TUN's packets begin behind the MACs."""
        flags, kind, header, size, start, offset = _virtio.unpack_from(self._buffer, _HEADER_AT)
        ethernet = PACKET_AT - VNET
        if flags & _NEEDS_CSUM:
            start = max(start - ethernet, 0)
        if kind:
            header = max(header - ethernet, 0)
        _virtio.pack_into(self._buffer, _HEADER_AT, flags, kind, header, size, start, offset)

    def _note_syn(self, packet: bytes, now_ns: int) -> None:
        segment = read_segment(packet)
        if segment is not None and segment.begins and segment.sequence is not None:
            self._known.note_syn(segment.connection.key, segment.sequence, now_ns)


def _raise_if_lost(error: OSError) -> None:
    if error.errno != errno.EINVAL:
        raise WireLostError(error.strerror or str(error)) from error


def _raise_if_gone(error: OSError) -> None:
    """EBADFD: the device was deleted.  EIO: it is down; that is mended by the engine, the packet is lost."""
    if error.errno in (errno.EBADFD, errno.EBADF):
        raise DatapathError(f"the TUN device is gone: {error.strerror}") from error
