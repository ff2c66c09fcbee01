"""The plan that comes out of a settled graph: placements, actions with what they wait for, monitors."""

from __future__ import annotations

from collections.abc import Callable

from daemon.scheduler.calendar import next_change_ms
from daemon.scheduler.cluster import Cluster
from daemon.scheduler.failures import failcount, recorded
from daemon.scheduler.followers import Followers
from daemon.scheduler.graph import Graph
from daemon.scheduler.motives import motive
from daemon.scheduler.operations import recurring_of
from daemon.scheduler.ordering import Orderings
from daemon.scheduler.storedfaults import stored_faults
from daemon.scheduler.units import CloneUnit, Instance, Role
from daemon.scheduler.view import Action, Limits, Plan, Reason, Recurring
from daemon.scheduler.waiting import EXECUTED, Waiting, circles_broken, key_of, without

EXPIRY_GRAIN_MS = 1_000
"""fail counts expire by whole seconds"""


def answer(cluster: Cluster, graph: Graph, orderings: Orderings, why: Callable[[], tuple[Reason, ...]]) -> Plan:
    """`why` is asked for the reasons when somebody wants them."""
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
        followers.unready(),
        _recheck_ms(cluster),
        tuple(dict.fromkeys((*stored_faults(cluster.view.configuration), *cluster.findings))),
        {u.address: tuple(u.idle_hosts) for u in followers.addresses if u.address is not None and u.idle_hosts},
        Limits(cluster.options.batch_limit, cluster.options.node_action_limit),
        why,
    )


def _recheck_ms(cluster: Cluster) -> int | None:
    """When the next fail count that still counts will have expired, or a node that is back may be given something."""
    due = [
        last + instance.failure_timeout_ms + EXPIRY_GRAIN_MS
        for instance in cluster.instances()
        if instance.failure_timeout_ms
        for host in cluster.hosts
        for count, last in (recorded(cluster, instance, host),)
        if count and last and failcount(cluster, instance, host)
    ]
    dated = next_change_ms(cluster.view.configuration, cluster.view.now_ms)
    return min((*due, *cluster.rechecks_ms, *(() if dated is None else (dated,))), default=None)


# ---- actions


def _actions(cluster: Cluster, graph: Graph, followers: Followers) -> list[Action]:
    due = [op for op in graph.due() if not op.pseudo and op.task in EXECUTED and op.host is not None]
    waiting = Waiting(graph.ops)
    waits = {key_of(op): waiting.keys_before(op) for op in due}
    extra: dict[str, Action] = {}
    for op in due:
        for needed in followers.waits(op):
            extra[needed.key] = needed
            waits[key_of(op)] = tuple(sorted({*waits[key_of(op)], needed.key}))
    waits = circles_broken(waits, cluster.findings)
    found: dict[str, Action] = {}
    for op in due:
        key = key_of(op)
        assert op.host is not None
        instance = op.unit.name if isinstance(op.unit, Instance) else op.host
        found[key] = Action(key, op.host, instance, op.task, 0, without(waits[key], key), motive(cluster, op))
    return [found[key] for key in sorted(found)] + [extra[key] for key in sorted(extra)]


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
