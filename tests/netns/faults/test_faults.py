"""Real daemons, real sockets: no packet is accepted twice, no acknowledged edit is lost, and all slots come back.

That is what leaving an `Ordeal` asserts; the tests say what happens inside.
"""

from __future__ import annotations

import signal
import time

import pytest

from tests.lab import Lab
from tests.lab.control import Status
from tests.netns.faults.ordeal import Ordeal, leader_of

pytestmark = pytest.mark.root

LEASE_NS = 350_000_000
LEADERSHIP_LEASE_NS = 150_000_000
"""for so long after the cut a leader may still grant what it hears on its own side"""


def follower_of(lab: Lab) -> str:
    return max(set(lab.names) - {leader_of(lab)})


@pytest.mark.parametrize("role", ["follower", "leader"])
def test_a_daemon_is_killed_and_started_again(serving: Lab, role: str) -> None:
    victim = leader_of(serving) if role == "leader" else follower_of(serving)
    with Ordeal(serving) as ordeal:
        serving.stop_daemon(victim, signal.SIGKILL)
        ordeal.others_serve()
        serving.start_daemon(victim)
        ordeal.healed()


@pytest.mark.parametrize("role", ["follower", "leader"])
def test_a_whole_host_is_stopped_and_goes_on(serving: Lab, role: str) -> None:
    victim = leader_of(serving) if role == "leader" else follower_of(serving)
    with Ordeal(serving) as ordeal:
        serving[victim].stop()
        ordeal.others_serve()
        serving[victim].cont()
        ordeal.healed()


def test_the_leaders_cable_is_pulled(serving: Lab) -> None:
    victim = leader_of(serving)
    with Ordeal(serving) as ordeal:
        serving.unplug(victim)
        ordeal.others_serve()
        serving.plug(victim)
        ordeal.healed()


@pytest.mark.parametrize("way", ["deaf", "mute"])
def test_frames_pass_one_way_only(serving: Lab, way: str) -> None:
    """Deaf: it is heard and hears nobody; a grant that it never gets must not keep its slots for it for ever."""
    victim = leader_of(serving) if way == "mute" else follower_of(serving)
    with Ordeal(serving) as ordeal:
        (serving.deafen if way == "deaf" else serving.mute)(victim)
        ordeal.others_serve()
        serving.heal()
        ordeal.healed()


def test_every_link_loses_a_fifth_of_its_frames(serving: Lab) -> None:
    with Ordeal(serving) as ordeal:
        serving.loss(20, *serving.names)
        time.sleep(6)
        serving.loss(0)
        ordeal.healed()


def test_a_partition_of_one_against_three_is_served_by_the_three(serving: Lab) -> None:
    victim = leader_of(serving)
    with Ordeal(serving) as ordeal:
        serving.partition([victim], [name for name in serving.names if name != victim])
        ordeal.others_serve()
        serving.heal()
        ordeal.healed()


@pytest.mark.parametrize("groups", [(2, 2), (2, 1, 1)], ids=["2/2", "2/1/1"])
def test_a_partition_without_a_majority_is_silent_everywhere(serving: Lab, groups: tuple[int, ...]) -> None:
    names = list(serving.names)
    parts = [[names.pop() for _ in range(size)] for size in groups]
    with Ordeal(serving) as ordeal:
        serving.partition(*parts)
        parted_ns = time.time_ns()
        time.sleep(2.4)
        for name in serving.names:
            status = Status.of(serving[name])
            assert status is not None
            assert not status.quorate
        newest_ns = max(ordeal.last_accepted_ns(name, time.time_ns()) for name in serving.names)
        assert newest_ns <= parted_ns + LEADERSHIP_LEASE_NS + LEASE_NS
        serving.heal()
        ordeal.healed()


def test_all_daemons_are_restarted_one_after_another(serving: Lab) -> None:
    with Ordeal(serving) as ordeal:
        for name in serving.names:
            serving.stop_daemon(name)
            serving.start_daemon(name)
            ordeal.healed()
