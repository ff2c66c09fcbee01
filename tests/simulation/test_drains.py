"""Drains by hand under every fault.  That what ships keeps them is what the random seeds show; here it is found out
where they are not kept."""

from __future__ import annotations

import pytest

from daemon.scheduler import slots
from tests.simulation.cast import Cast
from tests.simulation.invariants import ViolationError
from tests.simulation.workloads.daemon import DaemonWorkload
from tests.simulation.world import World


def shares_out_to_all(*_of_whom: object) -> frozenset[str]:
    """A mistake: who is drained gets slots like everybody else."""
    return frozenset()


def test_a_scheduler_that_forgets_who_is_drained_is_found_out() -> None:
    cast = Cast(workload=DaemonWorkload(), plants=((slots, "hosts_drained", shares_out_to_all),))
    with cast.planted(), pytest.raises(ViolationError, match=r"is given slot VIP:\d although .* is drained"):
        _run(cast, range(10))


def _run(cast: Cast, seeds: range) -> None:
    for seed in seeds:
        World(seed, nodes=4, cast=cast).run()
