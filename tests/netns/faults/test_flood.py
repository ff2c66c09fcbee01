"""Fifty thousand forged datagrams a second: no heartbeat is missed, and what they cost is bounded."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.footprint import cpu_s
from daemon.cluster.seal import MAGIC, SALT_AT, SALT_BYTES
from tests.lab import Lab
from tests.lab.lab import GROUP, INTERFACE, PORT
from tests.netns.faults.ordeal import Ordeal

pytestmark = pytest.mark.root

PROGRAM = Path(__file__).with_name("flood.py")
FLOODED = "a2"
PER_SECOND = 50_000
SECONDS = 4
ETHERNET_IP_UDP_BYTES = 14 + 20 + 8


def a_heartbeat(lab: Lab) -> bytes:
    """A frame of the cluster's own, as anybody on the segment can see it."""
    with lab.capture(f"udp port {PORT} and dst host {GROUP}", [FLOODED]) as capture:
        for _ in range(50):
            for packet in capture.poll(0.2):
                if not packet.outgoing and packet.frame[ETHERNET_IP_UDP_BYTES:].startswith(MAGIC):
                    return packet.frame
    raise AssertionError("no heartbeat was seen within 10 s")


def to_one_host(lab: Lab, frame: bytes) -> bytes:
    """Without a UDP checksum (RFC 768: 0 is none), and to one host alone.

    Four hosts that each get 50,000 a second are more than this one machine has cores for.
    """
    checksum_at = ETHERNET_IP_UDP_BYTES - 2
    return (
        bytes.fromhex(lab.mac(FLOODED).replace(":", ""))
        + frame[6:checksum_at]
        + bytes(2)
        + frame[checksum_at + 2 :]
    )


def blind(lab: Lab) -> list[bytes]:
    """In sessions that nobody knows."""
    frame, start = to_one_host(lab, a_heartbeat(lab)), ETHERNET_IP_UDP_BYTES + SALT_AT
    return [frame[:start] + os.urandom(SALT_BYTES) + frame[start + SALT_BYTES :] for _ in range(256)]


def listening(lab: Lab) -> list[bytes]:
    """In the session of a member, so that the kernel lets them pass, with counters that nobody has sealed."""
    frame, start = to_one_host(lab, a_heartbeat(lab)), ETHERNET_IP_UDP_BYTES + SALT_AT + SALT_BYTES
    return [frame[:start] + (number << 40).to_bytes(8, "big") + frame[start + 8 :] for number in range(1, 257)]


@pytest.mark.parametrize("forge", [blind, listening])
def test_a_flood_of_forged_datagrams_costs_no_heartbeat(serving: Lab, forge: Callable[[Lab], list[bytes]]) -> None:
    """Whoever listens on the segment can make us look at each datagram; whoever does not, cannot even that."""
    frames = forge(serving)
    daemons = {name: serving.daemons[name]["vipcastd"].pid for name in serving.names}
    logs = {name: serving[name].log("vipcastd") for name in serving.names}
    marks = {name: log.stat().st_size for name, log in logs.items()}
    with Ordeal(serving) as ordeal:
        before = {name: cpu_s(pid) for name, pid in daemons.items()}
        flood = subprocess.run(
            [
                sys.executable,
                "-I",
                "-S",
                str(PROGRAM),
                str(serving.gw.init),
                INTERFACE,
                str(PER_SECOND),
                str(SECONDS),
            ],
            input="\n".join(frame.hex() for frame in frames),
            capture_output=True,
            text=True,
            check=True,
            timeout=20 * SECONDS,
        )
        ended_ns = time.time_ns()
        used = {name: cpu_s(pid) - before[name] for name, pid in daemons.items()}
        ordeal.await_traffic(ended_ns)
        ordeal.healed()
    sent, elapsed = (float(word) for word in flood.stdout.split())
    shares = ", ".join(f"{name} {100 * seconds / elapsed:.1f}%" for name, seconds in used.items())
    print(f"{sent / elapsed:,.0f} datagrams/s; of a core: {shares}")
    assert sent > 0.2 * PER_SECOND * SECONDS, "the machine was too busy to send a flood"
    said = {name: log.read_text()[marks[name] :] for name, log in logs.items()}
    assert [line for text in said.values() for line in text.splitlines() if " is silent for " in line] == []
    assert [line for text in said.values() for line in text.splitlines() if " is lost" in line] == []
