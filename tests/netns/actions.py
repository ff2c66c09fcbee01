"""What the processes inside a segment's namespaces do for a test (see tests.netns.inside)."""

from __future__ import annotations

import contextlib
import importlib
import selectors
import socket
import struct
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datapath import census
from datapath.engine import Change, Conversations, Counter, Engine, HelperAwayError, KeepsFlows, Reconciles, Wish

NS_PER_MS = 1_000_000
_PATIENCE_S = 15.0

_engines: list[Engine] = []


# engines


def start_engine(maker: str, run_dir: str) -> None:
    """`maker` is `module:callable`; it is given the run directory and returns an engine, not yet started."""
    module, name = maker.split(":")
    engine: Engine = getattr(importlib.import_module(module), name)(Path(run_dir))
    engine.start()
    _engines.append(engine)


def reconciling() -> Reconciles:
    engine = _engines[-1]
    assert isinstance(engine, Reconciles)
    return engine


def apply(wishes: Sequence[Wish]) -> list[Change]:
    """As often as it takes: a forwarder that is busy does not confirm what closes, and its engine says so."""
    end = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return _engines[-1].apply(wishes)
        except HelperAwayError:
            if time.monotonic() >= end:
                raise


def renew(lease_ms: int) -> int:
    """A lease from now on; returns its deadline (CLOCK_BOOTTIME is one clock for all namespaces here)."""
    deadline = boottime_ns() + lease_ms * NS_PER_MS
    _engines[-1].renew(deadline)
    return deadline


def renew_until(deadline_ns: int) -> None:
    _engines[-1].renew(deadline_ns)


def renew_again_and_again(every_ms: int, lease_ms: int, times: int) -> None:
    """What a daemon does with each grant, on this process' own beat."""
    for _ in range(times):
        renew(lease_ms)
        time.sleep(every_ms / 1000)


def state() -> list[Wish]:
    return _engines[-1].state()


def counters() -> list[Counter]:
    return _engines[-1].counters()


def repair() -> list[Change]:
    """All that a daemon does twice a second."""
    engine = _engines[-1]
    if isinstance(engine, KeepsFlows):
        for _ in engine.tidy():
            pass
    return engine.repair()


def prepare(resource: str) -> None:
    engine = _engines[-1]
    assert isinstance(engine, KeepsFlows)
    for _ in engine.prepare(resource):
        pass


def conversations(resource: str, slots: Collection[int], idle_ns: int) -> Conversations:
    return reconciling().conversations(resource, slots, idle_ns)


def leave(resource: str, slots: Collection[int], names: Collection[bytes]) -> None:
    reconciling().leave(resource, slots, names)


def flows_left(resource: str, slot: int) -> int:
    (address,) = [wish.address for wish in _engines[-1].state() if wish.address.resource == resource]
    return census.whole(census.count(address))[slot]


def place() -> str:
    return _engines[-1].place


def remove() -> None:
    _engines[-1].remove()


def close() -> None:
    _engines.pop().close()


def boottime_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


# servers


def serve(name: str, ip: str, port: int) -> None:
    """TCP: says the name, then echoes; UDP: answers with the name and what it was sent.  Ends with the process."""
    listener = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_STREAM)
    datagrams = socket.socket(listener.family, socket.SOCK_DGRAM)
    for sock in (listener, datagrams):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_IP, 15, 1)  # IP_FREEBIND: the address comes and goes with the engine
        sock.bind((ip, port))
    listener.listen(1024)
    threading.Thread(target=_serve_tcp, args=(name.encode(), listener), daemon=True).start()
    threading.Thread(target=_serve_udp, args=(name.encode(), datagrams), daemon=True).start()


def _serve_tcp(name: bytes, listener: socket.socket) -> None:
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            if sock is listener:
                connection, _peer = listener.accept()
                connection.send(name)
                selector.register(connection, selectors.EVENT_READ)
                continue
            try:
                received = sock.recv(4096)
            except OSError:
                received = b""
            if received:
                sock.send(received)
            else:
                selector.unregister(sock)
                sock.close()


def _serve_udp(name: bytes, datagrams: socket.socket) -> None:
    while True:
        received, peer = datagrams.recvfrom(4096)
        datagrams.sendto(name + b" " + received, peer)


# clients


@dataclass
class Attempt:
    """How one connection fared: the name that the server said, or `silence`, or an error's name."""

    source: tuple[str, int]
    outcome: str


def connect_all(sources: Sequence[tuple[str, int]], vip: str, port: int, patience_s: float) -> list[Attempt]:
    """One TCP connection from each source at the same time, each closed once it has been answered."""
    selector = selectors.DefaultSelector()
    outcome = {}
    for source in sources:
        sock = _client_socket(source)
        with contextlib.suppress(BlockingIOError):
            sock.connect((vip, port))
        selector.register(sock, selectors.EVENT_READ, source)
        outcome[source] = "silence"
    end = time.monotonic() + patience_s
    waiting = len(outcome)
    while waiting and (left := end - time.monotonic()) > 0:
        for key, _ in selector.select(left):
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            try:
                outcome[key.data] = sock.recv(100).decode() or "closed"
            except OSError as problem:
                outcome[key.data] = type(problem).__name__
            selector.unregister(sock)
            _abort(sock)
            waiting -= 1
    for key in list(selector.get_map().values()):
        assert isinstance(key.fileobj, socket.socket)
        key.fileobj.close()
    selector.close()
    return [Attempt(source, outcome[source]) for source in sources]


_connections: dict[tuple[str, int], socket.socket] = {}


def open_connection(source: tuple[str, int], vip: str, port: int) -> str:
    """A connection that stays open; returns the server's name."""
    sock = _client_socket(source)
    sock.settimeout(5)
    sock.connect((vip, port))
    _connections[source] = sock
    return sock.recv(100).decode()


def converse(source: tuple[str, int], words: Sequence[str]) -> list[str]:
    """Send words one after the other over an open connection and return the echoes."""
    sock = _connections[source]
    echoes = []
    for word in words:
        sock.send(word.encode())
        echoes.append(sock.recv(100).decode())
    return echoes


def abort_connection(source: tuple[str, int]) -> None:
    """End it by a reset."""
    _abort(_connections.pop(source))


def close_connection(source: tuple[str, int]) -> None:
    _connections.pop(source).close()


def send_datagrams(
    sources: Sequence[tuple[str, int]], vip: str, port: int, patience_s: float
) -> dict[int, list[str]]:
    """A numbered datagram from each source; number → all the answers to it, several if several hosts answered."""
    selector = selectors.DefaultSelector()
    for number, source in enumerate(sources):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(source)
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ)
        sock.sendto(str(number).encode(), (vip, port))
    answers: dict[int, list[str]] = {number: [] for number in range(len(sources))}
    end = time.monotonic() + patience_s
    while (left := end - time.monotonic()) > 0:
        for key, _ in selector.select(left):
            assert isinstance(key.fileobj, socket.socket)
            name, number_text = key.fileobj.recv(100).decode().split()
            answers[int(number_text)].append(name)
    for key in list(selector.get_map().values()):
        assert isinstance(key.fileobj, socket.socket)
        key.fileobj.close()
    selector.close()
    return answers


def _client_socket(source: tuple[str, int]) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(source)
    sock.setblocking(False)
    return sock


def _abort(sock: socket.socket) -> None:
    """Close without TIME_WAIT, so that the same source can come again."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


# frames


def send_frames(frames: Sequence[bytes], interface: str = "eth0") -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((interface, 0))
        for frame in frames:
            sock.send(frame)


@dataclass
class Tap:
    """Every frame that an interface receives from now on."""

    sock: socket.socket
    frames: list[bytes] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    def run(self) -> None:
        while True:
            try:
                frame, where = self.sock.recvfrom(65_535)
            except TimeoutError:
                if self.ended.is_set():  # and nothing is queued any more
                    return
                continue
            if where[2] != 4:  # PACKET_OUTGOING
                self.frames.append(frame)


_taps: list[Tap] = []


def start_tap(interface: str = "eth0", protocol: int = 3) -> None:
    """Of everything (3 is ETH_P_ALL), or of one ethertype: that one hears only what an ingress hook has let pass."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.bind((interface, protocol))
    sock.settimeout(0.05)
    sock.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
    tap = Tap(sock)
    tap.thread = threading.Thread(target=tap.run, daemon=True)
    tap.thread.start()
    _taps.append(tap)


def tapped() -> list[bytes]:
    """What the tap has heard so far."""
    return list(_taps[-1].frames)


def stop_tap() -> list[bytes]:
    tap = _taps.pop()
    tap.ended.set()
    assert tap.thread is not None
    tap.thread.join(5)
    tap.sock.close()
    return tap.frames


def wait_for(what: str, patience_s: float, *arguments: Any) -> Any:
    """Call an action of this module until it returns something true; the last value in any case."""
    end = time.monotonic() + patience_s
    while not (value := globals()[what](*arguments)) and time.monotonic() < end:
        time.sleep(0.01)
    return value
