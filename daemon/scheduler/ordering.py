"""Orders: those that the administrator wrote, and those that units bring along by what they are."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from daemon.model.configuration import INFINITY, Order, ResourceSet
from daemon.model.configuration import Colocation as ColocationConstraint
from daemon.scheduler.cluster import Cluster, truth, whole
from daemon.scheduler.colocation import connect
from daemon.scheduler.graph import Graph, Op, Relation
from daemon.scheduler.preferences import expand
from daemon.scheduler.scores import score_of
from daemon.scheduler.units import CloneUnit, Colocation, GroupUnit, Instance, Role, Unit
from daemon.scheduler.unpack import ROLES

INVERSE = {
    "start": "stop",
    "stop": "start",
    "promote": "demote",
    "demote": "promote",
    "running": "stopped",
    "stopped": "running",
    "promoted": "demoted",
    "demoted": "promoted",
}
ORDERED, IMPLIES, BLOCKS = Relation.ORDERED, Relation.FIRST_IMPLIES_THEN, Relation.BLOCKS


@dataclass(frozen=True)
class Ordering:
    """`first_task` of first before `then_task` of then; ops stand in for what is no unit's operation."""

    first: Unit | None
    first_task: str
    then: Unit | None
    then_task: str
    relation: Relation
    first_op: Op | None = None
    then_op: Op | None = None


class Orderings:
    def __init__(self, cluster: Cluster, graph: Graph) -> None:
        self.cluster = cluster
        self.graph = graph
        self.entries: list[Ordering] = []

    def add(self, first: Unit, first_task: str, then: Unit, then_task: str, relation: Relation) -> None:
        if relation != Relation.NONE:
            self.entries.append(Ordering(first, first_task, then, then_task, relation))

    # ---- written by the administrator

    def unpack(self) -> None:
        for constraint in self.cluster.view.configuration.constraints:
            if isinstance(constraint, Order):
                if constraint.sets:
                    self._sets(constraint)
                else:
                    for first in expand(self.cluster, constraint.first or ""):
                        for then in expand(self.cluster, constraint.then or ""):
                            self._simple(constraint, first, then)

    def _simple(self, constraint: Order, first: Unit, then: Unit) -> None:
        if first is then:
            self.cluster.findings.append(
                f"The order '{constraint.id}' puts {first.id} before itself: it is ignored"
            )
            return
        task = constraint.first_action or "start"
        then_task = constraint.then_action or task
        kind = _kind(constraint.order_kind, constraint.score)
        symmetrical = _symmetrical(constraint.symmetrical, kind)
        relation = _relation(kind, task, symmetrical)
        minimum = self._minimum(first, constraint)
        if minimum > 0:
            self._at_least(constraint.id, first, task, then, then_task, relation, minimum)
        else:
            self.add(first, task, then, then_task, relation)
        if symmetrical and task in INVERSE and then_task in INVERSE:
            self.add(then, INVERSE[then_task], first, INVERSE[task], _inverse(kind))

    def _minimum(self, first: Unit, constraint: Order) -> int:
        if not isinstance(first, CloneUnit) or first.address is not None:
            return 0
        if "clone-min" in first.meta:
            return whole(first.meta, "clone-min", 0)
        if constraint.require_all is not None and not truth({"x": constraint.require_all}, "x", True):
            return 1
        return 0

    def _at_least(
        self, name: str, first: Unit, task: str, then: Unit, then_task: str, relation: Relation, minimum: int
    ) -> None:
        """`then` waits until so many instances of `first` are up; fewer block it."""
        gate = self.graph.op(None, "clone-min", None, f"clone-min:{name}")
        gate.pseudo, gate.optional, gate.minimum = True, True, minimum
        for copy in first.children:
            self.entries.append(Ordering(copy, task, None, "", Relation.MIN_RUNNABLE, then_op=gate))
        self.entries.append(Ordering(None, "", then, then_task, relation | BLOCKS, first_op=gate))

    def _sets(self, constraint: Order) -> None:
        kind = _kind(constraint.order_kind, constraint.score)
        last: tuple[ResourceSet, list[Unit]] | None = None
        for group in constraint.sets:
            units = [unit for reference in group.resources for unit in expand(self.cluster, reference)]
            self._within_set(constraint, group, units, kind)
            if last is not None:
                self._between_sets(constraint, last, (group, units), kind)
            last = (group, units)

    def _within_set(self, constraint: Order, group: ResourceSet, units: list[Unit], parent_kind: str) -> None:
        kind = _kind(group.options["kind"], None) if "kind" in group.options else parent_kind
        task = group.options.get("action", "start")
        symmetrical = _symmetrical(group.options.get("symmetrical", constraint.symmetrical), kind)
        relation = _relation(kind, task, symmetrical)
        if kind == "serialize":
            for position, first in enumerate(units):
                for then in units[position + 1 :]:
                    self.add(first, task, then, task, relation)
        elif truth(group.options, "sequential", True):
            for first, then in pairwise(units):
                self.add(first, task, then, task, relation)
        if symmetrical and task in INVERSE and truth(group.options, "sequential", True):
            for first, then in pairwise(units):
                self.add(then, INVERSE[task], first, INVERSE[task], _inverse(kind))

    def _between_sets(
        self, constraint: Order, one: tuple[ResourceSet, list[Unit]], two: tuple[ResourceSet, list[Unit]], kind: str
    ) -> None:
        symmetrical = _symmetrical(constraint.symmetrical, kind)
        self._join(constraint, one, two, kind, symmetrical, inverse=False)
        if symmetrical:
            self._join(constraint, two, one, kind, symmetrical, inverse=True)

    def _join(
        self,
        constraint: Order,
        one: tuple[ResourceSet, list[Unit]],
        two: tuple[ResourceSet, list[Unit]],
        kind: str,
        symmetrical: bool,
        inverse: bool,
    ) -> None:
        tasks = [group.options.get("action", "start") for group, _ in (one, two)]
        if inverse:
            tasks = [INVERSE.get(task, task) for task in tasks]
        relation = _inverse(kind) if inverse else _relation(kind, tasks[0], symmetrical)
        first_units, then_units = one[1], two[1]
        if not truth(one[0].options, "require-all", True) and not inverse:
            gate = self.graph.op(None, "one-or-more", None, f"one-or-more:{one[0].id}")
            gate.pseudo, gate.optional, gate.minimum = True, True, 1
            for first in first_units:
                self.entries.append(Ordering(first, tasks[0], None, "", Relation.MIN_RUNNABLE, then_op=gate))
            for then in then_units:
                self.entries.append(Ordering(None, "", then, tasks[1], BLOCKS | ORDERED, first_op=gate))
            return
        if truth(one[0].options, "sequential", True):
            first_units = first_units[:1] if inverse else first_units[-1:]
        if truth(two[0].options, "sequential", True):
            then_units = then_units[-1:] if inverse else then_units[:1]
        for first in first_units:
            for then in then_units:
                self.add(first, tasks[0], then, tasks[1], relation)

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
        for position, copy in enumerate(copies):
            self._internal(copy)
            self.add(clone, "start", copy, "start", BLOCKS | ORDERED)
            self.add(copy, "start", clone, "running", ORDERED)
            self.add(clone, "stop", copy, "stop", ORDERED)
            self.add(copy, "stop", clone, "stopped", ORDERED)
            if clone.ordered:
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
        firsts: list[Op]
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


def _kind(word: str | None, score: str | None) -> str:
    if word is None:
        return "optional" if score is not None and score_of(score) == 0 else "mandatory"
    return {"optional": "optional", "serialize": "serialize"}.get(word.lower(), "mandatory")


def _symmetrical(word: str | None, kind: str) -> bool:
    if kind == "serialize":
        return False
    return True if word is None else truth({"x": word}, "x", True)


def _relation(kind: str, task: str, symmetrical: bool) -> Relation:
    if kind == "optional":
        return ORDERED
    if kind == "serialize":
        return Relation.SERIALIZE
    if not symmetrical:
        return ORDERED | Relation.ASYMMETRIC
    return ORDERED | IMPLIES | BLOCKS if task in {"start", "promote"} else ORDERED | IMPLIES


def _inverse(kind: str) -> Relation:
    return ORDERED if kind == "optional" else ORDERED | Relation.THEN_IMPLIES_FIRST


# ---- colocation constraints (which also order, where two must never meet)


def unpack_colocations(cluster: Cluster, orderings: Orderings) -> None:
    for constraint in cluster.view.configuration.constraints:
        if isinstance(constraint, ColocationConstraint):
            if constraint.sets:
                _colocation_sets(cluster, orderings, constraint)
                continue
            dependents = expand(cluster, constraint.resource or "")
            primaries = expand(cluster, constraint.with_resource or "")
            if len(dependents) > 1 and len(primaries) > 1:
                cluster.findings.append(f"The colocation '{constraint.id}' is between two tags: it is ignored")
                continue
            for dependent in dependents:
                for primary in primaries:
                    _colocation(
                        cluster, orderings, constraint, dependent, primary, constraint.role, constraint.with_role
                    )


def _colocation(
    cluster: Cluster,
    orderings: Orderings,
    constraint: ColocationConstraint,
    dependent: Unit,
    primary: Unit,
    role: str | None,
    with_role: str | None,
    score: int | None = None,
) -> None:
    if dependent is primary:
        cluster.findings.append(f"The colocation '{constraint.id}' puts {dependent.id} with itself: it is ignored")
        return
    if score is None:
        score = score_of(constraint.score)
    colocation = Colocation(
        constraint.id,
        dependent,
        primary,
        score,
        _colocation_role(role),
        _colocation_role(with_role),
        constraint.node_attribute or "#uname",
        None if constraint.influence is None else truth({"x": constraint.influence}, "x", True),
    )
    connect(cluster, colocation)
    if score <= -INFINITY:
        for one, two, one_role, two_role in (
            (dependent, primary, colocation.dependent_role, colocation.primary_role),
            (primary, dependent, colocation.primary_role, colocation.dependent_role),
        ):
            leaves = "demote" if one_role == Role.PROMOTED else "stop"
            takes = "promote" if two_role == Role.PROMOTED else "start"
            orderings.add(one, leaves, two, takes, Relation.SAME_HOST_REQUIRED)


def _colocation_role(word: str | None) -> Role:
    role = ROLES.get((word or "").lower(), Role.UNKNOWN)
    return Role.UNKNOWN if role == Role.STARTED else role


def _colocation_sets(cluster: Cluster, orderings: Orderings, constraint: ColocationConstraint) -> None:
    """Sets in order: the resources of a later set are placed with those of the set before it… as Pacemaker does."""
    last: tuple[ResourceSet, list[Unit]] | None = None
    for group in constraint.sets:
        units = [unit for reference in group.resources for unit in expand(cluster, reference)]
        score = score_of(group.options.get("score", constraint.score), 0)
        role = group.options.get("role")
        if truth(group.options, "sequential", True):
            backwards = group.options.get("ordering", "group") != "group"
            for position, two in enumerate(units):
                # whoever must not meet must not meet any other; whoever belongs together forms a chain
                for one in units[:position] if score < 0 else units[max(0, position - 1) : position]:
                    dependent, primary = (one, two) if backwards and score > 0 else (two, one)
                    _colocation(cluster, orderings, constraint, dependent, primary, role, role, score)
        if last is not None:
            whole_score = score_of(constraint.score, 0)
            dependents, primaries = last, (group, units)
            ones, twos = dependents[1], primaries[1]
            if truth(dependents[0].options, "sequential", True):
                ones = ones[:1]
            if truth(primaries[0].options, "sequential", True):
                twos = twos[-1:]
            for one in ones:
                for two in twos:
                    _colocation(
                        cluster,
                        orderings,
                        constraint,
                        one,
                        two,
                        dependents[0].options.get("role"),
                        primaries[0].options.get("role"),
                        whole_score,
                    )
        last = (group, units)
