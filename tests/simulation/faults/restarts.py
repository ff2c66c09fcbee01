"""Daemons that start again by intention, under a restart lease: in time, or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.faults.fault import Fault

if TYPE_CHECKING:
    from tests.simulation.host import Host
    from tests.simulation.world import World


def restart(world: World, host: Host) -> str:
    host.restart(world.rng.choice((60, 200, 700)), world.rng.choice((2, 40, 300)) * world.rng.random())
    return f"restart {host.name}"


FAULTS = (
    Fault("restart", restart),
    Fault("restart leader", restart, at_leader=True),
)
