"""Four nodes, 200 seeds: loss, repetition, delays, partitions, crashes, reboots, SIGSTOP, slow and full disks."""

from __future__ import annotations

import pytest

from tests.simulation.invariants import ViolationError
from tests.simulation.world import World

SEEDS = 200
BATCH = 10


def replay(seed: int, world: World, violation: ViolationError) -> str:
    command = f".venv/bin/python -m tests.simulation {seed} --trace"
    return f"{violation}\nreplay: {command}\n{world.trace.text(60)}"


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_the_invariants_hold_under_faults_and_the_cluster_becomes_whole_afterwards(first: int) -> None:
    for seed in range(first, first + BATCH):
        world = World(seed)
        try:
            world.run()
        except ViolationError as violation:
            pytest.fail(replay(seed, world, violation), pytrace=False)


def test_a_run_is_full_of_events() -> None:
    """A simulation in which nothing happens would prove nothing."""
    counts = [World(seed).run() for seed in range(10)]
    assert sum(count.elections for count in counts) > 30
    assert sum(count.losses for count in counts) > 30
    assert sum(count.admissions for count in counts) > 60
    assert sum(count.edits for count in counts) > 100


def test_the_same_seed_gives_the_same_run() -> None:
    first, second = World(7), World(7)
    assert first.run() == second.run()
    assert first.trace.text() == second.trace.text()
    assert first.invariants.committed == second.invariants.committed
