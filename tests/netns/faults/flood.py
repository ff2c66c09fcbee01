"""Forged datagrams, many a second, from the client's port to the cluster's group: a program of its own.

    flood.py NETNS_PID INTERFACE PER_SECOND SECONDS < datagrams, hexadecimal, one a line: whole Ethernet frames

Prints how many were sent and in how many seconds.  Sends a hundredth of a second's worth at a time.
"""

from __future__ import annotations

import ctypes
import os
import socket
import sys
import time

CLONE_NEWNET = 0x40000000
TURN_S = 0.01


def main(pid: str, interface: str, per_second: str, seconds: str) -> int:
    frames = [bytes.fromhex(line) for line in sys.stdin.read().split()]
    libc = ctypes.CDLL(None, use_errno=True)
    network = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    if libc.setns(network, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.bind((interface, 0))
    batch = max(1, int(int(per_second) * TURN_S))
    sent = 0
    start = time.monotonic()
    end = start + float(seconds)
    while (now := time.monotonic()) < end:
        due = int((now - start) * int(per_second)) + batch
        while sent < due:
            try:
                sock.send(frames[sent % len(frames)])
            except (BlockingIOError, OSError):
                break
            sent += 1
        time.sleep(TURN_S / 4)
    print(sent, time.monotonic() - start)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
