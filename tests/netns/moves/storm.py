"""SYNs at a steady rate, each of another connection, and a tap that tells who answered which (see tests.netns.inside).

SYN number i has a client address, port and initial sequence number of its own; `answers` finds i from those.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import threading
import time
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial

from datapath import bpf_filter

BATCH_MAX = 64
"""of one call, when the sender has been late"""
CLIENTS_WIDE = 200
CLIENT_COUNT = CLIENTS_WIDE * CLIENTS_WIDE
FIRST_PORT = 2000
_SCATTER = 2_654_435_761
_STEP_S = 0.000_5
_SO_RCVBUFFORCE = 33
_SO_TIMESTAMPNS = 35
_FRAME = struct.Struct("!6s6sHBBHHHBBH4s4sHHIIBBHHHBBH")
_SA = 0x12


@dataclass
class Target:
    mac: bytes
    ip: bytes
    port: int
    clients: int = 80
    """they are in 10.`clients`.0.0/16"""


def client_of(number: int, target: Target) -> tuple[bytes, int, int]:
    """(address, port, initial sequence number) of SYN `number`."""
    place = number % CLIENT_COUNT
    ip = bytes((10, target.clients, 1 + place % CLIENTS_WIDE, 1 + place // CLIENTS_WIDE))
    return ip, FIRST_PORT + number // CLIENT_COUNT, number * _SCATTER & 0xFFFF_FFFF


def frame_of(number: int, target: Target, source_mac: bytes, sequence: int | None = None) -> bytes:
    """`sequence`: another than the number's own."""
    ip, port, own = client_of(number, target)
    sequence = own if sequence is None else sequence
    addresses = sum(struct.unpack("!4H", ip + target.ip))
    head = _fold(0x4500 + 44 + 0x4000 + 0x4006 + addresses)
    words = addresses + 6 + 24 + port + target.port + (sequence >> 16) + (sequence & 0xFFFF)
    words += 0x6002 + 64_240 + 0x0204 + 1460
    return _FRAME.pack(
        *(target.mac, source_mac, 0x0800),
        *(0x45, 0, 44, 0, 0x4000, 64, 6, head, ip, target.ip),
        *(port, target.port, sequence, 0, 0x60, 0x02, 64_240, _fold(words), 0, 2, 4, 1460),
    )


def ack_of(number: int, target: Target, server_sequence: int, source_mac: bytes, payload: bytes = b"") -> bytes:
    """The client's next segment: it has the server's SYN-ACK, and something to say or not."""
    ip, port, sequence = client_of(number, target)
    length = 40 + len(payload)
    addresses = sum(struct.unpack("!4H", ip + target.ip))
    sequence, acknowledged = (sequence + 1) & 0xFFFF_FFFF, (server_sequence + 1) & 0xFFFF_FFFF
    head = _fold(0x4500 + length + 0x4000 + 0x4006 + addresses)
    ip_header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, length, 0, 0x4000, 64, 6, head, ip, target.ip)
    segment = (
        struct.pack("!HHIIBBHHH", port, target.port, sequence, acknowledged, 0x50, 0x18, 64_240, 0, 0) + payload
    )
    even = segment + b"\0" * (len(segment) % 2)
    words = addresses + 6 + len(segment) + sum(struct.unpack(f"!{len(even) // 2}H", even))
    segment = segment[:16] + _fold(words).to_bytes(2, "big") + segment[18:]
    return target.mac + source_mac + b"\x08\x00" + ip_header + segment


def send_syns(numbers: Sequence[int], target: Target) -> None:
    _send([partial(frame_of, number, target) for number in numbers])


def send_syn_anew(number: int, target: Target, sequence: int) -> None:
    """From the same client and port, with another initial sequence number."""
    _send([partial(frame_of, number, target, sequence=sequence)])


def send_ack(number: int, target: Target, server_sequence: int, payload: bytes) -> None:
    _send([partial(ack_of, number, target, server_sequence, payload=payload)])


def _send(makers: Sequence[Callable[..., bytes]]) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        sock.bind(("eth0", 0))
        for make in makers:
            sock.send(make(source_mac=sock.getsockname()[4]))


def _fold(total: int) -> int:
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Storm:
    def __init__(self, rate: int, target: Target, first: int) -> None:
        self.sent_ns = array("Q")
        """when each was sent, from `first` on"""
        self.first = first
        self._rate = rate
        self._target = target
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join(10)

    def _run(self) -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
            sock.bind(("eth0", 0))
            own = sock.getsockname()[4]
            start = time.monotonic()
            while not self._ended.is_set():
                due = int((time.monotonic() - start) * self._rate) - len(self.sent_ns)
                if due <= 0:
                    time.sleep(_STEP_S)
                    continue
                number = self.first + len(self.sent_ns)
                for k in range(min(due, BATCH_MAX)):
                    frame = frame_of(number + k, self._target, own)
                    self.sent_ns.append(time.clock_gettime_ns(time.CLOCK_REALTIME))
                    sock.send(frame)


_storms: list[Storm] = []


def start_storm(rate: int, target: Target, first: int = 0) -> None:
    _storms.append(Storm(rate, target, first))


def stop_storm() -> tuple[int, array[int]]:
    """(number of the first SYN, when each was sent on CLOCK_REALTIME, in ns)"""
    storm = _storms.pop()
    storm.end()
    return storm.first, storm.sent_ns


# answers


@dataclass
class Answers:
    """SYN-ACKs by the SYN that they answer; a repetition of one by the same socket is the same answer."""

    by_syn: dict[tuple[bytes, int, int], dict[int, tuple[int, bytes]]]
    """(client, its port, its sequence number) → server's sequence number → (when it came, whose MAC)"""
    lost: int
    """the tap's queue was full: nothing can be said"""


class AnswerTap:
    def __init__(self, target: Target) -> None:
        self._sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        bpf_filter.attach(self._sock, _answers_from(target))
        self._sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 64 << 20)
        self._sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._sock.bind(("eth0", 0x0800))
        self._sock.settimeout(0.05)
        self._seen: dict[tuple[bytes, int, int], dict[int, tuple[int, bytes]]] = defaultdict(dict)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> Answers:
        self._ended.set()
        self._thread.join(10)
        _, drops = struct.unpack("=II", self._sock.getsockopt(263, 6, 8))
        self._sock.close()
        return Answers(dict(self._seen), drops)

    def _run(self) -> None:
        while True:
            try:
                frame, ancillary, _, _ = self._sock.recvmsg(128, 64)
            except TimeoutError:
                if self._ended.is_set():
                    return
                continue
            seconds, nanoseconds = struct.unpack("=qq", ancillary[0][2])
            (port, own, acknowledged) = struct.unpack_from("!HII", frame, 36)
            key = (frame[30:34], port, (acknowledged - 1) & 0xFFFF_FFFF)
            self._seen[key].setdefault(own, (seconds * 1_000_000_000 + nanoseconds, frame[6:12]))


def _answers_from(target: Target) -> bpf_filter.Program:
    load = bpf_filter.Instruction
    return (
        *bpf_filter.require(load(bpf_filter.LD_HALF_ABS, 12), 0x0800),
        *bpf_filter.require(load(bpf_filter.LD_WORD_ABS, 26), int.from_bytes(target.ip, "big")),
        *bpf_filter.require(load(bpf_filter.LD_BYTE_ABS, 47), _SA),
        bpf_filter.keep(),
    )


_taps: list[AnswerTap] = []


def start_answers(target: Target) -> None:
    _taps.append(AnswerTap(target))


def stop_answers() -> Answers:
    return _taps.pop().end()


def stop_and_judge(first: int, sent_ns: array[int], target: Target, spans: Sequence[tuple[int, int]]) -> Verdict:
    """As `judge`, where the answers are; AssertionError when the tap's queue was full."""
    answers = stop_answers()
    assert answers.lost == 0, "the tap's queue was full"
    return judge(first, sent_ns, answers, target, spans)


def hurry(priority: int) -> None:
    """As a daemon's core does: before all ordinary processes, and before those of a lower priority."""
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(priority))


@dataclass(frozen=True)
class Verdict:
    """What became of the SYNs of a storm."""

    sent: int
    unanswered: list[int]
    """numbers of SYNs"""
    twice: list[int]
    waits_ns: list[int]
    """of those that were answered: from the call that sent it to its answer"""
    strange: int
    """answers to nothing that was sent"""
    held_ns: list[int] = field(default_factory=list)
    """waits of those that were sent while nobody took SYNs"""


def judge(
    first: int, sent_ns: array[int], answers: Answers, target: Target, spans: Sequence[tuple[int, int]] = ()
) -> Verdict:
    """`spans` are the times, in order, when nobody took SYNs (CLOCK_REALTIME, ns)."""
    left = dict(answers.by_syn)
    unanswered, twice, waits, held = [], [], [], []
    ends = [end for _, end in spans]
    for place, when in enumerate(sent_ns):
        found = left.pop(client_of(first + place, target), {})
        if not found:
            unanswered.append(first + place)
            continue
        if len(found) > 1:
            twice.append(first + place)
        waits.append(min(stamp for stamp, _ in found.values()) - when)
        span = bisect_left(ends, when)
        if span < len(spans) and spans[span][0] <= when:
            held.append(waits[-1])
    return Verdict(len(sent_ns), unanswered, twice, waits, len(left), held)


def main(rate: str, mac: str, ip: str, port: str, clients: str) -> int:
    """A storm until the standard input ends; then what became of it, as JSON."""
    target = Target(bytes.fromhex(mac.replace(":", "")), socket.inet_aton(ip), int(port), int(clients))
    tap = AnswerTap(target)
    storm = Storm(int(rate), target, 0)
    print("blowing", flush=True)
    sys.stdin.read()
    storm.end()
    time.sleep(0.5)
    answers = tap.end()
    if answers.lost:
        raise RuntimeError("the tap's queue was full")
    print(json.dumps(asdict(judge(0, storm.sent_ns, answers, target))))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
