"""What one seed is about: how many nodes, and what runs above their cores.  The seed alone decides."""

from __future__ import annotations

import random

from tests.simulation.cast import SHIPPED, Cast
from tests.simulation.workloads.daemon import DaemonWorkload
from tests.simulation.world import World

DAEMON_EVERY = 5
"""one seed of so many has State, scheduler and Executor above its cores, the others the quick stand-in"""
NODES = (2, 3, 3, 4, 4, 4, 5, 5, 6, 7, 9)
DAEMON_NODES = (2, 3, 4, 4)
SPARES = (2, 3, 4, 6)
"""nodes that may join, in every fifth world"""


def world_of(seed: int, lines_max: int = 400) -> World:
    """`lines_max`: how much of the trace is remembered."""
    rng = random.Random(f"plot {seed}")
    if seed % DAEMON_EVERY == DAEMON_EVERY - 1:
        return World(seed, rng.choice(DAEMON_NODES), cast=Cast(workload=DaemonWorkload()), lines_max=lines_max)
    spares = rng.choice(SPARES) if seed % DAEMON_EVERY == 0 else 0
    return World(seed, rng.choice(NODES), cast=SHIPPED, lines_max=lines_max, spares=spares)
