"""Worlds in which some hosts speak an older minor version: what they say and hear goes through its frozen structs."""

from __future__ import annotations

from collections import Counter
from types import ModuleType

import msgspec
import pytest

from daemon.cluster import messages
from daemon.cluster.messages import Append, Message
from daemon.cluster.records import Roster
from tests import messages_2_1, older_messages
from tests.simulation.world import World

OLDER = frozenset({"a2", "a4"})
SEEDS_WITH_ROSTERS = (16, 20, 22, 23)
"""in which an older host lacks entries that only a snapshot has, and nodes come and go"""


class Translator:
    """Between the hosts and the network: what an older host does not know is lost on the way to it and from it."""

    def __init__(self, world: World, older: ModuleType) -> None:
        """`older`: the frozen structs of what the older hosts run."""
        self._older = older
        self._deliver = world.network.deliver
        self.through: Counter[str] = Counter()
        self.rosters = 0
        """in entries that went to an older host or came from one"""
        self.lost: set[str] = set()
        world.network.deliver = self.deliver

    def deliver(self, sender: str, receiver: str, message: Message) -> None:
        if sender in OLDER or receiver in OLDER:
            try:
                older = self._older.decode(messages.encode(message))
                message = messages.decode(self._older.encode(older))
            except msgspec.ValidationError:
                self.lost.add(type(message).__name__)
                return
            self.through[type(message).__name__] += 1
            if isinstance(message, Append):
                self.rosters += sum(isinstance(entry.command, Roster) for entry in message.entries)
        assert self._deliver is not None
        self._deliver(sender, receiver, message)


@pytest.mark.parametrize("seed", range(6))
def test_a_cluster_of_two_versions_keeps_the_invariants_and_becomes_whole(seed: int) -> None:
    world = World(seed, names_few=seed % 2 == 1)
    world.interval = type(world.interval)(entries=1 << 20)
    translator = Translator(world, older_messages)
    world.run()
    assert translator.through.total() > 500, "it took part"
    assert translator.lost <= {"AskRestart", "Dismissed", "SnapshotPiece", "SnapshotAnswer"}


@pytest.mark.parametrize("seed", SEEDS_WITH_ROSTERS)
def test_a_host_one_version_older_takes_part_in_snapshots_and_rosters(seed: int) -> None:
    world = World(seed)
    translator = Translator(world, messages_2_1)
    world.run()
    assert translator.lost == set(), "all that the core says was known to it"
    assert translator.through["SnapshotPiece"] > 0
    assert translator.through["SnapshotAnswer"] > 0
    assert translator.rosters > 0
