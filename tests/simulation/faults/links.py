"""Links that are cut, in one or both directions, and messages that come again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.faults.fault import Fault
from tests.simulation.network import NS_PER_MS

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


def partition_one_way(world: World, host: Host) -> str:
    return world.network.partition_one_way()


def partition_in_part(world: World, host: Host) -> str:
    return world.network.partition_in_part()


def bridge(world: World, host: Host) -> str:
    return world.network.bridge(host.name)


def flap(world: World, host: Host) -> str:
    """A link that comes and goes a few times, for some milliseconds each."""
    unplugged = world.network.unplugged

    def toggle(left: int) -> None:
        (unplugged.discard if left % 2 == 0 else unplugged.add)(host.name)
        if left > 0:
            world.at(world.rng.randint(1, 60) * NS_PER_MS, lambda: toggle(left - 1))

    toggle(2 * world.rng.randint(1, 6) - 1)
    return f"flap {host.name}"


def spike(world: World, host: Host) -> str:
    """Everything from and to one host is late for a while, in the same order as ever."""
    spikes_ns = world.network.spikes_ns
    spikes_ns[host.name] = int(world.rng.choice((5, 20, 60, 200)) * world.rng.random() * NS_PER_MS)

    def over() -> None:
        spikes_ns.pop(host.name, None)

    world.at(world.rng.randint(5, 300) * NS_PER_MS, over)
    return f"delays of {host.name} by {spikes_ns[host.name] / NS_PER_MS:.1f} ms"


FAULTS = (
    Fault("partition one way", partition_one_way),
    Fault("partial partition", partition_in_part),
    Fault("bridge", bridge),
    Fault("flap", flap),
    Fault("delay spike", spike),
    Fault("partition", partition, weight=2),
    Fault("isolate", isolate),
    Fault("isolate leader", isolate, at_leader=True),
    Fault("deafen", deafen),
    Fault("cut one way", cut_one_way),
    Fault("heal", heal, weight=3),
    Fault("replay", replay),
)
