"""Disks that are lost, and who votes then."""

from __future__ import annotations

from tests.simulation.cast import Cast
from tests.simulation.scenes.stage import Scene, Stage


def a_voter_whose_disk_was_lost(cast: Cast) -> None:
    """Rule 21: an edit is on the disks of a1 and a2; a2's is lost, and a3, which asks a2 for its vote, lags."""
    scene = Scene(cast, nodes=3)
    scene.part({"a3"})
    scene.edit("a1")
    scene.until(lambda: scene.edit_is_acknowledged)
    scene.lose_disk("a2")
    scene.host("a1").die()
    scene.network.cut = set()
    scene.host("a2").start()
    scene.go_on(600)
    scene.host("a1").start()
    scene.until(lambda: scene.world.ailing() is None)


def two_voters_whose_disks_were_lost(cast: Cast) -> None:
    """Rule 21: the same with two empty disks, a majority together with those that lag."""
    scene = Scene(cast, nodes=5)
    scene.part({"a4", "a5"})
    scene.edit("a1")
    scene.until(lambda: scene.edit_is_acknowledged)
    for name in ("a2", "a3"):
        scene.lose_disk(name)
    scene.host("a1").die()
    scene.network.cut = set()
    for name in ("a2", "a3"):
        scene.host(name).start()
    scene.go_on(600)
    scene.host("a1").start()
    scene.until(lambda: scene.world.ailing() is None)


def a_new_node_and_one_whose_disk_was_lost(cast: Cast) -> None:
    """Rule 21: a3 has never been up when a1 and a2 begin; then a2's disk is lost, and a1 is down for a while."""
    stage = Stage(cast, nodes=3)
    for name in ("a1", "a2"):
        stage.host(name).start()
    stage.edit("a1")
    stage.go_on(600)
    stage.lose_disk("a2")
    stage.host("a1").die()
    for name in ("a2", "a3"):
        stage.host(name).start()
    stage.go_on(600)
    stage.host("a1").start()
    stage.until(lambda: stage.world.ailing() is None)
