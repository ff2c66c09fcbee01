"""Disks that are slow, full or gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.faults.bearing import bears
from tests.simulation.faults.fault import Fault
from tests.simulation.faults.processes import crash, reboot

if TYPE_CHECKING:
    from tests.simulation.host import Host
    from tests.simulation.world import World


def slow(world: World, host: Host) -> str:
    host.disk.slow = True
    return f"slow disk {host.name}"


def full(world: World, host: Host) -> str:
    host.disk.full = True
    return f"full disk {host.name}"


def repaired(world: World, host: Host) -> str:
    host.disk.slow = host.disk.full = False
    return f"disk ok {host.name}"


def lost(world: World, host: Host) -> str:
    """Only while the cluster can bear it."""
    if host.suspended or not bears(world, host, "none"):
        return f"{host.name} keeps its disk"
    (reboot if world.rng.random() < 0.5 else crash)(world, host)
    host.disk.lose()
    return f"lose disk {host.name}"


def put_back(world: World, host: Host) -> str:
    """Somebody finds the disk that was lost, and puts it back in the place of the new one."""
    for other in (host, *world.hosts.values()):
        if other.disk.can_be_put_back and not other.suspended and bears(world, other, "store-1"):
            crash(world, other)
            other.disk.put_back()
            return f"put back disk {other.disk.number} of {other.name}"
    return "no disk is put back"


FAULTS = (
    Fault("slow disk", slow),
    Fault("full disk", full),
    Fault("disk ok", repaired),
    Fault("lose disk", lost),
    Fault("put back disk", put_back),
)
