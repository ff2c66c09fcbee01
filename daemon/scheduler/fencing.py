"""Fencing: hosts that may be doing harm are switched off before anything of theirs starts elsewhere."""

from __future__ import annotations

from daemon.scheduler.cluster import Cluster
from daemon.scheduler.graph import Graph, Op, Relation
from daemon.scheduler.units import Host, Instance


def schedule_fencing(cluster: Cluster, graph: Graph) -> list[Op]:
    """A fence operation for each unclean host that may be fenced; what ran there counts as stopped by it."""
    if not any(instance.managed for instance in cluster.instances()):
        return []
    operations: list[Op] = []
    for host in cluster.hosts.values():
        if not host.unclean:
            continue
        if not cluster.may_fence(host):
            cluster.findings.append(f"{host.name} is unclean, and nothing may fence it")
            continue
        op = graph.op(None, "fence", host.name, f"fence@{host.name}")
        op.optional = False
        op.reason = cluster.fence.get(host.name, "the host is unclean")
        if operations and not cluster.options.concurrent_fencing:
            graph.edge(operations[-1], op, Relation.ORDERED)
        operations.append(op)
        for instance in cluster.instances():
            if instance.managed:
                _order(graph, instance, host, op)
    return operations


def _order(graph: Graph, instance: Instance, host: Host, fence: Op) -> None:
    for op in graph.all_of(instance):
        if op.needs == "fencing":
            graph.edge(fence, op, Relation.ORDERED)
        elif (
            op.needs == "quorum"
            and op.task == "start"
            and host.name in instance.allowed
            and host.name not in instance.known_on
        ):
            graph.edge(fence, op, Relation.ORDERED | Relation.BLOCKS)
    implicit = instance.requires in {"fencing", "unfencing"}
    for stop in graph.of(instance, "stop", host.name):
        if stop.optional:
            continue
        stop.pseudo = stop.runnable = True
        if implicit:
            graph.edge(fence, stop, Relation.ORDERED)
            parent = graph.first(instance.top, "stop") if instance.top is not instance else None
            if parent is not None:
                graph.edge(fence, parent, Relation.ORDERED)
    for demote in graph.of(instance, "demote", host.name):
        if not demote.optional and (not host.online or host.unclean or instance.failed):
            demote.pseudo = demote.runnable = True
            if implicit:
                graph.edge(fence, demote, Relation.ORDERED)
