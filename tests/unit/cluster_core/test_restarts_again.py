"""A process that took over under a restart lease may ask for one of its own."""

from __future__ import annotations

from daemon.cluster.core.membership import Peer
from daemon.cluster.core.restarts import Restarts
from daemon.cluster.core.standing import RestartLease, Standing
from daemon.cluster.timers import PROFILES

S = 1_000_000_000


def standing(incarnation: int, asked_by: int, epoch: int) -> Standing:
    return Standing(True, incarnation, "boot", epoch, RestartLease(asked_by, 700))


def test_the_end_of_one_restart_lease_is_not_the_end_of_the_next() -> None:
    """Seed 184 of the simulation: a1 was declared lost with 124 ms of its second restart lease left."""
    taken_over = standing(incarnation=2, asked_by=1, epoch=10)
    peer = Peer("a1", 0, incarnation=2, epoch=10)
    restarts = Restarts({"a1": taken_over}, {"a1": peer}, PROFILES["fast"], S)
    assert restarts.running("a1", taken_over) is None
    asked_again = standing(incarnation=2, asked_by=2, epoch=10)
    restarts.appended("a1", 2 * S)
    assert restarts.running("a1", asked_again) == RestartLease(2, 700)
    assert restarts.over_ns("a1", asked_again) > 2 * S + 700_000_000


def test_a_lease_that_ends_while_this_leader_leads_does_not_end_the_next_one_either() -> None:
    taken_over = standing(incarnation=2, asked_by=1, epoch=10)
    restarts = Restarts({"a1": taken_over}, {}, PROFILES["fast"], S)
    assert restarts.heard(Peer("a1", 0, incarnation=2, epoch=10), taken_over)
    assert restarts.running("a1", taken_over) is None
    assert restarts.running("a1", standing(incarnation=2, asked_by=2, epoch=10)) == RestartLease(2, 700)
