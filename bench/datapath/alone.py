"""The bpf engine's program alone (BPF_PROG_TEST_RUN), and its tables' memory by what they hold."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from bench.datapath.candidates import address, own_slots
from bench.datapath.hosts import HOST_IP, wire
from bench.datapath.packets import SLOTS_OF_MANY, shared_frames
from bench.packets import udp_frame
from datapath.engine import SlotState, Wish
from tests.netns import actions
from tests.property.bpf_run import TestRun

REPEAT = 20_000
LEASE_NS = 3_600_000_000_000


def measure(runs: int) -> dict[str, float]:
    """ns by accept, drop and pass, with what the kernel takes to run a program that does nothing."""
    with tempfile.TemporaryDirectory() as room, wire(Path(room)) as cable:
        return cable.host("alone").process.call(_measure, runs)


def _measure(runs: int) -> dict[str, float]:
    shared = address(0, SLOTS_OF_MANY)
    wish = Wish(shared, dict.fromkeys(own_slots(shared), SlotState.OPEN))
    frames = {
        "accept": shared_frames([shared], True)[0],
        "drop": shared_frames([shared], False)[0],
        "pass": udp_frame(bytes(6), "10.80.0.1", HOST_IP),
        "too short to look at": bytes(14),
    }
    with TestRun([wish], actions.boottime_ns() + LEASE_NS) as program:
        return {
            what: statistics.median(program.nanoseconds(frame, REPEAT) for _ in range(runs))
            for what, frame in frames.items()
        }
