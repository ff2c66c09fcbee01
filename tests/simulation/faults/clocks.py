"""Clocks that run faster or slower from one moment to the next, within the bound that the timers assume."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.faults.fault import Fault

if TYPE_CHECKING:
    from tests.simulation.host import Host
    from tests.simulation.world import World


def drift(world: World, host: Host) -> str:
    ppm = world.some_ppm()
    host.clock.run_at(ppm, world.now_ns)
    return f"the clock of {host.name} is {ppm} ppm fast"


FAULTS = (Fault("drift", drift),)
