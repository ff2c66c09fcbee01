"""What if: each supposed event changes the view as the real one would, and the plan answers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from daemon.model.configuration import INFINITY
from daemon.model.findings import Refused
from daemon.scheduler import plan
from daemon.scheduler.rehearsal import rehearse
from daemon.scheduler.view import SlotsView, View
from daemon.scheduler.whatif import (
    AttributeSet,
    MetaSet,
    NodeFails,
    NodeReturns,
    NodeStandby,
    NodeUnstandby,
    OperationFails,
    PropertySet,
    WhatIf,
    suppose,
)
from tests.unit.scheduler.worlds import World, attributes, clone, location, primitive


def at_rest(*, fencing: bool = False) -> View:
    """web on a1, ping everywhere, nothing to do."""
    world = World(
        (primitive("web"), clone("ping-clone", primitive("ping"))),
        (location("web", "a1", "100"),),
        nodes=("a1", "a2", "a3"),
    )
    world.settle()
    view = world.view()
    return replace(view, defaults={"stonith-enabled": "true"}) if fencing else view


def placed(view: View, *events: WhatIf) -> dict[str, tuple[str, ...]]:
    return rehearse(suppose(view, *events), view).after


def test_what_a_failed_node_ran_starts_elsewhere() -> None:
    view = at_rest()
    lost = suppose(view, NodeFails("a1"))
    assert not any(result.node == "a1" for result in lost.operations)
    assert placed(view, NodeFails("a1")) == {"web": ("a2",), "ping": ("a2", "a3")}
    assert "not a1" not in str(plan(lost).actions)


def test_with_fencing_a_failed_node_is_unclean_and_keeps_what_it_ran() -> None:
    view = at_rest(fencing=True)
    lost = suppose(view, NodeFails("a1"))
    assert lost.nodes["a1"].unclean
    assert not lost.nodes["a1"].online
    assert lost.operations == view.operations


def test_leases_make_sure_of_a_lost_node_whatever_the_property_says() -> None:
    view = at_rest()
    fencing = replace(
        view,
        configuration=view.configuration.model_copy(
            update={"properties": attributes("cib-bootstrap-options", {"stonith-enabled": "true"})}
        ),
    )
    assert not suppose(fencing, NodeFails("a1")).nodes["a1"].unclean


def test_a_failed_node_takes_its_failures_along_and_others_keep_theirs() -> None:
    view = suppose(at_rest(), OperationFails("web", "monitor", "a1"), OperationFails("web", "start", "a2"))
    lost = suppose(view, NodeFails("a1"))
    assert lost.failures == {("web", "a2"): INFINITY}
    assert set(lost.last_failure_ms) == {("web", "a2")}


def test_slots_of_a_failed_node_are_free_or_belong_to_the_other_side_of_their_move() -> None:
    slots = SlotsView(
        "VIP", owners={0: "a1", 1: "a2", 2: "a1", 3: "a3"}, holders={0: "a1", 1: "a1", 2: "a2", 3: "a3"}
    )
    view = replace(at_rest(), slots={"VIP": slots}, ready={"VIP": frozenset({"a1", "a2"})})
    lost = suppose(view, NodeFails("a1"))
    assert lost.slots["VIP"].owners == {1: "a2", 2: "a2", 3: "a3"}
    assert lost.slots["VIP"].holders == lost.slots["VIP"].owners
    assert lost.ready == {"VIP": frozenset({"a2"})}


def test_a_node_that_returns_is_probed_and_gets_back_what_prefers_it() -> None:
    view = suppose(at_rest(), NodeFails("a1"))
    back = suppose(view, NodeReturns("a1"))
    probes = {action.instance for action in plan(back).actions if action.operation == "monitor"}
    assert probes == {"web", "ping"}
    assert placed(view, NodeReturns("a1")) == {"web": ("a1",), "ping": ("a1", "a2", "a3")}


def test_a_node_that_was_there_all_the_time_is_not_forgotten() -> None:
    view = at_rest()
    assert suppose(view, NodeReturns("a1")).operations == view.operations


def test_standby_moves_things_and_its_end_takes_them_back() -> None:
    view = at_rest()
    assert placed(view, NodeStandby("a1")) == {"web": ("a2",), "ping": ("a2", "a3")}
    assert placed(view, NodeStandby("a1"), NodeUnstandby("a1")) == placed(view)


def test_a_failed_monitor_is_recovered_in_place_until_the_threshold() -> None:
    view = at_rest()
    failed = OperationFails("web", "monitor", "a1", 7)
    assert [action.key for action in plan(suppose(view, failed)).actions] == ["web_start_0@a1", "web_stop_0@a1"]
    assert placed(view, failed)["web"] == ("a1",)
    assert placed(view, MetaSet("web", "migration-threshold", "1"), failed)["web"] == ("a2",)


def test_a_failed_monitor_is_the_configured_one_and_replaces_its_last_result() -> None:
    view = suppose(at_rest(), OperationFails("web", "monitor", "a1"), OperationFails("web", "monitor", "a1", 7))
    results = [r for r in view.operations if (r.instance, r.operation, r.interval_ms) == ("web", "monitor", 10_000)]
    assert [(r.node, r.exit_code) for r in results] == [("a1", 7)]
    assert view.failures == {("web", "a1"): 2}


def test_a_failed_start_keeps_a_resource_away_for_good_unless_the_property_says_otherwise() -> None:
    view = at_rest()
    failed = OperationFails("web", "start", "a1")
    assert placed(view, failed)["web"] == ("a2",)
    mild = suppose(view, PropertySet("start-failure-is-fatal", "false"), failed)
    assert mild.failures == {("web", "a1"): 1}


def test_a_failure_of_a_shared_address_counts_and_makes_its_host_unready() -> None:
    view = replace(
        at_rest(),
        slots={"VIP": SlotsView("VIP", {0: "a1"})},
        ready={"VIP": frozenset({"a1", "a2"})},
    )
    failed = suppose(view, OperationFails("VIP:0", "start", "a1"))
    assert failed.failures == {("VIP", "a1"): 1}
    assert failed.ready == {"VIP": frozenset({"a2"})}
    assert failed.operations == view.operations


def test_an_anonymous_instance_fails_under_the_name_that_results_know() -> None:
    view = at_rest()
    known = replace(
        view,
        operations=tuple(replace(r, instance="ping:1") if r.instance == "ping" else r for r in view.operations),
    )
    assert suppose(known, OperationFails("ping", "monitor", "a2")).failures == {("ping:1", "a2"): 1}


def test_settings_reach_the_configuration_as_the_real_commands_would_put_them() -> None:
    view = at_rest()
    assert placed(view, MetaSet("web", "target-role", "Stopped"))["web"] == ()
    assert placed(view, PropertySet("stop-all-resources", "true")) == {"web": (), "ping": ()}
    assert placed(view, AttributeSet("a1", "standby", "on"))["web"] == ("a2",)
    assert placed(view, AttributeSet("a1", "standby", "on"), AttributeSet("a1", "standby", "")) == placed(view)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (NodeFails("a9"), "no node 'a9'"),
        (NodeReturns("a9"), "no node 'a9'"),
        (NodeStandby("a9"), "no node 'a9'"),
        (NodeUnstandby("a9"), "no node 'a9'"),
        (AttributeSet("a9", "x", "1"), "no node 'a9'"),
        (OperationFails("web", "monitor", "a9"), "no node 'a9'"),
        (OperationFails("wbe", "monitor", "a1"), "no resource 'wbe'"),
        (OperationFails("ping-clone", "monitor", "a1"), "is a clone"),
        (OperationFails("web", "monitor", "a1", 0), "is no failure"),
        (OperationFails("web", "monitor", "a1", 256), "is no failure"),
        (MetaSet("wbe", "target-role", "Stopped"), "wbe"),
        (MetaSet("web", "target-roll", "Stopped"), "target-role"),
        (PropertySet("stop-all-resorces", "true"), "stop-all-resources"),
    ],
)
def test_what_does_not_exist_cannot_be_supposed(event: WhatIf, said: str) -> None:
    with pytest.raises(Refused, match=said):
        suppose(at_rest(), event)


def test_events_say_what_they_are() -> None:
    said = [str(e) for e in (NodeFails("a1"), OperationFails("web", "start", "a2", 5), PropertySet("x", ""))]
    assert said == ["a1 fails", "start of web fails on a2 with exit code 5", "cluster property x is not set"]
