"""The graph of operations: what would have to happen, in which order, and what follows from what.

Every operation that *could* matter is a node: optional ones (a running instance's start) as much as required ones.
Orders are edges with a relation.  `daemon.scheduler.settling` then lets requirements and impossibilities travel
along the edges until nothing changes; what is required and possible in the end is the transition.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field

from daemon.scheduler.units import Unit


class Relation(enum.Flag):
    """What an edge `first → then` means."""

    NONE = 0
    ORDERED = enum.auto()
    """if both happen, in this order"""
    FIRST_IMPLIES_THEN = enum.auto()
    """first required: then required"""
    THEN_IMPLIES_FIRST = enum.auto()
    """then required: first required too, where some of its collective is"""
    BLOCKS = enum.auto()
    """first impossible: then impossible"""
    ASYMMETRIC = enum.auto()
    """as BLOCKS, except where then would change nothing anyway"""
    RESTART = enum.auto()
    """then (a stop of what comes before) required: first (a stop of what depends on it) required"""
    MIN_RUNNABLE = enum.auto()
    """then is possible if enough of such firsts are"""
    SAME_HOST = enum.auto()
    """counts only if both are on one host"""
    SAME_HOST_REQUIRED = enum.auto()
    """counts only if both are on one host and required"""
    PROMOTED_THEN_IMPLIES_FIRST = enum.auto()
    SERIALIZE = enum.auto()


IMPLIES = Relation.FIRST_IMPLIES_THEN | Relation.BLOCKS


@dataclass(eq=False)
class Edge:
    first: Op
    then: Op
    relation: Relation


@dataclass(eq=False)
class Op:
    """One operation of one unit on one host; a collective's are points of order without work of their own."""

    unit: Unit | None
    task: str
    host: str | None
    key: str
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

    @property
    def due(self) -> bool:
        """Part of the transition."""
        return not self.optional and self.runnable


DONE = {"start": "running", "stop": "stopped", "promote": "promoted", "demote": "demoted"}
BEGIN = {done: begin for begin, done in DONE.items()}


class Graph:
    def __init__(self) -> None:
        self.ops: list[Op] = []
        self._by_unit: dict[int, list[Op]] = {}
        self._edges: dict[tuple[int, int], Edge] = {}

    # ---- building

    def op(self, unit: Unit | None, task: str, host: str | None, key: str | None = None) -> Op:
        """The operation, made optional and runnable where it does not exist yet."""
        key = key or f"{unit.id if unit else ''}_{task}_0"
        found = next((o for o in self.of(unit) if o.key == key and o.host == host), None)
        if found is not None:
            return found
        op = Op(unit, task, host, key, order=len(self.ops))
        self.ops.append(op)
        self._by_unit.setdefault(id(unit), []).append(op)
        return op

    def of(self, unit: Unit | None, task: str | None = None, host: str | None = None) -> list[Op]:
        return [
            op
            for op in self._by_unit.get(id(unit), ())
            if (task is None or op.task == task) and (host is None or op.host == host)
        ]

    def first(self, unit: Unit, task: str, host: str | None = None) -> Op | None:
        """The unit's operation, one without a host only if none has one and none was asked for."""
        found = self.of(unit, task)
        if host is None:
            return found[0] if found else None
        return next((o for o in found if o.host == host), None) or next((o for o in found if o.host is None), None)

    def edge(self, first: Op, then: Op, relation: Relation) -> bool:
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
