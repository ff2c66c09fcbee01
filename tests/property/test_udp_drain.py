"""No datagram is taken by both hosts of a move, whatever is lost, late or started again; who speaks stays."""

from __future__ import annotations

from itertools import pairwise

import pytest

from daemon.state.slots import Phase
from tests.property.udp_world import END_MS, MS, UDP_TIMEOUT_MS, Said, World

SEEDS = range(15)
LATE_MS = 1_500
"""who has fallen silent is looked for once a second, and told after a moment"""


@pytest.mark.parametrize("seed", SEEDS)
def test_no_datagram_is_taken_twice(seed: int) -> None:
    world = World(seed, faults=True)
    world.run_until(END_MS)
    assert [said for said in world.said if len(said.taken_by) > 1] == []
    assert world.phases() == {Phase.OPEN}
    quiet_ns = max(world.closings) + 100 * MS
    last = [said for said in world.said if quiet_ns < said.sent_ns < world.now_ns - 10 * MS and said.arrives == 2]
    assert [said for said in last if not said.taken_by] == []


@pytest.mark.parametrize("seed", SEEDS)
def test_who_speaks_stays_and_who_falls_silent_goes(seed: int) -> None:
    world = World(seed, faults=False)
    world.run_until(END_MS)
    talks: dict[bytes, list[Said]] = {}
    for said in world.said:
        talks.setdefault(said.name, []).append(said)
    moved = set()
    for talk in talks.values():
        for before, after in pairwise(talk):
            gap_ms = (after.sent_ns - before.sent_ns) / MS
            if (
                after.sent_ns < world.now_ns - 10 * MS
                and gap_ms < UDP_TIMEOUT_MS - LATE_MS / 10
                and before.taken_by
                and not _ends(world, before, after)
            ):
                assert after.taken_by == before.taken_by, (gap_ms, before, after)
            if before.taken_by and after.taken_by and before.taken_by != after.taken_by:
                moved.add(after.taken_by[0])
    assert moved == {"a1", "a2"}, "nobody was ever silent, or nothing ever moved"


def _ends(world: World, before: Said, after: Said) -> bool:
    """At the drain time-out conversations change hosts."""
    return any(before.sent_ns - 10 * MS < when_ns < after.sent_ns + 10 * MS for when_ns in world.closings)
