"""A key is replaced by another one while everybody is heard, whoever is away meanwhile."""

from __future__ import annotations

import pytest

from daemon.cluster.handover import Offer
from daemon.cluster.keyring import (
    KEYS_MAX,
    OVERLAP_S,
    RETURN_S,
    REVOKED_OVERLAP_S,
    Keyring,
    RingKey,
    mark_of,
)
from daemon.cluster.rotation import Rotation

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
                mark = mine.seal_for(other, now_s) or mine.ring.active.mark
                if theirs.ring.opening(now_s).find(mark) is None:
                    self.unopened += 1
                    continue
                theirs.heard(name, mine.ring.marks)
                theirs.ring = theirs.sealed_with(mine.ring.active.mark, now_s)
            for peer, offer in mine.offers(others - self.away):
                theirs = self.rotations[peer]
                mark = mine.seal_for(peer, now_s) or mine.ring.active.mark
                if theirs.ring.opening(now_s).find(mark) is not None:
                    theirs.ring = theirs.offered(offer, now_s, mark)
            mine.ring = mine.due(others - self.away, now_s)

    def active(self) -> set[bytes]:
        return {rotation.ring.active.key for rotation in self.rotations.values()}

    def ways_back(self, now_s: int) -> set[tuple[bytes, ...]]:
        return {tuple(one.mark for one in each.ring.ways_back(now_s)) for each in self.rotations.values()}


def begun(nodes: Nodes, name: str, key: bytes, *, revokes: bool = False) -> None:
    nodes.rotations[name].ring = nodes.rotations[name].begun(key, revokes=revokes)


def test_all_get_the_new_key_and_use_it_and_the_old_one_opens_nothing_a_minute_later() -> None:
    nodes = Nodes("a1", "a2", "a3")
    nodes.look()
    begun(nodes, "a2", NEW)
    assert nodes.active() == {OLD}
    for _ in range(4):
        nodes.look()
        assert nodes.unopened == 0, "at no moment somebody could not be understood"
    assert nodes.active() == {NEW}
    assert nodes.ways_back(NOW_S) == {()}, "it opens still"
    for rotation in nodes.rotations.values():
        assert rotation.ring.opening(NOW_S + OVERLAP_S - 1).marks == (mark_of(NEW), mark_of(OLD))
        assert rotation.ring.opening(NOW_S + OVERLAP_S) == Keyring.of(NEW)
    assert nodes.ways_back(NOW_S + OVERLAP_S) == {(mark_of(OLD),)}


def test_a_key_that_revokes_leaves_the_one_before_worthless_everywhere() -> None:
    nodes = Nodes("a1", "a2", "a3")
    nodes.look()
    begun(nodes, "a2", NEW, revokes=True)
    for _ in range(4):
        nodes.look()
        assert nodes.unopened == 0, "at no moment somebody could not be understood"
    assert nodes.active() == {NEW}
    later_s = NOW_S + REVOKED_OVERLAP_S
    assert nodes.ways_back(NOW_S) == nodes.ways_back(later_s) == {()}
    nodes.look(later_s)
    assert {rotation.ring.marks for rotation in nodes.rotations.values()} == {(mark_of(NEW),)}


def test_a_revocation_is_one_of_all_keys_before_it() -> None:
    ring = Keyring.of(OLD).with_pending(RingKey(NEW)).activated(NOW_S)
    ring = ring.with_pending(RingKey(OTHER, revokes=True)).activated(NOW_S + 1)
    later_s = NOW_S + 1 + REVOKED_OVERLAP_S
    assert ring.opening(later_s).marks == ring.bounded(later_s).marks == (mark_of(OTHER),)


def test_what_was_revoked_does_not_come_back_with_the_next_key() -> None:
    ring = Keyring((RingKey(OLD),)).with_pending(RingKey(NEW, revokes=True)).activated(NOW_S)
    ring = ring.with_pending(RingKey(OTHER)).activated(NOW_S + 1)
    assert ring.marks == (mark_of(OTHER), mark_of(NEW))


def test_nobody_seals_with_a_key_before_all_that_are_there_have_it() -> None:
    nodes = Nodes("a1", "a2", "a3")
    nodes.look()
    begun(nodes, "a1", NEW)
    rotation = nodes.rotations["a1"]
    assert rotation.due({"a2", "a3"}, NOW_S).active.key == OLD
    rotation.heard("a2", (mark_of(OLD), mark_of(NEW)))
    assert rotation.due({"a2", "a3"}, NOW_S).active.key == OLD
    rotation.heard("a3", (mark_of(OLD), mark_of(NEW)))
    assert rotation.due({"a2", "a3"}, NOW_S).active.key == NEW


def test_nothing_is_offered_to_one_who_is_away_where_anybody_may_listen() -> None:
    nodes = Nodes("a1", "a2", "a3")
    nodes.look()
    nodes.away = {"a3"}
    begun(nodes, "a1", NEW)
    for _ in range(4):
        nodes.look()
    assert nodes.rotations["a1"].ring.active.key == NEW
    assert nodes.rotations["a1"].offers({"a2"}) == []
    assert nodes.rotations["a3"].ring == Keyring.of(OLD)


def test_who_comes_back_within_the_overlap_is_understood_and_offered_the_key() -> None:
    nodes = Nodes("a1", "a2", "a3")
    nodes.look()
    nodes.away = {"a3"}
    begun(nodes, "a1", NEW)
    for _ in range(4):
        nodes.look()
    nodes.away = set()
    for _ in range(4):
        nodes.look(NOW_S + OVERLAP_S - 1)
    assert nodes.active() == {NEW}


def test_a_way_back_ends_after_a_day() -> None:
    rotation = Rotation(Keyring.of(OLD).with_pending(RingKey(NEW)).activated(NOW_S))
    end_s = NOW_S + OVERLAP_S + RETURN_S
    assert [one.key for one in rotation.due((), end_s - 1).ways_back(end_s - 1)] == [OLD]
    assert rotation.ring.ways_back(end_s) == ()
    assert rotation.due((), end_s) == Keyring.of(NEW)


def test_two_rotations_later_the_first_key_still_leads_back_and_to_the_newest() -> None:
    ring = Keyring.of(OLD).with_pending(RingKey(NEW)).activated(NOW_S)
    ring = ring.with_pending(RingKey(OTHER)).activated(NOW_S + 100)
    assert ring.active.key == OTHER
    assert [one.key for one in ring.ways_back(NOW_S + 1000)] == [NEW, OLD]


@pytest.mark.parametrize("until_s", [NOW_S + OVERLAP_S + 2, NOW_S + 7 * 24 * 3600, 1 << 40])
def test_a_time_from_a_clock_that_went_wrong_keeps_no_key_for_ever(until_s: int) -> None:
    rotation = Rotation(Keyring((RingKey(NEW), RingKey(OLD, until_s))))
    assert rotation.ring.opening(NOW_S) == Keyring.of(NEW), "it opens nothing"
    rotation.ring = rotation.due((), NOW_S)
    assert rotation.ring.keys[1] == RingKey(OLD, NOW_S)
    assert rotation.due((), NOW_S + RETURN_S) == Keyring.of(NEW)


def test_who_is_handed_the_key_in_use_replaces_his_own_and_whatever_was_to_follow_it() -> None:
    rotation = Rotation(Keyring.of(OLD, OTHER))
    ring = rotation.offered(Offer(NEW, in_use=True), NOW_S, mark_of(OLD))
    assert (ring.active.key, ring.pending) == (NEW, None)
    assert ring.keys[1] == RingKey(OLD, NOW_S + OVERLAP_S)
    rotation.ring = Keyring.of(OLD, NEW)
    assert rotation.offered(Offer(NEW, in_use=True), NOW_S, mark_of(OLD)).active.key == NEW


def test_a_key_that_is_not_the_active_one_any_more_cannot_bring_another() -> None:
    rotation = Rotation(Keyring.of(OLD).with_pending(RingKey(NEW)).activated(NOW_S))
    assert rotation.offered(Offer(OTHER, in_use=True), NOW_S, mark_of(OLD)) == rotation.ring


def test_two_rotations_at_once_end_with_one_key() -> None:
    nodes = Nodes("a1", "a2", "a3")
    nodes.look()
    begun(nodes, "a1", NEW)
    begun(nodes, "a3", OTHER)
    for _ in range(8):
        nodes.look()
    assert len(nodes.active()) == 1
    assert nodes.active() <= {NEW, OTHER}


@pytest.mark.parametrize("revoked_at", ["a1", "a3"])
@pytest.mark.parametrize(("revoking", "other"), [(NEW, OTHER), (OTHER, NEW)])
def test_of_two_rotations_at_once_the_one_that_revokes_wins_whatever_the_marks(
    revoked_at: str, revoking: bytes, other: bytes
) -> None:
    nodes = Nodes("a1", "a2", "a3")
    nodes.look()
    begun(nodes, revoked_at, revoking, revokes=True)
    begun(nodes, "a3" if revoked_at == "a1" else "a1", other)
    for _ in range(8):
        nodes.look()
    assert nodes.active() == {revoking}
    assert nodes.ways_back(NOW_S + OVERLAP_S) == {()}


def test_a_second_command_goes_on_with_the_first_ones_key() -> None:
    rotation = Rotation(Keyring.of(OLD))
    rotation.ring = rotation.begun(NEW)
    assert rotation.begun(OTHER) == rotation.ring


def test_a_ring_never_grows_beyond_its_bound_and_nonsense_is_no_key() -> None:
    rotation = Rotation(Keyring.of(OLD))
    for number in range(10, 60):
        rotation.ring = rotation.offered(Offer(bytes([number]) * 32), NOW_S, rotation.ring.active.mark)
        rotation.ring = rotation.due((), NOW_S)
        rotation.ring = rotation.offered(Offer(b"short"), NOW_S, rotation.ring.active.mark)
        assert len(rotation.ring.keys) <= KEYS_MAX
    rotation.ring = rotation.offered(Offer(OTHER, in_use=True), NOW_S, rotation.ring.active.mark)
    assert rotation.ring.active.key == OTHER
    assert len(rotation.ring.keys) <= KEYS_MAX
