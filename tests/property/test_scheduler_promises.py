"""What the scheduler promises of every plan, on clusters in which what is promised about does occur.

The clusters have at least one mandatory constraint each; `test_the_clusters_have_what_the_promises_are_about` fails
if the generator stops making those that the other tests need.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import HealthCheck, event, example, find, given, settings
from hypothesis import strategies as st

from daemon.model.configuration import INFINITY, AnyConstraint, AnyResource, Clone, Colocation, Location, Order
from daemon.scheduler import View, plan
from daemon.scheduler.cibstatus import read_view
from daemon.scheduler.slots import shares, spread
from daemon.scheduler.view import Action
from tests.scheduler_suite.fuzz.cluster import random_cib
from tests.unit.scheduler.worlds import LIMIT, World, clone, colocation, group, location, order, primitive, shuffled

NODES = ("a1", "a2", "a3")
SEEDS = st.integers(0, 1_000_000)
relaxed = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _resource(name: str, kind: str, stickiness: str) -> AnyResource:
    if kind == "primitive":
        return primitive(name, resource_stickiness=stickiness)
    if kind == "group":
        return group(name, f"{name}a", f"{name}b")
    meta = {"interleave": "true"} if kind == "clone" else {"globally_unique": "true", "clone_max": "4"}
    return clone(name, primitive(f"{name}a"), **meta, clone_node_max="1" if kind == "clone" else "2")


@st.composite
def constrained(draw: st.DrawFn) -> World:
    """Two to four resources, each but the first tied to an earlier one, and perhaps kept away from a node."""
    kinds = st.sampled_from(["primitive", "primitive", "group", "clone", "unique"])
    names = [f"r{number}" for number in range(draw(st.integers(2, 4)))]
    made = tuple(_resource(name, draw(kinds), draw(st.sampled_from(["0", "100"]))) for name in names)
    constraints: list[AnyConstraint] = []
    for place, name in enumerate(names[1:], start=1):
        earlier = names[draw(st.integers(0, place - 1))]
        chosen = draw(st.sets(st.sampled_from(["order", "with", "apart", "optional"]), min_size=1, max_size=2))
        if "order" in chosen or "optional" in chosen:
            constraints.append(order(earlier, name, "Mandatory" if "order" in chosen else "Optional"))
        if "with" in chosen or "apart" in chosen:
            constraints.append(colocation(name, earlier, "INFINITY" if "with" in chosen else "-INFINITY"))
    if draw(st.booleans()):
        constraints.append(location(draw(st.sampled_from(names)), draw(st.sampled_from(NODES)), "-INFINITY"))
    return World(made, tuple(constraints), nodes=NODES)


def _single(world: World, kind: type[Order] | type[Colocation]) -> Iterator[tuple[AnyConstraint, str, str]]:
    """Constraints of a kind between two primitives, with the first (or dependent) and the other."""
    primitives = {resource.id for resource in world.resources if resource.kind == "primitive"}
    for constraint in world.constraints:
        if isinstance(constraint, Order):
            pair = str(constraint.first), str(constraint.then)
        elif isinstance(constraint, Colocation):
            pair = str(constraint.resource), str(constraint.with_resource)
        else:
            continue
        if isinstance(constraint, kind) and primitives.issuperset(pair):
            yield constraint, *pair


def _kept(world: World) -> None:
    """What is mandatory between primitives holds for what runs at this moment."""
    for constraint, first, then in _single(world, Order):
        assert isinstance(constraint, Order)
        if constraint.order_kind == "Mandatory" and world.places(then):
            assert world.places(first), f"{then} runs without {first}, after {world.history}"
    for constraint, dependent, primary in _single(world, Colocation):
        assert isinstance(constraint, Colocation)
        here, there = world.places(dependent), world.places(primary)
        if here and constraint.score == "INFINITY":
            assert here == there, f"{dependent} is not with {primary}, after {world.history}"
        if here and constraint.score == "-INFINITY":
            assert not set(here) & set(there), f"{dependent} is with {primary}, after {world.history}"


def _carried_out(world: World, choose: Callable[[list[Action]], Action], check: Callable[[World], None]) -> None:
    """One action at a time, whichever may be done, with a new plan after each."""
    for _ in range(LIMIT * 10):
        ready = [action for node in world.nodes for action in world.plan().runnable(node)]
        if not ready:
            return
        world.do(choose(ready))
        check(world)
    raise AssertionError(f"no rest: {world.history[-20:]}")


@settings(relaxed, max_examples=25)
@given(constrained(), st.data())
def test_no_step_on_the_way_breaks_a_mandatory_order(world: World, data: st.DataObject) -> None:
    def ordered(world: World) -> None:
        _kept(replace(world, constraints=tuple(c for c in world.constraints if isinstance(c, Order))))

    _carried_out(world, lambda ready: data.draw(st.sampled_from(ready)), ordered)
    _kept(world)
    for constraint in world.constraints:
        event(f"{type(constraint).__name__} {getattr(constraint, 'score', '') or ''}")
    world.standby = {data.draw(st.sampled_from(NODES))}
    _carried_out(world, lambda ready: data.draw(st.sampled_from(ready)), ordered)
    _kept(world)


def _has(kind: type[Order] | type[Colocation], score: str | None) -> Callable[[World], bool]:
    def both_run(world: World) -> bool:
        world.settle()
        return any(
            world.places(one)
            and world.places(other)
            and (score is None or getattr(constraint, "score", "") == score)
            for constraint, one, other in _single(world, kind)
        )

    return both_run


def _a_clone_kept_away(world: World) -> bool:
    clones = {resource.id for resource in world.resources if isinstance(resource, Clone)}
    return any(isinstance(c, Location) and c.resource in clones for c in world.constraints)


@pytest.mark.parametrize(
    "condition",
    [_has(Order, None), _has(Colocation, "INFINITY"), _has(Colocation, "-INFINITY"), _a_clone_kept_away],
    ids=["an order", "together", "apart", "a clone kept away"],
)
def test_the_clusters_have_what_the_promises_are_about(condition: Callable[[World], bool]) -> None:
    find(constrained(), condition, settings=settings(relaxed, max_examples=200, database=None))


# ---- on random CIBs of everything that Pacemaker's configuration knows


STAYS_AS_IT_IS = ("it is not managed", "fencing is on (stonith-enabled) without a device")
"""reasons that say so: what stays is placed nowhere"""


@relaxed
@given(SEEDS)
@example(2347)
def test_nothing_is_placed_where_its_score_is_below_zero(seed: int) -> None:
    placed = 0
    for reason in plan(read_view(random_cib(seed), now_ms=0)).reasons:
        if reason.node is not None and not reason.summary.startswith(STAYS_AS_IT_IS):
            assert reason.totals.get(reason.node, -INFINITY) >= 0, reason
            placed += 1
    event("something is placed" if placed else "nothing is placed")


@relaxed
@given(SEEDS)
def test_the_order_of_dictionaries_changes_no_plan_and_no_reason(seed: int) -> None:
    view = read_view(random_cib(seed), now_ms=0)
    one, other = plan(view), plan(_turned(view))
    assert one == other
    assert one.reasons == other.reasons


def _turned(view: View) -> View:
    return replace(shuffled(view), last_failure_ms=dict(reversed(view.last_failure_ms.items())))


@relaxed
@given(SEEDS)
def test_a_plan_leaves_no_trace_for_the_next_one(seed: int) -> None:
    view, between = read_view(random_cib(seed), now_ms=0), read_view(random_cib(seed + 1), now_ms=0)
    first = plan(view)
    reasons = first.reasons
    plan(between)
    assert plan(view) == first
    assert first.reasons == plan(view).reasons == reasons


# ---- slots, beside every way there is to give them out


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 3).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.integers(0, 3), min_size=1, max_size=6)))
)
def test_slots_are_even_with_the_fewest_moves_that_any_even_spread_needs(drawn: tuple[int, list[int]]) -> None:
    """Owners may be hosts that are gone (their numbers are too large), and hosts that came back own nothing."""
    number, owned = drawn
    hosts = [f"a{n}" for n in range(number)]
    owners = {slot: f"a{n}" for slot, n in enumerate(owned)}
    held = {host: sum(owner == host for owner in owners.values()) for host in hosts}
    made = spread(len(owned), owners, shares(len(owned), hosts, dict.fromkeys(hosts, 1), held, len(owned)))
    fewest = min(
        sum(owners[slot] != host for slot, host in enumerate(way))
        for way in product(hosts, repeat=len(owned))
        if _even([way.count(host) for host in hosts])
    )
    assert _even([list(made.values()).count(host) for host in hosts])
    assert sum(owners[slot] != host for slot, host in made.items()) == fewest
    event(f"{fewest} moves")


def _even(counts: list[int]) -> bool:
    return max(counts) - min(counts) <= 1
