"""Clients that hold conversations of UDP with a shared address, in a process of their namespace."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

PORT_MIN = 20_000
_ADDRESS = "10.80.77.{}"
_LATE_S = 0.3
"""after the last datagram an answer may come so late"""


@dataclass
class Said:
    """One datagram of a client."""

    when_ns: int
    """CLOCK_REALTIME"""
    answers: list[str] = field(default_factory=list)
    """names of the hosts that answered, in order"""


Talk = dict[int, Said]


@dataclass
class Clients:
    """Conversation → its datagrams by number.  Each speaks every `pace_s`, as long as it is among `speaking`."""

    peer: tuple[str, int]
    pace_s: float
    sockets: dict[int, socket.socket] = field(default_factory=dict)
    speaking: set[int] = field(default_factory=set)
    talks: dict[int, Talk] = field(default_factory=lambda: defaultdict(dict))
    ended: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    def run(self) -> None:
        due_s = time.monotonic()
        while not self.ended.is_set():
            self._hear(max(0.0, due_s - time.monotonic()))
            if time.monotonic() >= due_s:
                due_s += self.pace_s
                for number in list(self.speaking):
                    self._say(number)
        end = time.monotonic() + _LATE_S
        while (left := end - time.monotonic()) > 0:
            self._hear(left)

    def _say(self, number: int) -> None:
        sock = self.sockets.get(number)
        if sock is None:
            sock = self.sockets[number] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind(name_of(number))
            sock.connect(self.peer)
        count = len(self.talks[number])
        self.talks[number][count] = Said(time.clock_gettime_ns(time.CLOCK_REALTIME))
        sock.send(f"{number} {count}".encode())

    def _hear(self, patience_s: float) -> None:
        ready, _, _ = select.select(list(self.sockets.values()), [], [], patience_s)
        for sock in ready:
            try:
                who, number, count = sock.recv(100).decode().split()
            except ConnectionRefusedError:
                continue
            self.talks[int(number)][int(count)].answers.append(who)


def name_of(number: int) -> tuple[str, int]:
    """Where a conversation comes from."""
    return _ADDRESS.format(1 + number % 200), PORT_MIN + number


_clients: list[Clients] = []


def start(peer: tuple[str, int], pace_s: float) -> None:
    clients = Clients(peer, pace_s)
    clients.thread = threading.Thread(target=clients.run, daemon=True)
    clients.thread.start()
    _clients.append(clients)


def speak(numbers: Iterable[int]) -> None:
    """Exactly these speak from now on."""
    _clients[-1].speaking = set(numbers)


def stop() -> dict[int, Talk]:
    clients = _clients.pop()
    clients.ended.set()
    assert clients.thread is not None
    clients.thread.join(5)
    for sock in clients.sockets.values():
        sock.close()
    return dict(clients.talks)


def now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_REALTIME)


def answers_on_the_wire(frames: Sequence[bytes], peer: tuple[str, int]) -> dict[bytes, set[bytes]]:
    """What each datagram said → MACs of the hosts that answered it, by a capture at the clients."""
    found: dict[bytes, set[bytes]] = defaultdict(set)
    source = socket.inet_aton(peer[0])
    for frame in frames:
        if frame[12:14] == b"\x08\0" and frame[23] == socket.IPPROTO_UDP and frame[26:30] == source:
            (port,) = struct.unpack_from("!H", frame, 34)
            if port == peer[1]:
                _, _, said = frame[42:].rstrip(b"\0").partition(b" ")
                found[said].add(frame[6:12])
    return found
