"""Conversations of UDP, in a process of a laboratory's host; run by talking.py.

serve NAME ADDRESS PORT               answers each datagram with the name and what it said
talk ADDRESS PORT SOURCE:PORT ...     lines on the input: the numbers of those who speak from then on
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time

PACE_S = 0.02
LATE_S = 0.3
IP_FREEBIND = 15


def serve(name: str, address: str, port: str) -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_IP, IP_FREEBIND, 1)
    sock.bind((address, int(port)))
    while True:
        said, peer = sock.recvfrom(100)
        sock.sendto(name.encode() + b" " + said, peer)


def talk(address: str, port: str, *sources: str) -> None:
    sockets = []
    for source in sources:
        ip, _, own_port = source.rpartition(":")
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((ip, int(own_port)))
        sock.connect((address, int(port)))
        sockets.append(sock)
    said: list[list[tuple[float, list[str]]]] = [[] for _ in sources]
    speaking: list[int] = []
    due = time.monotonic()
    end = float("inf")
    while (now := time.monotonic()) < end:
        told = [sys.stdin] if end == float("inf") else []
        ready, _, _ = select.select([*sockets, *told], [], [], max(0.0, min(due, end) - now))
        if sys.stdin in ready:
            line = sys.stdin.readline()
            speaking = [int(word) for word in line.split()]
            if not line:
                end = time.monotonic() + LATE_S
        for one in sockets:
            if one not in ready:
                continue
            try:
                who, spoken, count = one.recv(100).decode().split()
            except ConnectionRefusedError:
                continue
            said[int(spoken)][int(count)][1].append(who)
        if time.monotonic() >= due:
            due += PACE_S
            for number in speaking:
                said[number].append((time.time(), []))
                sockets[number].send(f"{number} {len(said[number]) - 1}".encode())
    print(json.dumps(said))


if __name__ == "__main__":
    (serve if sys.argv[1] == "serve" else talk)(*sys.argv[2:])
