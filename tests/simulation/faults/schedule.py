"""What goes wrong, when, and for how long."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.simulation.faults import clocks, disks, fencing, leadership, links, members, processes, restarts
from tests.simulation.faults.fault import Fault
from tests.simulation.network import NS_PER_MS

if TYPE_CHECKING:
    from tests.simulation.host import Host
    from tests.simulation.world import World

THEMES = (processes, restarts, links, leadership, disks, clocks)

FAULTS: tuple[Fault, ...] = tuple(fault for theme in THEMES for fault in theme.FAULTS)


class Faults:
    def __init__(self, world: World, comes_and_goes: bool) -> None:
        """`comes_and_goes`: members do, too."""
        self.world = world
        faults = (*FAULTS, *members.FAULTS) if comes_and_goes else FAULTS
        if world.fences is not None:
            faults = (*faults, *fencing.FAULTS)
        self._weighted = tuple(fault for fault in faults for _ in range(fault.weight))
        self.rng: random.Random = world.rng
        self._calm = 1
        self._over = False

    def begin(self) -> None:
        network, rng = self.world.network, self.rng
        network.loss = rng.choice((0, 0.02, 0.1, 0.25))
        network.repeat = 0.02
        network.late = rng.choice((0, 0.02, 0.1))
        self.world.struck = rng.choice((0, 0.004, 0.02))
        self._calm = rng.choice((1, 2, 5, 10))
        self.world.at(rng.randint(200, 500) * NS_PER_MS, self._strike)

    def _strike(self) -> None:
        if self._over:
            return
        fault = self.rng.choice(self._weighted)
        host = self._victim(fault)
        counts = self.world.counts.faults
        counts[fault.kind] = counts.get(fault.kind, 0) + 1
        self.world.trace.say("FAULT", fault.strike(self.world, host))
        pause_ms = self.rng.choice((10, 40, 120, 300)) * self.rng.random() * self._calm + 1
        self.world.at(int(pause_ms * NS_PER_MS), self._strike)

    def _victim(self, fault: Fault) -> Host:
        hosts = list(self.world.hosts.values())
        leaders = [host for host in hosts if host.process is not None and host.process.core.leader is not None]
        if leaders and (fault.at_leader or self.rng.random() < 0.4):
            return leaders[-1]
        return self.rng.choice(hosts)

    def end(self) -> None:
        """Everything is repaired; whoever is down or stopped comes back by itself, within a bound."""
        self._over = True
        self.world.struck = 0
        self.world.network.repair()
        for host in self.world.hosts.values():
            host.disk.slow = host.disk.full = False
        self.world.trace.say("FAULT", "none any more: everything is repaired")
