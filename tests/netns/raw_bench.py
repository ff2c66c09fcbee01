"""Hosts on a segment, each with the raw engine, its forwarder and a responder, and a client."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address
from pathlib import Path

from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from datapath.dialects import ARP
from datapath.engine import Address, Change, HashKind, HelperAwayError, SlotState, Wish
from datapath.hashing import key_of, slot
from datapath.mac import shared_mac
from datapath.raw.engine import RawEngine
from datapath.responder import Responder
from tests.netns.raw_segment import Segment, Station, segment, wait_for

VIP = IPv4Address("192.168.110.120")
SHARED = shared_mac(VIP, 24)
CLIENT, CLIENT_MAC = "192.168.110.1", "02:00:00:00:00:01"
PORT = 8080
PATIENCE_S = 15.0
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
            self.responder = Responder("eth0", ARP)
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

    def apply(self, states: Mapping[int, SlotState], kind: HashKind = HashKind.SOURCEIP_SOURCEPORT) -> list[Change]:
        return self.insist([Wish(address(kind), states)])

    def insist(self, wishes: Sequence[Wish]) -> list[Change]:
        """As often as it takes: on a busy machine the forwarder may not confirm a closing at once."""
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                with self.station.inside():
                    return self.engine.apply(wishes)
            except HelperAwayError:
                if time.monotonic() >= end:
                    raise

    def apply_once(self, states: Mapping[int, SlotState]) -> list[Change]:
        with self.station.inside():
            return self.engine.apply([Wish(address(), states)])

    def accepted(self) -> int:
        return sum(c.packets for c in self.engine.counters() if c.verdict == "accepted")

    def count(self, verdict: str) -> int:
        return sum(c.packets for c in self.engine.counters() if c.verdict == verdict)

    def close(self) -> None:
        self._closing.close()

    def _answer_arp(self) -> None:
        while not self._ended.is_set():
            if select.select([self.responder], [], [], 0.05)[0]:
                self.responder.on_readable()

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
                wait_for("the segment", lambda h=host: self._reaches(h.station))
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

    def connect(self, source: str = CLIENT, source_port: int = 0, timeout_s: float = 10) -> socket.socket:
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


@contextlib.contextmanager
def bench_of(hosts: int, run_dir: Path) -> Iterator[Bench]:
    with segment() as net:
        bench = Bench(net, hosts, run_dir)
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
