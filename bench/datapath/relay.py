"""The raw engine, whose forwarder is a process: CPU of a frame in the kernel's part and in the forwarder's."""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.datapath import blast
from bench.datapath.candidates import address, stand
from bench.datapath.hosts import Host, wire
from bench.datapath.packets import SLOTS_OF_MANY, shared_frames

CORE = 0


@dataclass(frozen=True)
class Relay:
    kernel_ns: float
    forwarder_ns: float


def measure(rounds: int) -> dict[str, Relay]:
    """By `accept` and `drop`."""
    found = {}
    with tempfile.TemporaryDirectory() as room, wire(Path(room)) as cable:
        cable.process.call(blast.stay, CORE)
        host, shared = cable.host("raw"), address(0, SLOTS_OF_MANY)
        stand(host, "raw", [shared])
        for what in ("accept", "drop"):
            frames = shared_frames([shared], what == "accept")
            cable.process.call(blast.open_lane, what, host.interface, host.namespace, frames)
            bursts = cable.process.call(blast.relayed, what, _forwarder(host), rounds)
            wanted = blast.BURST if what == "accept" else 0
            assert all(burst.delivered == wanted for burst in bursts), f"{what}: {bursts}"
            found[what] = Relay(
                statistics.median(burst.sender_ns for burst in bursts),
                statistics.median(burst.process_ns for burst in bursts),
            )
    return found


def _forwarder(host: Host) -> int:
    """The one process that the host's own has started."""
    tasks = Path(f"/proc/{host.process.pid}/task")
    children = [int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split()]
    (forwarder,) = children
    return forwarder
