"""How much may be under way at the same time: `batch-limit` for the cluster, `node-action-limit` for each node."""

from __future__ import annotations

from collections import Counter

import pytest

from daemon.model.configuration import AttributeSet, Configuration
from daemon.scheduler import plan
from daemon.scheduler.view import NodeView, View
from tests.unit.scheduler.worlds import primitive

NODES = ("a1", "a2", "a3")


def view(**limits: str) -> View:
    """Three hosts that nobody has looked at: every resource is probed on each, all at once if nothing forbids it."""
    named = {name.replace("_", "-"): value for name, value in limits.items()}
    resources = tuple(primitive(f"r{number}", "Dummy") for number in range(4))
    properties = (AttributeSet(id="cib-bootstrap-options", values={"stonith-enabled": "false", **named}),)
    return View(
        Configuration(resources=resources, properties=properties), {n: NodeView(n, online=True) for n in NODES}, ()
    )


def under_way(present: View) -> Counter[str]:
    planned = plan(present)
    by_node = Counter({node: len(planned.runnable(node)) for node in NODES})
    assert by_node.total() == len(planned.ready())
    return by_node


def test_without_a_limit_all_that_waits_for_nothing_is_under_way() -> None:
    assert under_way(view()) == {"a1": 4, "a2": 4, "a3": 4}


@pytest.mark.parametrize("limit", [1, 2, 5, 11, 100])
def test_batch_limit_is_of_all_nodes_together(limit: int) -> None:
    assert under_way(view(batch_limit=str(limit))).total() == min(limit, 12)


def test_node_action_limit_is_of_each_node() -> None:
    assert under_way(view(node_action_limit="3")) == {"a1": 3, "a2": 3, "a3": 3}
    assert under_way(view(node_action_limit="3", batch_limit="4")).total() == 4


@pytest.mark.parametrize("limit", ["0", "-1", "nonsense"])
def test_what_limits_nothing_limits_nothing(limit: str) -> None:
    assert under_way(view(batch_limit=limit)).total() == 12


def test_the_plan_itself_is_the_same() -> None:
    assert plan(view(batch_limit="2")).actions == plan(view()).actions
