"""Settling a graph of operations: what follows from what, until nothing changes.

A required stop of what something needs makes that thing's stop required, a start that cannot be done makes what
needs it impossible.  Flags change in one direction only (optional → required, possible → impossible), apart from
gates that need a number of firsts, so it comes to an end.

A clone of a thousand instances has thousands of edges into and out of its points of order.  What its instances say
together is therefore kept as a tally, not asked of each for each edge, and an edge that cannot change anything (one
of order alone, or one that says the same as the last) is not taken to each of the instances.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from daemon.scheduler.graph import BEGIN, DONE, IMPLIES, Graph, Op, Relation
from daemon.scheduler.tallies import Tallies
from daemon.scheduler.units import CloneUnit, GroupUnit, Instance, Role, Unit

TRAVELS = (
    Relation.FIRST_IMPLIES_THEN
    | Relation.THEN_IMPLIES_FIRST
    | Relation.PROMOTED_THEN_IMPLIES_FIRST
    | Relation.BLOCKS
    | Relation.ASYMMETRIC
    | Relation.RESTART
)
"""relations along which requirements and impossibilities travel; the others only order"""
MATTERS = TRAVELS | Relation.MIN_RUNNABLE | Relation.SAME_HOST
"""relations that settling has to look at"""


class Blocking(Protocol):
    """What settling has to ask the placement about; see `daemon.scheduler.transition`."""

    def dependents(self, settling: Settling, op: Op) -> None: ...

    def partner(
        self, copy: Instance | GroupUnit, clone: CloneUnit, current: bool
    ) -> Instance | GroupUnit | None: ...

    def unassign(self, settling: Settling, copy: Instance | GroupUnit, first: Op) -> bool: ...


class Settling:
    """Lets requirements and impossibilities travel until nothing changes."""

    def __init__(self, graph: Graph, blocking: Blocking) -> None:
        self.graph = graph
        self.blocking = blocking
        self.tallies = Tallies(graph)
        self.queue: deque[Op] = deque()
        self.queued: set[int] = set()
        self._told: set[tuple[int, str | None, int, bool, bool]] = set()
        """what all instances of a clone have been told: flags change in one direction, so once is enough"""

    def run(self) -> None:
        for op in list(self.graph.ops):
            self.blocking.dependents(self, op)
        for op in self.graph.ops:
            self.push(op)
        limit = 200 * len(self.graph.ops) + 1000
        while self.queue and limit:
            limit -= 1
            op = self.queue.popleft()
            self.queued.discard(id(op))
            self._update(op)

    def push(self, op: Op) -> None:
        if id(op) not in self.queued:
            self.queued.add(id(op))
            self.queue.append(op)

    def _push_after(self, op: Op) -> None:
        self.push(op)
        for edge in op.after:
            self.push(edge.then)

    def require(self, op: Op, because: Op) -> bool:
        if not op.require():
            return False
        if not op.because:
            op.because = because.key
        return True

    def forbid(self, op: Op, because: Op) -> bool:
        if not op.forbid():
            return False
        if not op.waits:
            op.waits = because.waits or f"{because.key} cannot be done"
        return True

    def _update(self, then: Op) -> None:
        was = (then.optional, then.runnable)
        changed_then = False
        possible = 0
        if then.minimum:
            then.runnable = False
        for edge in list(then.before):
            first = edge.first
            if edge.relation == Relation.NONE or (not edge.relation & MATTERS and first.single):
                continue
            hosts = self._host(first), self._host(then)
            if edge.relation & Relation.SAME_HOST and None not in hosts and hosts[0] != hosts[1]:
                edge.relation = Relation.NONE
                continue
            mapped = self._mapped(first, then)
            if mapped is not first:
                if self.graph.edge(mapped, then, edge.relation):
                    changed_then = True
                edge.relation = Relation.NONE
                continue
            if edge.relation & Relation.MIN_RUNNABLE:
                possible += self.flags(first, hosts[1])[1]
                if possible >= then.minimum:
                    then.runnable = True
            changed_first, changed = self._relate(first, then, edge.relation, hosts[1])
            changed_then |= changed
            if changed_first:
                self._push_after(first)
        if then.minimum:
            changed_then = was != (then.optional, then.runnable)
        if changed_then:
            if was[1] and not then.runnable:
                self.blocking.dependents(self, then)
            self._push_after(then)

    def _host(self, op: Op) -> str | None:
        if isinstance(op.unit, GroupUnit) and op.task == "start":
            return op.unit.assigned
        return op.host

    def _mapped(self, first: Op, then: Op) -> Op:
        """An order after a collective's start means after all of it has started."""
        unit = first.unit
        if unit is None or then.unit is None or unit is then.unit or isinstance(unit, Instance):
            return first
        if _is_ancestor(unit, then.unit):
            return first
        done = DONE.get(first.task)
        return (self.graph.first(unit, done) if done else None) or first

    # ---- flags of collectives

    def flags(self, op: Op, host: str | None) -> tuple[bool, bool]:
        """(optional, runnable) as others see it: a collective's follow from its members'.

        `host` matters to clones: of one that is asked about a host, what its instance there does counts.
        """
        if isinstance(op.unit, GroupUnit):
            return self._group_flags(op, op.unit, None)
        if isinstance(op.unit, CloneUnit) and op.unit.address is None:
            optional, runnable = self._clone_flags(op, op.unit, None)
            if host is not None:
                optional, here = self._clone_flags(op, op.unit, host)
                runnable = runnable or here
            return optional, runnable
        return op.optional, op.runnable

    def _group_flags(self, op: Op, group: GroupUnit, host: str | None) -> tuple[bool, bool]:
        optional, runnable = True, True
        task = BEGIN.get(op.task, op.task)
        for member in group.members:
            own = self.graph.first(member, task, host)
            if own is not None:
                if not own.optional:
                    optional = op.optional = False
                if task != op.task and not own.runnable:
                    runnable = op.runnable = False
            elif task not in {"stop", "demote"}:
                runnable = False
        return optional, runnable

    def _clone_flags(self, op: Op, clone: CloneUnit, host: str | None) -> tuple[bool, bool]:
        if self.tallies.countable(clone):
            tally = self.tallies.of(clone, BEGIN.get(op.task, op.task), host)
            optional, runnable = not tally.required, tally.possible > 0
            if not optional:
                op.optional = False
            if not runnable and host is None:
                op.runnable = False
            return optional, runnable
        return self._flags_of_cloned_groups(op, clone, host)

    def _flags_of_cloned_groups(self, op: Op, clone: CloneUnit, host: str | None) -> tuple[bool, bool]:
        optional, runnable = True, False
        for copy in clone.copies:
            # a cloned group has an end of its own ("running"), a primitive only its operation
            task = BEGIN.get(op.task, op.task) if isinstance(copy, Instance) else op.task
            own = self.graph.first(copy, task, host if isinstance(copy, Instance) else None)
            if own is None:
                continue
            if isinstance(copy, GroupUnit):
                own_optional, own_runnable = self._group_flags(own, copy, host)
            else:
                own_optional, own_runnable = own.optional, own.runnable
            if not own_optional:
                optional = op.optional = False
            runnable = runnable or own_runnable
        if not runnable and host is None:
            op.runnable = False
        return optional, runnable

    # ---- relations

    def _relate(self, first: Op, then: Op, relation: int, host: str | None) -> tuple[bool, bool]:
        optional, runnable = self.flags(first, host)
        changed_first = changed_then = False
        if then.unit is not None and relation & ~Relation.MIN_RUNNABLE:
            one, two = self._dispatch(first, then, then.host, relation, optional, runnable)
            changed_first |= one
            changed_then |= two
        elif then.unit is None:
            if relation & Relation.FIRST_IMPLIES_THEN and not optional:
                changed_then |= self.require(then, first)
            if relation & Relation.BLOCKS and not runnable:
                changed_then |= self.forbid(then, first)
        unit = first.unit
        if (
            relation & (Relation.FIRST_IMPLIES_THEN | Relation.THEN_IMPLIES_FIRST | Relation.RESTART)
            and isinstance(unit, Instance)
            and not unit.managed
            and unit.blocked
            and not first.runnable
            and first.task == "stop"
        ):
            changed_then |= self.forbid(then, first)
        return changed_first, changed_then

    def _dispatch(
        self, first: Op, then: Op, host: str | None, relation: int, optional: bool, runnable: bool
    ) -> tuple[bool, bool]:
        """Apply to `then`, and to what is in its unit."""
        unit = then.unit
        result = (False, False)
        if isinstance(unit, CloneUnit) and unit.address is None:
            if self._interleaves(first, then):
                return self._interleaved(first, then, unit, relation)
            if not self.tallies.countable(unit):
                return self._to_each_copy(first, then, unit, host, relation, optional, runnable)
            if not relation & TRAVELS:
                return result
            if not relation & TRAVELS & ~IMPLIES:
                news = (id(then), host, relation, optional, runnable)
                if news in self._told:
                    return result
                self._told.add(news)
            return self._to_each_copy(first, then, unit, host, relation, optional, runnable)
        if isinstance(unit, GroupUnit):
            result = self._apply(first, then, relation, optional, runnable)
            for member in unit.members:
                own = self.graph.first(member, then.task, host)
                if own is not None:
                    part = self._apply(first, own, relation, optional, runnable)
                    if part[1]:
                        self._push_after(own)
                    result = (result[0] or part[0], result[1] or part[1])
            return result
        return self._apply(first, then, relation, optional, runnable)

    def _to_each_copy(
        self,
        first: Op,
        then: Op,
        clone: CloneUnit,
        host: str | None,
        relation: int,
        optional: bool,
        runnable: bool,
    ) -> tuple[bool, bool]:
        result = self._apply(first, then, relation, optional, runnable)
        for copy in clone.copies:
            own = self.graph.first(copy, then.task, host)
            if own is None or not self.flags(own, host)[1]:
                continue
            part = self._dispatch(first, own, host, relation, optional, runnable)
            if part[1]:
                self._push_after(own)
            result = (result[0] or part[0], result[1] or part[1])
        return result

    def _apply(self, first: Op, then: Op, relation: int, optional: bool, runnable: bool) -> tuple[bool, bool]:
        was_first = (first.optional, first.runnable)
        was_then = (then.optional, then.runnable)
        if relation & Relation.FIRST_IMPLIES_THEN and not optional:
            self.require(then, first)
        if relation & Relation.RESTART and isinstance(first.unit, Instance) and isinstance(then.unit, Instance):
            self._restart(first, then)
        if relation & Relation.THEN_IMPLIES_FIRST and not then.optional and not optional:
            self.require(first, then)
        if (
            relation & Relation.PROMOTED_THEN_IMPLIES_FIRST
            and isinstance(then.unit, Instance)
            and then.unit.role == Role.PROMOTED
            and not then.optional
        ):
            self.require(first, then)
        if relation & Relation.BLOCKS and not runnable:
            self.forbid(then, first)
        if relation & Relation.ASYMMETRIC and not first.runnable:
            self._asymmetric(first, then)
        return was_first != (first.optional, first.runnable), was_then != (then.optional, then.runnable)

    def _restart(self, first: Op, then: Op) -> None:
        assert isinstance(then.unit, Instance)
        required = not then.optional
        unable = not then.runnable and then.unit.managed and first.unit is then.unit
        if not (required or unable):
            return
        if first.runnable or required:
            self.require(first, then)
        if not first.optional and not first.runnable:
            self.forbid(then, first)

    def _asymmetric(self, first: Op, then: Op) -> None:
        if then.unit is None:
            return
        if then.optional:
            roles = [i.role for i in then.unit.instances()]
            role = max(roles, default=Role.UNKNOWN)
            if role <= Role.STOPPED and then.task == "stop":
                return
            if role >= Role.STARTED and then.task == "start":
                places = [h for i in then.unit.instances() for h in i.running_on]
                if places == [then.host]:
                    return
        self.require(then, first)
        self.forbid(then, first)

    # ---- interleaving

    def _interleaves(self, first: Op, then: Op) -> bool:
        one, two = first.unit, then.unit
        if one is two or not isinstance(one, CloneUnit) or not isinstance(two, CloneUnit):
            return False
        if one.address is not None or two.address is not None:
            return False
        return one.interleave if then.task in {"stop", "demote"} else two.interleave

    def _interleaved(self, first: Op, then: Op, clone: CloneUnit, relation: int) -> tuple[bool, bool]:
        assert isinstance(first.unit, CloneUnit)
        current = first.task in {"stopped", "demoted"}
        result = (False, False)
        for copy in clone.copies:
            partner = self.blocking.partner(copy, first.unit, current)
            if partner is None:
                if not current and relation & IMPLIES and self.blocking.unassign(self, copy, first):
                    result = (result[0], True)
                continue
            task = BEGIN.get(first.task, first.task) if isinstance(partner, Instance) else first.task
            own_first = self.graph.first(partner, task)
            own_then = self.graph.first(copy, then.task)
            if own_first is None or own_then is None:
                continue
            if self.graph.edge(own_first, own_then, relation):
                result = (True, True)
                self.push(own_then)
            part = self._dispatch(
                own_first, own_then, own_then.host, relation, *self.flags(own_first, own_then.host)
            )
            if part[0]:
                self._push_after(own_first)
            if part[1]:
                self._push_after(own_then)
            result = (result[0] or part[0], result[1] or part[1])
        return result


def _is_ancestor(unit: Unit, other: Unit) -> bool:
    parent = other.parent
    while parent is not None:
        if parent is unit:
            return True
        parent = parent.parent
    return False
