"""Hosts whose daemon is not scheduled in time, and whose lease is longer for that."""

from __future__ import annotations

from tests.simulation.cast import Cast
from tests.simulation.scenes.stage import Scene

SLACK_MS = 100


def with_a_late_host(cast: Cast, name: str = "a3") -> Scene:
    """A calm cluster; `name` asks for a longer lease, and has it."""
    scene = Scene(cast, nodes=5)
    scene.host(name).die()
    scene.go_on(400)
    scene.host(name).slack_ms = SLACK_MS
    scene.host(name).start()
    scene.until(lambda: scene.world.ailing() is None)
    return scene


def a_late_host_is_cut_off(cast: Cast) -> None:
    """Its kernel goes on for as long as the log allows it, and that is longer than with others."""
    scene = with_a_late_host(cast)
    scene.part({"a3"})
    scene.go_on(600)


def a_late_host_starts_again_in_time(cast: Cast) -> None:
    """Its next process asks for nothing, and dies as soon as it is admitted: in the kernel is the former's lease."""
    scene = with_a_late_host(cast)
    scene.host("a3").die()
    scene.host("a3").slack_ms = 0
    scene.host("a3").start()
    process = scene.host("a3").process
    assert process is not None
    scene.until(lambda: scene.core("a1").replica.admissions.tail["a3"].incarnation == process.incarnation)
    assert not process.holds
    scene.host("a3").die()
    scene.go_on(600)
