"""The raw engine with real packets: hosts on a segment, each with engine, forwarder and responder, and a client."""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from datapath.engine import Address, DatapathError, HashKind, MacMode, SlotState, Wish
from datapath.hashing import key_of, slot
from datapath.mac import shared_mac
from datapath.raw.engine import RawEngine
from datapath.responder import Responder, boot_clock_ns
from tests.netns.raw_segment import Segment, Station, ip, segment, wait_for

pytestmark = pytest.mark.root

VIP = IPv4Address("192.168.110.120")
SHARED = shared_mac(VIP, 24)
CLIENT, CLIENT_MAC = "192.168.110.1", "02:00:00:00:00:01"
PORT = 8080
SLOTS = 8
SEED = 0x1234ABCD
FAR = 1 << 62
ROOT = Path(__file__).parents[2]
ALL_OPEN = dict.fromkeys(range(SLOTS), SlotState.OPEN)


def address(kind: HashKind = HashKind.SOURCEIP_SOURCEPORT) -> Address:
    return Address("VIP", VIP, 24, "eth0", SHARED, kind, SEED, SLOTS)


def owner_slot(source_ip: str, source_port: int, kind: HashKind = HashKind.SOURCEIP_SOURCEPORT) -> int:
    return slot(key_of(kind, IPv4Address(source_ip), source_port, PORT), SEED, SLOTS)


class Host:
    """A station with everything that serves the address, but the daemon: the test says what the slots do."""

    def __init__(self, net: Segment, number: int, run_dir: Path) -> None:
        self.station = net.station(f"a{number}", f"192.168.110.12{number}", f"02:00:00:00:00:2{number}")
        self.name = self.station.name
        run_dir.mkdir()
        self.engine = RawEngine(run_dir)
        self.forwarder: subprocess.Popen[str] | None = None
        self._closing = contextlib.ExitStack()
        self._ended = threading.Event()
        with self.station.inside():
            self.responder = Responder("eth0")
            self._closing.callback(self.responder.close)
            self.engine.start()
            self._closing.callback(self.engine.close)
            self.listener = socket.create_server(("", PORT), backlog=512)
            self._closing.callback(self.listener.close)
        self.responder.serve({VIP: SHARED})
        self.responder.renew(FAR)
        self._closing.callback(self.end_forwarder)
        self.start_forwarder()
        for loop in (self._answer_arp, self._serve_tcp):
            thread = threading.Thread(target=loop, daemon=True)
            thread.start()
            self._closing.callback(thread.join, 5)
        self._closing.callback(self._ended.set)

    def start_forwarder(self) -> None:
        self.forwarder = subprocess.Popen(
            ["ip", "netns", "exec", self.station.namespace, *self.engine.helper_argv()],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_for("the forwarder", lambda: self.engine.ailment() is None, 10)

    def end_forwarder(self) -> None:
        if self.forwarder is not None:
            self.forwarder.send_signal(signal.SIGCONT)
            self.forwarder.terminate()
            try:
                self.forwarder.wait(5)
            except subprocess.TimeoutExpired:
                self.forwarder.kill()
                self.forwarder.wait(5)
            assert self.forwarder.stderr is not None
            self.forwarder.stderr.close()
            self.forwarder = None

    def signal(self, number: signal.Signals) -> None:
        assert self.forwarder is not None
        self.forwarder.send_signal(number)
        state = "T" if number is signal.SIGSTOP else "SRD"
        pid = self.forwarder.pid
        wait_for("the signal", lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in state)

    def apply(self, states: Mapping[int, SlotState], kind: HashKind = HashKind.SOURCEIP_SOURCEPORT) -> None:
        with self.station.inside():
            self.engine.apply([Wish(address(kind), states)])

    def closes(self, states: Mapping[int, SlotState]) -> bool:
        """Apply; False when the forwarder, starved on a busy machine, has not confirmed it in time."""
        try:
            self.apply(states)
        except DatapathError:
            return False
        return True

    def accepted(self) -> int:
        return sum(c.packets for c in self.engine.counters() if c.verdict == "accepted")

    def count(self, verdict: str) -> int:
        return sum(c.packets for c in self.engine.counters() if c.verdict == verdict)

    def close(self) -> None:
        self._closing.close()

    def _answer_arp(self) -> None:
        while not self._ended.is_set():
            if select.select([self.responder], [], [], 0.05)[0]:
                self.responder.on_readable(boot_clock_ns())

    def _serve_tcp(self) -> None:
        """Greets each connection with the host's name, then echoes it, each in a thread of its own."""
        self.listener.settimeout(0.05)
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = self.listener.accept()
                threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    def _echo(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(20)
            connection.sendall(self.name.encode())
            while data := connection.recv(1 << 16):
                connection.sendall(data)


class Bench:
    def __init__(self, net: Segment, hosts: int, run_dir: Path) -> None:
        self.client = net.station("gw", CLIENT, CLIENT_MAC)
        self.closing = contextlib.ExitStack()
        self.hosts: list[Host] = []
        try:
            for number in range(1, hosts + 1):
                host = Host(net, number, run_dir / f"a{number}")
                self.hosts.append(host)
                self.closing.callback(host.close)
            for host in self.hosts:
                host.engine.renew(FAR)
            # bridge ports forward a moment after they come up
            for host in self.hosts:
                wait_for("the segment", lambda h=host: self._reaches(h.station), 5)
        except BaseException:
            self.closing.close()
            raise

    def _reaches(self, station: Station) -> bool:
        return self.client.run("ping", "-c1", "-W1", station.address).returncode == 0

    def split(self, kind: HashKind = HashKind.SOURCEIP_SOURCEPORT) -> dict[int, str]:
        """Slots dealt out in turn; slot → name of its host."""
        for index, host in enumerate(self.hosts):
            mine = range(index, SLOTS, len(self.hosts))
            host.apply(dict.fromkeys(mine, SlotState.OPEN), kind)
        return {number: self.hosts[number % len(self.hosts)].name for number in range(SLOTS)}

    def connect(self, source: str = CLIENT, source_port: int = 0, timeout_s: float = 3) -> socket.socket:
        with self.client.inside():
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.settimeout(timeout_s)
        try:
            sock.bind((source, source_port))
            sock.connect((str(VIP), PORT))
        except OSError:
            sock.close()
            raise
        return sock

    def tap(self) -> Tap:
        return Tap(self.client.wire())

    def send(self, packet: Packet, tap: Tap) -> None:
        """One frame to the shared MAC, from the client's interface."""
        tap.sock.send(bytes(Ether(src=CLIENT_MAC, dst=SHARED) / packet))


class Tap:
    """What the client's interface hears."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def heard(self, seconds: float = 0.3) -> list[Packet]:
        """IP packets that arrive until nothing has come for `seconds`, from the shared address."""
        found = []
        while select.select([self.sock], [], [], seconds)[0]:
            data = self.sock.recv(1 << 16)
            if data[12:14] == b"\x08\x00" and data[26:30] == VIP.packed:
                found.append(Ether(data))
        return found

    def close(self) -> None:
        self.sock.close()


@pytest.fixture
def trio(tmp_path: Path) -> Iterator[Bench]:
    with segment() as net:
        bench = Bench(net, 3, tmp_path)
        try:
            yield bench
        finally:
            bench.closing.close()


@pytest.fixture
def solo(tmp_path: Path) -> Iterator[Bench]:
    with segment() as net:
        bench = Bench(net, 1, tmp_path)
        try:
            yield bench
        finally:
            bench.closing.close()


def greeting(sock: socket.socket) -> str:
    return sock.recv(2).decode()


def port_of_slot(wanted: int, start: int = 20000) -> int:
    return next(port for port in range(start, start + 10000) if owner_slot(CLIENT, port) == wanted)


def syn(port: int, sequence: int = 1) -> Packet:
    return IP(src=CLIENT, dst=str(VIP)) / TCP(sport=port, dport=PORT, flags="S", seq=sequence)


def test_each_of_hundreds_of_connections_is_accepted_by_the_host_that_the_hash_names(trio: Bench) -> None:
    owners = trio.split()
    tap = trio.tap()
    wrong = []
    for _ in range(300):
        with trio.connect() as sock:
            expected = owners[owner_slot(CLIENT, sock.getsockname()[1])]
            if greeting(sock) != expected:
                wrong.append(sock.getsockname())
    resets = [packet for packet in tap.heard(0.1) if packet[TCP].flags.R]
    tap.close()
    assert wrong == []
    assert resets == []


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


def test_after_the_lease_nothing_is_accepted(solo: Bench) -> None:
    host = solo.hosts[0]
    host.apply(ALL_OPEN)
    tap = solo.tap()
    solo.send(syn(20000), tap)
    assert len(tap.heard()) >= 1
    host.engine.renew(boot_clock_ns())
    for port in range(20001, 20021):
        solo.send(syn(port), tap)
    wait_for("the forwarder to have seen them", lambda: host.count("expired") >= 20)
    answered = {packet[TCP].dport for packet in tap.heard(0.2)}
    tap.close()
    assert not answered & set(range(20001, 20021))


def test_a_forwarder_that_was_stopped_accepts_nothing_after_the_deadline(solo: Bench) -> None:
    """Packets wait in its queue, the lease ends, it goes on: every one of them is dropped."""
    host = solo.hosts[0]
    host.apply(ALL_OPEN)
    tap = solo.tap()
    host.signal(signal.SIGSTOP)
    host.engine.renew(boot_clock_ns() + 50_000_000)
    for port in range(20001, 20101):
        solo.send(syn(port), tap)
    wait_for("the lease's end", lambda: host.engine._opened().words[2] < boot_clock_ns())
    host.signal(signal.SIGCONT)
    wait_for("the forwarder to have seen them", lambda: host.count("expired") == 100)
    assert tap.heard(0.2) == []
    tap.close()
    assert host.accepted() == 0


def test_however_a_forwarder_is_stopped_no_answer_leaves_after_the_deadline(solo: Bench) -> None:
    """Stopped at a random moment of a storm, once a round; heard is what it answers after it goes on."""
    host = solo.hosts[0]
    host.apply(ALL_OPEN)
    tap = solo.tap()
    storm_ended = threading.Event()
    frame = bytes(Ether(src=CLIENT_MAC, dst=SHARED) / IP(src=CLIENT, dst=str(VIP)) / ICMP() / Raw(b"x" * 20))

    def storm() -> None:
        with contextlib.closing(solo.client.wire(0)) as wire:
            while not storm_ended.wait(0.001):
                wire.send(frame)

    thread = threading.Thread(target=storm)
    thread.start()
    moments = random.Random(1)
    answered, late = 0, 0
    try:
        for _ in range(30):
            deadline_ns = boot_clock_ns() + moments.randint(3_000_000, 12_000_000)
            host.engine.renew(deadline_ns)
            time.sleep(moments.random() * 0.012)
            host.signal(signal.SIGSTOP)
            wait_for("the lease's end", lambda ends=deadline_ns: boot_clock_ns() > ends)
            answered += len(tap.heard(0.002))
            host.signal(signal.SIGCONT)
            late += len(tap.heard(0.01))
    finally:
        storm_ended.set()
        thread.join()
        tap.close()
    assert answered > 0
    assert late == 0


def test_what_was_queued_while_the_slot_was_elsewhere_is_not_accepted_when_it_comes_back(solo: Bench) -> None:
    """The forwarder misses that its slots were closed and opened again: another host answered those packets."""
    host = solo.hosts[0]
    host.apply(ALL_OPEN)
    tap = solo.tap()
    host.signal(signal.SIGSTOP)
    shared = host.engine._opened()
    _, table = shared.read()
    closed = type(table)(table.device, tuple(type(r)(**{**_fields(r), "states": bytes(SLOTS)}) for r in table.rows))
    shared.publish(closed)
    for port in range(20001, 20051):
        solo.send(syn(port), tap)
    shared.publish(table)
    host.signal(signal.SIGCONT)
    wait_for("the forwarder to have seen them", lambda: host.count("stale") == 50)
    assert tap.heard(0.2) == []
    solo.send(syn(20101), tap)
    assert {packet[TCP].dport for packet in tap.heard(0.3)} == {20101}
    tap.close()


def _fields(row: object) -> dict[str, object]:
    return {name: getattr(row, name) for name in row.__struct_fields__}  # type: ignore[attr-defined]


def test_a_change_that_closes_is_refused_while_the_forwarder_cannot_confirm_it(solo: Bench) -> None:
    host = solo.hosts[0]
    host.apply(ALL_OPEN)
    host.signal(signal.SIGSTOP)
    with pytest.raises(DatapathError, match="has not taken the new slot table"):
        host.apply({})
    assert host.engine.state()[0].states == ALL_OPEN
    host.signal(signal.SIGCONT)
    wait_for("the forwarder", lambda: host.engine.ailment() is None)
    host.apply({})
    assert host.engine.state()[0].states == {}


def test_a_slot_that_is_closed_accepts_nothing_from_the_moment_that_apply_returns(solo: Bench) -> None:
    host = solo.hosts[0]
    tap = solo.tap()
    stop = threading.Event()

    def storm() -> None:
        frame = bytes(Ether(src=CLIENT_MAC, dst=SHARED) / IP(src=CLIENT, dst=str(VIP)) / ICMP() / Raw(b"x" * 20))
        while not stop.is_set():
            tap.sock.send(frame)

    thread = threading.Thread(target=storm)
    thread.start()
    try:
        for _ in range(20):
            host.apply(ALL_OPEN)
            before = host.accepted()
            wait_for("packets", lambda before=before: host.accepted() > before)
            wait_for("the forwarder to confirm", lambda: host.closes({}))
            closed = host.accepted()
            time.sleep(0.005)
            assert host.accepted() == closed
    finally:
        stop.set()
        thread.join()
        tap.close()


def test_draining_keeps_connections_and_takes_no_new_ones(solo: Bench) -> None:
    host = solo.hosts[0]
    host.apply(ALL_OPEN)
    with solo.connect(source_port=20000) as old:
        assert greeting(old) == host.name
        number = owner_slot(CLIENT, 20000)
        with host.station.inside():
            assert host.engine.flows_left("VIP", number) == 1
            assert host.engine.flows_left("VIP", (number + 1) % SLOTS) == 0
        host.apply(dict.fromkeys(range(SLOTS), SlotState.DRAINING))
        old.sendall(b"still here")
        assert old.recv(100) == b"still here"
        with pytest.raises(TimeoutError):
            solo.connect(timeout_s=0.5)
        old.sendall(b"and still")
        assert old.recv(100) == b"and still"
    with host.station.inside():
        wait_for("the end of the connection", lambda: host.engine.flows_left("VIP", number) == 0)


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


def test_a_restart_of_the_forwarder_breaks_no_connection(solo: Bench) -> None:
    host = solo.hosts[0]
    host.apply(ALL_OPEN)
    with solo.connect(timeout_s=10) as sock:
        assert greeting(sock) == host.name
        host.end_forwarder()
        assert host.engine.ailment() is not None
        host.start_forwarder()
        sock.sendall(b"after")
        assert sock.recv(100) == b"after"


def test_a_new_engine_inherits_what_the_former_left_under_its_lease(solo: Bench) -> None:
    host = solo.hosts[0]
    host.apply({1: SlotState.OPEN, 2: SlotState.DRAINING})
    host.engine.close()
    with host.station.inside():
        host.engine.start()
    assert host.engine.state() == [Wish(address(), {1: SlotState.OPEN, 2: SlotState.DRAINING})]
    with solo.connect(source_port=port_of_slot(1)) as sock:
        assert greeting(sock) == host.name


def test_remove_leaves_the_host_as_it_was(solo: Bench) -> None:
    host = solo.hosts[0]

    def looks() -> tuple[str, str, str]:
        names = ("all", "eth0")
        words = [f"net.ipv4.conf.{n}.{s}" for n in names for s in ("arp_ignore", "arp_announce")]
        settings = host.station.run("sysctl", *words, "net.ipv4.conf.eth0.drop_unicast_in_l2_multicast").stdout
        links = [line.split(":")[1] for line in ip("-n", host.station.namespace, "-o", "link").splitlines()]
        addresses = ip("-n", host.station.namespace, "-4", "-br", "address", "show", "dev", "eth0")
        return settings, " ".join(links), addresses

    before = looks()
    host.apply(ALL_OPEN)
    assert looks() != before
    assert host.forwarder is not None
    with host.station.inside():
        host.engine.remove()
    assert host.forwarder.wait(5) != 0
    settings, links, addresses = looks()
    assert (settings, links, addresses) == (before[0], before[1].replace(" vipraw", "").rstrip(), before[2])
    assert list(host.engine._path.parent.iterdir()) == []


def test_repair_brings_back_a_device_and_an_address_that_somebody_removed(solo: Bench) -> None:
    host = solo.hosts[0]
    host.apply(ALL_OPEN)
    with host.station.inside():
        assert host.engine.repair() == []
        ip("-n", host.station.namespace, "link", "delete", "vipraw")
        assert host.forwarder is not None
        assert host.forwarder.wait(5) != 0
        assert "vipraw" in " ".join(change.detail for change in host.engine.repair())
    host.end_forwarder()
    host.start_forwarder()
    with solo.connect() as sock:
        assert greeting(sock) == host.name


def test_an_interface_that_goes_and_comes_back_is_served_again(solo: Bench) -> None:
    host = solo.hosts[0]
    host.apply(ALL_OPEN)
    for change in ("down", "up"):
        ip("-n", host.station.namespace, "link", "set", "eth0", change)
    wait_for("the segment", lambda: solo._reaches(host.station), 5)
    accepted = host.accepted()
    tap = solo.tap()

    def answered() -> bool:
        solo.send(IP(src=CLIENT, dst=str(VIP)) / ICMP() / Raw(b"x"), tap)
        return host.accepted() > accepted

    wait_for("the forwarder to hear the interface again", answered)
    tap.close()


def test_a_second_forwarder_refuses_to_start(solo: Bench) -> None:
    host = solo.hosts[0]
    done = subprocess.run(
        ["ip", "netns", "exec", host.station.namespace, *host.engine.helper_argv()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    assert done.returncode == 1
    assert "another forwarder" in done.stderr


def test_an_address_on_an_interface_that_is_missing_changes_nothing(solo: Bench) -> None:
    host = solo.hosts[0]
    host.apply(ALL_OPEN)
    other = Address("B", IPv4Address("10.9.9.9"), 24, "eth9", SHARED, HashKind.SOURCEIP, 0, 4)
    with host.station.inside(), pytest.raises(DatapathError, match="eth9"):
        host.engine.apply([Wish(address(), {}), Wish(other, {0: SlotState.OPEN})])
    assert host.engine.state() == [Wish(address(), ALL_OPEN)]


def test_the_forwarder_needs_a_table(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "datapath.raw.forwarder", "--table", str(tmp_path / "raw.table")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    assert done.returncode == 1
    assert "vipcastd makes it" in done.stderr
    assert "Traceback" not in done.stderr
