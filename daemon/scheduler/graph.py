"""The graph of operations: what would have to happen, in which order, and what follows from what.

Every operation that *could* matter is a node: optional ones (a running instance's start) as much as required ones.
Orders are edges with a relation.  `daemon.scheduler.settling` then lets requirements and impossibilities travel
along the edges until nothing changes; what is required and possible in the end is the transition.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from daemon.scheduler.units import Instance, Unit


class Relation:
    """What an edge `first → then` means: bits of a whole number.

    Plain numbers, since settling tests them for every edge, and the members of an `enum.Flag` take ten times as long.
    """

    NONE = 0
    ORDERED = 1
    """if both happen, in this order"""
    FIRST_IMPLIES_THEN = 2
    """first required: then required"""
    THEN_IMPLIES_FIRST = 4
    """then required: first required too, where some of its collective is"""
    BLOCKS = 8
    """first impossible: then impossible"""
    ASYMMETRIC = 16
    """as BLOCKS, except where then would change nothing anyway"""
    RESTART = 32
    """then (a stop of what comes before) required: first (a stop of what depends on it) required"""
    MIN_RUNNABLE = 64
    """then is possible if enough of such firsts are"""
    SAME_HOST = 128
    """counts only if both are on one host"""
    SAME_HOST_REQUIRED = 256
    """counts only if both are on one host and required"""
    PROMOTED_THEN_IMPLIES_FIRST = 512
    SERIALIZE = 1024


IMPLIES = Relation.FIRST_IMPLIES_THEN | Relation.BLOCKS


@dataclass(eq=False, slots=True)
class Edge:
    first: Op
    then: Op
    relation: int


@dataclass(eq=False, slots=True)
class Tally:
    """What the same operation of many instances says together; kept up to date by the operations that it counts."""

    instances: int = 0
    """that have the operation"""
    required: int = 0
    possible: int = 0


@dataclass(eq=False, slots=True)
class Op:
    """One operation of one unit on one host; a collective's are points of order without work of their own."""

    unit: Unit | None
    task: str
    host: str | None
    key: str
    single: bool
    """of one instance, or of none: what others see of it are its own flags"""
    optional: bool = True
    runnable: bool = True
    pseudo: bool = False
    waits: str = ""
    """why it is not runnable"""
    reason: str = ""
    because: str = ""
    needs: str = "nothing"
    minimum: int = 0
    """of MIN_RUNNABLE edges: how many firsts must be possible"""
    before: list[Edge] = field(default_factory=list)
    after: list[Edge] = field(default_factory=list)
    order: int = 0
    tallies: tuple[Tally, ...] = ()
    """that count this operation"""

    @property
    def due(self) -> bool:
        """Part of the transition."""
        return not self.optional and self.runnable

    def require(self) -> bool:
        """Part of what has to be done from now on; False if it was already."""
        if not self.optional:
            return False
        self.optional = False
        for tally in self.tallies:
            tally.required += 1
        return True

    def forbid(self) -> bool:
        """Impossible from now on; False if it was already."""
        if not self.runnable:
            return False
        self.runnable = False
        for tally in self.tallies:
            tally.possible -= 1
        return True

    def count_in(self, tally: Tally) -> None:
        tally.instances += 1
        tally.required += not self.optional
        tally.possible += self.runnable
        self.tallies += (tally,)


DONE = {"start": "running", "stop": "stopped", "promote": "promoted", "demote": "demoted"}
BEGIN = {done: begin for begin, done in DONE.items()}


class Graph:
    def __init__(self) -> None:
        self.ops: list[Op] = []
        self._known: dict[tuple[int, str, str | None], Op] = {}
        """by unit, key and host"""
        self._by_task: dict[tuple[int, str], list[Op]] = {}
        """unit and task → its operations, the oldest first"""
        self._by_unit: dict[int, list[Op]] = {}
        self._edges: dict[tuple[int, int], Edge] = {}

    # ---- building

    def op(self, unit: Unit | None, task: str, host: str | None, key: str | None = None) -> Op:
        """The operation, made optional and runnable where it does not exist yet."""
        key = key or f"{unit.id if unit else ''}_{task}_0"
        identity = id(unit)
        found = self._known.get((identity, key, host))
        if found is not None:
            return found
        op = Op(unit, task, host, key, unit is None or isinstance(unit, Instance), order=len(self.ops))
        self.ops.append(op)
        self._known[identity, key, host] = op
        self._by_task.setdefault((identity, task), []).append(op)
        self._by_unit.setdefault(identity, []).append(op)
        return op

    def of(self, unit: Unit | None, task: str, host: str | None = None) -> Sequence[Op]:
        """The unit's operations of one kind, on one host or on all."""
        found = self._by_task.get((id(unit), task), ())
        return found if host is None else [op for op in found if op.host == host]

    def all_of(self, unit: Unit) -> Sequence[Op]:
        return self._by_unit.get(id(unit), ())

    def first(self, unit: Unit, task: str, host: str | None = None) -> Op | None:
        """The unit's operation, one without a host only if none has one and none was asked for."""
        found = self._by_task.get((id(unit), task))
        if not found:
            return None
        if host is None:
            return found[0]
        return next((o for o in found if o.host == host), None) or next((o for o in found if o.host is None), None)

    def edge(self, first: Op, then: Op, relation: int) -> bool:
        """Add a relation; False if it was there."""
        if first is then or relation == Relation.NONE:
            return False
        known = self._edges.get((id(first), id(then)))
        if known is not None:
            if known.relation & relation == relation:
                return False
            known.relation |= relation
            return True
        edge = Edge(first, then, relation)
        self._edges[id(first), id(then)] = edge
        first.after.append(edge)
        then.before.append(edge)
        return True

    def due(self) -> Iterator[Op]:
        return (op for op in self.ops if op.due)
