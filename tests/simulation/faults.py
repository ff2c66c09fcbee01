"""What goes wrong, when, and for how long."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.simulation.network import NS_PER_MS

if TYPE_CHECKING:
    from tests.simulation.host import Host
    from tests.simulation.world import World

KINDS = (
    *("crash", "reboot", "crash leader", "reboot leader"),
    *("stop", "stop", "stop leader"),
    *("partition", "partition", "isolate", "isolate leader", "deafen", "cut one way"),
    *("heal", "heal", "heal"),
    *("transfer", "slow disk", "full disk", "disk ok", "power cut", "replay", "lose disk"),
)


class Faults:
    def __init__(self, world: World) -> None:
        self.world = world
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
        kind = self.rng.choice(KINDS)
        host = self._victim(kind)
        self.world.counts.faults[kind] = self.world.counts.faults.get(kind, 0) + 1
        self.world.trace.say("FAULT", self._do(kind, host))
        pause_ms = self.rng.choice((10, 40, 120, 300)) * self.rng.random() * self._calm + 1
        self.world.at(int(pause_ms * NS_PER_MS), self._strike)

    def _victim(self, kind: str) -> Host:
        hosts = list(self.world.hosts.values())
        leaders = [host for host in hosts if host.process is not None and host.process.core.leader is not None]
        if leaders and (kind.endswith("leader") or self.rng.random() < 0.4):
            return leaders[-1]
        return self.rng.choice(hosts)

    def _do(self, kind: str, host: Host) -> str:
        network = self.world.network
        match kind.split(maxsplit=1)[0]:
            case "crash" | "reboot":
                self._kill(host, reboot=kind.startswith("reboot"))
            case "stop":
                self._stop(host)
            case "power":
                for other in self.world.hosts.values():
                    self._kill(other, reboot=True)
                return kind
            case "partition":
                return network.partition()
            case "isolate":
                return network.isolate(host.name)
            case "deafen":
                return network.deafen(host.name)
            case "cut":
                return network.cut_one_way()
            case "heal":
                return network.heal()
            case "replay":
                return network.replay(100)
            case "transfer":
                self._transfer(host)
            case "slow":
                host.disk.slow = True
            case "full":
                host.disk.full = True
            case "lose":
                return self._lose_disk(host)
            case "disk":
                host.disk.slow = host.disk.full = False
        return f"{kind} {host.name}"

    def _kill(self, host: Host, reboot: bool) -> None:
        if host.process is None:
            return
        if reboot:
            host.reboot()
        else:
            host.die()
        down_ms = self.rng.choice((1, 5, 20, 60, 150, 400)) * self.rng.random()
        self.world.at(int(down_ms * NS_PER_MS), lambda: self._start(host))

    def _lose_disk(self, host: Host) -> str:
        """Only while the cluster can bear it: a majority of the voters that the log records keeps its disks."""
        hosts = list(self.world.hosts.values())
        intact = sum(other.disk.stores == 1 for other in hosts)
        if intact - 1 <= len(hosts) // 2 or not self.world.invariants.recorded >= set(self.world.names):
            return f"{host.name} keeps its disk"
        if not all(other.disk.hard_state.votes for other in hosts if other.disk.stores == 1):
            return f"{host.name} keeps its disk"
        self._kill(host, reboot=self.rng.random() < 0.5)
        host.disk.lose()
        return f"lose disk {host.name}"

    def _start(self, host: Host) -> None:
        if host.process is None:
            host.start()

    def _stop(self, host: Host) -> None:
        process = host.process
        if process is None or process.paused:
            return
        process.paused = True
        stopped_ms = self.rng.choice((20, 60, 150, 300, 600)) * self.rng.random()
        self.world.at(int(stopped_ms * NS_PER_MS), lambda: host.resume(process))

    def _transfer(self, host: Host) -> None:
        to = self.rng.choice(self.world.names)
        host.happen(host.process, lambda process: _hand_over(host, to))

    def end(self) -> None:
        """Everything is repaired; whoever is down or stopped comes back by itself, within a bound."""
        self._over = True
        self.world.struck = 0
        self.world.network.repair()
        for host in self.world.hosts.values():
            host.disk.slow = host.disk.full = False
        self.world.trace.say("FAULT", "none any more: everything is repaired")


def _hand_over(host: Host, to: str) -> None:
    if host.process is not None:
        host.process.core.transfer(to, host.local_ns)
