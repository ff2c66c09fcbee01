"""Links that are cut, in one or both directions, and messages that come again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.faults.fault import Fault

if TYPE_CHECKING:
    from tests.simulation.host import Host
    from tests.simulation.world import World


def partition(world: World, host: Host) -> str:
    return world.network.partition()


def isolate(world: World, host: Host) -> str:
    return world.network.isolate(host.name)


def deafen(world: World, host: Host) -> str:
    return world.network.deafen(host.name)


def cut_one_way(world: World, host: Host) -> str:
    return world.network.cut_one_way()


def heal(world: World, host: Host) -> str:
    return world.network.heal()


def replay(world: World, host: Host) -> str:
    return world.network.replay(100)


FAULTS = (
    Fault("partition", partition, weight=2),
    Fault("isolate", isolate),
    Fault("isolate leader", isolate, at_leader=True),
    Fault("deafen", deafen),
    Fault("cut one way", cut_one_way),
    Fault("heal", heal, weight=3),
    Fault("replay", replay),
)
