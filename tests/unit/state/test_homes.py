"""What is stopped in order to be started again has a home until it runs, on every node alike."""

from __future__ import annotations

from daemon.scheduler.view import View
from daemon.state.state import State
from tests.unit.scheduler.worlds import location, primitive
from tests.unit.state.cluster import Cluster

PINNED = tuple(location(name, "a1", "INFINITY") for name in ("x", "y"))
OTHERS = (primitive("x", priority="5"), primitive("y", priority="5"))


def with_a_failure() -> Cluster:
    """`web` runs on a1, which has more to do than others, and has just failed there."""
    cluster = Cluster()
    cluster.admit()
    web = primitive("web", resource_stickiness="1")
    cluster.edit(*OTHERS, web, constraints=(*PINNED, location("web", "a1", "1")))
    cluster.settle()
    cluster.edit(*OTHERS, web, constraints=PINNED)
    cluster.result("a1", "web", "monitor", 1, 10_000)
    return cluster


def home(view: View) -> set[tuple[str, str]]:
    return set(view.homes)


def test_a_stop_before_a_start_leaves_a_home_and_the_start_takes_it_away() -> None:
    cluster = with_a_failure()
    assert home(cluster.state.view()) == set()
    cluster.result("a1", "web", "stop", 0)
    assert home(cluster.state.view()) == {("web", "a1")}
    assert cluster.state.plan.placement["web"] == ("a1",)
    cluster.result("a1", "web", "start", 0)
    assert home(cluster.state.view()) == set()


def test_a_home_is_in_the_bytes_of_a_snapshot() -> None:
    cluster = with_a_failure()
    cluster.result("a1", "web", "stop", 0)
    thawed = State.thaw(cluster.state.freeze())
    assert home(thawed.view()) == {("web", "a1")}
    assert thawed.plan == cluster.state.plan


def test_a_home_goes_with_its_node_and_with_the_wish_to_run() -> None:
    cluster = with_a_failure()
    cluster.result("a1", "web", "stop", 0)
    cluster.lose("a1")
    assert home(cluster.state.view()) == set()
    cluster = with_a_failure()
    cluster.result("a1", "web", "stop", 0)
    cluster.edit(*OTHERS, primitive("web", target_role="Stopped"), constraints=PINNED)
    assert home(cluster.state.view()) == set()


def test_a_stop_that_failed_leaves_no_home() -> None:
    cluster = with_a_failure()
    cluster.result("a1", "web", "stop", 1)
    assert home(cluster.state.view()) == set()
