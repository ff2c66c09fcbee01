"""An instance is found to run on a host: what that means where it is unmanaged, or runs elsewhere too."""

from __future__ import annotations

from daemon.model.configuration import INFINITY
from daemon.scheduler.cluster import Cluster
from daemon.scheduler.scores import ban, prefer
from daemon.scheduler.units import GroupUnit, Host, Instance, Unit


def add_running(cluster: Cluster, instance: Instance, host: Host) -> None:
    if host.name in instance.running_on:
        return
    unit: Unit | None = instance
    while unit is not None:
        if host.name not in unit.running_on:
            unit.running_on.append(host.name)
        unit = unit.parent
    if host.maintenance:
        instance.managed = False
    if not instance.managed:
        prefer(instance, host.name, INFINITY, "unmanaged")
        return
    places = [name for name in instance.running_on if counts(cluster, instance, cluster.hosts[name])]
    if len(places) < 2:
        return
    if instance.multiple_active == "stop_only":
        ban(instance, cluster.hosts, "multiple-active")
    elif instance.multiple_active == "block":
        block(instance)
        parent = instance.parent
        if isinstance(parent, GroupUnit) and parent.meta.get("multiple-active") == "block":
            for sibling in parent.members:
                block(sibling)


def block(instance: Instance) -> None:
    instance.managed, instance.blocked = False, True


def counts(cluster: Cluster, instance: Instance, host: Host) -> bool:
    """Does running there count as running twice?  Not on a dead host that nobody has to wait for."""
    return instance.requires in {"fencing", "unfencing"} or (host.online and not host.unclean)


def put_active_first(cluster: Cluster, unit: Unit) -> None:
    """Of the hosts on which a unit runs, first the one that it would leave: a migration's source, else one that
    answers."""
    for child in unit.children:
        put_active_first(cluster, child)
    places = unit.running_on
    if len(places) < 2:
        return
    first = _active(cluster, unit)
    places.remove(first)
    places.insert(0, first)


def _active(cluster: Cluster, unit: Unit) -> str:
    places = unit.running_on
    if isinstance(unit, Instance) and unit.migrating is not None and unit.migrating[0] in places:
        return unit.migrating[0]
    if unit.requires not in {"fencing", "unfencing"}:
        for name in places:
            if cluster.hosts[name].online and not cluster.hosts[name].unclean:
                return name
    return places[0]
