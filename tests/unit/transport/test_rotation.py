"""A key is replaced by another one while everybody is heard, whoever is away meanwhile."""

from __future__ import annotations

from daemon.cluster.keyring import KEYS_MAX, Keyring, mark_of
from daemon.cluster.rotation import GRACE_S, Rotation

OLD, NEW, OTHER = (bytes([number]) * 32 for number in (1, 2, 3))
NOW_S = 1_000_000


class Nodes:
    """Rotations that tell each other their marks and offers, as far as they can open each other's seals."""

    def __init__(self, *names: str) -> None:
        self.rotations = {name: Rotation(Keyring.of(OLD)) for name in names}
        self.away: set[str] = set()
        self.unopened = 0

    def look(self, now_s: int = NOW_S) -> None:
        """One look around of each node that is there."""
        present = [name for name in self.rotations if name not in self.away]
        for name in present:
            mine = self.rotations[name]
            others = frozenset(self.rotations) - {name}
            for other in (peer for peer in present if peer != name):
                theirs = self.rotations[other]
                mark = mine.seal_for(other) or mine.ring.active.mark
                if theirs.ring.find(mark) is None:
                    self.unopened += 1
                    continue
                theirs.heard(name, mine.ring.marks)
                theirs.ring = theirs.sealed_with(mine.ring.active.mark, now_s)
            for peer, key in mine.offers(others):
                if peer not in self.away:
                    self.rotations[peer].ring = self.rotations[peer].offered(key)
            mine.ring = mine.due(others, others - self.away, now_s)

    def active(self) -> set[bytes]:
        return {rotation.ring.active.key for rotation in self.rotations.values()}


def begun(nodes: Nodes, name: str, key: bytes) -> None:
    nodes.rotations[name].ring = nodes.rotations[name].begun(key)


def test_all_get_the_new_key_use_it_and_forget_the_old_one() -> None:
    nodes = Nodes("a1", "a2", "a3")
    nodes.look()
    begun(nodes, "a2", NEW)
    assert nodes.active() == {OLD}
    for _ in range(4):
        nodes.look()
        assert nodes.unopened == 0, "at no moment somebody could not be understood"
    assert {rotation.ring for rotation in nodes.rotations.values()} == {Keyring.of(NEW)}


def test_nobody_seals_with_a_key_before_all_that_are_there_have_it() -> None:
    nodes = Nodes("a1", "a2", "a3")
    nodes.look()
    begun(nodes, "a1", NEW)
    rotation = nodes.rotations["a1"]
    assert rotation.due({"a2", "a3"}, {"a2", "a3"}, NOW_S).active.key == OLD
    rotation.heard("a2", (mark_of(OLD), mark_of(NEW)))
    assert rotation.due({"a2", "a3"}, {"a2", "a3"}, NOW_S).active.key == OLD
    rotation.heard("a3", (mark_of(OLD), mark_of(NEW)))
    assert rotation.due({"a2", "a3"}, {"a2", "a3"}, NOW_S).active.key == NEW


def test_who_was_away_is_understood_and_gets_the_key_when_it_returns() -> None:
    nodes = Nodes("a1", "a2", "a3")
    nodes.look()
    nodes.away = {"a3"}
    begun(nodes, "a1", NEW)
    for _ in range(4):
        nodes.look()
    assert nodes.rotations["a1"].ring.active.key == NEW
    assert nodes.rotations["a1"].ring.retired() == (mark_of(OLD),), "kept for a3"
    assert nodes.rotations["a3"].ring == Keyring.of(OLD)
    nodes.away = set()
    for _ in range(4):
        nodes.look()
    assert {rotation.ring for rotation in nodes.rotations.values()} == {Keyring.of(NEW)}


def test_a_retired_key_is_forgotten_when_its_time_is_over() -> None:
    nodes = Nodes("a1", "a2")
    nodes.look()
    nodes.away = {"a2"}
    begun(nodes, "a1", NEW)
    nodes.look()
    nodes.look(NOW_S + GRACE_S - 1)
    assert nodes.rotations["a1"].ring.retired()
    nodes.look(NOW_S + GRACE_S)
    assert nodes.rotations["a1"].ring == Keyring.of(NEW)


def test_two_rotations_at_once_end_with_one_key() -> None:
    nodes = Nodes("a1", "a2", "a3")
    nodes.look()
    begun(nodes, "a1", NEW)
    begun(nodes, "a3", OTHER)
    for _ in range(8):
        nodes.look()
    assert len(nodes.active()) == 1
    assert nodes.active() <= {NEW, OTHER}


def test_a_second_command_goes_on_with_the_first_ones_key() -> None:
    rotation = Rotation(Keyring.of(OLD))
    rotation.ring = rotation.begun(NEW)
    assert rotation.begun(OTHER) == rotation.ring


def test_a_ring_never_grows_beyond_its_bound_and_nonsense_is_no_key() -> None:
    rotation = Rotation(Keyring.of(OLD))
    for number in range(10, 60):
        rotation.ring = rotation.offered(bytes([number]) * 32)
        rotation.ring = rotation.due((), (), NOW_S)
        rotation.ring = rotation.offered(b"short")
        assert len(rotation.ring.keys) <= KEYS_MAX
