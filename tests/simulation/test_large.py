"""Clusters in which a heartbeat does not name everybody, under faults and while a node joins."""

from __future__ import annotations

import pytest

from daemon.cluster.core.echoes import NAMED_MAX, TURNS
from daemon.cluster.core.quorum import VOTERS_MAX
from daemon.cluster.messages import Heartbeat, Message
from tests.simulation.cast import SHIPPED
from tests.simulation.invariants import ViolationError
from tests.simulation.scenes.stage import Scene
from tests.simulation.world import World

NODES = 20


def test_twenty_nodes_keep_the_invariants_and_become_whole_after_the_faults() -> None:
    world = World(2, nodes=NODES, profile="fast")
    named = note_names(world)
    try:
        counts = world.run(faults_ms=1000)
    except ViolationError as violation:
        pytest.fail(f"{violation}\n{world.trace.text(60)}", pytrace=False)
    assert counts.losses > 0
    assert NAMED_MAX < NODES - 1
    assert max(named) <= max(NAMED_MAX, VOTERS_MAX + TURNS)


def note_names(world: World) -> list[int]:
    """How many peers each heartbeat names, of those who know the cluster."""
    named: list[int] = []
    send = world.network.send

    def noted(sender: str, to: str | None, message: Message) -> None:
        if isinstance(message, Heartbeat) and world.hosts[sender].founds:
            named.append(len(message.heard))
        send(sender, to, message)

    world.network.send = noted  # type: ignore[method-assign]
    return named


@pytest.mark.parametrize("witness", [False, True])
def test_a_node_joins_twenty_and_is_told_when_it_was_removed(witness: bool) -> None:
    scene = Scene(SHIPPED, nodes=NODES, spares=1)
    joiner = scene.host("b1")
    joiner.is_away, joiner.witness = False, witness
    joiner.start()
    scene.until(lambda: scene.world.ailing() is None)
    scene.remove("b1", at="a9")
    scene.until(lambda: joiner.is_away and scene.world.ailing() is None)
