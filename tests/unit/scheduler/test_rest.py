"""Plans that once told a copy to stop and another one to start in its place, for ever."""

from __future__ import annotations

from daemon.model.configuration import AttributeSet, Clone, Colocation, Location, Operation, Primitive
from tests.unit.scheduler.worlds import World, clone, colocation, location, order, primitive

MONITOR = (Operation(id="m", name="monitor", interval="10s"),)


def dummy(name: str) -> Primitive:
    return Primitive(id=name, standard="ocf", provider="heartbeat", type="Dummy", operations=MONITOR)


INTERLEAVED = Clone(id="r0", meta=(AttributeSet(id="r0-meta", values={"interleave": "true"}),), child=dummy("r0a"))


def prefer(resource: str, node: str, score: str) -> Location:
    return Location(id=f"{resource}-{node}", resource=resource, node=node, score=score)


def test_a_clone_that_an_anticolocated_resource_pushes_onto_an_avoided_host_comes_to_rest() -> None:
    world = World(
        resources=(INTERLEAVED, dummy("r1")),
        constraints=(
            prefer("r0", "a1", "-20"),
            prefer("r1", "a1", "-INFINITY"),
            prefer("r1", "a2", "-INFINITY"),
            Colocation(id="c", resource="r1", with_resource="r0", score="-INFINITY"),
        ),
        nodes=("a1", "a2", "a3"),
        standby={"a2"},
    )
    assert world.settle().placement == {"r0a": ("a1", "a3"), "r1": ()}


def test_a_clone_that_a_dependent_holds_on_an_avoided_host_comes_to_rest_after_a_loss() -> None:
    world = World(
        resources=(INTERLEAVED, dummy("r1")),
        constraints=(
            prefer("r0", "a1", "INFINITY"),
            prefer("r0", "a2", "-20"),
            prefer("r1", "a2", "INFINITY"),
            Colocation(id="c", resource="r1", with_resource="r0", score="INFINITY"),
        ),
        nodes=("a1", "a2", "a3"),
    )
    world.settle()
    world.lose("a1")
    assert world.settle().placement == {"r0a": ("a2", "a3"), "r1": ("a2",)}


def test_what_has_failed_starts_again_where_it_ran_although_others_have_less_to_do() -> None:
    pinned = (location("x", "a1", "INFINITY"), location("y", "a1", "INFINITY"))
    world = World(
        (primitive("x", priority="5"), primitive("y", priority="5"), primitive("web", resource_stickiness="1")),
        nodes=("a1", "a2"),
    )
    world.constraints = (*pinned, location("web", "a1", "1"))
    world.settle()
    world.constraints = pinned
    world.record("a1", "web", "monitor", exit_code=1, interval_ms=10_000)
    world.settle()
    assert world.history[-2:] == ["web_stop_0@a1", "web_start_0@a1"]


def test_what_is_stopped_so_that_another_can_move_does_not_take_back_the_move() -> None:
    sticky = primitive("r3", resource_stickiness="100")
    loose = tuple(primitive(name, resource_stickiness="0") for name in ("r0", "r1", "r2"))
    world = World(
        (*loose, sticky),
        (
            order("r0", "r1"),
            order("r1", "r2"),
            order("r2", "r3"),
            colocation("r2", "r1", "-INFINITY"),
            colocation("r3", "r2", "-INFINITY"),
        ),
        nodes=("a1", "a2", "a3"),
    )
    world.settle()
    assert {name for _, name in world.running} == {"r0", "r1", "r2", "r3"}


def test_a_clone_with_fewer_instances_than_hosts_starts_again_where_it_failed() -> None:
    pinned = tuple(location(name, "a1", "INFINITY") for name in ("x", "y"))
    world = World(
        (primitive("x", priority="5"), primitive("y", priority="5"), clone("c", primitive("web"), clone_max="1")),
        (*pinned, location("c", "a1", "1")),
        nodes=("a1", "a2"),
    )
    world.settle()
    world.constraints = pinned
    world.record("a1", "web", "monitor", exit_code=1, interval_ms=10_000)
    world.settle()
    assert world.history[-2:] == ["web_stop_0@a1", "web_start_0@a1"]


def test_what_was_disabled_has_no_home_when_it_comes_back() -> None:
    pinned = tuple(location(name, "a1", "INFINITY") for name in ("x", "y"))
    others = (primitive("x", priority="5"), primitive("y", priority="5"))
    world = World((*others, primitive("web")), (*pinned, location("web", "a1", "1")), nodes=("a1", "a2"))
    world.settle()
    world.constraints = pinned
    world.resources = (*others, primitive("web", target_role="Stopped"))
    world.settle()
    assert world.places("web") == []
    world.resources = (*others, primitive("web"))
    world.settle()
    assert world.places("web") == ["a2"]


def test_what_comes_after_a_clone_without_a_partner_elsewhere_is_not_restarted_for_ever() -> None:
    follower = clone("r2", primitive("r2a"), interleave="true")
    world = World(
        (primitive("r0"), clone("r1", primitive("r1a"), interleave="true"), follower, primitive("r3")),
        (order("r0", "r1"), colocation("r1", "r0"), order("r1", "r2"), order("r2", "r3")),
        nodes=("a1", "a2", "a3"),
    )
    world.settle()
    assert world.history.count("r3_start_0@a2") == 1
