"""Who is lost, and from when on."""

from __future__ import annotations

from tests.simulation.cast import Cast
from tests.simulation.scenes.stage import Scene


def a_node_that_only_the_former_leader_hears(cast: Cast) -> None:
    """Rule 17: a2 never hears a4; that says nothing about what a1 has granted it a moment ago."""
    scene = Scene(cast, nodes=5)
    scene.network.cut = {("a4", "a2")}
    scene.go_on(400)
    scene.host("a1").die()
    scene.until(lambda: scene.leads("a2"))
    scene.go_on(300)


def a_leader_that_was_granted_a_moment_ago(cast: Cast) -> None:
    """Rule 18: a2 has led for too short a time to have lost the lease that it had of a1."""
    scene = Scene(cast, nodes=4)
    scene.hand_over(scene.host("a1"), "a2")
    scene.until(lambda: scene.leads("a2"))
    scene.part({"a2"})
    scene.go_on(300)


def a_daemon_that_starts_again(cast: Cast) -> None:
    """Rule 20: its kernel goes on accepting under the lease of the process before."""
    scene = Scene(cast, nodes=4)
    scene.host("a3").die()
    scene.host("a3").start()
    scene.go_on(300)
