"""Many seeds on all cores: `python -m tests.simulation.campaign --seeds 10000 [--base K] [--jobs N]`.

Ends with one line of totals; exit status 1 where a seed failed.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.simulation.counts import Counts
from tests.simulation.plot import world_of

NS_PER_HOUR = 3_600_000_000_000
SHOWN_MAX = 5
"""failing seeds whose trace is printed"""
CHUNK = 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one seed; small, for it travels between processes."""

    seed: int
    counts: Counts
    simulated_ns: int
    problem: str = ""
    trace: str = ""


@dataclass(slots=True)
class Totals:
    runs: int = 0
    simulated_ns: int = 0
    counts: Counts = field(default_factory=Counts)
    failed: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        self.runs += 1
        self.simulated_ns += outcome.simulated_ns
        self.counts.add(outcome.counts)
        if outcome.problem:
            self.failed.append(outcome)

    def line(self, seconds: float) -> str:
        faults = ", ".join(f"{number} {kind}" for kind, number in sorted(self.counts.faults.items()))
        return (
            f"{self.runs} runs, {self.simulated_ns / NS_PER_HOUR:.2f} simulated hours, {self.counts.sentence()},"
            f" {sum(self.counts.faults.values())} faults ({faults}), {len(self.failed)} violations,"
            f" {seconds:.0f} s, {self.runs / seconds:.1f} runs/s"
        )


def run_seed(seed: int) -> Outcome:
    world = world_of(seed)
    problem = ""
    try:
        world.run()
    except AssertionError as violation:  # a broken invariant, or an assertion of the shipped code
        problem = str(violation) or traceback.format_exc()
    except Exception:
        problem = traceback.format_exc()
    trace = world.trace.text(60) if problem else ""
    outcome = Outcome(seed, world.counts, world.now_ns, problem, trace)
    del world
    gc.collect()
    return outcome


def _prepare() -> None:
    """A world is one big cycle; it is collected once, when it is over."""
    gc.collect()
    gc.freeze()
    gc.disable()


def run_seeds(seeds: range, jobs: int | None = None) -> Iterator[Outcome]:
    """In any order, over `jobs` processes: as many as there are cores that this process may use."""
    jobs = jobs or len(os.sched_getaffinity(0))
    with multiprocessing.get_context("fork").Pool(jobs, _prepare) as pool:
        yield from pool.imap_unordered(run_seed, seeds, chunksize=min(CHUNK, len(seeds) // jobs + 1))


def replay_command(seed: int) -> str:
    return f".venv/bin/python -m tests.simulation {seed} --trace"


def story(outcome: Outcome) -> str:
    return f"seed {outcome.seed}: {outcome.problem}\n{outcome.trace}\nreplay: {replay_command(outcome.seed)}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.campaign", description=__doc__)
    parser.add_argument("--seeds", type=int, default=500, help="how many")
    parser.add_argument("--base", type=int, default=0, help="the first one")
    parser.add_argument("--jobs", type=int, help="processes; as many as cores by default")
    options = parser.parse_args()
    started = time.monotonic()
    totals = Totals()
    for outcome in run_seeds(range(options.base, options.base + options.seeds), options.jobs):
        totals.add(outcome)
        if outcome.problem and len(totals.failed) <= SHOWN_MAX:
            print(story(outcome), end="\n\n", flush=True)
    if len(totals.failed) > SHOWN_MAX:
        print("failed:", *sorted(outcome.seed for outcome in totals.failed))
    print(totals.line(time.monotonic() - started))
    return 1 if totals.failed else 0


if __name__ == "__main__":
    sys.exit(main())
