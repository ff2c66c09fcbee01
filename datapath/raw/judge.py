"""What becomes of a packet: the slot table compiled for speed, and the rules of each slot state.  Pure.

The state of a slot decides; DRAINING and OPENING also ask whether the packet belongs to a connection that this
host has.  A planned move has the old owner DRAINING while the new one is OPENING, so whatever one of them takes the
other must leave.  KEEPING_UDP is DRAINING, LEAVING_UDP is OPENING, but for UDP:

    packet                              DRAINING (old)                OPENING (new)
    SYN                                 only of a half-open           yes, unless the old
                                        connection of ours, or        owner has told that
                                        noted while NOTING            it took it
    other TCP                           connection of ours            connection of ours
    ICMP error about TCP                connection of ours            connection of ours
    fragment of TCP                     yes: its connection           no
                                        cannot be told
    everything else (no connections)    no                            yes

    UDP (hold.datagrams)                KEEPING_UDP (old)             LEAVING_UDP (new)
                                        yes, and noted                no
                                        DRAINING (old)                OPENING (new)
                                        conversations that it heard   but those that the old
                                        and has not ended             owner has told to keep
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec import structs

from datapath.engine import SlotState
from datapath.hashing import (
    ICMP_ERRORS,
    ICMP_HEADER,
    ICMPV6_ERROR_MAX,
    Unhashable,
    is_neighbour_discovery,
    slot_of_packet,
    upper_layer,
)
from datapath.hold.datagrams import Utterance, read_utterance
from datapath.hold.syns import has, syn_of
from datapath.raw.refusals import Told
from datapath.raw.table import EMPTY, LISTENING, Row, Table
from datapath.raw.talks import Kept

CLOSED: Final = int(SlotState.CLOSED)
OPEN: Final = int(SlotState.OPEN)
DRAINING: Final = int(SlotState.DRAINING)
OPENING: Final = int(SlotState.OPENING)
NOTING: Final = int(SlotState.NOTING)
KEEPING_UDP: Final = int(SlotState.KEEPING_UDP)
LEAVING_UDP: Final = int(SlotState.LEAVING_UDP)
DRAINS: Final = frozenset({DRAINING, KEEPING_UDP})
OPENS: Final = frozenset({OPENING, LEAVING_UDP})
TAKES_ALL: Final = frozenset({OPEN, NOTING})
STALE_STATE: Final = 65
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
    upper = upper_layer(packet) if version == 6 else None
    if upper is None or upper.is_fragment:
        return None
    if upper.protocol == TCP:
        return _tcp(packet, upper.at, packet[8:24], packet[24:40])
    quote_at = upper.at + ICMP_HEADER
    if upper.protocol == ICMPV6 and len(packet) >= quote_at + 40 and packet[upper.at] <= ICMPV6_ERROR_MAX:
        return _quoted6(packet[quote_at:])
    return None


def is_tcp_fragment(packet: bytes) -> bool:
    """A piece of a TCP segment, whose connection only the first piece names."""
    if len(packet) >= 20 and packet[0] >> 4 == 4:
        return packet[9] == TCP and bool(packet[6] & 0x3F or packet[7])
    upper = upper_layer(packet) if packet[:1] and packet[0] >> 4 == 6 else None
    return upper is not None and upper.is_fragment and upper.protocol == TCP


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


class Refused:
    """SYNs that old owners of opening slots have told that they took (datapath.engine.Taken)."""

    def __init__(self, told: Sequence[Told] = ()) -> None:
        self._told = told

    def has(self, packet: bytes, now_ns: int) -> bool:
        found = syn_of(packet)
        return found is not None and any(
            told.ip == found[0] and now_ns - told.when_ns < Known.SYN_NS and has(told.taken, found[1])
            for told in self._told
        )

    def covers(self, ip: bytes, slot: int) -> bool:
        """Whether the slot's old owner has told at all: only then is it known what it did not take."""
        return any(told.ip == ip and slot in told.slots for told in self._told)


class Known:
    """Which connections are ours: what the kernel says and, for a slot that is opening, SYNs that we let in lately.

    The second is for SYN cookies, which leave no socket until the client answers.  The old owner of a slot uses it
    for what it noted and told alone: any other SYN that its full backlog dropped is repeated, and then answered by the
    new owner; what follows has the sequence number of that SYN as well, and would be reset here.
    """

    SYNS_MAX = 65_536
    SYN_NS = 64_000_000_000
    """as long as a client repeats its SYN by default (tcp_syn_retries = 6)"""

    def __init__(self, has: Callable[[Connection], bool], half_open: Callable[[Connection], bool]) -> None:
        self.has = has
        self.half_open = half_open
        self._syns: dict[bytes, tuple[int, int]] = {}
        """connection → (initial sequence number, when)"""
        self._taken: dict[bytes, tuple[int, int]] = {}
        """the same of SYNs to slots that noted them"""
        self.refused: Refused = Refused()
        self.hears: Callable[[bytes, bytes], bool] = lambda ip, name: False
        """whether slots of this address that drain know a conversation"""
        self._kept: dict[bytes, frozenset[bytes]] = {}

    def leave(self, kept: Collection[Kept]) -> None:
        """These conversations are those of slots that open, which their old owners keep."""
        self._kept = {}
        for told in kept:
            self._kept[told.ip] = self._kept.get(told.ip, frozenset()) | told.names

    def is_left(self, ip: bytes, name: bytes) -> bool:
        return name in self._kept.get(ip, ())

    def note_syn(self, key: bytes, sequence: int, now_ns: int) -> None:
        """A SYN was let in; `key` as `Connection.key` has it."""
        self._note(self._syns, key, sequence, now_ns)

    def take_syn(self, key: bytes, sequence: int, now_ns: int) -> None:
        """A SYN was let in by a slot that is about to drain."""
        self._note(self._taken, key, sequence, now_ns)

    def _note(self, noted: dict[bytes, tuple[int, int]], key: bytes, sequence: int, now_ns: int) -> None:
        noted.pop(key, None)
        while len(noted) >= self.SYNS_MAX:
            del noted[next(iter(noted))]  # the oldest: a dict keeps the order of its insertions
        noted[key] = sequence, now_ns

    def is_noted(self, segment: Segment) -> bool:
        """Whether this very SYN was let in."""
        return self._syns.get(segment.connection.key, (None, 0))[0] == segment.sequence

    def took(self, segment: Segment, now_ns: int) -> bool:
        """Whether this SYN came when its slot noted those that it let in."""
        sequence, noted_ns = self._taken.get(segment.connection.key, (None, 0))
        return sequence == segment.sequence and now_ns - noted_ns < self.SYN_NS

    def follows_syn(self, segment: Segment, now_ns: int) -> bool:
        """Whether it comes directly after a SYN that we let in.

        The sequence number tells it from a later connection with the same ports.
        """
        return self._follows(self._syns, segment, now_ns)

    def follows_taken(self, segment: Segment, now_ns: int) -> bool:
        """The same of a SYN that its slot noted: repeated, it is ours as well, so nobody else has answered it."""
        return self._follows(self._taken, segment, now_ns)

    def _follows(self, noted: dict[bytes, tuple[int, int]], segment: Segment, now_ns: int) -> bool:
        initial, noted_ns = noted.get(segment.connection.key, (None, 0))
        if initial is None or now_ns - noted_ns >= self.SYN_NS:
            return False
        return segment.sequence == (initial + 1) & 0xFFFF_FFFF


def belongs(state: int, packet: bytes, known: Known, now_ns: int) -> bool:
    """Whether a packet of a slot that drains or opens is accepted: the table at the top of this file."""
    segment = read_segment(packet)
    if segment is None:
        utterance = read_utterance(packet)
        if utterance is not None:
            return _belongs_to_conversation(state, packet, utterance, known)
        return is_tcp_fragment(packet) == (state in DRAINS)
    state = DRAINING if state in DRAINS else OPENING
    if segment.begins and state == OPENING:
        return not known.refused.has(packet, now_ns)
    if segment.begins:
        return known.took(segment, now_ns) or known.half_open(segment.connection)
    if known.has(segment.connection):
        return True
    return known.follows_syn(segment, now_ns) if state == OPENING else known.follows_taken(segment, now_ns)


def _belongs_to_conversation(state: int, packet: bytes, utterance: Utterance, known: Known) -> bool:
    ip = packet[16:20] if packet[0] >> 4 == 4 else packet[24:40]
    if state in OPENS:
        return state == OPENING and not known.is_left(ip, utterance.name)
    return state == KEEPING_UDP or known.hears(ip, utterance.name)


class Compiled:
    """One table, ready for packets: where each address's packets go."""

    def __init__(self, table: Table) -> None:
        self._rows = {row.ip: row for row in table.rows}

    def place(self, packet: bytes) -> tuple[Row, int | Unhashable, int] | None:
        """(address, slot or why there is none, state); None for what is not ours to judge."""
        destination = packet[16:20] if packet[:1] and packet[0] >> 4 == 4 else packet[24:40]
        row = self._rows.get(destination)
        if row is None or is_neighbour_discovery(packet):
            return None
        slot = slot_of_packet(packet, row.hash_kind, row.seed, row.slots, row.hash_order, row.port_rules)
        if isinstance(slot, Unhashable):
            return row, slot, CLOSED
        return row, slot, row.states[slot] if slot < len(row.states) else CLOSED


def cautious(in_force: Table, former: Table, tables: Sequence[Table], *, in_step: bool) -> Table:
    """The last of `tables` for packets that may have been queued before it came: none is accepted on its strength.

    A slot that has opened did not accept when those packets arrived, and another host may have answered them.  The
    tables are those that came since `former`; `in_force` is what was judged by until now, `former` or a cautious form
    of it.  Where some of them are not known (`in_step` false: this process was stopped for long), any slot may have
    been closed.

    A slot that noted its SYNs and is to drain hears out its queue first, and one that is to be listened for keeps
    nothing that was queued before: who is told of it counts on either (`is_settling`).
    """
    if not in_step:
        in_force = former = EMPTY
    for table in tables:
        in_force, former = _cautious_step(in_force, former, table), table
    return in_force


def _cautious_step(in_force: Table, former: Table, table: Table) -> Table:
    judged = {row.resource: row for row in in_force.rows}
    before = {row.resource: row for row in former.rows}
    rows = (_cautious_row(judged.get(row.resource), before.get(row.resource), row) for row in table.rows)
    return structs.replace(table, rows=tuple(rows))


def _cautious_row(in_force: Row | None, former: Row | None, row: Row) -> Row:
    states = bytes(map(_cautious_state, _states(in_force, row), _states(former, row), row.states))
    return row if states == row.states else structs.replace(row, states=states)


def _states(former: Row | None, row: Row) -> bytes:
    """All closed where that was another address, or hashed otherwise."""
    return former.states if former is not None and _hash_alike(former, row) else bytes(len(row.states))


def _cautious_state(old: int, former: int, new: int) -> int:
    if (old == NOTING and new in DRAINS) or (old == KEEPING_UDP and new == DRAINING):
        return old
    if new in (CLOSED, old) or old in TAKES_ALL:
        return new
    if old == LISTENING and (new in OPENS or (new in TAKES_ALL and former in OPENS | TAKES_ALL)):
        return old  # what was kept comes in once it is known what else was queued
    if old == LEAVING_UDP and new == OPENING:
        return old
    if old == OPENING and new == LEAVING_UDP:
        return new
    if new in TAKES_ALL and old in DRAINS | OPENS:
        return old
    return STALE_STATE


def is_settling(in_force: Table, table: Table) -> bool:
    """Whether what is queued still matters so that `table` is not to be acknowledged yet."""
    now = {row.resource: row.states for row in table.rows}
    return any(
        state != new and _settles(state, new)
        for row in in_force.rows
        for state, new in zip(row.states, now.get(row.resource, b""), strict=False)
    )


def _settles(state: int, new: int) -> bool:
    if new == NOTING:
        return state in DRAINS | OPENS | {LISTENING}  # what these let in is not noted for the next owner
    return state == NOTING or new == LISTENING or (state, new) == (KEEPING_UDP, DRAINING)


def _hash_alike(a: Row, b: Row) -> bool:
    one = (a.ip, a.hash_kind, a.hash_order, a.port_rules, a.seed, len(a.states))
    return one == (b.ip, b.hash_kind, b.hash_order, b.port_rules, b.seed, len(b.states))
