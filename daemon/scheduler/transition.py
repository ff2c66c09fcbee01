"""From units with hosts to the operations of one transition, and its result."""

from __future__ import annotations

from collections.abc import Iterator

from daemon.model.configuration import INFINITY
from daemon.scheduler import clones
from daemon.scheduler.actions import ActionBuilder
from daemon.scheduler.cluster import Cluster
from daemon.scheduler.colocation import with_this
from daemon.scheduler.fencing import schedule_fencing
from daemon.scheduler.graph import Graph, Op
from daemon.scheduler.operations import recurring_of
from daemon.scheduler.ordering import Orderings
from daemon.scheduler.placement import Placement
from daemon.scheduler.probes import Probes
from daemon.scheduler.settling import Blocking, Settling
from daemon.scheduler.units import CloneUnit, GroupUnit, Instance, Role, Unit


def build_transition(cluster: Cluster, placement: Placement, graph: Graph, orderings: Orderings) -> None:
    """Fill the graph and settle it: afterwards `graph.due()` is what has to be done."""
    for instance in cluster.instances() if cluster.idle else ():
        if instance.id in cluster.idle:
            placement.put(instance, None, force=True, final=True)
    probes = Probes(cluster, graph, orderings)
    probes.schedule()
    ActionBuilder(cluster, graph).build_all()
    schedule_fencing(cluster, graph)
    orderings.apply()
    probes.order()
    Settling(graph, _Blocking(placement, graph)).run()
    _spare_the_unmanaged(graph)
    orderings.line_up()


def without_a_partner(cluster: Cluster, graph: Graph) -> Iterator[str]:
    """Instances of clones that count as starting in a settled graph, of which no instance can be started."""
    for clone in cluster.units:
        if not isinstance(clone, CloneUnit) or clone.address is not None:
            continue
        running = graph.first(clone, "running")
        if running is None or not running.due:
            continue
        starts = [(instance.id, op) for instance in clone.instances() for op in graph.of(instance, "start")]
        if not any(op.due for _, op in starts):
            yield from (name for name, op in starts if not op.optional)


def _spare_the_unmanaged(graph: Graph) -> None:
    """Nothing is done to what nobody manages, whatever would follow from an order."""
    for op in graph.ops:
        if isinstance(op.unit, Instance) and not op.unit.managed and op.task in TASKS:
            op.optional = True


TASKS = frozenset({"start", "stop", "promote", "demote", "migrate_to", "migrate_from"})
"""operations that change something"""


class _Blocking(Blocking):
    """What settling asks about placements."""

    def __init__(self, placement: Placement, graph: Graph) -> None:
        self.placement = placement
        self.graph = graph

    def dependents(self, settling: Settling, op: Op) -> None:
        """Whose start is impossible keeps down those that have to be with it."""
        if op.runnable or op.task not in {"start", "promote"} or op.unit is None:
            return
        top = op.unit.top
        if isinstance(top, CloneUnit) and settling.tallies.countable(top):
            if not settling.tallies.none_possible(top, op.task):
                return
        else:
            for child in top.children:
                own = self.graph.first(child, op.task)
                if own is None or own.runnable:
                    return
        for colocation in with_this(top):
            if colocation.score < INFINITY:
                continue
            if op.task == "promote" and colocation.primary_role != Role.PROMOTED:
                continue
            task = "promote" if colocation.dependent_role == Role.PROMOTED else "start"
            self._block(settling, colocation.dependent, task, op)

    def _block(self, settling: Settling, unit: Unit, task: str, because: Op) -> None:
        for op in self.graph.of(unit, task):
            if op.forbid():
                op.waits = because.waits or f"{because.key} cannot be done"
                self.dependents(settling, op)
                settling.push(op)
                for edge in op.after:
                    settling.push(edge.then)
        for child in unit.children:
            self._block(settling, child, task, because)

    def partner(self, copy: Instance | GroupUnit, clone: CloneUnit, current: bool) -> Instance | GroupUnit | None:
        return clones.compatible(self.placement, copy, clone, current)

    def unassign(self, settling: Settling, copy: Instance | GroupUnit, first: Op) -> bool:
        changed = self.placement.put(copy, None, force=True, final=True)
        for instance in copy.instances():
            for op in self.graph.all_of(instance):
                if op.task == "stop" and op.require():
                    changed = True
                elif op.task == "start" and op.forbid():
                    changed = True
                    op.waits = f"no instance of {first.unit.id if first.unit else ''} to go with"
                else:
                    continue
                settling.push(op)
                for edge in op.after:
                    settling.push(edge.then)
                self.dependents(settling, op)
        return changed


def outcome(cluster: Cluster, graph: Graph) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """(where each instance runs, where each is promoted) once everything that is due has succeeded."""
    running: dict[str, dict[str, None]] = {}
    promoted: dict[str, dict[str, None]] = {}
    fenced = {op.host for op in graph.due() if op.task == "fence"}
    for instance in cluster.instances():
        # a migration that failed may have left a place that a later probe has found empty
        seen = instance.running_on if instance.role > Role.STOPPED else ()
        hosts = dict.fromkeys(host for host in seen if host not in fenced)
        masters = dict(hosts) if instance.role == Role.PROMOTED else {}
        for task in ("demote", "stop", "start", "promote"):
            for op in graph.of(instance, task):
                if op.due and op.host is not None:
                    _do(task, op.host, hosts, masters)
        if instance.next_role == Role.PROMOTED and instance.assigned in hosts:
            masters |= _seen_promoted(cluster, graph, instance, instance.assigned)
        running.setdefault(instance.name, {}).update(hosts)
        promoted.setdefault(instance.name, {}).update(masters)
    return (
        {name: list(hosts) for name, hosts in running.items()},
        {name: list(hosts) for name, hosts in promoted.items() if hosts},
    )


def _seen_promoted(cluster: Cluster, graph: Graph, instance: Instance, host: str) -> dict[str, None]:
    """A monitor of the promoted role that begins with this transition, and succeeds, has found it promoted."""
    started = any(op.due for op in graph.of(instance, "start", host))
    started = started and all(op.runnable for op in graph.of(instance, "promote", host))
    monitors = recurring_of(cluster, instance.config) if started and instance.config is not None else ()
    return {host: None} if any(monitor.role == Role.PROMOTED for monitor in monitors) else {}


def _do(task: str, host: str, hosts: dict[str, None], masters: dict[str, None]) -> None:
    match task:
        case "demote":
            masters.pop(host, None)
        case "stop":
            hosts.pop(host, None)
            masters.pop(host, None)
        case "start":
            hosts[host] = None
        case "promote":
            masters[host] = None
