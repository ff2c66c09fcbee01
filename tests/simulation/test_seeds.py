"""500 seeds on all cores, in all the worlds of `plot`: a quarter with State, scheduler and Executor above the cores."""

from __future__ import annotations

import pytest

from tests.simulation.campaign import Totals, run_seed, run_seeds, story
from tests.simulation.plot import world_of

SEEDS = 500
FOUND = {
    60597: "a receiver that starts again before its snapshot is on disk",
}
"""seeds that have found a mistake in what ships"""

pytestmark = [
    pytest.mark.timeout(1200),  # about a minute on two cores; not where others use them, too
    pytest.mark.xdist_group("seeds"),  # every worker would run all of them
]


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
    assert counts.rosters > SEEDS
    assert counts.drains > SEEDS
    assert counts.dismissals > SEEDS // 10
    assert counts.restores > SEEDS // 2
    assert all(number > SEEDS // 20 for number in counts.faults.values())


@pytest.mark.parametrize("seed", FOUND)
def test_a_seed_that_has_found_a_mistake_finds_it_no_more(seed: int) -> None:
    outcome = run_seed(seed)
    if outcome.problem:
        pytest.fail(f"{FOUND[seed]}: {story(outcome)}", pytrace=False)


@pytest.mark.parametrize("seed", [3, 4])
def test_the_same_seed_gives_the_same_run(seed: int) -> None:
    first, second = world_of(seed), world_of(seed)
    assert first.run() == second.run()
    assert first.trace.text() == second.trace.text()
    assert first.invariants.consensus.committed == second.invariants.consensus.committed
