"""From units with hosts to the operations of one transition, and its result."""

from __future__ import annotations

from daemon.model.configuration import INFINITY
from daemon.scheduler import clones
from daemon.scheduler.actions import ActionBuilder
from daemon.scheduler.cluster import Cluster
from daemon.scheduler.colocation import with_this
from daemon.scheduler.fencing import schedule_fencing
from daemon.scheduler.graph import Graph, Op
from daemon.scheduler.ordering import Orderings
from daemon.scheduler.placement import Placement
from daemon.scheduler.probes import Probes
from daemon.scheduler.settling import Blocking, Settling
from daemon.scheduler.units import CloneUnit, GroupUnit, Instance, Role, Unit


def build_transition(cluster: Cluster, placement: Placement, graph: Graph, orderings: Orderings) -> None:
    """Fill the graph and settle it: afterwards `graph.due()` is what has to be done."""
    probes = Probes(cluster, graph, orderings)
    probes.schedule()
    ActionBuilder(cluster, graph).build_all()
    schedule_fencing(cluster, graph)
    orderings.apply()
    probes.order()
    Settling(graph, _Blocking(placement, graph)).run()


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
            if op.runnable:
                op.runnable = False
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
            for op in self.graph.of(instance):
                if op.task == "stop" and op.optional:
                    op.optional, changed = False, True
                elif op.task == "start" and op.runnable:
                    op.runnable, changed = False, True
                    op.waits = f"no instance of {first.unit.id if first.unit else ''} to go with"
                else:
                    continue
                settling.push(op)
                for edge in op.after:
                    settling.push(edge.then)
        return changed


def outcome(cluster: Cluster, graph: Graph) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """(where each instance runs, where each is promoted) once everything that is due has succeeded."""
    running: dict[str, dict[str, None]] = {}
    promoted: dict[str, dict[str, None]] = {}
    fenced = {op.host for op in graph.due() if op.task == "fence"}
    for instance in cluster.instances():
        hosts = dict.fromkeys(h for h in instance.running_on if h not in fenced)
        masters = dict(hosts) if instance.role == Role.PROMOTED else {}
        for task in ("demote", "stop", "start", "promote"):
            for op in graph.of(instance, task):
                if op.due and op.host is not None:
                    _do(task, op.host, hosts, masters)
        running.setdefault(instance.name, {}).update(hosts)
        promoted.setdefault(instance.name, {}).update(masters)
    return (
        {name: list(hosts) for name, hosts in running.items()},
        {name: list(hosts) for name, hosts in promoted.items() if hosts},
    )


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
