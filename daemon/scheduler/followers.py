"""What goes with a slot-driven address: resources that are ordered after it, or have to be with it.

They tie ordinary operations to slots.  A follower starts on a host once the address is up there, slots closed; a
slot moves to a host only when its followers run there; and a follower that leaves a host is not stopped while the
host still serves slots that leave too.  So a slot that moves restarts nothing, and no client meets a host without
service.
"""

from __future__ import annotations

from collections.abc import Iterator

from daemon.model.configuration import INFINITY
from daemon.scheduler.cluster import Cluster
from daemon.scheduler.graph import Op, Relation
from daemon.scheduler.ordering import Orderings
from daemon.scheduler.units import CloneUnit, GroupUnit, Instance, Role, Unit
from daemon.scheduler.view import Action

NEEDS = Relation.FIRST_IMPLIES_THEN | Relation.BLOCKS | Relation.ASYMMETRIC
"""relations of an order that is more than a wish"""


class Followers:
    def __init__(self, cluster: Cluster, orderings: Orderings) -> None:
        self.cluster = cluster
        self.addresses = [u for u in cluster.units if isinstance(u, CloneUnit) and u.address is not None]
        self._tied: dict[int, set[int]] = {}
        """address → the units that are tied to it, both by identity"""
        for clone in self.addresses:
            tied = {id(c.dependent) for c in clone.with_this if c.score >= INFINITY}
            tied |= {
                id(entry.then)
                for entry in orderings.entries
                if entry.first is clone
                and entry.first_task == "start"
                and entry.then is not clone
                and entry.relation & NEEDS
            }
            self._tied[id(clone)] = tied

    def addresses_of(self, instance: Instance) -> list[CloneUnit]:
        """The addresses that the instance follows, by itself or by what it is part of."""
        if not self.addresses:
            return []
        chain: list[Unit] = [instance]
        while chain[-1].parent is not None:
            chain.append(chain[-1].parent)
        if isinstance(instance.parent, GroupUnit):
            chain.extend(instance.parent.members)
        return [clone for clone in self.addresses if any(id(unit) in self._tied[id(clone)] for unit in chain)]

    def waits(self, op: Op) -> Iterator[Action]:
        """What of the datapath an operation has to wait for."""
        instance, host, view = op.unit, op.host, self.cluster.view
        if not isinstance(instance, Instance) or host is None:
            return
        for clone in self.addresses_of(instance):
            assert clone.address is not None
            up = host in view.ready.get(clone.address, frozenset())
            if op.task == "start" and not up and host in clone.slot_hosts:
                yield _action(clone.address, "address-up", host, "the address is to serve there")
            if op.task == "stop" and instance.assigned != host and not instance.failed:
                held = view.slots[clone.address].held_by(host)
                leaving = [slot for slot in held if clone.slot_owners.get(slot) != host]
                if leaving:
                    why = f"slots {', '.join(map(str, leaving))} move away first"
                    yield _action(clone.address, "address-release", host, why)
        own = view.slots.get(instance.name)
        if op.task == "start" and own is not None:
            for holder in sorted(set((own.holders or own.owners).values())):
                yield _action(instance.name, "address-release", holder, "slots of it are still served there")

    def unready(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """address → host that shall own slots → what is missing there before one may be moved to it."""
        missing: dict[str, dict[str, list[str]]] = {}
        for clone in self.addresses:
            assert clone.address is not None
            ready = self.cluster.view.ready.get(clone.address, frozenset())
            missing[clone.address] = {host: ["address-up"] for host in clone.slot_hosts if host not in ready}
        for instance in self.cluster.instances() if self.addresses else ():
            host = instance.assigned
            if host is None or (
                host in instance.running_on and not instance.failed and instance.role >= Role.STARTED
            ):
                continue
            for clone in self.addresses_of(instance):
                if host in clone.slot_hosts and clone.address is not None:
                    missing[clone.address].setdefault(host, []).append(instance.name)
        return {a: {h: tuple(names) for h, names in sorted(hosts.items())} for a, hosts in missing.items()}


def _action(address: str, operation: str, host: str, reason: str) -> Action:
    return Action(f"{address}_{operation}_0@{host}", host, address, operation, reason=reason)
