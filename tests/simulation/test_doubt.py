"""Nodes that stand still and go on: nobody else pays for it."""

from __future__ import annotations

import pytest

from daemon.cluster.records import LogEntry, Lost
from tests.simulation.cast import SHIPPED
from tests.simulation.scenes.stage import Scene


def losses(entries: list[LogEntry]) -> set[str]:
    return {entry.command.node for entry in entries if isinstance(entry.command, Lost)}


@pytest.mark.parametrize("name", ["a1", "a3"])
@pytest.mark.parametrize("stopped_ms", [40, 100, 250, 2_000])
def test_whoever_stood_still_declares_nobody_else_lost(name: str, stopped_ms: int) -> None:
    """SIGSTOP, or a machine that was suspended: a leader (a1) or a follower (a3)."""
    scene = Scene(SHIPPED, nodes=4)
    for _ in range(5):
        process = scene.host(name).process
        assert process is not None
        process.paused = True
        scene.go_on(stopped_ms)
        scene.host(name).resume(process)
        scene.until(lambda: scene.world.ailing() is None)
    assert losses(scene.world.invariants.consensus.committed) <= {name}


def test_when_all_stand_still_at_once_nobody_is_lost() -> None:
    """A hypervisor that stops all of its guests for a second."""
    scene = Scene(SHIPPED, nodes=4)
    processes = [(host, host.process) for host in scene.world.hosts.values()]
    for _, process in processes:
        assert process is not None
        process.paused = True
    scene.go_on(1_000)
    for host, process in processes:
        assert process is not None
        host.resume(process)
    scene.until(lambda: scene.world.ailing() is None)
    assert losses(scene.world.invariants.consensus.committed) == set()
