"""Failures: recovery in place, elsewhere, or not at all."""

from __future__ import annotations

from dataclasses import replace

from daemon.model.configuration import INFINITY
from daemon.scheduler import plan
from tests.unit.scheduler.worlds import World, clone, colocation, order, primitive


def test_a_failed_monitor_leads_to_a_stop_and_a_start_on_the_same_host() -> None:
    world = World((primitive("web"),))
    world.settle()
    world.history.clear()
    world.record("a1", "web", "monitor", 7, interval_ms=10_000)
    world.settle()
    assert world.history == ["web_stop_0@a1", "web_start_0@a1"]


def test_what_depends_on_a_failed_resource_is_restarted_around_it() -> None:
    world = World((primitive("db"), primitive("web")), (order("db", "web"), colocation("web", "db")))
    world.settle()
    world.history.clear()
    world.record("a1", "db", "monitor", 1, interval_ms=10_000)
    world.settle()
    assert world.history == ["web_stop_0@a1", "db_stop_0@a1", "db_start_0@a1", "web_start_0@a1"]


def test_a_failed_start_is_not_tried_again_on_that_host() -> None:
    world = World((primitive("web"),))
    while not [a for a in world.plan().runnable("a1") if a.operation == "start"]:
        world.do(next(a for n in world.nodes for a in world.plan().runnable(n)))
    start = next(a for a in world.plan().runnable("a1") if a.operation == "start")
    world.do(start, exit_code=1)
    world.failures["web", "a1"] = INFINITY
    world.settle()
    assert world.places("web") == ["a2"]


def test_migration_threshold_moves_a_resource_after_so_many_failures() -> None:
    world = World((primitive("web", migration_threshold="3"),))
    world.settle()
    for count in (1, 2):
        world.record("a1", "web", "monitor", 1, interval_ms=10_000)
        world.failures["web", "a1"] = count
        world.settle()
        assert world.places("web") == ["a1"]
    world.record("a1", "web", "monitor", 1, interval_ms=10_000)
    world.failures["web", "a1"] = 3
    world.settle()
    assert world.places("web") == ["a2"]


def test_a_failed_stop_without_fencing_blocks_the_resource() -> None:
    world = World((primitive("web"),))
    world.settle()
    world.record("a1", "web", "stop", 1)
    world.failures["web", "a1"] = INFINITY
    assert not world.plan().actions


def test_one_failed_instance_of_a_clone_leaves_the_others_alone() -> None:
    world = World((clone("web-clone", primitive("web")),))
    world.settle()
    world.history.clear()
    world.record("a2", "web", "monitor", 7, interval_ms=10_000)
    world.settle()
    assert world.history == ["web_stop_0@a2", "web_start_0@a2"]


def test_a_probe_that_finds_nothing_installed_keeps_the_resource_away() -> None:
    world = World((primitive("web"),))
    world.record("a1", "web", "monitor", 5)
    world.settle()
    assert world.places("web") == ["a2"]


def test_failures_are_forgotten_after_their_time_and_the_plan_says_when() -> None:
    world = World((primitive("web", migration_threshold="1", failure_timeout="60s"),))
    world.settle()
    world.failures["web", "a1"] = 1
    failed = replace(world.view(), last_failure_ms={("web", "a1"): 1_000_000}, now_ms=1_010_000)
    before = plan(failed)
    assert before.placement["web"] == ("a2",)
    assert before.recheck_ms == 1_061_000
    after = plan(replace(failed, now_ms=before.recheck_ms))
    assert after.placement["web"] == ("a1",)
    assert after.recheck_ms is None
