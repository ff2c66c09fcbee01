"""Hosts whose vipcast.toml has other timers than the rest."""

from __future__ import annotations

from dataclasses import replace

from tests.simulation.cast import Cast
from tests.simulation.scenes.stage import Scene, Stage

LONGER_MS = 400


def with_a_longer_lease(cast: Cast, name: str = "a3") -> Scene:
    """A calm cluster; `name` comes back with a lease that is longer than anybody waits for."""
    scene = Scene(cast, nodes=5)
    host = scene.host(name)
    host.die()
    scene.go_on(600)
    host.timers = replace(host.timers, lease_ms=host.timers.lease_ms + LONGER_MS, commit_bound_ms=2_000)
    host.start()
    scene.go_on(600)
    return scene


def a_host_with_a_longer_lease_is_cut_off(cast: Cast) -> None:
    """Where it was granted anything, its kernel goes on after the others have declared it lost."""
    scene = with_a_longer_lease(cast)
    scene.part({"a3"})
    scene.go_on(1_000)


def a_host_with_other_timers_takes_part_once_they_are_mended(cast: Cast) -> None:
    scene = with_a_longer_lease(cast)
    host = scene.host("a3")
    assert not host.leased(scene.world.now_ns)
    assert not scene.core("a1").replica.admissions.tail["a3"].admitted
    host.die()
    host.timers = scene.world.timers
    host.start()
    scene.until(lambda: scene.world.ailing() is None)


def timers_that_are_shortened_one_host_at_a_time(cast: Cast) -> None:
    """The voters that start again with shorter ones are a majority while the leader's lease by the old ones runs."""
    stage = Stage(cast, nodes=3)
    for host in stage.world.hosts.values():
        host.timers = replace(host.timers, leadership_lease_ms=1_000, lease_ms=2_500, commit_bound_ms=5_000)
        host.start()
    stage.let_lead("a1")
    stage.go_on(1_000)
    for name in ("a2", "a3"):
        host = stage.host(name)
        host.die()
        stage.go_on(5)
        host.timers = stage.world.timers
        host.start()
    stage.go_on(1_000)
    for name in ("a2", "a3"):  # the processes that follow have to wait as well
        stage.host(name).die()
        stage.go_on(5)
        stage.host(name).start()
    stage.until(
        lambda: stage.host("a2").leads(stage.world.now_ns) or stage.host("a3").leads(stage.world.now_ns), 9_000
    )
    stage.host("a1").die()
    stage.host("a1").timers = stage.world.timers
    stage.host("a1").start()
    stage.until(lambda: stage.world.ailing() is None, 9_000)
