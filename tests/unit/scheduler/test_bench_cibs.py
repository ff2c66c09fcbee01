"""The clusters that the benchmark measures are what their names say, to us and to the peer."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.cibs import Shape, cib
from bench.scheduler import as_slots
from daemon.scheduler import plan
from daemon.scheduler.cibstatus import read_view
from tests.scheduler_suite.peer import peer_places

SHAPES = [
    Shape(kind, nodes=3, resources=6, running=running)
    for kind in ("primitives", "clone")
    for running in (True, False)
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_measured_cluster_is_planned_like_the_peer_plans_it(shape: Shape, tmp_path: Path) -> None:
    document = cib(shape)
    view = read_view(document, 0)
    assert view.notes == ()
    planned = plan(view)
    assert {name: list(hosts) for name, hosts in planned.placement.items()} == peer_places(
        document.encode(), tmp_path
    )
    assert len(planned.placement) == 6
    assert (not planned.actions) == shape.running


@pytest.mark.parametrize("running", [True, False])
def test_a_clone_of_addresses_is_measured_as_slots(running: bool) -> None:
    shape = Shape("clone", nodes=3, resources=6, running=running)
    planned = plan(as_slots(read_view(cib(shape), 0), shape))
    assert sorted(planned.slots["r"]) == [0, 1, 2, 3, 4, 5]
    assert {list(planned.slots["r"].values()).count(host) for host in ("n01", "n02", "n03")} == {2}
    assert planned.actions == ()
