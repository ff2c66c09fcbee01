"""What becomes of a packet: the slot table compiled for speed, and the rules of each slot state.  Pure.

The state of a slot decides; DRAINING and OPENING also ask whether the packet belongs to a connection that this
host has.  A planned move has the old owner DRAINING while the new one is OPENING, so whatever one of them takes the
other must leave:

    packet                              DRAINING (old)                OPENING (new)
    SYN                                 only of a half-open           yes
                                        connection of ours
    other TCP                           connection of ours            connection of ours
    ICMP error about TCP                connection of ours            connection of ours
    fragment of TCP                     yes: its connection           no
                                        cannot be told
    everything else (no connections)    no                            yes
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from msgspec import structs

from datapath.engine import SlotState
from datapath.hashing import ICMP_ERRORS, Unhashable, slot_of_packet
from datapath.raw.table import Row, Table

CLOSED: Final = int(SlotState.CLOSED)
OPEN: Final = int(SlotState.OPEN)
DRAINING: Final = int(SlotState.DRAINING)
OPENING: Final = int(SlotState.OPENING)
STALE_STATE: Final = 4
"""a slot that may be accepting, for a packet that may have arrived before it was"""

TCP = 6
ICMP = 1
ICMPV6 = 58
SYN = 0x02
FIN_SYN_RST_ACK = 0x17


@dataclass(frozen=True, slots=True)
class Connection:
    """The ends of a TCP connection as this host sees them, addresses packed."""

    local: bytes
    local_port: int
    remote: bytes
    remote_port: int

    @property
    def key(self) -> bytes:
        """As in the packet: source, destination, source port, destination port."""
        return self.remote + self.local + self.remote_port.to_bytes(2, "big") + self.local_port.to_bytes(2, "big")


@dataclass(frozen=True, slots=True)
class Segment:
    """What a packet says about a TCP connection."""

    connection: Connection
    begins: bool
    """a SYN without ACK, FIN or RST"""
    sequence: int | None
    """the sender's sequence number; None in a quote"""


def read_segment(packet: bytes) -> Segment | None:
    """The connection of a TCP segment, or of the one that an ICMP error quotes; None for all else and fragments."""
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= 20:
        header = (packet[0] & 0x0F) * 4
        if packet[6] & 0x3F or packet[7]:
            return None
        if packet[9] == TCP:
            return _tcp(packet, header, packet[12:16], packet[16:20])
        if packet[9] == ICMP and len(packet) >= header + 28 and packet[header] in ICMP_ERRORS:
            return _quoted4(packet[header + 8 :])
    if version == 6 and len(packet) >= 40:
        if packet[6] == TCP:
            return _tcp(packet, 40, packet[8:24], packet[24:40])
        if packet[6] == ICMPV6 and len(packet) >= 88 and packet[40] <= 127:
            return _quoted6(packet[48:])
    return None


def is_tcp_fragment(packet: bytes) -> bool:
    """A piece of a TCP segment, whose connection only the first piece names."""
    if len(packet) >= 20 and packet[0] >> 4 == 4:
        return packet[9] == TCP and bool(packet[6] & 0x3F or packet[7])
    return len(packet) >= 48 and packet[0] >> 4 == 6 and packet[6] == 44 and packet[40] == TCP


def _tcp(packet: bytes, at: int, source: bytes, destination: bytes) -> Segment | None:
    if len(packet) < at + 14:
        return None
    connection = Connection(
        destination,
        packet[at + 2] << 8 | packet[at + 3],
        source,
        packet[at] << 8 | packet[at + 1],
    )
    sequence = int.from_bytes(packet[at + 4 : at + 8], "big")
    return Segment(connection, packet[at + 13] & FIN_SYN_RST_ACK == SYN, sequence)


def _quoted4(quote: bytes) -> Segment | None:
    at = (quote[0] & 0x0F) * 4
    if quote[0] >> 4 != 4 or quote[9] != TCP or quote[6] & 0x1F or quote[7] or len(quote) < at + 4:
        return None
    return _quoted(quote, at, quote[12:16], quote[16:20])


def _quoted6(quote: bytes) -> Segment | None:
    if quote[0] >> 4 != 6 or quote[6] != TCP or len(quote) < 44:
        return None
    return _quoted(quote, 40, quote[8:24], quote[24:40])


def _quoted(quote: bytes, at: int, source: bytes, destination: bytes) -> Segment:
    """We sent what is quoted: its source is our end."""
    connection = Connection(source, quote[at] << 8 | quote[at + 1], destination, quote[at + 2] << 8 | quote[at + 3])
    return Segment(connection, begins=False, sequence=None)


class Known:
    """Which connections are ours: what the kernel says and, for a slot that is opening, SYNs that we let in lately.

    The second is for SYN cookies, which leave no socket until the client answers.  The old owner of a slot must
    not use it: a SYN that its full backlog dropped is repeated, and then answered by the new owner; what follows
    has the sequence number of that SYN as well, and would be reset here.
    """

    SYNS_MAX = 65_536
    SYN_NS = 64_000_000_000
    """as long as a client repeats its SYN by default (tcp_syn_retries = 6)"""

    def __init__(self, has: Callable[[Connection], bool], half_open: Callable[[Connection], bool]) -> None:
        self.has = has
        self.half_open = half_open
        self._syns: dict[bytes, tuple[int, int]] = {}
        """connection → (initial sequence number, when)"""

    def note_syn(self, key: bytes, sequence: int, now_ns: int) -> None:
        """A SYN was let in; `key` as `Connection.key` has it."""
        self._syns.pop(key, None)
        while len(self._syns) >= self.SYNS_MAX:
            del self._syns[next(iter(self._syns))]  # the oldest: a dict keeps the order of its insertions
        self._syns[key] = sequence, now_ns

    def follows_syn(self, segment: Segment, now_ns: int) -> bool:
        """Whether it comes directly after a SYN that we let in.

        The sequence number tells it from a later connection with the same ports.
        """
        initial, noted_ns = self._syns.get(segment.connection.key, (None, 0))
        if initial is None or now_ns - noted_ns >= self.SYN_NS:
            return False
        return segment.sequence == (initial + 1) & 0xFFFF_FFFF


def belongs(state: int, packet: bytes, known: Known, now_ns: int) -> bool:
    """Whether a packet of a DRAINING or OPENING slot is accepted: the table at the top of this file."""
    segment = read_segment(packet)
    if segment is None:
        return is_tcp_fragment(packet) == (state == DRAINING)
    if segment.begins:
        return state == OPENING or known.half_open(segment.connection)
    return known.has(segment.connection) or (state == OPENING and known.follows_syn(segment, now_ns))


class Compiled:
    """One table, ready for packets: where each address's packets go."""

    def __init__(self, table: Table) -> None:
        self._rows = {row.ip: row for row in table.rows}

    def place(self, packet: bytes) -> tuple[Row, int | None, int] | None:
        """(address, slot, state); slot None for what cannot be hashed; None for what goes to no address of ours."""
        destination = packet[16:20] if packet[:1] and packet[0] >> 4 == 4 else packet[24:40]
        row = self._rows.get(destination)
        if row is None:
            return None
        slot = slot_of_packet(packet, row.hash_kind, row.seed, row.slots)
        if isinstance(slot, Unhashable):
            return row, None, CLOSED
        return row, slot, row.states[slot] if slot < len(row.states) else CLOSED


def cautious(former: Table, table: Table, *, in_step: bool) -> Table:
    """`table` for packets that may have been queued before it came: nothing is accepted on the strength of it.

    A slot that has opened did not accept when those packets arrived, and another host may have answered them.  When
    tables in between were missed (`in_step` false: this process was stopped), that holds for every slot.
    `former` is what was judged by until now; it may itself be a cautious one.
    """
    before = {row.resource: row for row in former.rows} if in_step else {}
    return structs.replace(table, rows=tuple(_cautious_row(before.get(row.resource), row) for row in table.rows))


def _cautious_row(former: Row | None, row: Row) -> Row:
    comparable = former is not None and _hash_alike(former, row)
    former_states = former.states if former is not None and comparable else bytes(len(row.states))
    states = bytes(_cautious_state(old, new) for old, new in zip(former_states, row.states, strict=True))
    return row if states == row.states else structs.replace(row, states=states)


def _cautious_state(old: int, new: int) -> int:
    if new in (CLOSED, old) or old == OPEN:
        return new
    if new == OPEN and old in (DRAINING, OPENING):
        return old
    return STALE_STATE


def _hash_alike(a: Row, b: Row) -> bool:
    return (a.ip, a.hash_kind, a.seed, len(a.states)) == (b.ip, b.hash_kind, b.seed, len(b.states))
