"""What waits for what, seen through points of order; circles; and what a plan leaves behind."""

from __future__ import annotations

import gc

from bench.cibs import Shape, cib
from daemon.scheduler.cibstatus import read_view
from daemon.scheduler.graph import Graph, Op, Relation
from daemon.scheduler.planner import plan
from daemon.scheduler.units import Instance
from daemon.scheduler.waiting import Waiting, circles_broken, key_of


def _due(graph: Graph, name: str, task: str = "start", host: str = "a1") -> Op:
    op = graph.op(Instance(name, {}, name=name), task, host)
    op.optional = False
    return op


def _point(graph: Graph, name: str) -> Op:
    op = graph.op(None, "point", None, name)
    op.pseudo = True
    return op


def test_through_points_of_order_that_go_in_a_circle_everything_behind_them_is_seen() -> None:
    graph = Graph()
    first, last = _due(graph, "first"), _due(graph, "last")
    one, two = _point(graph, "one"), _point(graph, "two")
    for before, after in ((first, one), (one, two), (two, one), (two, last)):
        graph.edge(before, after, Relation.ORDERED)
    assert Waiting(graph.ops).keys_before(last) == (key_of(first),)


def test_a_relation_for_one_host_counts_for_those_that_wait_there() -> None:
    graph = Graph()
    leaves = _due(graph, "leaves", "stop", "a1")
    here, there = _due(graph, "here", host="a1"), _due(graph, "there", host="a2")
    point = _point(graph, "point")
    graph.edge(leaves, point, Relation.SAME_HOST_REQUIRED)
    for op in (here, there):
        graph.edge(point, op, Relation.ORDERED)
    waiting = Waiting(graph.ops)
    assert waiting.keys_before(here) == (key_of(leaves),)
    assert waiting.keys_before(there) == ()


def test_what_cannot_be_done_is_waited_for_by_nobody() -> None:
    graph = Graph()
    impossible, then = _due(graph, "impossible"), _due(graph, "then")
    impossible.forbid()
    graph.edge(impossible, then, Relation.ORDERED)
    assert Waiting(graph.ops).keys_before(then) == ()


def test_of_a_circle_the_first_by_name_goes_ahead_and_it_is_said() -> None:
    findings: list[str] = []
    waits = circles_broken({"a": ("b",), "b": ("c",), "c": ("a",), "d": ("a", "d")}, findings)
    assert waits == {"a": (), "b": ("c",), "c": ("a",), "d": ("a",)}
    assert len(findings) == 1
    assert "a" in findings[0]


def test_without_circles_the_lists_stay_shared() -> None:
    shared = ("a", "b")
    findings: list[str] = []
    waits = circles_broken({"a": (), "b": (), "c": shared, "d": shared}, findings)
    assert waits["c"] is waits["d"] is shared
    assert not findings


def test_a_plan_leaves_nothing_for_the_garbage_collector() -> None:
    views = [read_view(cib(Shape(kind, 3, 20, running=False)), 0) for kind in ("primitives", "clone")]  # type: ignore[arg-type]
    for view in views:
        plan(view)
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        for view in views:
            plan(view)
        assert gc.collect() == 0
    finally:
        gc.enable()
        gc.unfreeze()
