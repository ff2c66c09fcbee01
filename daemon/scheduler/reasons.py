"""Why each instance is where it is: the scores that counted, and what spoke against the other hosts."""

from __future__ import annotations

from collections.abc import Iterator

from daemon.model.configuration import INFINITY
from daemon.model.values import format_score
from daemon.scheduler.cluster import Cluster
from daemon.scheduler.graph import Graph
from daemon.scheduler.units import CloneUnit, Host, Instance, Role, Unit
from daemon.scheduler.view import Reason


def reasons(cluster: Cluster, graph: Graph) -> Iterator[Reason]:
    for instance in cluster.instances():
        if instance.shadow_of is None:
            yield _instance(cluster, graph, instance)
    for unit in cluster.units:
        if isinstance(unit, CloneUnit) and unit.address is not None:
            yield from _slots(cluster, unit)


def _instance(cluster: Cluster, graph: Graph, instance: Instance) -> Reason:
    scores = {host: tuple(_merge(parts)) for host, parts in sorted(instance.origins.items())}
    rejected: dict[str, str] = {}
    best = instance.allowed.get(instance.assigned, 0) if instance.assigned else None
    for name, host in cluster.hosts.items():
        if name != instance.assigned:
            rejected[name] = _why_not(host, instance, name, best)
    return Reason(instance.name, instance.assigned, _summary(cluster, graph, instance), scores, rejected)


def _merge(parts: list[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    seen: set[tuple[str, int]] = set()
    for part in parts:
        if part not in seen:
            seen.add(part)
            yield part


def _why_not(host: Host, instance: Unit, name: str, best: int | None) -> str:
    for wrong, text in (
        (not host.online, "the host is offline"),
        (host.unclean, "the host is unclean"),
        (host.standby, "the host is in standby"),
        (host.maintenance, "the host is in maintenance"),
        (host.shutdown, "the host is shutting down"),
    ):
        if wrong:
            return text
    score = instance.allowed.get(name)
    if score is None:
        return "nothing allows it there"
    if score < 0:
        causes = [origin for origin, part in instance.origins.get(name, []) if part < 0]
        return f"score {format_score(score)}" + (f" from {', '.join(dict.fromkeys(causes))}" if causes else "")
    if best is not None and score < best:
        return f"score {format_score(score)} is below {format_score(best)}"
    if best is None:
        return "no host was chosen"
    return "as good, but it has more to do already, or comes later by name"


def _summary(cluster: Cluster, graph: Graph, instance: Instance) -> str:
    if not instance.managed:
        return "it is not managed, so it is left as it is" + (", blocked by a failure" if instance.blocked else "")
    waits = next((op.waits for op in graph.of(instance, "start") if not op.runnable and op.waits), "")
    if instance.assigned is None:
        if instance.orphan:
            return "it is configured no more"
        if instance.meta.get("target-role", "").lower() == "stopped":
            return "its target-role is Stopped"
        if cluster.options.stop_all:
            return "stop-all-resources is set"
        return "no host may run it"
    if waits:
        return f"it cannot start on {instance.assigned}: {waits}"
    score = instance.allowed.get(instance.assigned, 0)
    stays = instance.assigned in instance.running_on and instance.role > Role.STOPPED
    return f"{'stays on' if stays else 'goes to'} {instance.assigned} with score {format_score(score)}"


def _slots(cluster: Cluster, clone: CloneUnit) -> Iterator[Reason]:
    assert clone.address is not None
    owners = cluster.view.slots[clone.address].owners
    scores = {host: tuple(_merge(parts)) for host, parts in sorted(clone.origins.items())}
    rejected = {
        name: _why_not(host, clone, name, None)
        if clone.allowed.get(name, -INFINITY) < 0 or not host.available
        else "it has its share of slots"
        for name, host in cluster.hosts.items()
    }
    others = {owner: {n: why for n, why in rejected.items() if n != owner} for owner in (None, *cluster.hosts)}
    for slot in range(clone.clone_max):
        owner = clone.slot_owners.get(slot)
        if owner is None:
            summary = "no host may own it"
        elif owners.get(slot) == owner:
            summary = f"stays on {owner}"
        elif slot in owners:
            summary = f"moves from {owners[slot]} to {owner}: the share of each host follows its weight"
        else:
            summary = f"is given to {owner}: the share of each host follows its weight"
        yield Reason(f"{clone.address}:{slot}", owner, summary, scores, others[owner])
