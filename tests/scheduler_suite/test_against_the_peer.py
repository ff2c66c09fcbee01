"""Random clusters: our placement after one transition beside that of the installed Pacemaker's `crm_simulate`.

`make fuzz-scheduler` does the same for as long as one likes.  Where Pacemaker's versions differ the newest is right;
the installed one may be older.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scheduler_suite.cases import case_names
from tests.scheduler_suite.fuzz.cluster import random_cib
from tests.scheduler_suite.fuzz.comparison import compare
from tests.scheduler_suite.fuzz.drawing import FURTHER
from tests.scheduler_suite.fuzz.mutations import neighbour
from tests.scheduler_suite.peer import PeerRefusedError

SEEDS = range(500_000, 500_150)
FURTHER_SEEDS = range(3_000_008, 3_000_018)
NEIGHBOURS = range(600_000, 600_060)
OTHERWISE_IN_2_1_5 = frozenset({500_047, 500_077, 500_117, 500_118, 500_137})
"""placed by Pacemaker 2.1.5 (Debian 12) otherwise than by 2.1.11, which places them as we do"""
ASSERTION_IN_2_1_5 = frozenset({500_139})
"""at which Pacemaker 2.1.5 ends"""


@pytest.mark.parametrize("seed", [seed for seed in SEEDS if seed not in OTHERWISE_IN_2_1_5 | ASSERTION_IN_2_1_5])
def test_a_random_cluster_is_placed_as_the_peer_places_it(seed: int, tmp_path: Path) -> None:
    found = compare(random_cib(seed), tmp_path)
    # None: the peer gives up where the transition that it simulates does not end
    assert found is None or not found.differs, found.sentences()


@pytest.mark.parametrize("about", FURTHER)
@pytest.mark.parametrize("seed", FURTHER_SEEDS)
def test_what_is_rare_is_placed_as_the_peer_places_it(seed: int, about: str, tmp_path: Path) -> None:
    found = compare(random_cib(seed, further=frozenset({about})), tmp_path)
    assert found is None or not found.differs, found.sentences()


@pytest.mark.skipif(not case_names(), reason="there is no suite whose cases could be changed")
@pytest.mark.parametrize("seed", NEIGHBOURS)
def test_a_changed_case_of_the_suite_is_placed_as_the_peer_places_it(seed: int, tmp_path: Path) -> None:
    try:
        found = compare(neighbour(seed), tmp_path)
    except PeerRefusedError:
        return  # the change has made an invalid CIB of it, or it says that it is valid by a schema of tests
    assert found is None or not found.differs, found.sentences()


def test_what_is_no_cib_is_refused_and_not_compared(tmp_path: Path) -> None:
    with pytest.raises(PeerRefusedError):
        compare(b'<cib validate-with="pacemaker-3.7"><configuration/></cib>', tmp_path)
