"""The plan that comes out of a settled graph: placements, actions with what they wait for, monitors, reasons."""

from __future__ import annotations

from collections.abc import Iterator

from daemon.scheduler.cluster import Cluster
from daemon.scheduler.failures import failcount, recorded
from daemon.scheduler.followers import Followers
from daemon.scheduler.graph import Graph, Op, Relation
from daemon.scheduler.operations import recurring_of
from daemon.scheduler.ordering import Orderings
from daemon.scheduler.reasons import reasons
from daemon.scheduler.units import CloneUnit, Instance, Role
from daemon.scheduler.view import Action, Plan, Recurring

EXPIRY_GRAIN_MS = 1_000
"""fail counts expire by whole seconds"""
EXECUTED = frozenset({"start", "stop", "promote", "demote", "monitor", "fence"})


def answer(cluster: Cluster, graph: Graph, orderings: Orderings) -> Plan:
    followers = Followers(cluster, orderings)
    placement: dict[str, tuple[str, ...]] = {}
    promoted: dict[str, tuple[str, ...]] = {}
    for instance in cluster.instances():
        if instance.shadow_of is not None:
            continue
        hosts = placement.get(instance.name, ())
        if instance.assigned is not None and instance.next_role > Role.STOPPED:
            hosts = (*hosts, instance.assigned)
            if instance.next_role == Role.PROMOTED:
                promoted[instance.name] = (*promoted.get(instance.name, ()), instance.assigned)
        placement[instance.name] = tuple(sorted(set(hosts)))
    slots: dict[str, dict[int, str]] = {}
    for unit in cluster.units:
        if isinstance(unit, CloneUnit) and unit.address is not None:
            slots[unit.address] = dict(unit.slot_owners)
            for slot in range(unit.clone_max):
                owner = unit.slot_owners.get(slot)
                placement[f"{unit.address}:{slot}"] = (owner,) if owner is not None else ()
    return Plan(
        dict(sorted(placement.items())),
        dict(sorted(promoted.items())),
        slots,
        tuple(_actions(cluster, graph, followers)),
        tuple(_recurring(cluster)),
        tuple(reasons(cluster, graph)),
        followers.unready(),
        _recheck_ms(cluster),
        tuple(dict.fromkeys(cluster.findings)),
    )


def _recheck_ms(cluster: Cluster) -> int | None:
    """When the next fail count that still counts will have expired."""
    due = [
        last + instance.failure_timeout_ms + EXPIRY_GRAIN_MS
        for instance in cluster.instances()
        if instance.failure_timeout_ms
        for host in cluster.hosts
        for count, last in (recorded(cluster, instance, host),)
        if count and last and failcount(cluster, instance, host)
    ]
    return min(due, default=None)


# ---- actions


def key_of(op: Op) -> str:
    """`web_start_0@a1`, `fence@a1`."""
    if isinstance(op.unit, Instance):
        return f"{op.unit.name}_{op.task}_0@{op.host}"
    return op.key


def _actions(cluster: Cluster, graph: Graph, followers: Followers) -> list[Action]:
    due = [op for op in graph.due() if not op.pseudo and op.task in EXECUTED and op.host is not None]
    waits = {key_of(op): {key_of(first) for first in _before(op)} for op in due}
    extra: dict[str, Action] = {}
    for op in due:
        for needed in followers.waits(op):
            extra[needed.key] = needed
            waits[key_of(op)].add(needed.key)
    _break_circles(cluster, waits)
    found: dict[str, Action] = {}
    for op in due:
        key = key_of(op)
        assert op.host is not None
        instance = op.unit.name if isinstance(op.unit, Instance) else op.host
        after = tuple(sorted(waits[key] - {key}))
        found[key] = Action(key, op.host, instance, op.task, 0, after, op.reason or op.because)
    return [found[key] for key in sorted(found)] + [extra[key] for key in sorted(extra)]


def _before(op: Op) -> Iterator[Op]:
    """The real operations that have to be done before, seen through points of order."""
    seen: set[int] = {id(op)}
    stack = [op]
    while stack:
        then = stack.pop()
        for edge in then.before:
            first = edge.first
            if id(first) in seen or not _binds(edge.relation, first, op):
                continue
            seen.add(id(first))
            if first.pseudo or first.task not in EXECUTED:
                stack.append(first)
            elif first.due:
                yield first


def _binds(relation: Relation, first: Op, then: Op) -> bool:
    if relation == Relation.NONE:
        return False
    if relation == Relation.SAME_HOST_REQUIRED:
        return first.host == then.host
    return True


def _break_circles(cluster: Cluster, waits: dict[str, set[str]]) -> None:
    """Nothing may wait for itself: where orders go in a circle, the first by name goes ahead, and it is said."""
    left = {key: {w for w in after if w in waits} for key, after in waits.items()}
    while left:
        ready = [key for key, after in left.items() if not after]
        if not ready:
            victim = min(left)
            cluster.findings.append(
                f"Orders go in a circle at {victim}: it does not wait for {sorted(left[victim])}"
            )
            waits[victim] -= left[victim]
            ready = [victim]
        for key in ready:
            del left[key]
        gone = set(ready)
        left = {key: after - gone for key, after in left.items()}


# ---- recurring operations


def _recurring(cluster: Cluster) -> list[Recurring]:
    """Monitors of everything that runs where it shall run."""
    found: list[Recurring] = []
    for instance in cluster.instances():
        host = instance.assigned
        if instance.config is None or host is None or host not in instance.running_on:
            continue
        if instance.next_role < Role.STARTED or instance.failed or not cluster.hosts[host].online:
            continue
        for settings in recurring_of(cluster, instance.config):
            wanted = settings.role
            promoted = instance.next_role == Role.PROMOTED
            if wanted in (Role.STOPPED,) or (wanted == Role.PROMOTED) != promoted:
                continue
            found.append(
                Recurring(
                    host,
                    instance.name,
                    settings.name,
                    settings.interval_ms,
                    settings.timeout_ms,
                    8 if promoted else 0,
                )
            )
    return sorted(found, key=lambda r: (r.node, r.instance, r.operation, r.interval_ms))
