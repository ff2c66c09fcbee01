"""Four nodes, 200 seeds: loss, repetition, delays, partitions, crashes, reboots, SIGSTOP, slow and full disks."""

from __future__ import annotations

import pytest

from tests.simulation.cast import Cast
from tests.simulation.invariants import ViolationError
from tests.simulation.workloads.daemon import DaemonWorkload
from tests.simulation.world import World

CORE_SEEDS = 200
DAEMON_SEEDS = 60
BATCH = 10


def run(world: World, command: str) -> None:
    try:
        world.run()
    except ViolationError as violation:
        pytest.fail(f"{violation}\nreplay: {command}\n{world.trace.text(60)}", pytrace=False)


@pytest.mark.parametrize("first", range(0, CORE_SEEDS, BATCH))
def test_the_core_keeps_the_invariants_and_becomes_whole_after_the_faults(first: int) -> None:
    for seed in range(first, first + BATCH):
        run(World(seed), f".venv/bin/python -m tests.simulation {seed} --shares --trace")


@pytest.mark.parametrize("first", range(0, DAEMON_SEEDS, BATCH))
def test_state_and_executor_keep_the_invariants_on_top_of_it(first: int) -> None:
    for seed in range(first, first + BATCH):
        run(
            World(seed, cast=Cast(workload=DaemonWorkload())),
            f".venv/bin/python -m tests.simulation {seed} --trace",
        )


def test_a_run_is_full_of_events() -> None:
    """A simulation in which nothing happens would prove nothing."""
    counts = [World(seed).run() for seed in range(15)]
    assert sum(count.elections for count in counts) > 30
    assert sum(count.losses for count in counts) > 30
    assert sum(count.admissions for count in counts) > 60
    assert sum(count.edits for count in counts) > 100


def test_the_same_seed_gives_the_same_run() -> None:
    first, second = World(7), World(7)
    assert first.run() == second.run()
    assert first.trace.text() == second.trace.text()
    assert first.invariants.consensus.committed == second.invariants.consensus.committed
