"""Orders: those that the administrator wrote, and those that units bring along by what they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from daemon.model.configuration import INFINITY
from daemon.scheduler.cluster import Cluster
from daemon.scheduler.colocation import connect
from daemon.scheduler.graph import Graph, Op, Relation
from daemon.scheduler.units import CloneUnit, Colocation, GroupUnit, Instance, Role, Unit

ORDERED, IMPLIES, BLOCKS = Relation.ORDERED, Relation.FIRST_IMPLIES_THEN, Relation.BLOCKS


@dataclass(eq=False, slots=True)
class Ordering:
    """`first_task` of first before `then_task` of then; ops stand in for what is no unit's operation."""

    first: Unit | None
    first_task: str
    then: Unit | None
    then_task: str
    relation: int
    first_op: Op | None = None
    then_op: Op | None = None


class Orderings:
    def __init__(self, cluster: Cluster, graph: Graph) -> None:
        self.cluster = cluster
        self.graph = graph
        self.entries: list[Ordering] = []
        self._rows: list[list[Instance]] = []
        """instances of each ordered clone, in their order"""

    def add(self, first: Unit, first_task: str, then: Unit, then_task: str, relation: int) -> None:
        if relation != Relation.NONE:
            self.entries.append(Ordering(first, first_task, then, then_task, relation))

    # ---- implied by what units are

    def internal(self) -> None:
        for unit in self.cluster.units:
            self._internal(unit)

    def _internal(self, unit: Unit) -> None:
        if isinstance(unit, Instance):
            self._instance(unit)
        elif isinstance(unit, GroupUnit):
            self._group(unit)
        elif isinstance(unit, CloneUnit):
            self._clone(unit)

    def _instance(self, instance: Instance) -> None:
        if not instance.managed:
            return
        self.add(instance, "stop", instance, "start", ORDERED | IMPLIES | Relation.RESTART)
        top = instance.top
        if (isinstance(top, CloneUnit) and top.promotable) or instance.role > Role.UNPROMOTED:
            self.add(instance, "demote", instance, "stop", Relation.PROMOTED_THEN_IMPLIES_FIRST | ORDERED)
            self.add(instance, "start", instance, "promote", BLOCKS | ORDERED)
        if instance.container is not None:
            self._container(instance, instance.container)

    def _container(self, instance: Instance, container: Instance) -> None:
        self.add(container, "start", instance, "start", IMPLIES | BLOCKS)
        self.add(instance, "stop", container, "stop", Relation.THEN_IMPLIES_FIRST | ORDERED)
        connect(
            self.cluster, Colocation("#container", instance, container, INFINITY, influence=True, explicit=False)
        )

    def _group(self, group: GroupUnit) -> None:
        self.add(group, "stop", group, "stopped", BLOCKS)
        self.add(group, "stopped", group, "start", ORDERED)
        self.add(group, "start", group, "running", BLOCKS)
        top = group.top
        promotable = isinstance(top, CloneUnit) and top.promotable
        previous: Instance | None = None
        last_active: Instance | None = None
        for member in group.members:
            self._instance(member)
            if previous is not None and group.colocated:
                connect(
                    self.cluster,
                    Colocation(
                        "#group-members", member, previous, INFINITY, influence=member.critical, explicit=False
                    ),
                )
            if promotable:
                self._promotable_member(group, previous, member)
            self.add(group, "stop", member, "stop", ORDERED)
            self.add(
                member,
                "stop",
                group,
                "stopped",
                IMPLIES | ORDERED if previous is None and group.ordered else ORDERED,
            )
            self.add(group, "start", member, "start", ORDERED)
            self.add(member, "start", group, "running", IMPLIES | BLOCKS)
            if not group.ordered:
                self.add(group, "start", member, "start", IMPLIES | BLOCKS)
            elif previous is not None:
                self.add(previous, "start", member, "start", IMPLIES | BLOCKS)
                self.add(member, "stop", previous, "stop", ORDERED | Relation.RESTART)
                if member.running_on and not previous.running_on:
                    self.add(member, "stop", previous, "start", Relation.THEN_IMPLIES_FIRST | BLOCKS)
            if member.running_on:
                if (
                    group.ordered
                    and previous is not None
                    and not previous.running_on
                    and last_active is not None
                    and last_active.running_on
                ):
                    self.add(member, "stop", last_active, "stop", ORDERED)
                last_active = member
            previous = member

    def _promotable_member(self, group: GroupUnit, previous: Instance | None, member: Instance) -> None:
        self.add(group, "demote", member, "demote", ORDERED)
        self.add(member, "demote", group, "demoted", ORDERED)
        self.add(member, "promote", group, "promoted", BLOCKS | IMPLIES)
        self.add(group, "promote", member, "promote", ORDERED)
        if previous is not None and group.ordered:
            self.add(previous, "promote", member, "promote", IMPLIES | BLOCKS)
            self.add(member, "demote", previous, "demote", ORDERED)

    def _clone(self, clone: CloneUnit) -> None:
        self.add(clone, "stopped", clone, "start", ORDERED)
        self.add(clone, "start", clone, "running", BLOCKS)
        self.add(clone, "stop", clone, "stopped", BLOCKS)
        if clone.promotable:
            self.add(clone, "demoted", clone, "stop", ORDERED)
            self.add(clone, "running", clone, "promote", BLOCKS | ORDERED)
            self.add(clone, "stopped", clone, "promote", ORDERED)
            self.add(clone, "demoted", clone, "start", ORDERED)
            self.add(clone, "demoted", clone, "promote", ORDERED)
            self.add(clone, "demote", clone, "demoted", ORDERED)
        copies = sorted(clone.copies, key=lambda c: int(c.id.rpartition(":")[2])) if clone.ordered else clone.copies
        if clone.ordered:
            self._rows.append([copy for copy in copies if isinstance(copy, Instance)])
        for position, copy in enumerate(copies):
            self._internal(copy)
            self.add(clone, "start", copy, "start", BLOCKS | ORDERED)
            self.add(copy, "start", clone, "running", ORDERED)
            self.add(clone, "stop", copy, "stop", ORDERED)
            self.add(copy, "stop", clone, "stopped", ORDERED)
            if clone.ordered and isinstance(copy, GroupUnit):
                for later in copies[position + 1 :]:
                    self.add(copy, "start", later, "start", ORDERED)
                    self.add(later, "stop", copy, "stop", ORDERED)
            if clone.promotable:
                self.add(copy, "demote", copy, "promote", ORDERED)
                self.add(clone, "promote", copy, "promote", ORDERED)
                self.add(copy, "promote", clone, "promoted", ORDERED)
                self.add(clone, "demote", copy, "demote", ORDERED)
                self.add(copy, "demote", clone, "demoted", ORDERED)

    # ---- into the graph

    def apply(self) -> None:
        for entry in self.entries:
            self._apply(entry)

    def _apply(self, entry: Ordering) -> None:
        firsts: Sequence[Op]
        thens: Sequence[Op]
        if entry.first_op is not None:
            firsts = [entry.first_op]
        elif entry.first is None:
            firsts = []
        else:
            firsts = self.graph.of(entry.first, entry.first_task)
            if not firsts and entry.first is not entry.then:
                made = self._missing(entry.first, entry.first_task)
                firsts = [made] if made is not None else []
        if entry.then_op is not None:
            thens = [entry.then_op]
        elif entry.then is None:
            thens = []
        else:
            thens = self.graph.of(entry.then, entry.then_task)
        for first in firsts:
            for then in thens:
                self.graph.edge(first, then, entry.relation)

    def line_up(self) -> None:
        """Instances of an ordered clone start one after the other, and stop the other way round.

        Such an order has no say in what is done, so it is put into the settled graph, where each operation needs to
        wait for the one before it only: what that waits for has been done by then.
        """
        for row in self._rows:
            self._in_line(row, "start")
            self._in_line(row[::-1], "stop")

    def _in_line(self, row: Sequence[Instance], task: str) -> None:
        before: Sequence[Op] = ()
        for instance in row:
            here = [op for op in self.graph.of(instance, task) if op.due or op.pseudo]
            for first in before:
                for then in here:
                    self.graph.edge(first, then, ORDERED)
            before = here or before

    def _missing(self, unit: Unit, task: str) -> Op | None:
        """A first that nobody plans: it cannot be done, which matters to what needs it."""
        role = max((i.role for i in unit.instances()), default=Role.STOPPED)
        if role <= Role.STOPPED and task == "stop":
            return None
        if role == Role.UNPROMOTED and task == "demote":
            return None
        op = self.graph.op(unit, task, None)
        op.optional, op.runnable = True, False
        op.waits = f"{unit.id} is not going to be {_past(task)}"
        return op


def _past(task: str) -> str:
    return {"start": "started", "stop": "stopped", "promote": "promoted", "demote": "demoted"}.get(task, task)
