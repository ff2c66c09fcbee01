"""Bursts of frames and what of them arrives, measured in the sender's thread (see tests.netns.inside).

A frame sent through a cable by a packet socket that passes by the queueing discipline is taken in by the other end
within the call that sends it, on the same processor; so the thread's CPU time is that of the whole way, and does not
contain what others did meanwhile.
"""

from __future__ import annotations

import ctypes
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

BURST = 512
"""frames that are measured at a time: some 0.4 ms"""
WARM = 64
"""frames before them, so that each lane finds its own tables in the cache"""
PORT = 9
_CLONE_NEWNET = 0x40000000
_PACKET_QDISC_BYPASS = 20
_SOL_PACKET = 263
_SO_RCVBUFFORCE = 33
_QUEUE_BYTES = 16 << 20


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Message(ctypes.Structure):
    """struct msghdr (sendmsg(2))"""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.c_void_p),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Header(ctypes.Structure):
    """struct mmsghdr (sendmmsg(2))"""

    _fields_ = (("message", _Message), ("sent", ctypes.c_uint32))


@dataclass(frozen=True)
class Burst:
    lane: str
    cpu_ns: int
    """of one frame, mean over the burst"""
    delivered: int
    """of BURST + WARM frames"""


@dataclass
class _Lane:
    headers: ctypes.Array[_Header]
    kept: list[object]
    """what the headers point at"""
    sender: socket.socket
    sink: socket.socket


_libc = ctypes.CDLL(None, use_errno=True)
_lanes: dict[str, _Lane] = {}
_sinks: dict[str, socket.socket] = {}


def stay(core: int) -> None:
    """On one processor from now on."""
    os.sched_setaffinity(0, {core})


def open_lane(name: str, interface: str, namespace: str, frames: Sequence[bytes]) -> None:
    """Frames that will be sent to the host in `namespace` by `interface`, in turn."""
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sender.bind((interface, 0))
    sender.setsockopt(_SOL_PACKET, _PACKET_QDISC_BYPASS, 1)
    if namespace not in _sinks:
        _sinks[namespace] = _sink(namespace)
    buffers = [ctypes.create_string_buffer(frame, len(frame)) for frame in frames]
    vectors = (_Vector * BURST)()
    headers = (_Header * BURST)()
    for index in range(BURST):
        buffer = buffers[index % len(buffers)]
        vectors[index] = _Vector(ctypes.addressof(buffer), len(buffer))
        headers[index].message.vectors = ctypes.addressof(vectors[index])
        headers[index].message.vector_count = 1
    _lanes[name] = _Lane(headers, [buffers, vectors], sender, _sinks[namespace])


def _sink(namespace: str) -> socket.socket:
    """Of the host: all UDP datagrams to PORT."""
    with open("/proc/thread-self/ns/net", "rb") as own, open(f"/run/netns/{namespace}", "rb") as other:
        _enter(other.fileno())
        try:
            made = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)  # both families
            made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _QUEUE_BYTES)
            made.bind(("::", PORT))
            made.setblocking(False)
        finally:
            _enter(own.fileno())
    return made


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def rounds(names: Sequence[str], count: int) -> list[Burst]:
    """Each lane in turn, `count` times, each time another one first."""
    done = []
    for number in range(count):
        first = number % len(names)
        done += [_burst(name) for name in (*names[first:], *names[:first])]
    return done


def _burst(name: str) -> Burst:
    lane = _lanes[name]
    _send(lane, WARM)
    delivered = _drain(lane)
    clock, before = time.CLOCK_THREAD_CPUTIME_ID, 0
    before = time.clock_gettime_ns(clock)
    _send(lane, BURST)
    took = time.clock_gettime_ns(clock) - before
    return Burst(name, took // BURST, delivered + _drain(lane))


def _send(lane: _Lane, count: int) -> None:
    sent = _libc.sendmmsg(lane.sender.fileno(), lane.headers, count, 0)
    if sent != count and ctypes.get_errno() != _ENOBUFS:
        raise OSError(ctypes.get_errno(), f"{sent} of {count} frames sent")


_ENOBUFS = 105
"""what the sender hears of a frame that the other end does not take"""


def _drain(lane: _Lane) -> int:
    count, receive = 0, lane.sink.recv
    while True:
        try:
            receive(1)
        except BlockingIOError:
            return count
        count += 1


@dataclass(frozen=True)
class Relayed:
    """A burst that a process of the host takes in, and not the kernel by itself."""

    sender_ns: int
    process_ns: int
    """CPU, of one frame each"""
    delivered: int


_QUIET_S = 0.02


def relayed(name: str, pid: int, count: int) -> list[Relayed]:
    """Bursts one after the other, each when the process has done with the one before."""
    lane, clock, done = _lanes[name], time.CLOCK_THREAD_CPUTIME_ID, []
    _send(lane, WARM)
    _settled_ns(pid)
    _drain(lane)
    for _ in range(count):
        process_ns = _settled_ns(pid)
        before = time.clock_gettime_ns(clock)
        _send(lane, BURST)
        took = time.clock_gettime_ns(clock) - before
        process_ns = _settled_ns(pid) - process_ns
        done.append(Relayed(took // BURST, process_ns // BURST, _drain(lane)))
    return done


def _settled_ns(pid: int) -> int:
    """CPU of a process, once it has stopped to rise (proc(5), schedstat); nearly so, for its clock ticks on."""
    last = -1
    while True:
        with open(f"/proc/{pid}/schedstat", encoding="ascii") as told:
            now = int(told.read().split()[0])
        if now - last < 200_000 and last >= 0:
            return now
        last = now
        time.sleep(_QUIET_S)
