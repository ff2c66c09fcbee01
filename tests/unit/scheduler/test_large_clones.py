"""Clones of many instances: what they wait for is right, and shared, and no limit cuts them off."""

from __future__ import annotations

from bench.cibs import Shape, cib
from daemon.scheduler.cibstatus import read_view
from daemon.scheduler.planner import plan

INSTANCES = 300


def test_every_instance_of_a_large_clone_is_planned() -> None:
    made = plan(read_view(cib(Shape("clone", 4, INSTANCES, running=True)), 0))
    assert len(made.placement) == INSTANCES
    assert all(len(hosts) == 1 for hosts in made.placement.values())
    assert not made.actions


def test_the_starts_of_a_clone_wait_for_all_its_probes_and_share_their_list() -> None:
    made = plan(read_view(cib(Shape("clone", 2, INSTANCES, running=False)), 0))
    probes = {action.key for action in made.actions if action.operation == "monitor"}
    starts = [action for action in made.actions if action.operation == "start"]
    assert len(probes) == 2 * INSTANCES
    assert len(starts) == INSTANCES
    assert all(set(start.after) == probes for start in starts)
    assert len({id(start.after) for start in starts}) == 1
