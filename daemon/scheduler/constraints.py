"""Orders and colocations as the administrator wrote them, sets, tags and templates included."""

from __future__ import annotations

from itertools import pairwise

from daemon.model.configuration import INFINITY, Order, ResourceSet
from daemon.model.configuration import Colocation as ColocationConstraint
from daemon.scheduler.cluster import Cluster, truth, whole
from daemon.scheduler.colocation import connect
from daemon.scheduler.graph import Relation
from daemon.scheduler.ordering import BLOCKS, IMPLIES, ORDERED, Ordering, Orderings
from daemon.scheduler.preferences import expand, resolve
from daemon.scheduler.scores import score_of
from daemon.scheduler.units import CloneUnit, Colocation, Role, Unit
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


def unpack_orders(cluster: Cluster, orderings: Orderings) -> None:
    _Orders(cluster, orderings).unpack()


class _Orders:
    def __init__(self, cluster: Cluster, orderings: Orderings) -> None:
        self.cluster = cluster
        self.orderings = orderings
        self.graph = orderings.graph

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
            self.orderings.add(first, task, then, then_task, relation)
        if symmetrical and task in INVERSE and then_task in INVERSE:
            self.orderings.add(then, INVERSE[then_task], first, INVERSE[task], _inverse(kind))

    def _minimum(self, first: Unit, constraint: Order) -> int:
        if not isinstance(first, CloneUnit) or first.address is not None:
            return 0
        if "clone-min" in first.meta:
            return whole(first.meta, "clone-min", 0)
        if constraint.require_all is not None and not truth({"x": constraint.require_all}, "x", True):
            return 1
        return 0

    def _at_least(
        self, name: str, first: Unit, task: str, then: Unit, then_task: str, relation: int, minimum: int
    ) -> None:
        """`then` waits until so many instances of `first` are up; fewer block it."""
        gate = self.graph.op(None, "clone-min", None, f"clone-min:{name}")
        gate.pseudo, gate.optional, gate.minimum = True, True, minimum
        for copy in first.children:
            self.orderings.entries.append(Ordering(copy, task, None, "", Relation.MIN_RUNNABLE, then_op=gate))
        self.orderings.entries.append(Ordering(None, "", then, then_task, relation | BLOCKS, first_op=gate))

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
                    self.orderings.add(first, task, then, task, relation)
        elif truth(group.options, "sequential", True):
            for first, then in pairwise(units):
                self.orderings.add(first, task, then, task, relation)
        if symmetrical and task in INVERSE and truth(group.options, "sequential", True):
            for first, then in pairwise(units):
                self.orderings.add(then, INVERSE[task], first, INVERSE[task], _inverse(kind))

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
                self.orderings.entries.append(
                    Ordering(first, tasks[0], None, "", Relation.MIN_RUNNABLE, then_op=gate)
                )
            for then in then_units:
                self.orderings.entries.append(Ordering(None, "", then, tasks[1], relation | BLOCKS, first_op=gate))
            return
        # between sets, only one that says that it is sequential is spoken for by its first or last resource
        if truth(one[0].options, "sequential", False):
            first_units = first_units[:1] if inverse else first_units[-1:]
        if truth(two[0].options, "sequential", False):
            then_units = then_units[-1:] if inverse else then_units[:1]
        for first in first_units:
            for then in then_units:
                self.orderings.add(first, tasks[0], then, tasks[1], relation)


def _kind(word: str | None, score: str | None) -> str:
    if word is None:
        return "optional" if score is not None and score_of(score) == 0 else "mandatory"
    return {"optional": "optional", "serialize": "serialize"}.get(word.lower(), "mandatory")


def _symmetrical(word: str | None, kind: str) -> bool:
    if kind == "serialize":
        return False
    return True if word is None else truth({"x": word}, "x", True)


def _relation(kind: str, task: str, symmetrical: bool) -> int:
    if kind == "optional":
        return ORDERED
    if kind == "serialize":
        return Relation.SERIALIZE
    if not symmetrical:
        return ORDERED | Relation.ASYMMETRIC
    return ORDERED | IMPLIES | BLOCKS if task in {"start", "promote"} else ORDERED | IMPLIES


def _inverse(kind: str) -> int:
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
            references = (constraint.resource, constraint.with_resource)
            if dependents and primaries and all(resolve(cluster, one) is None for one in references):
                cluster.findings.append(
                    f"The colocation '{constraint.id}' is between two tags or templates: it is ignored"
                )
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
