"""What the engine itself takes: to change thousands of slots, to renew the lease; memory of the tables in the kernel.

Runs inside a host (see tests.netns.inside), as the daemon's core does.
"""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.datapath.candidates import LEASE_MS, Filter, address, stand
from bench.datapath.hosts import Host, wire
from bench.datapath.memory import group
from datapath.engine import Address, DatapathError, SlotState, Wish
from tests.netns import actions

ENGINES: tuple[Filter, ...] = ("bpf", "nft", "raw")
CHANGED = (64, 1024, 4096)
ADDRESSES = (1, 100)
NS_PER_MS = 1e6
PATIENCE_S = 10.0


@dataclass(frozen=True)
class Change:
    """Of one engine, with so many addresses of so many slots each; times in ms.

    CPU, since others use the machine: nothing is waited for, but for the raw engine's forwarder.
    """

    engine: str
    slots: int
    addresses: int
    apply_ms: tuple[float, ...]
    """every slot of one address opens"""
    renew_ms: tuple[float, ...]
    memory_bytes: int
    """of the kernel for tables, rules, addresses and filters; 0 where it does not tell"""


def measure(runs: int) -> list[Change]:
    """The engines in turn, so that nobody has the machine's quieter hour."""
    shapes = [(slots, 1) for slots in CHANGED] + [(64, count) for count in ADDRESSES if count > 1]
    return [change for slots, addresses in shapes for change in _shape(slots, addresses, runs)]


def _shape(slots: int, addresses: int, runs: int) -> list[Change]:
    shared = [address(number, slots) for number in range(addresses)]
    with tempfile.TemporaryDirectory() as room, wire(Path(room)) as cable:
        hosts = {kind: cable.host(kind) for kind in ENGINES}
        times: dict[Filter, tuple[list[float], list[float]]] = {kind: ([], []) for kind in ENGINES}
        memory = {kind: _set_up(host, kind, shared) for kind, host in hosts.items()}
        for run in range(runs + 1):
            for kind, host in hosts.items():
                applied, renewed = host.process.call(change_and_renew, slots, addresses)
                if run:
                    times[kind][0].extend(applied)
                    times[kind][1].extend(renewed)
    return [
        Change(kind, slots, addresses, tuple(applied), tuple(renewed), memory[kind])
        for kind, (applied, renewed) in times.items()
    ]


def _set_up(host: Host, kind: Filter, shared: Sequence[Address]) -> int:
    """Bytes that the kernel took for the engine with every second slot open."""
    with group(kind) as charged:
        if charged is None:
            stand(host, kind, shared, [])
            return 0
        charged.enter(host.process.pid)
        before = charged.kernel_bytes()
        stand(host, kind, shared, range(0, shared[0].slots, 2))
        taken = charged.kernel_bytes() - before
    host.process.call(calm)
    return taken


# inside a host


def calm() -> None:
    """As a daemon does once it has started: what is there already is no garbage."""
    gc.collect()
    gc.freeze()


def change_and_renew(slots: int, addresses: int) -> tuple[list[float], list[float]]:
    """ms of opening all slots of the first address, which are closed before; ms of a renewal."""
    shared = [address(number, slots) for number in range(addresses)]
    others = [Wish(one) for one in shared[1:]]
    all_open = dict.fromkeys(range(slots), SlotState.OPEN)
    _apply_ms([Wish(shared[0]), *others])
    applied = [_apply_ms([Wish(shared[0], all_open), *others])]
    deadline_ns = actions.boottime_ns() + LEASE_MS * actions.NS_PER_MS
    renewed = [_took_ms(lambda number=number: actions.renew_until(deadline_ns + number)) for number in range(20)]  # type: ignore[misc]
    return applied, [statistics.median(renewed)]


def _apply_ms(wishes: Sequence[Wish]) -> float:
    """Of the time that succeeded: a forwarder on cores that are busy may not take a table, and its engine says so."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            return _took_ms(lambda: actions.apply(wishes))
        except DatapathError:
            if time.monotonic() >= end:
                raise


def _took_ms(call: Callable[[], object]) -> float:
    start = time.thread_time_ns()
    call()
    return (time.thread_time_ns() - start) / NS_PER_MS
