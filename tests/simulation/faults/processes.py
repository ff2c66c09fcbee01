"""Processes and hosts that end, start again or stand still."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.faults.fault import Fault
from tests.simulation.network import NS_PER_MS

if TYPE_CHECKING:
    from tests.simulation.host import Host
    from tests.simulation.world import World


def crash(world: World, host: Host) -> str:
    """`kill -9`; the service comes back after a while."""
    if host.process is not None and not host.suspended:
        host.die()
        start_later(world, host)
    return f"crash {host.name}"


def reboot(world: World, host: Host) -> str:
    if host.process is not None:
        host.reboot()
        start_later(world, host)
    return f"reboot {host.name}"


def power_cut(world: World, host: Host) -> str:
    for other in world.hosts.values():
        reboot(world, other)
    return "power cut"


def stop(world: World, host: Host) -> str:
    """SIGSTOP, and SIGCONT after a while."""
    process = host.process
    if process is not None and not process.paused:
        process.paused = True
        stopped_ms = world.rng.choice((20, 60, 150, 300, 600)) * world.rng.random()
        world.at(int(stopped_ms * NS_PER_MS), lambda: host.resume(process))
    return f"stop {host.name}"


def suspend(world: World, host: Host) -> str:
    """A virtual machine stands still, its kernel included, and goes on after a while.

    Its CLOCK_BOOTTIME has gone on meanwhile, so that the kernel's first look finds the lease over.  A clock that
    stands still with the machine is what LEASES.md does not cover.
    """
    process = host.process
    if process is not None and not process.paused:
        process.paused = host.suspended = True
        suspended_ms = world.rng.choice((20, 100, 300, 800)) * world.rng.random()
        world.at(int(suspended_ms * NS_PER_MS), lambda: host.resume(process))
    return f"suspend {host.name}"


def start_later(world: World, host: Host) -> None:
    down_ms = world.rng.choice((1, 5, 20, 60, 150, 400)) * world.rng.random()
    world.at(int(down_ms * NS_PER_MS), lambda: host.start() if host.process is None else None)


FAULTS = (
    Fault("crash", crash),
    Fault("crash leader", crash, at_leader=True),
    Fault("reboot", reboot),
    Fault("reboot leader", reboot, at_leader=True),
    Fault("stop", stop, weight=2),
    Fault("stop leader", stop, at_leader=True),
    Fault("suspend", suspend),
    Fault("suspend leader", suspend, at_leader=True),
    Fault("power cut", power_cut),
)
