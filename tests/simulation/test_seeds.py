"""500 seeds on all cores, 400 with the cores alone and 100 with State, scheduler and Executor above them."""

from __future__ import annotations

import pytest

from tests.simulation.campaign import Totals, run_seeds, story
from tests.simulation.plot import world_of

SEEDS = 500

pytestmark = pytest.mark.timeout(1200)  # about a minute on two cores; not where others use them, too


@pytest.fixture(scope="module")
def totals() -> Totals:
    totals = Totals()
    for outcome in run_seeds(range(SEEDS)):
        totals.add(outcome)
    return totals


def test_every_seed_keeps_the_invariants_and_becomes_whole_after_the_faults(totals: Totals) -> None:
    assert totals.runs == SEEDS
    if totals.failed:
        pytest.fail("\n\n".join(story(outcome) for outcome in totals.failed[:3]), pytrace=False)


def test_the_runs_are_full_of_events(totals: Totals) -> None:
    """A simulation in which nothing happens would prove nothing."""
    counts = totals.counts
    assert counts.elections > 3 * SEEDS
    assert counts.losses > SEEDS
    assert counts.admissions > 5 * SEEDS
    assert counts.edits > 5 * SEEDS
    assert all(number > SEEDS // 20 for number in counts.faults.values())


@pytest.mark.parametrize("seed", [3, 4])
def test_the_same_seed_gives_the_same_run(seed: int) -> None:
    first, second = world_of(seed), world_of(seed)
    assert first.run() == second.run()
    assert first.trace.text() == second.trace.text()
    assert first.invariants.consensus.committed == second.invariants.consensus.committed
