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
from collections.abc import Callable, Collection
from struct import Struct
from typing import Final

from datapath.engine import DatapathError
from datapath.hashing import Unhashable
from datapath.hold.datagrams import read_utterance
from datapath.hold.syns import syn_of
from datapath.raw.judge import DRAINS, NOTING, OPEN, OPENS, TAKES_ALL, Compiled, Known, belongs, read_segment
from datapath.raw.judge import STALE_STATE as STATE_STALE
from datapath.raw.table import (
    ACCEPTED,
    DEADLINE_AT,
    DRAINING,
    EXPIRED,
    FOREIGN,
    GENERATION_AT,
    LET_IN_AT,
    LISTENING,
    MALFORMED,
    OPENING,
    PORT_REFUSED,
    REFUSED,
    STALE,
    TRUNCATED,
    Row,
    Table,
    address_counter,
    slot_counter,
)
from datapath.raw.wire import FRAME_BYTES_MAX, PACKET_AT, VNET

LETS_IN = OPENS | TAKES_ALL
"""states of a slot that has opened"""
KEPT_MAX = 8_192
"""SYNs that are held; what is more is repeated by its client.  Each new table places all of them anew, 4 µs each."""
WRITE_NS = 1_000_000
"""A lease ends so much earlier here: from the look at the clock until the kernel has the packet time goes by, a few µs
where nobody takes the processor away meanwhile"""
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

_REASONS = {Unhashable.TRUNCATED: TRUNCATED, Unhashable.PORT_REFUSED: PORT_REFUSED}
_DROPPED = dict.fromkeys(DRAINS, DRAINING) | dict.fromkeys(OPENS, OPENING) | {STATE_STALE: STALE}


class Outcome(enum.Enum):
    EMPTY = "nothing waits any more"
    MORE = "the burst is used up"
    TABLE_CHANGED = "a packet is at hand, and there is a newer table to judge it by"


class WireLostError(Exception):
    """The interface went down or away: its socket hears nothing any more."""


class Target:
    """Where packets of one slot go under one table: its state, and the words that count them."""

    __slots__ = ("accepted", "dropped", "expired", "refused", "row", "slot", "state")

    def __init__(self, row: Row, slot: int, state: int) -> None:
        self.state = state
        self.row = row.counters
        self.slot = slot
        self.accepted = slot_counter(row, slot, ACCEPTED)
        verdict = _DROPPED.get(state)
        self.dropped = slot_counter(row, slot, FOREIGN) if verdict is None else address_counter(row, verdict)
        self.expired = address_counter(row, EXPIRED)
        self.refused = address_counter(row, REFUSED)


class Pump:
    """Moves packets under one table at a time."""

    def __init__(
        self,
        words: memoryview,
        counters: memoryview,
        known: Known,
        log_syn: Callable[[int, int, bytes], None],
        note_talk: Callable[[int, int, bytes, int], None] = lambda row, slot, name, now_ns: None,
    ) -> None:
        """`log_syn` tells the engine of a SYN that was let in (table.SharedTable), `note_talk` of a conversation of UDP
        that was heard (talks.Heard)."""
        self._log_syn = log_syn
        self._note_talk = note_talk
        self._kept: dict[bytes, bytes] = {}
        """SYNs to slots that are listened for: address and name → what would be written to the TUN"""
        self._coming: dict[bytes, bytes] = {}
        """the same of slots that have opened since"""
        self._words = words
        self._counters = counters
        self._known = known
        self._buffer = bytearray(FRAME_BYTES_MAX)
        self._view = memoryview(self._buffer)
        self._compiled = Compiled(Table("", ()))
        self._generation = -1
        self._tun = -1
        self._flows: dict[int, dict[bytes, Target]] = {_TCP: {}, _UDP: {}}
        """protocol → addresses and ports → where they go: rules for ports are of one protocol"""
        self._waiting = 0
        """bytes of the packet at hand when the table changed"""

    def use(self, table: Table, generation: int, tun: int) -> None:
        """Judge by `table` from now on, and write to the device open as `tun`."""
        self._compiled = Compiled(table)
        self._generation = generation
        self._tun = tun
        for flows in self._flows.values():
            flows.clear()

    def forward(self, sock: socket.socket) -> Outcome:  # noqa: PLR0912, PLR0915  see the comment in it
        """Move what waits at `sock`, at most BURST packets.  After TABLE_CHANGED call `use`, then this again.

        WireLostError when the interface is gone or down, DatapathError when the TUN device is gone.
        """
        # The usual packet is handled in this one function, with locals: each call counts at 10 µs a packet.
        receive = sock.recv_into
        buffer, view, words, counters = self._buffer, self._view, self._words, self._counters
        of_tcp, of_udp = self._flows[_TCP], self._flows[_UDP]
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
            target = of_tcp.get(flow) if protocol == _TCP else of_udp.get(flow)
            if target is None:
                target = self._target(flow, length)
                if target is None:
                    continue
            size = length - PACKET_AT
            state = target.state
            if state != OPEN and words[GENERATION_AT] != generation:
                self._waiting = length  # what closes is not to wait for a burst of what is slow to judge
                return Outcome.TABLE_CHANGED
            if state != OPEN and not self._lets_in(state, length):
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
            if now_ns + WRITE_NS >= words[DEADLINE_AT]:
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
            if state != OPEN:
                self._note(bytes(view[PACKET_AT:length]), target, now_ns)
        return Outcome.MORE

    def _lets_in(self, state: int, length: int) -> bool:
        """Whether the packet in the buffer is one that a slot in a state beside OPEN lets in."""
        if state == NOTING:
            return True
        if state in DRAINS or state in OPENS:
            now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            return belongs(state, bytes(self._view[PACKET_AT:length]), self._known, now_ns)
        if state == LISTENING:
            self._keep(length)
        return False

    def _target(self, flow: bytes, length: int) -> Target | None:
        """Where the packet in the buffer goes; None for what cannot be hashed or has no address here."""
        packet = bytes(self._view[PACKET_AT:length])
        placed = self._compiled.place(packet)
        if placed is None:
            return None  # queued before its address was removed, or Neighbour Discovery
        row, slot, state = placed
        if isinstance(slot, Unhashable):
            word = address_counter(row, _REASONS.get(slot, MALFORMED))
            self._counters[word] += 1
            self._counters[word + 1] += len(packet)
            return None
        target = Target(row, slot, state)
        if flow:
            flows = self._flows[self._buffer[_PROTOCOL]]
            if len(flows) >= FLOWS_MAX:
                flows.clear()
            flows[flow] = target
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

    def _note(self, packet: bytes, target: Target, now_ns: int) -> None:
        segment = read_segment(packet)
        if segment is None and target.state in DRAINS:
            utterance = read_utterance(packet)
            if utterance is not None and not utterance.is_quote:
                self._note_talk(target.row, target.slot, utterance.name, now_ns)
        noted = target.state in OPENS or target.state == NOTING
        if segment is None or not noted or not segment.begins or segment.sequence is None:
            return
        note = self._known.note_syn if target.state in OPENS else self._known.take_syn
        note(segment.connection.key, segment.sequence, now_ns)
        if target.state == NOTING and (found := syn_of(packet)) is not None:
            self._log_syn(target.row, target.slot, found[1])

    # SYNs that are held while their slot is on its way here

    def _keep(self, length: int) -> None:
        """If the packet in the buffer is a SYN.  One that is repeated is kept once."""
        found = syn_of(bytes(self._view[PACKET_AT:length]))
        if found is None or len(self._kept) >= KEPT_MAX:
            return
        self._buffer[_HEADER_AT:PACKET_AT] = self._buffer[:VNET]
        if self._buffer[0] or self._buffer[1]:
            self._shift_header()
        self._kept.setdefault(found[0] + found[1], bytes(self._view[_HEADER_AT:length]))

    def hold_on(self) -> None:
        """Under a new table: nothing stays held for a slot that was not listened for, or opening, all the while."""
        self._kept = self._of_slots(self._kept, {LISTENING})
        self._coming = self._of_slots(self._coming, LETS_IN)

    def _of_slots(self, held: dict[bytes, bytes], states: Collection[int]) -> dict[bytes, bytes]:
        found = {}
        for name, written in held.items():
            placed = self._compiled.place(written[VNET:])
            if placed is not None and placed[2] in states:
                found[name] = written
        return found

    def let_in_kept(self) -> None:
        """Now that no older packets are queued: those whose slot opens come in, those that it still waits for stay.

        What has not come in when the table changes does so under the next one.  DatapathError when the TUN device is
        gone.
        """
        self._coming |= self._of_slots(self._kept, LETS_IN)
        self._kept = self._of_slots(self._kept, {LISTENING})
        for name in list(self._coming):
            if self._words[GENERATION_AT] != self._generation:
                return
            self._let_in(self._coming.pop(name))

    def _let_in(self, written: bytes) -> None:
        packet = written[VNET:]
        placed, segment = self._compiled.place(packet), read_segment(packet)
        if placed is None or segment is None or self._known.is_noted(segment):
            return
        row, slot, state = placed
        now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        if isinstance(slot, Unhashable) or state not in LETS_IN or not self._known.refused.covers(row.ip, slot):
            return
        if self._known.refused.has(packet, now_ns) or now_ns + WRITE_NS >= self._words[DEADLINE_AT]:
            return
        try:
            os.write(self._tun, written)
        except OSError as error:
            _raise_if_gone(error)
            return
        target = Target(row, slot, state)
        self._counters[target.accepted] += 1
        self._counters[target.accepted + 1] += len(packet)
        self._words[LET_IN_AT] += 1
        self._note(packet, target, now_ns)


def _raise_if_lost(error: OSError) -> None:
    if error.errno != errno.EINVAL:
        raise WireLostError(error.strerror or str(error)) from error


def _raise_if_gone(error: OSError) -> None:
    """EBADFD: the device was deleted.  EIO: it is down; that is mended by the engine, the packet is lost."""
    if error.errno in (errno.EBADFD, errno.EBADF):
        raise DatapathError(f"the TUN device is gone: {error.strerror}") from error
