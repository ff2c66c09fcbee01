"""Probes: on a host where an instance's state is not known, it is looked up before anything is started."""

from __future__ import annotations

from daemon.scheduler.cluster import Cluster
from daemon.scheduler.graph import Edge, Graph, Op, Relation
from daemon.scheduler.ordering import Ordering, Orderings
from daemon.scheduler.units import CloneUnit, GroupUnit, Host, Instance, Unit, first_assigned


class Probes:
    def __init__(self, cluster: Cluster, graph: Graph, orderings: Orderings) -> None:
        self.cluster = cluster
        self.graph = graph
        self.orderings = orderings
        self._followed: dict[tuple[int, bool], list[Edge]] = {}
        self._runs_somewhere: dict[int, bool] = {}

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
        if not probe.runnable and not self._runs(top):
            relation |= Relation.BLOCKS
        self.orderings.entries.append(Ordering(instance, "monitor", top, "start", relation, first_op=probe))

    def _runs(self, unit: Unit) -> bool:
        known = self._runs_somewhere.get(id(unit))
        if known is None:
            known = self._runs_somewhere[id(unit)] = any(instance.running_on for instance in unit.instances())
        return known

    def order(self) -> None:
        """A resource that needs another one is not stopped for it before the other's probes have answered."""
        for probe in [op for op in self.graph.ops if op.task == "monitor"]:
            for edge in list(probe.after):
                self._idle_copies(probe, edge)
                self._restarts(probe, edge.then, set())

    def _idle_copies(self, probe: Op, edge: Edge) -> None:
        """A probe that cannot be done yet keeps a clone's idle copies down: there might be too many otherwise."""
        clone = edge.then.unit
        if not isinstance(clone, CloneUnit) or edge.then.task != "start" or Relation.BLOCKS & edge.relation:
            return
        if probe.runnable or probe.unit is None or probe.unit.top is not clone:
            return
        for after in list(edge.then.after):
            copy = after.then.unit
            if copy is not None and copy.top is clone and after.then.task == "start" and not copy.running_on:
                self.graph.edge(probe, after.then, Relation.ORDERED | Relation.BLOCKS)

    def _restarts(self, probe: Op, after: Op, seen: set[int]) -> None:
        if id(after) in seen:
            return
        seen.add(id(after))
        if isinstance(after.unit, Instance) and after.unit is not probe.unit and after.task in {"start", "promote"}:
            for down in self.graph.of(after.unit, "stop" if after.task == "start" else "demote"):
                if not down.pseudo:
                    self.graph.edge(probe, down, Relation.ORDERED)
        own = probe.unit is not None and probe.unit.parent is after.unit
        for edge in self._onward(after, inside=not own):
            self._restarts(probe, edge.then, seen)

    def _onward(self, op: Op, inside: bool) -> list[Edge]:
        """Edges to what follows by necessity, and to what is inside of a collective.

        They are the same for every probe, so they are looked for once.
        """
        known = self._followed.get((id(op), inside))
        if known is None:
            collective = op.unit if inside and not op.single else None
            known = self._followed[id(op), inside] = [
                edge
                for edge in op.after
                if edge.relation & Relation.FIRST_IMPLIES_THEN
                or (collective is not None and edge.then.unit is not None and edge.then.unit.parent is collective)
            ]
        return known
