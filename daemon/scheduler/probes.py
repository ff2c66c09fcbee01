"""Probes: on a host where an instance's state is not known, it is looked up before anything is started."""

from __future__ import annotations

from daemon.scheduler.cluster import Cluster
from daemon.scheduler.graph import Graph, Op, Relation
from daemon.scheduler.ordering import Ordering, Orderings
from daemon.scheduler.units import CloneUnit, GroupUnit, Host, Instance, Unit, first_assigned, hosts_running


class Probes:
    def __init__(self, cluster: Cluster, graph: Graph, orderings: Orderings) -> None:
        self.cluster = cluster
        self.graph = graph
        self.orderings = orderings

    def schedule(self) -> None:
        if not self.cluster.options.probe:
            return
        for host in self.cluster.hosts.values():
            if host.online and not host.unclean and host.discovery:
                for unit in self.cluster.units:
                    self._probe(unit, host)

    def _probe(self, unit: Unit, host: Host) -> None:
        if isinstance(unit, Instance):
            self._instance(unit, host)
        elif isinstance(unit, CloneUnit) and not unit.unique:
            self._anonymous(unit, host)
        else:
            for child in unit.children:
                self._probe(child, host)

    def _anonymous(self, clone: CloneUnit, host: Host) -> None:
        """One instance is enough: the one that shall run there, else the first."""
        if not clone.copies:
            return
        chosen: Instance | GroupUnit = next(
            (c for c in clone.copies if first_assigned(c) == host.name), clone.copies[0]
        )
        known = {
            i.config.id for copy in clone.copies for i in copy.instances() if host.name in i.known_on and i.config
        }
        for instance in chosen.instances():
            if instance.config is not None and instance.config.id not in known:
                self._instance(instance, host)

    def _instance(self, instance: Instance, host: Host) -> None:
        if (instance.orphan and instance.shadow_of is None) or host.name in instance.known_on:
            return
        exclusive = instance.exclusive_discovery or instance.top.exclusive_discovery
        mode = instance.discovery.get(host.name, "always")
        if (exclusive and mode != "exclusive") or mode == "never":
            return
        probe = self.graph.op(instance, "monitor", host.name)
        probe.optional = False
        if host.pending:
            probe.runnable, probe.waits = False, f"{host.name} is not ready yet"
        probe.reason = f"the state on {host.name} is not known"
        top: Unit = instance.top if isinstance(instance.top, CloneUnit) else instance
        relation = Relation.ORDERED
        if not probe.runnable and not hosts_running(top):
            relation |= Relation.BLOCKS
        self.orderings.entries.append(Ordering(instance, "monitor", top, "start", relation, first_op=probe))

    def order(self) -> None:
        """A resource that needs another one is not stopped for it before the other's probes have answered."""
        for probe in [op for op in self.graph.ops if op.task == "monitor"]:
            for edge in list(probe.after):
                self._restarts(probe, edge.then, set())

    def _restarts(self, probe: Op, after: Op, seen: set[int]) -> None:
        if id(after) in seen:
            return
        seen.add(id(after))
        if isinstance(after.unit, Instance) and after.unit is not probe.unit and after.task in {"start", "promote"}:
            for down in self.graph.of(after.unit, "stop" if after.task == "start" else "demote"):
                if not down.pseudo:
                    self.graph.edge(probe, down, Relation.ORDERED)
        for edge in list(after.after):
            inside = (
                after.unit is not None
                and not isinstance(after.unit, Instance)
                and edge.then.unit is not None
                and edge.then.unit.parent is after.unit
                and (probe.unit is None or probe.unit.parent is not after.unit)
            )
            if Relation.FIRST_IMPLIES_THEN in edge.relation or inside:
                self._restarts(probe, edge.then, seen)
