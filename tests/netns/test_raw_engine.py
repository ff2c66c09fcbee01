"""The raw engine with real packets: which host takes them, by which rule."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Raw

from datapath.census import count, whole
from datapath.engine import Address, DatapathError, HashKind, MacMode, SlotState, Wish
from datapath.hashing import key_of, slot
from datapath.mac import shared_mac
from tests.netns.frames import breaking_resets
from tests.netns.raw_bench import (
    ALL_OPEN,
    CLIENT,
    PORT,
    SEED,
    SHARED,
    SLOTS,
    VIP,
    Bench,
    address,
    bench_of,
    greeting,
    owner_slot,
    port_of_slot,
    syn,
)
from tests.netns.raw_segment import ip, wait_for

pytestmark = pytest.mark.root


@pytest.fixture
def trio(tmp_path: Path) -> Iterator[Bench]:
    with bench_of(3, tmp_path) as bench:
        yield bench


@pytest.fixture
def solo(tmp_path: Path) -> Iterator[Bench]:
    with bench_of(1, tmp_path) as bench:
        yield bench


def test_each_of_hundreds_of_connections_is_accepted_by_the_host_that_the_hash_names(trio: Bench) -> None:
    owners = trio.split()
    tap = trio.tap()
    wrong = []
    for _ in range(300):
        with trio.connect() as sock:
            expected = owners[owner_slot(CLIENT, sock.getsockname()[1])]
            if greeting(sock) != expected:
                wrong.append(sock.getsockname())
    heard = tap.heard(0.1)
    tap.close()
    names = {host.station.mac: host.name for host in trio.hosts}
    assert wrong == []
    assert [packet for packet in heard if names[packet.src] != owners[owner_slot(CLIENT, packet[TCP].dport)]] == []
    assert breaking_resets(bytes(packet) for packet in heard) == []


def test_clients_hash_by_address_alone_when_told_so(trio: Bench) -> None:
    owners = trio.split(HashKind.SOURCEIP)
    sources = [f"192.168.110.{number}" for number in range(2, 102)]
    for source in sources:
        ip("-n", trio.client.namespace, "address", "add", f"{source}/24", "dev", "eth0")
    for source in sources:
        with trio.connect(source) as sock:
            assert greeting(sock) == owners[owner_slot(source, 0, HashKind.SOURCEIP)]


def test_a_packet_of_a_foreign_slot_is_dropped_in_silence(solo: Bench) -> None:
    host = solo.hosts[0]
    host.apply({0: SlotState.OPEN})
    tap = solo.tap()
    for number in range(1, SLOTS):
        solo.send(syn(port_of_slot(number)), tap)
        solo.send(IP(src=CLIENT, dst=str(VIP)) / UDP(sport=port_of_slot(number), dport=9) / Raw(b"x"), tap)
    wait_for("the forwarder to have seen them", lambda: host.count("foreign") == 2 * (SLOTS - 1))
    assert tap.heard(0.2) == []
    tap.close()


def test_a_ping_is_answered_by_exactly_one_host(trio: Bench) -> None:
    owners = trio.split()
    tap = trio.tap()
    for number in range(20):
        solo_source = f"192.168.110.{number + 2}"
        packet = IP(src=solo_source, dst=str(VIP)) / ICMP(id=7, seq=number) / Raw(b"hello")
        ip("-n", trio.client.namespace, "address", "add", f"{solo_source}/24", "dev", "eth0")
        trio.send(packet, tap)
    replies = tap.heard(0.5)
    tap.close()
    by_mac = {host.station.mac: host.name for host in trio.hosts}
    answered = sorted((reply[IP].dst, by_mac[reply.src]) for reply in replies)
    clients = [f"192.168.110.{number + 2}" for number in range(20)]
    expected = sorted((c, owners[slot(key_of(HashKind.SOURCEIP, IPv4Address(c)), SEED, SLOTS)]) for c in clients)
    assert answered == expected


@pytest.mark.parametrize("mode", list(MacMode))
def test_every_kind_of_shared_mac_works(solo: Bench, mode: MacMode) -> None:
    host = solo.hosts[0]
    mac = shared_mac(VIP, 24, mode=mode)
    with host.station.inside():
        host.engine.apply([Wish(replace(address(), mac=mac, mac_mode=mode), ALL_OPEN)])
    host.responder.serve({VIP: mac})
    with solo.connect() as sock:
        assert greeting(sock) == host.name
    assert mac in ip("-n", solo.client.namespace, "neigh", "show", str(VIP))


def test_an_ipv6_address_is_shared_as_well(trio: Bench) -> None:
    """Neighbour discovery is answered elsewhere: the client is told the MAC."""
    vip = IPv6Address("fd00:110::120")
    mac = shared_mac(vip, 64)
    shared = Address("VIP6", vip, 64, "eth0", mac, HashKind.SOURCEIP_SOURCEPORT, SEED, SLOTS)
    sockets = contextlib.ExitStack()
    for number, station in enumerate([trio.client, *(host.station for host in trio.hosts)]):
        ip("-n", station.namespace, "address", "add", f"fd00:110::{number + 1}/64", "dev", "eth0", "nodad")
    ip("-n", trio.client.namespace, "neigh", "add", str(vip), "lladdr", mac, "dev", "eth0", "nud", "permanent")
    names: dict[int, str] = {}
    with sockets:
        listeners = {}
        for index, host in enumerate(trio.hosts):
            mine = range(index, SLOTS, len(trio.hosts))
            names |= dict.fromkeys(mine, host.name)
            with host.station.inside():
                host.engine.apply([Wish(shared, dict.fromkeys(mine, SlotState.OPEN))])
                listener = socket.create_server(("::", PORT + 1), family=socket.AF_INET6, backlog=64)
            listener.settimeout(3)
            listeners[host.name] = sockets.enter_context(listener)
        for _ in range(30):
            with trio.client.inside():
                client = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
            with client:
                client.settimeout(3)
                client.connect((str(vip), PORT + 1))
                here = client.getsockname()
                key = key_of(HashKind.SOURCEIP_SOURCEPORT, IPv6Address(here[0]), here[1])
                served, peer = listeners[names[slot(key, SEED, SLOTS)]].accept()
                served.close()
                assert peer[1] == here[1]


def test_draining_keeps_connections_and_takes_no_new_ones(solo: Bench) -> None:
    host = solo.hosts[0]
    host.apply(ALL_OPEN)
    with solo.connect(source_port=20000) as old:
        assert greeting(old) == host.name
        number = owner_slot(CLIENT, 20000)
        with host.station.inside():
            assert whole(count(address())) == {number: 1}
        host.apply(dict.fromkeys(range(SLOTS), SlotState.DRAINING))
        old.sendall(b"still here")
        assert old.recv(100) == b"still here"
        with pytest.raises(TimeoutError):
            solo.connect(timeout_s=0.5)
        old.sendall(b"and still")
        assert old.recv(100) == b"and still"
    with host.station.inside():
        wait_for("the end of the connection", lambda: not whole(count(address())))


def test_draining_takes_the_rest_of_a_handshake_that_it_began(solo: Bench) -> None:
    host = solo.hosts[0]
    ip("-n", solo.client.namespace, "address", "add", "192.168.110.77/24", "dev", "eth0")
    host.apply(ALL_OPEN)
    tap = solo.tap()
    silence = "add table ip t; add chain ip t i { type filter hook input priority 0; tcp dport 20000 drop; }"
    assert solo.client.run("nft", silence).returncode == 0
    solo.send(syn(20000, sequence=100), tap)
    answers = [packet for packet in tap.heard() if packet[TCP].flags == "SA"]
    assert answers
    host.apply(dict.fromkeys(range(SLOTS), SlotState.DRAINING))
    last = TCP(sport=20000, dport=PORT, flags="A", seq=101, ack=answers[0][TCP].seq + 1)
    solo.send(IP(src=CLIENT, dst=str(VIP)) / last, tap)
    assert any(bytes(packet[TCP].payload)[:2] == host.name.encode() for packet in tap.heard())
    tap.close()


def test_opening_takes_new_connections_and_leaves_foreign_ones_alone(solo: Bench) -> None:
    host = solo.hosts[0]
    host.apply(dict.fromkeys(range(SLOTS), SlotState.OPENING))
    tap = solo.tap()
    stray = IP(src=CLIENT, dst=str(VIP)) / TCP(sport=20000, dport=PORT, flags="A", seq=5, ack=7)
    solo.send(stray, tap)
    wait_for("the forwarder to have seen it", lambda: host.count("opening") == 1)
    assert tap.heard(0.1) == []
    tap.close()
    with solo.connect() as new:
        assert greeting(new) == host.name
        new.sendall(b"hello")
        assert new.recv(100) == b"hello"


def test_megabytes_pass_in_both_directions_with_offloads(solo: Bench) -> None:
    """Segments arrive merged and without checksums here, as on most virtual machines."""
    host = solo.hosts[0]
    host.apply(ALL_OPEN)
    payload = os.urandom(1 << 20) * 8
    with solo.connect(timeout_s=10) as sock:
        assert greeting(sock) == host.name
        sender = threading.Thread(target=sock.sendall, args=(payload,))
        sender.start()
        received = bytearray()
        while len(received) < len(payload):
            data = sock.recv(1 << 16)
            assert data
            received += data
        sender.join(10)
    assert bytes(received) == payload
    sizes = [c.bytes / c.packets for c in host.engine.counters() if c.verdict == "accepted" and c.packets > 20]
    assert max(sizes) > 3000, "no merged segment came: the test has lost its point"


def test_an_address_on_an_interface_that_is_missing_changes_nothing(solo: Bench) -> None:
    host = solo.hosts[0]
    host.apply(ALL_OPEN)
    other = Address("B", IPv4Address("10.9.9.9"), 24, "eth9", SHARED, HashKind.SOURCEIP, 0, 4)
    with host.station.inside(), pytest.raises(DatapathError, match="eth9"):
        host.engine.apply([Wish(address(), {}), Wish(other, {0: SlotState.OPEN})])
    assert host.engine.state() == [Wish(address(), ALL_OPEN)]
