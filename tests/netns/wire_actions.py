"""What an nft engine lets through, frame by frame: actions inside a namespace with a cable from `wire` to `eth0`.

A packet socket of one protocol hears what the ingress hook has let pass, and sees what became of it: an accepted
frame is the host's own (PACKET_HOST), one that was not judged is what it was (a frame to a group MAC).  Frames are
told apart by their source MAC.
"""

from __future__ import annotations

import contextlib
import select
import socket
import subprocess
import time
from collections.abc import Sequence

PACKET_HOST = 0
PASSED, ACCEPTED, DROPPED = b"p", b"a", b"d"

_BATCH = 512
_SO_RCVBUFFORCE = 33
_MARKER = 0xFFFF_FFFF
_PATIENCE_S = 15.0
_SETTLE_S = 0.005
_QUEUE_BYTES = 64 << 20


def lay_cable() -> None:
    for command in (
        "link add eth0 type veth peer name wire",
        "link set lo up",
        "link set eth0 up",
        "link set wire up",
    ):
        subprocess.run(["ip", *command.split()], check=True)


def fates(frames: Sequence[bytes]) -> bytes:
    """One letter for each frame; source MACs are overwritten."""
    with contextlib.ExitStack() as sockets:
        ears = []
        for protocol in (0x0800, 0x86DD):
            ear = sockets.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0))
            ear.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _QUEUE_BYTES)
            ear.bind(("eth0", protocol))
            ears.append(ear)
        wire = sockets.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
        wire.bind(("wire", 0))
        return b"".join(_batch(wire, ears, frames[at : at + _BATCH]) for at in range(0, len(frames), _BATCH))


def _batch(wire: socket.socket, ears: list[socket.socket], frames: Sequence[bytes]) -> bytes:
    for number, frame in enumerate(frames):
        wire.send(frame[:6] + _mac(number) + frame[12:])
    # to nobody of ours: it passes, and whatever came before it has passed or never will
    marker = bytes(12) + b"\x08\x00" + b"\x45\0\0\x14" + bytes(16)
    wire.send(marker[:6] + _mac(_MARKER) + marker[12:])
    found: dict[int, bytes] = {}
    end = time.monotonic() + _PATIENCE_S
    while _MARKER not in found:
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the frame that ends a batch did not come through")
        _hear(ears, left, found)
    # a batch may have been spread over the queues of several processors
    while _hear(ears, _SETTLE_S, found):
        pass
    return b"".join(found.get(number, DROPPED) for number in range(len(frames)))


def _hear(ears: list[socket.socket], within_s: float, found: dict[int, bytes]) -> bool:
    ready = select.select(ears, [], [], within_s)[0]
    for ear in ready:
        with contextlib.suppress(BlockingIOError):
            while True:
                frame, where = ear.recvfrom(16)
                found[int.from_bytes(frame[8:12], "big")] = ACCEPTED if where[2] == PACKET_HOST else PASSED
    return bool(ready)


def _mac(number: int) -> bytes:
    return b"\x02\0" + number.to_bytes(4, "big")
