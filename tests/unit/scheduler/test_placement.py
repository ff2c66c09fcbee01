"""Placements of the everyday: what goes where, what stays, what moves."""

from __future__ import annotations

from dataclasses import replace

from daemon.scheduler import plan
from tests.unit.scheduler.worlds import (
    World,
    attributes,
    clone,
    colocation,
    group,
    location,
    order,
    primitive,
    shuffled,
)


def test_two_resources_that_know_nothing_of_each_other_run_on_different_hosts() -> None:
    world = World((primitive("VIP", "IPaddr2"), primitive("webserver", "apache")))
    world.settle()
    assert (world.places("VIP"), world.places("webserver")) == (["a1"], ["a2"])


def test_a_resource_moves_to_the_one_that_it_has_to_be_with() -> None:
    world = World((primitive("VIP"), primitive("web")))
    world.settle()
    world.constraints = (colocation("web", "VIP"),)
    world.settle()
    assert world.places("web") == world.places("VIP") == ["a1"]


def test_nothing_is_started_before_its_state_is_known_everywhere() -> None:
    world = World((primitive("web"),))
    now = world.plan()
    assert {action.operation for node in world.nodes for action in now.runnable(node)} == {"monitor"}
    start = next(action for action in now.actions if action.operation == "start")
    assert set(start.after) == {f"web_monitor_0@{node}" for node in world.nodes}


def test_a_resource_that_a_probe_finds_running_stays_there() -> None:
    world = World((primitive("web"),), running={("a3", "web")})
    world.settle()
    assert world.places("web") == ["a3"]
    assert not [key for key in world.history if "start" in key or "stop" in key]


def test_a_resource_that_runs_twice_is_brought_to_one_place() -> None:
    world = World((primitive("web"),), running={("a1", "web"), ("a3", "web")})
    world.settle()
    assert len(world.places("web")) == 1


def test_a_group_runs_on_one_host_and_starts_in_order() -> None:
    world = World((group("services", "one", "two", "three"), primitive("other")))
    world.settle()
    assert world.places("one") == world.places("two") == world.places("three")
    starts = [key.partition("_")[0] for key in world.history if "start" in key]
    assert [name for name in starts if name != "other"] == ["one", "two", "three"]


def test_a_clone_runs_once_on_every_host() -> None:
    world = World((clone("web-clone", primitive("web")),))
    world.settle()
    assert world.places("web") == ["a1", "a2", "a3", "a4"]


def test_clone_max_bounds_a_clone() -> None:
    world = World((clone("web-clone", primitive("web"), clone_max="2"),))
    world.settle()
    assert len(world.places("web")) == 2


def test_instances_of_a_unique_clone_have_names_and_share_hosts() -> None:
    meta = {"clone_max": "6", "clone_node_max": "2", "globally_unique": "true"}
    world = World((clone("db-clone", primitive("db"), **meta),))
    world.settle()
    assert sorted(name for _, name in world.running) == [f"db:{number}" for number in range(6)]
    assert max(sum(node == n for n, _ in world.running) for node in world.nodes) == 2


def test_a_location_decides_and_minus_infinity_forbids() -> None:
    world = World(
        (primitive("web"), primitive("db")), (location("web", "a3", "100"), location("db", "a1", "-INFINITY"))
    )
    world.settle()
    assert world.places("web") == ["a3"]
    assert world.places("db") == ["a2"]


def test_stickiness_keeps_a_resource_where_a_weaker_location_would_pull_it_away() -> None:
    world = World((primitive("web", resource_stickiness="200"),))
    world.settle()
    world.constraints = (location("web", "a4", "100"),)
    world.settle()
    assert world.places("web") == ["a1"]
    world.constraints = (location("web", "a4", "300"),)
    world.settle()
    assert world.places("web") == ["a4"]


def test_a_chain_of_colocations_ends_on_one_host() -> None:
    resources = tuple(primitive(name) for name in ("one", "two", "three"))
    world = World(resources, (colocation("three", "two"), colocation("two", "one")))
    world.settle()
    assert world.places("one") == world.places("two") == world.places("three")


def test_a_finite_colocation_yields_to_a_stronger_location() -> None:
    apart = (location("VIP", "a1", "INFINITY"), location("web", "a3", "500"))
    world = World((primitive("VIP"), primitive("web")), (colocation("web", "VIP", "100"), *apart))
    world.settle()
    assert (world.places("VIP"), world.places("web")) == (["a1"], ["a3"])


def test_a_primary_goes_where_its_dependent_would_like_to_be() -> None:
    world = World(
        (primitive("VIP"), primitive("web")), (colocation("web", "VIP", "100"), location("web", "a3", "500"))
    )
    world.settle()
    assert world.places("VIP") == world.places("web") == ["a3"]


def test_what_must_not_meet_never_meets() -> None:
    world = World((primitive("one"), primitive("two")), (colocation("two", "one", "-INFINITY"),), nodes=("a1",))
    world.settle()
    assert len(world.running) == 1


def test_an_ordered_resource_starts_after_and_stops_before() -> None:
    world = World((primitive("web"), primitive("db")), (order("db", "web"),))
    world.settle()
    started = [key for key in world.history if "start" in key]
    assert started == ["db_start_0@a2", "web_start_0@a1"]
    world.history.clear()
    world.resources = (primitive("web"), primitive("db", target_role="Stopped"))
    world.settle()
    assert [key for key in world.history if "stop" in key] == ["web_stop_0@a1", "db_stop_0@a2"]


def test_an_optional_order_does_not_stop_anything() -> None:
    world = World((primitive("web"), primitive("db")), (order("db", "web", "Optional"),))
    world.settle()
    world.resources = (primitive("web"), primitive("db", target_role="Stopped"))
    world.settle()
    assert (world.places("web"), world.places("db")) == (["a1"], [])


def test_an_interleaved_clone_waits_for_its_own_host_alone() -> None:
    first, then = (
        clone("db-clone", primitive("db"), interleave="true"),
        clone("web-clone", primitive("web"), interleave="true"),
    )
    world = World((first, then), (order("db-clone", "web-clone"), colocation("web-clone", "db-clone")))
    world.settle()
    assert world.places("web") == world.places("db") == ["a1", "a2", "a3", "a4"]
    world.standby = {"a2"}
    world.history.clear()
    world.settle()
    assert {key.partition("@")[2] for key in world.history} == {"a2"}


def test_standby_empties_a_host_and_its_end_fills_it_again() -> None:
    world = World((clone("web-clone", primitive("web")), primitive("db")))
    world.settle()
    world.standby = {"a1"}
    world.settle()
    assert "a1" not in {node for node, _ in world.running}
    world.standby = set()
    world.settle()
    assert world.places("web") == ["a1", "a2", "a3", "a4"]


def test_maintenance_leaves_everything_as_it_is() -> None:
    world = World((primitive("web"),))
    world.settle()
    world.properties = {"maintenance-mode": "true"}
    world.resources = (primitive("web", target_role="Stopped"),)
    assert not world.plan().actions


def test_an_unmanaged_resource_is_neither_stopped_nor_started() -> None:
    world = World((primitive("web"),))
    world.settle()
    world.resources = (primitive("web", is_managed="false", target_role="Stopped"),)
    assert not world.plan().actions


def test_a_resource_of_a_lost_node_is_started_elsewhere() -> None:
    world = World((primitive("web"),))
    world.settle()
    world.lose("a1")
    world.settle()
    assert world.places("web") == ["a2"]


def test_a_resource_that_is_configured_no_more_is_stopped() -> None:
    world = World((primitive("web"), primitive("old")))
    world.settle()
    world.resources = (primitive("web"),)
    world.settle()
    assert {name for _, name in world.running} == {"web"}


def test_the_same_view_in_another_order_gives_the_same_plan() -> None:
    world = World(
        (clone("web-clone", primitive("web")), group("services", "one", "two"), primitive("db")),
        (order("db", "web-clone"), colocation("services", "db", "50")),
    )
    first = world.view()
    assert plan(first) == plan(shuffled(first))
    world.settle()
    settled = world.view()
    assert plan(settled) == plan(shuffled(settled))


def test_an_unknown_reference_is_reported_and_the_rest_is_planned() -> None:
    world = World((primitive("web"),), (colocation("web", "nothing"), order("nothing", "web")))
    now = world.settle()
    assert world.places("web") == ["a1"]
    assert any("nothing" in finding for finding in now.findings)


def test_what_is_ordered_after_a_group_on_another_host_starts_when_the_group_has_started() -> None:
    world = World((group("services", "one", "two"), primitive("web")), (order("services", "web"),))
    world.settle()
    assert world.places("web") != world.places("one")
    starts = [key.partition("_")[0] for key in world.history if "start" in key]
    assert starts == ["one", "two", "web"]


def test_nothing_is_done_to_an_unmanaged_resource_when_what_comes_before_it_starts() -> None:
    world = World((primitive("db"), primitive("web")), nodes=("a1", "a2"))
    world.settle()
    assert world.places("web")
    world.resources = (primitive("db"), primitive("web", is_managed="false"), primitive("first"))
    world.constraints = (order("first", "web"),)
    touched = {action.instance for action in world.plan().actions if action.operation != "monitor"}
    assert touched == {"first"}


def test_what_is_configured_no_more_is_left_alone_where_resource_defaults_say_so() -> None:
    world = World((primitive("db"),), nodes=("a1",))
    world.settle()
    world.resources = ()
    view = world.view()
    assert [action.operation for action in plan(view).actions] == ["stop"]
    kept = view.configuration.model_copy(update={"resource_defaults": attributes("d", {"is-managed": "false"})})
    assert plan(replace(view, configuration=kept)).actions == ()
