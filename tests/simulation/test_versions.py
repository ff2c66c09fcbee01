"""Worlds in which some hosts speak an older minor version: what they say and hear goes through its frozen structs."""

from __future__ import annotations

import msgspec
import pytest

from daemon.cluster import messages
from daemon.cluster.messages import Message
from tests import older_messages as older
from tests.simulation.world import World

OLDER = frozenset({"a2", "a4"})


class Translator:
    """Between the hosts and the network: what an older host does not know is lost on the way to it and from it."""

    def __init__(self, world: World) -> None:
        self._deliver = world.network.deliver
        self.through = 0
        self.lost: set[str] = set()
        world.network.deliver = self.deliver

    def deliver(self, sender: str, receiver: str, message: Message) -> None:
        if sender in OLDER or receiver in OLDER:
            try:
                message = messages.decode(older.encode(older.decode(messages.encode(message))))
            except msgspec.ValidationError:
                self.lost.add(type(message).__name__)
                return
            self.through += 1
        assert self._deliver is not None
        self._deliver(sender, receiver, message)


@pytest.mark.parametrize("seed", range(6))
def test_a_cluster_of_two_versions_keeps_the_invariants_and_becomes_whole(seed: int) -> None:
    world = World(seed)
    world.interval = type(world.interval)(entries=1 << 20)
    translator = Translator(world)
    world.run()
    assert translator.through > 1000
    assert translator.lost <= {"AskRestart", "Dismissed", "SnapshotPiece", "SnapshotAnswer"}
