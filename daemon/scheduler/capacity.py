"""Utilization: what hosts offer, what instances need, and the placement strategies that go by it."""

from __future__ import annotations

from daemon.model.configuration import INFINITY
from daemon.scheduler.cluster import Cluster, merged
from daemon.scheduler.rules import Facts
from daemon.scheduler.units import Instance


class Capacity:
    """What is left on each host while instances are being assigned; without effect under the default strategy."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.used = cluster.options.placement != "default"
        self.left: dict[str, dict[str, int]] = {}
        if self.used:
            facts = Facts(now_ms=cluster.view.now_ms)
            for entry in cluster.view.configuration.nodes:
                self.left[entry.name] = _numbers(merged(entry.utilization, facts))

    def need(self, instance: Instance) -> dict[str, int]:
        if not self.used or instance.config is None:
            return {}
        return _numbers(merged(instance.config.utilization, Facts(now_ms=self.cluster.view.now_ms)))

    def consume(self, instance: Instance, host: str) -> None:
        for name, amount in self.need(instance).items():
            room = self.left.setdefault(host, {})
            if name in room:
                room[name] -= amount

    def release(self, instance: Instance, host: str) -> None:
        for name, amount in self.need(instance).items():
            room = self.left.setdefault(host, {})
            if name in room:
                room[name] += amount

    def ban_the_too_small(self, instance: Instance) -> str | None:
        """Ban hosts without enough room; names the roomiest host if the strategy wants that one preferred."""
        need = self.need(instance)
        if not need:
            return None
        fitting = [h for h in instance.allowed if self._fits(need, h)]
        if fitting:
            for host in instance.allowed:
                if host not in fitting:
                    instance.allowed[host] = -INFINITY
                    instance.origins.setdefault(host, []).append(("utilization", -INFINITY))
        else:
            for host in instance.allowed:
                instance.allowed[host] = -INFINITY
        return None

    def _fits(self, need: dict[str, int], host: str) -> bool:
        room = self.left.get(host, {})
        return all(room.get(name, 0) >= amount for name, amount in need.items())

    def rank(self, host: str) -> int:
        return 0

    def sort_balanced(self, scores: dict[str, int], current: str | None) -> list[str]:
        hosts = self.cluster.hosts
        names = {name for room in self.left.values() for name in room}

        def key(host: str) -> tuple[int, int, int, bool, str]:
            score = scores[host] if hosts[host].available else -INFINITY
            room = sum(self.left.get(host, {}).get(name, 0) for name in names)
            return (-score, -room, hosts[host].load, host != current, host)

        return sorted(scores, key=key)


def _numbers(values: dict[str, str]) -> dict[str, int]:
    found = {}
    for name, text in values.items():
        try:
            found[name] = int(text)
        except ValueError:
            found[name] = 0
    return found
