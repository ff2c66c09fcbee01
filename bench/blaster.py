"""Sends prepared frames as fast as one core can, by sendmmsg(2).  A program of its own: standard library only.

    blaster.py NETNS_PID INTERFACE CORE SECONDS < frames, hexadecimal, one a line

Prints how many frames were sent and in how many seconds.
"""

from __future__ import annotations

import ctypes
import os
import socket
import sys
import time

CLONE_NEWNET = 0x40000000
BATCH = 512
PACKET_QDISC_BYPASS = 20
SOL_PACKET = 263


class Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class Message(ctypes.Structure):
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


class Header(ctypes.Structure):
    """struct mmsghdr (sendmmsg(2))"""

    _fields_ = (("message", Message), ("sent", ctypes.c_uint32))


def main(pid: str, interface: str, core: str, seconds: str) -> int:
    frames = [bytes.fromhex(line) for line in sys.stdin.read().split()]
    libc = ctypes.CDLL(None, use_errno=True)
    network = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    if libc.setns(network, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
    os.sched_setaffinity(0, {int(core)})
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.bind((interface, 0))
    sock.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
    buffers = [ctypes.create_string_buffer(frame, len(frame)) for frame in frames]
    vectors = (Vector * BATCH)()
    headers = (Header * BATCH)()
    for index in range(BATCH):
        buffer = buffers[index % len(buffers)]
        vectors[index] = Vector(ctypes.addressof(buffer), len(buffer))
        headers[index].message.vectors = ctypes.addressof(vectors[index])
        headers[index].message.vector_count = 1
    sent = 0
    start = time.monotonic()
    end = start + float(seconds)
    while time.monotonic() < end:
        done = libc.sendmmsg(sock.fileno(), headers, BATCH, 0)
        if done < 0:
            if ctypes.get_errno() not in (11, 105):  # EAGAIN, ENOBUFS: the other end is slower
                raise OSError(ctypes.get_errno(), "sendmmsg")
        else:
            sent += done
    print(sent, time.monotonic() - start)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
