"""Logs are cut behind snapshots, and who lacks what is gone gets the snapshot, whatever happens meanwhile."""

from __future__ import annotations

from daemon.cluster.messages import SNAPSHOT_PIECE_BYTES
from tests.simulation.cast import Cast
from tests.simulation.scenes.snapshots import Compacting, a_leader_that_dies_amid_a_snapshot
from tests.simulation.world import World


def test_runs_are_full_of_snapshots_taken_and_restored() -> None:
    """The seeds of the other tests exercise them: else those tests would prove nothing about them."""
    counts = [World(seed).run() for seed in range(20)]
    assert sum(count.snapshots for count in counts) > 100
    assert sum(count.restores for count in counts) > 4


def test_a_log_stays_bounded_however_much_is_written() -> None:
    scene = Compacting(Cast(), nodes=3)
    for _ in range(5):
        scene.forget("a1")
    for name in ("a1", "a2", "a3"):
        log = scene.core(name).replica.log
        assert log.last_index > 200
        assert log.last_index - log.first_index < 30
        assert len(scene.host(name).disk.entries) < 30
        assert len(scene.host(name).disk.snapshots) == 2


def test_a_snapshot_goes_on_from_another_leader_where_the_first_one_has_died() -> None:
    """At a quarter of all datagrams lost, a piece is sent 1.33 times at best, and some in vain, for datagrams overtake
    each other; all of them from the start again would be more than twice."""
    scene = a_leader_that_dies_amid_a_snapshot(Cast())
    newest = scene.core("a5").snapshots[-1]
    pieces = -(-newest.size_bytes // SNAPSHOT_PIECE_BYTES)
    assert len(scene.pieces) == 2, "two leaders have sent some"
    assert min(scene.pieces.values()) > pieces / 4
    assert sum(scene.pieces.values()) < 1.85 * pieces
    scene.network.loss = 0
    scene.host("a1").start()
    scene.until(lambda: scene.world.ailing() is None)
