"""Utilization: what hosts offer, what instances need, and the placement strategies that go by it.

Under `default` nothing of this counts.  Under the others an instance goes only where there is room for it, and
where possible for all that has to be with it.  `balanced` prefers the host with the most room, `minimal` fills hosts
one after the other, `utilization` spreads by number.
"""

from __future__ import annotations

from daemon.model.configuration import INFINITY
from daemon.scheduler.cluster import Cluster, merged
from daemon.scheduler.colocation import this_with, with_this
from daemon.scheduler.rules import Facts
from daemon.scheduler.scores import ban
from daemon.scheduler.units import CloneUnit, Colocation, GroupUnit, Instance, Role, Unit

Amounts = dict[str, int]


class Capacity:
    """What is left on each host while instances are being assigned."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.used = cluster.options.placement in {"utilization", "balanced", "minimal"}
        self.facts = Facts(now_ms=cluster.view.now_ms)
        self.left: dict[str, Amounts] = {name: {} for name in cluster.hosts}
        self._needs: dict[str, Amounts] = {}
        if self.used:
            for entry in cluster.view.configuration.nodes:
                self.left[entry.name] = _amounts(merged(entry.utilization, self.facts))

    def need(self, instance: Instance) -> Amounts:
        if not self.used or instance.config is None:
            return {}
        known = self._needs.get(instance.config.id)
        if known is None:
            known = _amounts(merged(instance.config.utilization, self.facts))
            self._needs[instance.config.id] = known
        return known

    def consume(self, instance: Instance, host: str) -> None:
        for name, amount in self.need(instance).items():
            self.left[host][name] = self.left[host].get(name, 0) - amount

    def release(self, instance: Instance, host: str) -> None:
        for name, amount in self.need(instance).items():
            self.left[host][name] = self.left[host].get(name, 0) + amount

    def compare(self, left: str, right: str) -> int:
        """Negative if the first host has more room: in more attributes ahead than behind."""
        one, two = self.left[left], self.left[right]
        result = 0
        for name in {*one, *two}:
            have, other = one.get(name, 0), two.get(name, 0)
            result += (have < other) - (have > other)
        return result

    # ---- room for an instance and all that has to be with it

    def ban_the_too_small(self, instance: Instance) -> str | None:
        """Ban hosts without room for the whole company; where none has it, without room for the instance alone.

        Then the roomiest host is named, to be preferred.
        """
        if not self.used:
            return None
        company = self._company(instance, instance, [])
        if instance not in company:
            company.append(instance)
        total: Amounts = {}
        for unit in company:
            self._add(unit, company, total)
        usable = [host for host, score in instance.allowed.items() if score >= 0 and self.cluster.available(host)]
        whole = [host for host in usable if self._fits(total, host)]
        if whole:
            ban(instance, [host for host in usable if host not in whole], "utilization")
            return None
        ban(instance, [host for host in usable if not self._fits(self.need(instance), host)], "utilization")
        return self._roomiest(sorted(usable))

    def _roomiest(self, hosts: list[str]) -> str | None:
        roomiest: str | None = None
        for host in hosts:
            if roomiest is None or self.compare(host, roomiest) < 0:
                roomiest = host
        return roomiest

    def _fits(self, need: Amounts, host: str) -> bool:
        return all(self.left[host].get(name, 0) >= amount for name, amount in need.items())

    def _add(self, unit: Unit, company: list[Unit], total: Amounts) -> None:
        """Add what is not placed yet of a unit, each instance once."""
        if not unit.provisional:
            return
        if isinstance(unit, Instance):
            for name, amount in self.need(unit).items():
                total[name] = total.get(name, 0) + amount
        elif isinstance(unit, GroupUnit):
            for member in unit.members:
                if member.provisional and member not in company:
                    self._add(member, company, total)
        elif isinstance(unit, CloneUnit) and unit.copies:
            known = any(copy in company or any(c in company for c in copy.children) for copy in unit.copies)
            if not known:
                self._add(unit.copies[0], company, total)

    def _company(self, unit: Unit, origin: Unit, found: list[Unit]) -> list[Unit]:
        """Everything that mandatory colocations tie to the unit, in either direction."""
        if unit in found:
            return found
        found.append(unit)
        if isinstance(unit, GroupUnit) and (unit.colocated or isinstance(unit.parent, CloneUnit)):
            for member in unit.members:
                self._company(member, origin, found)
            return found
        for colocation in this_with(unit):
            if colocation.primary is not origin and _binds(unit, colocation.primary, colocation):
                self._company(colocation.primary, origin, found)
        for colocation in with_this(unit):
            dependent = colocation.dependent
            if dependent is origin or (isinstance(unit, CloneUnit) and not isinstance(dependent, CloneUnit)):
                continue
            if _binds(dependent, unit, colocation):
                self._company(dependent, origin, found)
        return found


def _binds(dependent: Unit, primary: Unit, colocation: Colocation) -> bool:
    if colocation.score < INFINITY:
        return False
    if colocation.dependent_role not in (Role.UNKNOWN, dependent.next_role):
        return False
    return colocation.primary_role in (Role.UNKNOWN, primary.next_role)


def _amounts(values: dict[str, str]) -> Amounts:
    found: Amounts = {}
    for name, text in values.items():
        try:
            found[name] = int(text)
        except ValueError:
            found[name] = 0
    return found
