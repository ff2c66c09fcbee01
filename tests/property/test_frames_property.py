"""Frames from outside never raise, and the kernel's filter lets through what the model of it says."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

from hypothesis import given, settings
from hypothesis import strategies as st

from datapath import bpf_filter, frames
from datapath.frames import Arp, ArpOperation, build_arp, parse_arp

macs = st.one_of(st.binary(min_size=6, max_size=6), st.sampled_from([b"\x21\x37\x6f\x88\xc2\xa0", b"\xff" * 6]))
few_addresses = [IPv4Address("192.168.110.120") + number for number in range(4)]
addresses = st.one_of(st.sampled_from(few_addresses), st.builds(IPv4Address, st.integers(0, 2**32 - 1)))
arps = st.builds(Arp, macs, macs, st.sampled_from(ArpOperation), macs, addresses, macs, addresses)
served_macs = st.sampled_from(
    [b"\x21\x37\x6f\x88\xc2\xa0", b"\x21\x37\x6f\x88\xc2\xa1", b"\x21\x38\x6f\x88\xc2\xa0"]
)
served = st.dictionaries(st.sampled_from(few_addresses), served_macs, max_size=4)


class FilteredPair:
    """A socket behind a filter, run by the kernel itself: filters work on unix sockets as on packet sockets."""

    def __init__(self, program: bpf_filter.Program) -> None:
        self._near, self._far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._far.setblocking(False)
        bpf_filter.attach(self._far, program)

    def passes(self, frame: bytes) -> bytes | None:
        self._near.send(frame)
        try:
            return self._far.recv(65536)
        except BlockingIOError:
            return None

    def close(self) -> None:
        self._near.close()
        self._far.close()


def let_through(program: bpf_filter.Program, seen: Iterable[bytes]) -> list[bytes | None]:
    pair = FilteredPair(program)
    try:
        return [pair.passes(frame) for frame in seen]
    finally:
        pair.close()


@given(st.binary(max_size=80))
def test_any_bytes_are_parsed_or_refused(data: bytes) -> None:
    parsed = parse_arp(data)
    assert parsed is None or build_arp(parsed) == data[: frames.ARP_FRAME_BYTES]


@given(arps)
def test_what_is_built_is_read_back(arp: Arp) -> None:
    assert parse_arp(build_arp(arp)) == arp


@settings(max_examples=60, deadline=None)
@given(served, st.lists(arps, max_size=20))
def test_the_arp_filter_wakes_for_questions_and_strangers_claims_alone(
    served: dict[IPv4Address, bytes], seen: list[Arp]
) -> None:
    def concerns_us(arp: Arp) -> bool:
        if arp.sender_ip in served:
            return arp.sender_mac != served[arp.sender_ip]
        return arp.operation is ArpOperation.REQUEST and arp.target_ip in served

    passed = let_through(bpf_filter.arp_for(served.items()), [build_arp(arp) for arp in seen])
    assert [frame is not None for frame in passed] == [concerns_us(arp) for arp in seen]


@settings(max_examples=60, deadline=None)
@given(served, st.lists(st.binary(min_size=1, max_size=60), max_size=20))
def test_the_arp_filter_refuses_what_the_parser_refuses(
    served: dict[IPv4Address, bytes], seen: list[bytes]
) -> None:
    passed = let_through(bpf_filter.arp_for(served.items()), seen)
    assert [frame for frame in passed if frame is not None and parse_arp(frame) is None] == []


ips = st.one_of(
    st.sampled_from([address.packed for address in few_addresses]),
    st.sampled_from([(IPv6Address("fd00::78") + number).packed for number in range(4)]),
    st.sampled_from([IPv6Address("fd00:0:0:1::78").packed, IPv6Address("fd01::78").packed]),
)


def packet_to(ip: bytes, mac: bytes) -> bytes:
    if len(ip) == 4:
        return mac + b"\x02" * 6 + b"\x08\x00" + b"\x45" + bytes(15) + ip + b"payload"
    return mac + b"\x02" * 6 + b"\x86\xdd" + b"\x60" + bytes(23) + ip + b"payload"


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(ips, served_macs, max_size=6), st.lists(st.tuples(ips, served_macs), max_size=20))
def test_the_packet_filter_lets_whole_packets_to_our_addresses_and_macs_through(
    served: dict[bytes, bytes], seen: list[tuple[bytes, bytes]]
) -> None:
    program = frames_of_any_type(bpf_filter.packets_for(served.items()))
    passed = let_through(program, [packet_to(ip, mac) for ip, mac in seen])
    assert passed == [packet_to(ip, mac) if served.get(ip) == mac else None for ip, mac in seen]


def test_the_packet_filter_leaves_to_the_kernel_what_the_kernel_takes_itself() -> None:
    """On a unix socket every packet counts as the host's own (PACKET_HOST)."""
    ip, mac = few_addresses[0].packed, b"\x21\x37\x6f\x88\xc2\xa0"
    assert let_through(bpf_filter.packets_for([(ip, mac)]), [packet_to(ip, mac)]) == [None]


def frames_of_any_type(program: bpf_filter.Program) -> bpf_filter.Program:
    """The program with its test of the packet type made void."""
    changed = list(program)
    for index, instruction in enumerate(program):
        if instruction.k == bpf_filter.ANCILLARY_PACKET_TYPE:
            changed[index + 1] = replace(program[index + 1], k=0xFF)
    assert changed != list(program)
    return tuple(changed)
