"""What a cluster of 3 to 128 nodes costs each of them: `make scale` writes docs/performance/scale.md and its plot.

A calm cluster with the profile `default` in the simulation.  Messages, bytes and times are exact, and the same on
every machine; seconds of CPU are this machine's: of the core, and apart from it of opening the seal of what arrives and
decoding it.  System calls are not among them.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from daemon.cluster.chunks import PIECE_BYTES_MAX
from daemon.cluster.core import Core, Ready
from daemon.cluster.core.compaction import Interval
from daemon.cluster.core.echoes import NAMED_MAX, TURNS
from daemon.cluster.messages import Heartbeat, Message, decode, encode
from daemon.cluster.seal import Opened, Opener, Sealer
from tests.simulation.cast import Cast
from tests.simulation.plotting import Curve, log_log
from tests.simulation.world import World

T = TypeVar("T")

NODES = (3, 7, 16, 32, 64, 128)
MEASURED_MS = 1_000
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
KEY = bytes(range(32))
SEALER = Sealer(KEY, "scale", "a1", 1, salt=bytes(16))
SEALED_BYTES = 28 + len(SEALER.seal(b""))
"""IPv4 and UDP headers, and what `seal` adds for a name of two letters"""
OPENED = 2_000
"""heartbeats that are opened and decoded to see how long one takes"""
PAGE = Path("docs/performance/scale.md")
PLOT = Path("docs/performance/scale.svg")


@dataclass(slots=True)
class Meter:
    """Of all nodes together."""

    sent: int = 0
    """datagrams; a multicast is one"""
    sent_bytes: int = 0
    received: int = 0
    received_bytes: int = 0
    heartbeat_bytes: int = 0
    heartbeat: Heartbeat | None = None
    """the longest"""
    cpu_ns: dict[str, int] = field(default_factory=dict)
    """node → that its core took"""
    _sizes: dict[int, tuple[Message, int, int]] = field(default_factory=dict)

    def note_sent(self, message: Message) -> None:
        datagrams, size = self._size(message)
        self.sent += datagrams
        self.sent_bytes += size
        if isinstance(message, Heartbeat) and (length := len(encode(message))) > self.heartbeat_bytes:
            self.heartbeat_bytes, self.heartbeat = length, message

    def note_received(self, message: Message) -> None:
        datagrams, size = self._size(message)
        self.received += datagrams
        self.received_bytes += size

    def _size(self, message: Message) -> tuple[int, int]:
        known = self._sizes.get(id(message))
        if known is None:
            length = len(encode(message))
            datagrams = -(-length // PIECE_BYTES_MAX)
            known = self._sizes[id(message)] = (message, datagrams, length + datagrams * SEALED_BYTES)
        return known[1:]


class TimedCore(Core):
    """The shipped core with a watch at its door."""

    meter: Meter

    def receive(self, sender: str, message: Message, now_ns: int) -> None:
        self._timed(super().receive, sender, message, now_ns)
        self.meter.note_received(message)

    def tick(self, now_ns: int) -> None:
        self._timed(super().tick, now_ns)

    def persisted(self, receipt: int, now_ns: int) -> None:
        self._timed(super().persisted, receipt, now_ns)

    def deadline_ns(self) -> int:
        return self._timed(super().deadline_ns)

    def ready(self) -> Ready:
        return self._timed(super().ready)

    def _timed(self, call: Callable[..., T], *arguments: Any) -> T:
        started_ns = time.thread_time_ns()
        try:
            return call(*arguments)
        finally:
            name, took_ns = self.replica.name, time.thread_time_ns() - started_ns
            self.meter.cpu_ns[name] = self.meter.cpu_ns.get(name, 0) + took_ns


@dataclass(frozen=True, slots=True)
class Figures:
    """Per node, and second."""

    nodes: int
    sent: float
    sent_bytes: float
    received: float
    received_bytes: float
    heartbeat_bytes: int
    all_named_bytes: int
    """what a heartbeat would take that names everybody"""
    cpu_ms: float
    """of the core, mean over all nodes"""
    leader_cpu_ms: float
    opening_ms: float
    """to open and decode what arrives"""
    whole_ms: float
    """from the first start to a cluster in which everybody has a lease"""
    follower_ms: float
    """from the end of a follower until everybody else has applied its loss"""
    leader_ms: float


def measure(nodes: int) -> Figures:
    meter = Meter()

    class Core_(TimedCore):  # noqa: N801
        pass

    Core_.meter = meter
    world = World(1, nodes=nodes, profile="default", cast=Cast(core=Core_))
    world.interval = Interval()
    send = world.network.send

    def metered(sender: str, to: str | None, message: Message) -> None:
        meter.note_sent(message)
        send(sender, to, message)

    world.network.send = metered  # type: ignore[method-assign]
    for number, host in enumerate(world.hosts.values()):
        host.clock.ppm = 0
        world.at(number * 50 * NS_PER_MS // nodes, host.start)
    reached = world.run_until(20 * NS_PER_S, _when(world, lambda: world.ailing() is None))
    assert reached, f"{nodes} nodes do not become whole: {world.ailing()}"
    whole_ms = world.now_ns / NS_PER_MS
    world.run_until(world.now_ns + 300 * NS_PER_MS)
    meter.__init__()  # type: ignore[misc]
    world.run_until(world.now_ns + MEASURED_MS * NS_PER_MS)
    per_node_s = nodes * MEASURED_MS / 1000
    (leader,) = (host.name for host in world.hosts.values() if host.leads(world.now_ns))
    assert meter.heartbeat is not None
    figures = Figures(
        nodes=nodes,
        sent=meter.sent / per_node_s,
        sent_bytes=meter.sent_bytes / per_node_s,
        received=meter.received / per_node_s,
        received_bytes=meter.received_bytes / per_node_s,
        heartbeat_bytes=meter.heartbeat_bytes,
        all_named_bytes=len(encode(_naming_all(world, meter.heartbeat))),
        cpu_ms=sum(meter.cpu_ns.values()) / NS_PER_MS / per_node_s,
        leader_cpu_ms=meter.cpu_ns[leader] / NS_PER_MS / (MEASURED_MS / 1000),
        opening_ms=meter.received / per_node_s * _opening_ms(encode(meter.heartbeat)),
        whole_ms=whole_ms,
        follower_ms=_loss_ms(world, world.names[-1]),
        leader_ms=0,
    )
    (leader,) = (host.name for host in world.hosts.values() if host.leads(world.now_ns))
    return replace(figures, leader_ms=_loss_ms(world, leader))


def _naming_all(world: World, heartbeat: Heartbeat) -> Heartbeat:
    cores = [host.process.core for host in world.hosts.values() if host.process is not None]
    heard = {core.replica.name: (1, core.replica.membership.sequence) for core in cores}
    return msgspec.structs.replace(heartbeat, heard=heard)


def _opening_ms(plaintext: bytes) -> float:
    opener = Opener(KEY, "scale")
    datagrams = [SEALER.seal(plaintext) for _ in range(OPENED)]
    started_ns = time.thread_time_ns()
    for datagram in datagrams:
        opened = opener.open(datagram)
        assert isinstance(opened, Opened)
        decode(opened.payload)
    return (time.thread_time_ns() - started_ns) / NS_PER_MS / OPENED


def _when(world: World, condition: Callable[[], bool]) -> Callable[[], bool]:
    """Looked at every millisecond: it costs more than a step."""
    next_ns = 0

    def look() -> bool:
        nonlocal next_ns
        if world.now_ns < next_ns:
            return False
        next_ns = world.now_ns + NS_PER_MS
        return condition()

    return look


def _loss_ms(world: World, name: str) -> float:
    """Until all others have applied the loss of `name`."""
    began_ns = world.now_ns
    world.hosts[name].die()

    def agreed() -> bool:
        if name not in world.invariants.consensus.lost:
            return False
        processes = [host.process for host in world.hosts.values() if host.process is not None]
        standings = [process.core.replica.admissions.committed.get(name) for process in processes]
        return all(standing is not None and not standing.admitted for standing in standings)

    assert world.run_until(began_ns + 10 * NS_PER_S, _when(world, agreed)), f"{name} is not lost in 10 s"
    agreed_ms = (world.now_ns - began_ns) / NS_PER_MS
    world.hosts[name].start()
    assert world.run_until(world.now_ns + 20 * NS_PER_S, _when(world, lambda: world.ailing() is None))
    world.run_until(world.now_ns + 1000 * NS_PER_MS)
    return agreed_ms


COLUMNS: dict[str, Callable[[Figures], str]] = {
    "nodes": lambda f: str(f.nodes),
    "sent/s": lambda f: f"{f.sent:.0f}",
    "kB/s": lambda f: f"{f.sent_bytes / 1000:.1f}",
    "received/s": lambda f: f"{f.received:.0f}",
    "received, kB/s": lambda f: f"{f.received_bytes / 1000:.0f}",
    "heartbeat, bytes": lambda f: str(f.heartbeat_bytes),
    "all named": lambda f: str(f.all_named_bytes),
    "core, ms/s": lambda f: f"{f.cpu_ms:.0f}",
    "of the leader": lambda f: f"{f.leader_cpu_ms:.0f}",
    "opening, ms/s": lambda f: f"{f.opening_ms:.0f}",
    "whole, ms": lambda f: f"{f.whole_ms:.0f}",
    "follower, ms": lambda f: f"{f.follower_ms:.0f}",
    "leader, ms": lambda f: f"{f.leader_ms:.0f}",
}


def page(figures: list[Figures]) -> str:
    lines = [list(COLUMNS), ["---"] * len(COLUMNS)]
    lines += [[shown(one) for shown in COLUMNS.values()] for one in figures]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines).replace("--- |", "---|").replace("| ---", "|---")
    last = figures[-1]
    node_percent = (last.cpu_ms + last.opening_ms) / 10
    leader_percent = (last.leader_cpu_ms + 2 * last.opening_ms) / 10
    return f"""# What more nodes cost

Written by `make scale` from the simulation: the shipped core, the profile `default` (a heartbeat every 50 ms), a calm
network, each multicast counted once where it is sent and once where it arrives. At most 7 nodes vote, the others
learn. Bytes include IPv4 and UDP headers and the seal. CPU is that of the machine that wrote this, which others may
have used at the same time; everything else is exact.

{table}

Sent, received, bytes and CPU are per node. *All named*: what a heartbeat would take that names everybody. *Core*: CPU
of the core, the mean of all nodes and that of the leader. *Opening*: to open the seal of what arrives and decode it;
for the leader it is twice that. System calls come on top. *Whole*: from the first start until every node has a lease.
*Follower*, *leader*: from `kill -9` until everybody else has applied the loss; a follower's is `lease·(1+drift)` after
its last grant and a commit, a leader's less (LEASES.md, rule 18).

![per node: messages, bytes and CPU](scale.svg)

What grows is what arrives, for everybody hears everybody: at {last.nodes} nodes {last.received:.0f} messages and
{last.received_bytes / 1000:.0f} kB a second. That costs a node {node_percent:.0f}% of a core, and the leader, which
grants each heartbeat and hears from everybody in each round, {leader_percent:.0f}%. The times to detect and to agree
do not grow with it.

Up to {NAMED_MAX + 1} nodes a heartbeat names everybody whom its sender hears; in a larger cluster the voters, and
{TURNS} others in turn (`daemon/cluster/core/echoes.py`). Naming all {last.nodes} would take {last.all_named_bytes}
bytes with names of two to four letters, and twice or three times that with those of real hosts; one datagram has room
for {PIECE_BYTES_MAX}.
"""


def plot(figures: list[Figures]) -> str:
    nodes = [f.nodes for f in figures]
    curves = [
        Curve("messages received, 1/s", nodes, [f.received for f in figures], "#1b6ca8"),
        Curve("received, kB/s", nodes, [f.received_bytes / 1000 for f in figures], "#b85c00"),
        Curve("sent, kB/s", nodes, [f.sent_bytes / 1000 for f in figures], "#2e7d32"),
        Curve("core, CPU ms/s", nodes, [f.cpu_ms for f in figures], "#8e24aa"),
        Curve("core of the leader, CPU ms/s", nodes, [f.leader_cpu_ms for f in figures], "#c2185b"),
        Curve("follower lost, ms", nodes, [f.follower_ms for f in figures], "#555555"),
    ]
    return log_log("Per node, by number of nodes", curves)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.scale", description=__doc__)
    parser.add_argument("nodes", type=int, nargs="*", help="print the figures of these sizes, and write nothing")
    chosen = parser.parse_args().nodes
    figures = []
    gc.disable()
    for nodes in chosen or NODES:
        figures.append(measure(nodes))
        print(figures[-1], flush=True)
        gc.collect()
    if not chosen:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(page(figures))
        PLOT.write_text(plot(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
