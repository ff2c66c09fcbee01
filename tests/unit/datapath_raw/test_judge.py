"""What becomes of a packet in each slot state, and while older packets may still be queued."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
)
from scapy.packet import Packet, Raw

from datapath.engine import SlotState
from datapath.hashing import Unhashable
from datapath.hold.syns import syn_of
from datapath.raw.judge import (
    DRAINS,
    OPENS,
    STALE_STATE,
    Compiled,
    Connection,
    Known,
    belongs,
    cautious,
    is_settling,
    read_segment,
)
from datapath.raw.table import EMPTY, LISTENING, Table
from tests.unit.datapath_raw.test_table import row

VIP, CLIENT = "192.168.110.120", "192.168.110.1"
OURS = Connection(bytes([192, 168, 110, 120]), 80, bytes([192, 168, 110, 1]), 4000)
DRAINING, OPENING = int(SlotState.DRAINING), int(SlotState.OPENING)
LATER = 1_000

tcp = IP(src=CLIENT, dst=VIP) / TCP(sport=4000, dport=80, flags="A") / Raw(b"data")
syn = IP(src=CLIENT, dst=VIP) / TCP(sport=4000, dport=80, flags="S")
quoted = IP(src=VIP, dst=CLIENT) / TCP(sport=80, dport=4000, flags="A")
error = IP(src="10.0.0.1", dst=VIP) / ICMP(type=3, code=4) / Raw(bytes(quoted))
echo = IP(src=CLIENT, dst=VIP) / ICMP()
datagram = IP(src=CLIENT, dst=VIP) / UDP(sport=4000, dport=80)
first_piece, second_piece = fragment(
    IP(src=CLIENT, dst=VIP) / TCP(sport=4000, dport=80) / Raw(b"x" * 80), fragsize=56
)


def nobody() -> Known:
    return Known(lambda _: False, lambda _: False)


def established() -> Known:
    return Known(lambda connection: connection == OURS, lambda _: False)


def half_open() -> Known:
    return Known(lambda connection: connection == OURS, lambda connection: connection == OURS)


@pytest.mark.parametrize(
    ("packet", "known", "draining", "opening"),
    [
        (tcp, nobody, False, False),
        (tcp, established, True, True),
        (syn, nobody, False, True),
        (syn, half_open, True, True),
        (syn, established, False, True),
        (error, nobody, False, False),
        (error, established, True, True),
        (echo, nobody, False, True),
        (datagram, established, False, True),
        (first_piece, established, True, False),
        (second_piece, nobody, True, False),
    ],
    ids=[
        *("segment of a stranger", "segment of ours", "new syn", "repeated syn", "syn over a connection"),
        *("error for a stranger", "error for ours", "echo", "datagram", "first piece", "second piece"),
    ],
)
def test_what_a_moving_slot_takes(packet: Packet, known: type[Known], draining: bool, opening: bool) -> None:
    data = bytes(packet)
    assert belongs(DRAINING, data, known(), LATER) is draining
    assert belongs(OPENING, data, known(), LATER) is opening


BEHIND_HEADERS = {
    "destination options": IPv6ExtHdrDestOpt(),
    "hop by hop, then destination options": IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt(),
    "an atomic fragment": IPv6ExtHdrFragment(offset=0, m=0),
}


@pytest.mark.parametrize("headers", BEHIND_HEADERS.values(), ids=BEHIND_HEADERS)
@pytest.mark.parametrize("flags", ["A", "S"])
def test_extension_headers_change_nothing(headers: Packet, flags: str) -> None:
    ends = IPv6(src="fd00::1", dst="fd00::120")
    segment = TCP(sport=4000, dport=80, flags=flags, seq=7) / Raw(b"data")
    plain, behind = (bytes(packet) for packet in (ends / segment, ends / headers / segment))
    assert read_segment(behind) == read_segment(plain)
    assert syn_of(behind) == syn_of(plain)
    for known, state in product((nobody, half_open), (DRAINING, OPENING)):
        assert belongs(state, behind, known(), LATER) == belongs(state, plain, known(), LATER)


def test_a_piece_of_a_segment_behind_further_headers_is_the_old_owners() -> None:
    piece = IPv6(src="fd00::1", dst="fd00::120") / IPv6ExtHdrDestOpt() / IPv6ExtHdrFragment(offset=0, m=1, nh=6)
    packet = bytes(piece / Raw(bytes(TCP(sport=4000, dport=80)) + b"x" * 12))
    assert belongs(DRAINING, packet, nobody(), LATER)
    assert not belongs(OPENING, packet, nobody(), LATER)


def test_no_packet_is_taken_by_both_hosts_of_a_move_unless_both_have_the_connection() -> None:
    """The old owner knows its connections, the new one none: what one takes the other leaves."""
    for packet in (tcp, error, echo, datagram, first_piece, second_piece):
        old = belongs(DRAINING, bytes(packet), established(), LATER)
        new = belongs(OPENING, bytes(packet), nobody(), LATER)
        assert old != new, packet.summary()


def test_what_follows_a_syn_that_an_opening_slot_let_in_is_taken_though_no_socket_is_there_yet() -> None:
    """A SYN cookie leaves none.  The old owner answers for its sockets alone."""
    known = nobody()
    known.note_syn(OURS.key, 0, 1_000)
    follows = IP(src=CLIENT, dst=VIP) / TCP(sport=4000, dport=80, flags="A", seq=1)
    assert belongs(OPENING, bytes(follows), known, 2_000)
    assert not belongs(OPENING, bytes(follows), known, 1_000 + Known.SYN_NS)
    assert not belongs(DRAINING, bytes(follows), known, 2_000)
    assert not belongs(DRAINING, bytes(syn), known, 2_000)


def test_a_client_that_takes_its_ports_again_is_not_taken_for_its_former_connection() -> None:
    known = nobody()
    known.note_syn(OURS.key, 77, 1_000)
    assert not belongs(OPENING, bytes(tcp), known, 2_000)


def test_sequence_numbers_wrap_around() -> None:
    known = nobody()
    known.note_syn(OURS.key, 0xFFFF_FFFF, 1_000)
    assert belongs(OPENING, bytes(tcp), known, 2_000)


def test_noted_syns_are_bounded_and_the_oldest_goes_first() -> None:
    known = nobody()
    for number in range(Known.SYNS_MAX + 1):
        known.note_syn(number.to_bytes(12, "big"), 0, number)
    known.note_syn(OURS.key, 0, 1)
    assert len(known._syns) == Known.SYNS_MAX
    assert (0).to_bytes(12, "big") not in known._syns
    assert OURS.key in known._syns


def test_a_connections_key_is_what_stands_in_the_packet() -> None:
    assert bytes(tcp)[12:24] == OURS.key


def test_an_error_is_about_the_connection_that_it_quotes() -> None:
    segment = read_segment(bytes(error))
    assert segment is not None
    assert segment.connection == OURS
    assert not segment.begins


def test_ipv6_is_read_as_well() -> None:
    packet = IPv6(src="fd00::1", dst="fd00::78") / TCP(sport=4000, dport=80, flags="S")
    segment = read_segment(bytes(packet))
    assert segment is not None
    assert (segment.connection.local_port, segment.connection.remote_port, segment.begins) == (80, 4000, True)
    back = IPv6(src="fd00::78", dst="fd00::1") / TCP(sport=80, dport=4000)
    error6 = IPv6(src="fd00::9", dst="fd00::78") / ICMPv6PacketTooBig() / Raw(bytes(back))
    told = read_segment(bytes(error6))
    assert told is not None
    assert told.connection == segment.connection
    assert read_segment(bytes(IPv6(src="fd00::1", dst="fd00::78") / ICMPv6EchoRequest())) is None


@given(st.sampled_from([tcp, error, datagram, first_piece]), st.data())
def test_no_damaged_packet_raises(packet: Packet, data: st.DataObject) -> None:
    damaged = bytearray(bytes(packet))
    for at in data.draw(st.lists(st.integers(0, len(damaged) - 1), max_size=8)):
        damaged[at] = data.draw(st.integers(0, 255))
    shortened = bytes(damaged)[: data.draw(st.integers(0, len(damaged)))]
    for state in (DRAINING, OPENING):
        belongs(state, shortened, nobody(), LATER)


@given(st.binary(max_size=120))
def test_no_bytes_raise(packet: bytes) -> None:
    read_segment(packet)
    Compiled(Table("vipraw", (row(),))).place(packet)


def test_a_packet_is_placed_by_its_destination() -> None:
    table = Table("vipraw", (row(states=b"\1\1\1\1"),))
    placed = Compiled(table).place(bytes(tcp))
    assert placed is not None
    assert placed[0] == table.rows[0]
    assert placed[2] == 1
    assert Compiled(table).place(bytes(IP(src=CLIENT, dst="10.0.0.1") / TCP())) is None
    assert Compiled(table).place(bytes(tcp)[:30]) == (table.rows[0], Unhashable.TRUNCATED, 0)


TAKES = {
    SlotState.CLOSED: set[str](),
    STALE_STATE: set[str](),
    SlotState.DRAINING: {"ours", "pieces", "known UDP"},
    SlotState.KEEPING_UDP: {"ours", "pieces", "known UDP", "UDP"},
    SlotState.OPENING: {"ours", "new", "UDP"},
    SlotState.LEAVING_UDP: {"ours", "new"},
    SlotState.OPEN: {"ours", "new", "pieces", "others", "known UDP", "UDP"},
    SlotState.NOTING: {"ours", "new", "pieces", "others", "known UDP", "UDP"},
    LISTENING: set[str](),
}


HEARD_OUT = {
    (SlotState.NOTING, SlotState.DRAINING),
    (SlotState.NOTING, SlotState.KEEPING_UDP),
    (SlotState.KEEPING_UDP, SlotState.DRAINING),
}


def of(*states: int) -> Table:
    return Table("vipraw", (row(states=bytes(states)),))


def through(*states: int) -> int:
    """The state that packets of unknown age are judged by when a slot went through these; the first is in force."""
    first, *later = map(of, states)
    return cautious(first, first, later, in_step=True).rows[0].states[0]


def test_a_packet_of_unknown_age_is_taken_only_if_both_tables_take_it() -> None:
    for old, new in product([*SlotState, STALE_STATE, LISTENING], [*SlotState, LISTENING]):
        state = through(old, new)
        if (old, new) in HEARD_OUT:
            assert is_settling(of(state), of(new))  # and the engine waits for that
        else:
            assert TAKES[state] <= TAKES[old] & TAKES[new], (old, new, state)
            settling = (new == LISTENING and old not in (LISTENING, SlotState.OPEN, SlotState.NOTING)) or (
                new == SlotState.NOTING and state in DRAINS | OPENS | {LISTENING}
            )
            assert is_settling(of(state), of(new)) == settling
        alone = cautious(of(old), of(old), [of(new)], in_step=False)
        assert alone.rows[0].states[0] in (SlotState.CLOSED, STALE_STATE, LISTENING)


def test_a_forwarder_that_slept_takes_nothing_that_a_table_between_would_have_dropped() -> None:
    """The engine gives up waiting for one that is busy, puts the former table back, and tries again."""
    everything = [*SlotState, LISTENING]
    for old, between, new in product(everything, everything, everything):
        state = through(old, between, new)
        if {(old, between), (between, new), (old, new)} & HEARD_OUT:
            continue
        assert TAKES[state] <= TAKES[old] & TAKES[between] & TAKES[new], (old, between, new, state)


@pytest.mark.parametrize("opening", [SlotState.OPENING, SlotState.LEAVING_UDP])
def test_a_slot_that_moves_on_before_its_queue_was_read_keeps_what_it_took_while_it_opened(opening: int) -> None:
    assert through(opening, SlotState.OPEN, SlotState.NOTING) == opening
    assert is_settling(of(opening), of(SlotState.NOTING))


def test_what_was_queued_while_a_close_was_tried_in_vain_is_heard_out() -> None:
    noting, draining = SlotState.NOTING, SlotState.DRAINING
    assert through(noting, draining, noting, draining) == noting
    assert is_settling(of(noting), of(draining))
    assert through(noting, draining, SlotState.CLOSED, noting) == STALE_STATE


@pytest.mark.parametrize("opening", [SlotState.OPENING, SlotState.LEAVING_UDP])
def test_a_slot_that_opened_while_the_forwarder_slept_lets_in_what_was_kept_for_it(opening: int) -> None:
    assert through(LISTENING, opening, SlotState.OPEN) == LISTENING
    assert through(LISTENING, opening, SlotState.OPEN, SlotState.OPEN) == LISTENING
    assert through(LISTENING, opening, SlotState.OPEN, SlotState.NOTING) == LISTENING
    assert is_settling(of(LISTENING), of(SlotState.NOTING))
    assert through(LISTENING, SlotState.OPEN) == STALE_STATE  # by another way: nobody told what the other host took
    assert through(LISTENING, SlotState.CLOSED, opening, SlotState.OPEN) == STALE_STATE


def test_slots_that_only_close_need_no_caution() -> None:
    former = Table("vipraw", (row(states=b"\1\1\2\3"),))
    table = Table("vipraw", (row(states=b"\1\2\0\0"),))
    assert cautious(former, former, [table], in_step=True) == table


def test_an_address_that_is_new_or_hashes_differently_starts_from_nothing() -> None:
    table = Table("vipraw", (row(states=b"\1\1"),))
    stale = bytes([STALE_STATE] * 2)
    assert cautious(EMPTY, EMPTY, [table], in_step=True).rows[0].states == stale
    reseeded = Table("vipraw", (structs.replace(table.rows[0], seed=99),))
    assert cautious(table, table, [reseeded], in_step=True).rows[0].states == stale
