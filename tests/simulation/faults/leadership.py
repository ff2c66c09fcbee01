"""Leadership that is handed over, to anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.faults.fault import Fault

if TYPE_CHECKING:
    from tests.simulation.host import Host, Process
    from tests.simulation.world import World


def transfer(world: World, host: Host) -> str:
    to = world.rng.choice(world.names)

    def step(process: Process) -> None:
        process.core.transfer(to, host.local_ns)

    host.happen(host.process, step)
    return f"transfer {host.name} to {to}"


FAULTS = (Fault("transfer", transfer),)
