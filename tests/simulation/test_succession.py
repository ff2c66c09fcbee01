"""Losing the leader costs clients of its slots no more than losing a follower, one round trip and one commit.

Simulated time: from the moment when a host that serves all slots loses its power until the last of them is served
again.  Run with `-s` it prints the figures.
"""

from __future__ import annotations

import random
from statistics import median

import pytest

from tests.simulation.cast import SHIPPED
from tests.simulation.host import Host, Process
from tests.simulation.network import NS_PER_MS
from tests.simulation.world import World

SEEDS = 15
ROUND_TRIP_MS = 4.0
"""the simulated network's, there and back, at its slowest"""
COMMIT_MS = 2 * 2.0 + ROUND_TRIP_MS
"""an fsync of two simulated disks, and a round"""


class NoTails(random.Random):
    """Of hosts whose kernel and disk are as they mostly are: a slow fsync costs whoever dies the same."""

    getrandbits = random.Random.getrandbits

    def random(self) -> float:
        return 0.5


def dark_ms(seed: int, profile: str, leads: bool) -> float:
    """How long the slots of a host that leads, or follows, are served by nobody after it has lost its power."""
    world = World(seed, nodes=4, profile=profile, cast=SHIPPED)
    for number, host in enumerate(world.hosts.values()):
        host.clock.ppm = host.slack_ms = 0
        host.rng = host.disk.rng = NoTails(seed)
        world.at(number * NS_PER_MS, host.start)
    assert world.run_until(10_000 * NS_PER_MS, lambda: world.ailing() is None), world.trace.text(40)
    victim = next(host for host in world.hosts.values() if host.kernel.states)
    hand_over(world, victim.name if leads else next(name for name in world.names if name != victim.name))
    world.run_until(world.now_ns + random.Random(seed).randint(500, 1000) * NS_PER_MS)
    slots = list(victim.kernel.states)
    assert slots
    died_ns = world.now_ns
    victim.reboot()
    others = [host for host in world.hosts.values() if host is not victim]

    def served() -> bool:
        return all(any(host.accepts(slot, world.now_ns) for host in others) for slot in slots)

    assert world.run_until(died_ns + 3_000 * NS_PER_MS, served), world.trace.text(40)
    return (world.now_ns - died_ns) / NS_PER_MS


def hand_over(world: World, to: str) -> None:
    """Wait until the cluster is whole and led by `to`."""

    def leader() -> Host | None:
        return next((host for host in world.hosts.values() if host.leads(world.now_ns)), None)

    def step(process: Process) -> None:
        process.core.transfer(to, world.hosts[process.core.replica.name].local_ns)

    def is_there() -> bool:
        found = leader()
        if world.ailing() is not None or found is None:
            return False
        if found.name != to:
            found.happen(found.process, step)
        return found.name == to

    assert world.run_until(world.now_ns + 10_000 * NS_PER_MS, is_there), world.trace.text(40)


@pytest.mark.parametrize("profile", ["fast", "default"])
def test_losing_the_leader_costs_no_more_than_a_follower_a_round_trip_and_a_commit(profile: str) -> None:
    leader = sorted(dark_ms(seed, profile, leads=True) for seed in range(SEEDS))
    follower = sorted(dark_ms(seed, profile, leads=False) for seed in range(SEEDS))
    for what, figures in (("leader", leader), ("follower", follower)):
        print(
            f"{profile}: a {what} dies: median {median(figures):.1f} ms, most {figures[-1]:.1f} ms of {SEEDS} seeds"
        )
    allowance = ROUND_TRIP_MS + COMMIT_MS
    assert median(leader) <= median(follower) + allowance
    assert leader[-1] <= follower[-1] + allowance
