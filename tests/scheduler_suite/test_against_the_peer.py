"""Random CIBs: our placement beside that of the installed Pacemaker's `crm_simulate`.

Only resources that run once take part: for clones, the newest Pacemaker is right where versions differ, and the one
that is installed may be older.  Those are in the suite's data.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.scheduler.cibstatus import read_view
from daemon.scheduler.simulate import simulate
from tests.scheduler_suite.peer import peer_places
from tests.scheduler_suite.random_cibs import SINGLE, random_cib

SEEDS = range(7_000, 7_040)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_cluster_is_placed_as_the_peer_places_it(seed: int, tmp_path: Path) -> None:
    document = random_cib(seed, SINGLE)
    wanted = peer_places(document, tmp_path)
    if wanted is None:
        return  # the peer gives up where the transition that it simulates does not end
    placement = simulate(read_view(document, now_ms=0))["placement"]
    assert {name: hosts for name, hosts in placement.items() if hosts} == wanted
