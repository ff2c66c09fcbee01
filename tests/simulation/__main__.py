"""Replay one seed: `python -m tests.simulation SEED [--trace] [--omit RULE]`; exit status 1 where it fails."""

from __future__ import annotations

import argparse
import sys

from tests.simulation.invariants import ViolationError
from tests.simulation.omissions import OMISSIONS
from tests.simulation.plot import world_of


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seed", type=int)
    parser.add_argument("--trace", action="store_true", help="print the last events even if nothing is wrong")
    parser.add_argument("--omit", choices=sorted(OMISSIONS), help="plant the omission of one rule")
    parser.add_argument("--lines", type=int, default=60, help="length of the trace")
    options = parser.parse_args()
    world = OMISSIONS[options.omit].world(options.seed) if options.omit else world_of(options.seed, options.lines)
    problem = None
    try:
        world.run()
    except ViolationError as violation:
        problem = violation
    if problem or options.trace:
        print(world.trace.text(options.lines))
    print(f"seed {options.seed}: {problem or 'all invariants hold'}; {world.counts}")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
