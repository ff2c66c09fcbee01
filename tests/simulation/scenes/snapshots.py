"""Nodes that lack entries which nobody has any more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from daemon.cluster.messages import Message, SnapshotPiece
from tests.simulation.application import Application
from tests.simulation.cast import Cast
from tests.simulation.invariants import ViolationError
from tests.simulation.network import NS_PER_MS
from tests.simulation.scenes.stage import Scene
from tests.simulation.workloads.shares import SharesWorkload

ENTRIES = 10
"""between two snapshots"""


class Compacting(Scene):
    """Snapshots are taken every few entries; `padding_bytes` make them big."""

    def __init__(self, cast: Cast, nodes: int, padding_bytes: int = 9_000) -> None:
        super().__init__(replace(cast, workload=SharesWorkload((ENTRIES,), padding_bytes)), nodes)
        self.pieces: dict[str, int] = {}
        """sender → pieces of snapshots that it has sent, whether or not they have arrived"""
        self.network.drops = self._count

    def _count(self, sender: str, _receiver: str, message: Message) -> bool:
        if isinstance(message, SnapshotPiece):
            self.pieces[sender] = self.pieces.get(sender, 0) + 1
        return False

    def held(self, name: str) -> int:
        """Bytes of a snapshot on its way that are there."""
        reception = self.core(name).follower.reception
        return reception.held_bytes if reception is not None else 0

    def all_served(self, names: Iterable[str]) -> bool:
        """Whether each slot is accepted by one of them."""
        now_ns = self.world.now_ns
        hosts = [self.host(name) for name in names]
        slots = self.application(names).slots()
        return all(any(len(host.accepts(slot, now_ns)) == 2 for host in hosts) for slot in slots)

    def application(self, names: Iterable[str]) -> Application:
        process = self.host(next(iter(names))).process
        assert process is not None
        return process.application

    def forget(self, name: str) -> None:
        """Write entries until `name` has cut its log behind everything that it has now."""
        last = self.core(name).replica.log.last_index
        for number in range(4 * ENTRIES):
            self.host(name).edit(b"edit %d after %d" % (number, last))
            self.go_on(5)
        self.until(lambda: self.core(name).first_index > last)


def a_host_whose_admission_is_in_a_snapshot_alone(cast: Cast) -> None:
    """a1, which holds all slots, is gone for good; the others start from a snapshot, and must lose it all the same."""
    scene = Compacting(cast, nodes=4)
    scene.forget("a1")
    scene.until(lambda: scene.world.ailing() is None)
    for name in ("a1", "a2", "a3", "a4"):
        scene.host(name).die()
    for name in ("a2", "a3", "a4"):
        scene.host(name).start()
    scene.go_on(600)  # what their former processes have opened is closed by then
    end_ns = scene.world.now_ns + 2_000 * NS_PER_MS
    if not scene.world.run_until(end_ns, lambda: scene.all_served(("a2", "a3", "a4"))):
        raise ViolationError("what a1 has held is not served by anybody")


def a_leader_that_dies_amid_a_snapshot(cast: Cast) -> Compacting:
    """A quarter of all datagrams is lost; the receiver has more than half of the snapshot when its sender dies."""
    scene = Compacting(cast, nodes=5, padding_bytes=600_000)
    scene.part({"a5"})
    scene.forget("a1")
    scene.until(lambda: len(scene.core("a2").snapshots) == 2)
    scene.network.cut = set()
    scene.network.loss = 0.25
    scene.until(lambda: scene.held("a5") > 350_000)
    scene.host("a1").die()
    scene.until(lambda: scene.core("a5").replica.compaction.newest is not None, within_ms=5_000)
    return scene
