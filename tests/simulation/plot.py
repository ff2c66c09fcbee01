"""What one seed is about: how many nodes, of what kinds, and what runs above their cores.  The seed alone decides.

Of ten seeds two have State, scheduler and Executor above their cores, the others the quick stand-in; two, and half of
those with State, have nodes that join and are removed; one is about two nodes with a third party, of either kind.
"""

from __future__ import annotations

import random

from tests.simulation.cast import SHIPPED, Cast
from tests.simulation.workloads.daemon import DaemonWorkload
from tests.simulation.workloads.shares import SharesWorkload
from tests.simulation.world import World

DAEMON_EVERY = 5
PAIR_EVERY = 10
NODES = (2, 3, 3, 4, 4, 4, 5, 5, 6, 7, 9)
DAEMON_NODES = (2, 3, 4, 4)
SPARES = (2, 3, 4, 6)
"""nodes that may join"""
DAEMON_SPARES = (1, 2, 3)
POLICIES: tuple[dict[str, str], ...] = (
    {},
    {},
    {"no_quorum_policy": "freeze"},
    {"no_quorum_policy": "ignore"},
    {"no_quorum_policy": "ignore", "wait_for_all": "false"},
)
NAMES_FEW_EVERY = 3
"""in one world of so many heartbeats name as few peers as in a large cluster"""


def world_of(seed: int, lines_max: int = 400) -> World:
    """`lines_max`: how much of the trace is remembered."""
    rng = random.Random(f"plot {seed}")
    names_few = seed % NAMES_FEW_EVERY == 0
    if seed % PAIR_EVERY == PAIR_EVERY - 2:
        return _pair(seed, rng, lines_max, names_few)
    if seed % DAEMON_EVERY == DAEMON_EVERY - 1:
        nodes = rng.choice(DAEMON_NODES)
        spares = rng.choice(DAEMON_SPARES) if seed % PAIR_EVERY == DAEMON_EVERY - 1 else 0
        cast = Cast(workload=DaemonWorkload(**rng.choice(POLICIES)))
        return World(seed, nodes, cast=cast, lines_max=lines_max, spares=spares, names_few=names_few)
    spares = rng.choice(SPARES) if seed % DAEMON_EVERY == 0 else 0
    return World(seed, rng.choice(NODES), cast=SHIPPED, lines_max=lines_max, spares=spares, names_few=names_few)


def _pair(seed: int, rng: random.Random, lines_max: int, names_few: bool) -> World:
    """Two nodes with a witness, with a tie-breaker, or with fencing that counts, under either workload."""
    third = rng.choice(("witness", "tie-breaker", "fencing"))
    tie_breaker = rng.choice(("a1", "a2")) if third == "tie-breaker" else ""
    with_state = rng.random() < 0.4
    workload = (
        DaemonWorkload(tie_breaker=tie_breaker)
        if with_state and tie_breaker
        else DaemonWorkload()
        if with_state
        else SharesWorkload(tie_breaker=tie_breaker)
    )
    return World(
        seed,
        2,
        cast=Cast(workload=workload),
        lines_max=lines_max,
        witnesses=1 if third == "witness" else 0,
        names_few=names_few,
        fences=third == "fencing",
    )
