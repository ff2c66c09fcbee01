"""The packet path, with unix sockets for wire and device: what goes in, what comes out, and when nothing does."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs
from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Packet, Raw

from datapath.engine import PortFate, PortRule, SlotState
from datapath.hashing import slot_of_packet
from datapath.raw.judge import Known
from datapath.raw.pump import Outcome, Pump, WireLostError
from datapath.raw.table import (
    ACCEPTED,
    DEADLINE_AT,
    EXPIRED,
    FOREIGN,
    SharedTable,
    Table,
    address_counter,
    slot_counter,
)
from tests.unit.datapath_raw.test_table import row

VIP, CLIENT = "192.168.110.120", "192.168.110.1"
NO_HEADER = bytes(10)
ETHERNET = b"\x21\x37\x6f\x88\xc2\xa0" + b"\x02" * 6 + b"\x08\x00"
FAR = 1 << 62


class Line:
    def __init__(self, path: Path) -> None:
        self.shared = SharedTable.create(path)
        self.counters = self.shared.map_counters()
        self.known = Known(lambda _: False, lambda _: False)
        self.pump = Pump(self.shared.words, self.counters, self.known, self.shared.log_syn)
        kind = socket.SOCK_DGRAM
        self.near, self.wire = socket.socketpair(socket.AF_UNIX, kind)
        self.device, self.stack = socket.socketpair(socket.AF_UNIX, kind)
        for sock in (self.wire, self.stack):
            sock.setblocking(False)
        self.table = Table("vipraw", (row(states=b"\1\1\1\1"),))
        self.publish(b"\1\1\1\1")
        self.use()
        self.shared.words[DEADLINE_AT] = FAR

    def publish(self, states: bytes) -> None:
        self.table = Table("vipraw", (row(states=states),))
        self.generation = self.shared.publish(self.table)

    def use(self) -> None:
        self.pump.use(self.table, self.generation, self.device.fileno())

    def arrive(self, packet: bytes, header: bytes = NO_HEADER) -> None:
        self.near.send(header + ETHERNET + packet)

    def forward(self) -> Outcome:
        return self.pump.forward(self.wire)

    def delivered(self) -> list[bytes]:
        found = []
        while True:
            try:
                found.append(self.stack.recv(1 << 17))
            except BlockingIOError:
                return found

    def close(self) -> None:
        for sock in (self.near, self.wire, self.device, self.stack):
            sock.close()


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    made = Line(tmp_path / "raw.table")
    try:
        yield made
    finally:
        made.close()


def tcp(port: int = 4000, flags: str = "A", size: int = 0) -> bytes:
    return bytes(IP(src=CLIENT, dst=VIP) / TCP(sport=port, dport=80, flags=flags) / Raw(b"x" * size))


def test_an_accepted_packet_goes_on_without_its_ethernet_header_and_is_counted(line: Line) -> None:
    packet = tcp(size=100)
    line.arrive(packet)
    assert line.forward() is Outcome.EMPTY
    assert line.delivered() == [NO_HEADER + packet]
    number = slot_of_packet(packet, row().hash_kind, row().seed, row().slots)
    assert isinstance(number, int)
    at = slot_counter(line.table.rows[0], number, ACCEPTED)
    assert (line.counters[at], line.counters[at + 1]) == (1, len(packet))


def test_offsets_of_an_unfinished_checksum_and_of_merged_segments_count_from_the_packet(line: Line) -> None:
    # flags NEEDS_CSUM, type TCPV4, header length, segment size, checksum start and offset (linux/virtio_net.h)
    line.arrive(tcp(size=3000), struct.pack("=BBHHHH", 1, 1, 14 + 40, 1448, 14 + 20, 16))
    line.forward()
    (delivered,) = line.delivered()
    assert struct.unpack_from("=BBHHHH", delivered) == (1, 1, 40, 1448, 20, 16)
    assert delivered[10:] == tcp(size=3000)


def test_a_packet_of_64_kib_passes_whole(line: Line) -> None:
    for sock in (line.near, line.device):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    packet = tcp(size=65_495)
    assert len(packet) == 65_535
    line.arrive(packet, struct.pack("=BBHHHH", 1, 1, 54, 1448, 34, 16))
    line.forward()
    assert line.delivered()[0][10:] == packet


def test_the_deadline_is_read_for_each_packet(line: Line) -> None:
    line.shared.words[DEADLINE_AT] = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    line.arrive(tcp())
    line.forward()
    assert line.delivered() == []
    assert line.counters[address_counter(line.table.rows[0], EXPIRED)] == 1
    line.shared.words[DEADLINE_AT] = FAR
    line.arrive(tcp())
    line.forward()
    assert len(line.delivered()) == 1


def test_a_packet_judged_by_a_former_table_is_judged_again(line: Line) -> None:
    line.publish(b"\0\0\0\0")
    line.arrive(tcp())
    assert line.forward() is Outcome.TABLE_CHANGED
    assert line.delivered() == []
    line.use()
    assert line.forward() is Outcome.EMPTY
    assert line.delivered() == []


def test_the_packet_at_hand_is_not_lost_when_the_new_table_takes_it_too(line: Line) -> None:
    line.publish(b"\1\1\1\1")
    line.arrive(tcp())
    assert line.forward() is Outcome.TABLE_CHANGED
    line.use()
    line.forward()
    assert line.delivered() == [NO_HEADER + tcp()]


def test_a_remembered_flow_obeys_the_table_in_force(line: Line) -> None:
    line.arrive(tcp())
    line.forward()
    line.publish(b"\0\0\0\0")
    line.use()
    line.arrive(tcp())
    line.forward()
    assert len(line.delivered()) == 1
    assert sum(line.counters[slot_counter(line.table.rows[0], n, FOREIGN)] for n in range(4)) == 1


@pytest.mark.parametrize("fate", [PortFate.REFUSED, PortFate.SHARED])
def test_a_remembered_datagram_says_nothing_of_the_same_ports_in_tcp(line: Line, fate: PortFate) -> None:
    """Rules for ports are of one protocol."""
    rule = PortRule(80, 80, fate, protocol=6)
    line.table = Table("vipraw", (structs.replace(line.table.rows[0], port_rules=(rule,)),))
    line.generation = line.shared.publish(line.table)
    line.use()
    datagram = bytes(IP(src=CLIENT, dst=VIP) / UDP(sport=4000, dport=80) / Raw(b"x" * 20))
    for packet in (datagram, tcp()):
        line.arrive(packet)
    line.forward()
    wanted = [datagram] if fate is PortFate.REFUSED else [datagram, tcp()]
    assert line.delivered() == [NO_HEADER + packet for packet in wanted]


def test_a_lost_interface_is_told(line: Line) -> None:
    line.wire.close()
    with pytest.raises(WireLostError):
        line.forward()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(data=st.binary(max_size=200), states=st.binary(min_size=4, max_size=4))
def test_no_bytes_on_the_wire_raise(line: Line, data: bytes, states: bytes) -> None:
    line.publish(bytes(state & 3 for state in states))
    line.use()
    line.near.send(data or b"\0")
    line.forward()
    line.delivered()


headers = st.tuples(st.integers(0, 255), st.integers(0, 255), *[st.integers(0, 65535)] * 4)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(
    cut=st.integers(0, 60),
    changes=st.lists(st.tuples(st.integers(0, 59), st.integers(0, 255)), max_size=6),
    state=st.sampled_from(SlotState),
    header=headers,
)
def test_no_damaged_packet_raises(
    line: Line, cut: int, changes: list[tuple[int, int]], state: SlotState, header: tuple[int, ...]
) -> None:
    packet: Packet = IP(src=CLIENT, dst=VIP) / UDP(sport=1, dport=2) / Raw(b"y" * 40)
    damaged = bytearray(bytes(packet))
    for at, value in changes:
        damaged[at] = value
    line.publish(bytes([state]) * 4)
    line.use()
    line.arrive(bytes(damaged)[: len(damaged) - cut], struct.pack("=BBHHHH", *header))
    line.forward()
    line.delivered()
