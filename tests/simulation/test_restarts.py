"""A restart of the daemon keeps its slots, whoever leads and whatever becomes of the next process."""

from __future__ import annotations

import pytest

from daemon.cluster.records import Lost
from tests.simulation.cast import SHIPPED
from tests.simulation.scenes.restarts import RESTART_MS, restart
from tests.simulation.scenes.stage import Scene


@pytest.mark.parametrize("leader", ["a1", "a3"])
def test_slots_stay_and_are_served_all_the_while(leader: str) -> None:
    """Those of a1, which leads or does not."""
    scene = Scene(SHIPPED, nodes=4)
    scene.let_lead(leader)
    name, host = "a1", scene.host("a1")
    slots = [slot for slot in host.kernel.states if host.accepts(slot, scene.world.now_ns)]
    assert slots
    restart(scene, name, away_ms=RESTART_MS / 2)
    dark: list[int] = []

    def is_back() -> bool:
        if not all(host.accepts(slot, scene.world.now_ns) for slot in slots):
            dark.append(scene.world.now_ns)
        return scene.world.ailing() is None

    scene.until(is_back)
    assert not dark
    assert all(host.accepts(slot, scene.world.now_ns) for slot in slots)
    assert not any(isinstance(entry.command, Lost) for entry in scene.world.invariants.consensus.committed)


def test_a_daemon_that_does_not_come_back_in_time_is_lost_when_its_kernel_is_silent() -> None:
    scene = Scene(SHIPPED, nodes=5)
    began_ns = scene.world.now_ns
    restart(scene, "a3")
    scene.until(lambda: any(e.command == Lost("a3") for e in scene.world.invariants.consensus.committed))
    assert scene.world.now_ns - began_ns > RESTART_MS * 1_000_000
    assert scene.world.now_ns - began_ns < scene.world.timers.restart_over_after_ns(RESTART_MS) + 100_000_000
