"""A number in a configuration must never keep the whole cluster computing."""

from __future__ import annotations

import pytest

from daemon.model.configuration import AttributeSet, Clone, Configuration
from daemon.model.findings import errors_of
from daemon.model.validation import validate
from daemon.scheduler.planner import plan
from daemon.state.addresses import slot_driven
from tests.unit.state.cluster import VIP, WEB, Cluster, clone

HUGE = "99999999"


@pytest.mark.parametrize("name", ["clone_max", "clone_node_max"])
@pytest.mark.parametrize(
    ("child", "unique", "most"),
    [(VIP, "true", 4_096), (WEB, "true", 4_096), (WEB, "false", 1_000), (VIP, "false", 1_000)],
)
def test_more_instances_than_can_be_planned_are_refused_with_the_limit(
    name: str, child: object, unique: str, most: int
) -> None:
    cluster = Cluster()
    cluster.admit()
    outcome = cluster.edit(clone("many", child, globally_unique=unique, **{name: HUGE}))  # type: ignore[arg-type]
    assert not outcome.accepted
    (found,) = errors_of(outcome.findings)
    assert found.code == "too-many-instances"
    assert HUGE in found.message
    assert str(most) in found.remedy
    wanted = clone("many", child, globally_unique=unique, **{name: str(most)})  # type: ignore[arg-type]
    assert not errors_of(tuple(validate(Configuration(resources=(wanted,)))))


def test_a_resource_default_is_no_way_around_the_limit() -> None:
    defaults = (AttributeSet(id="rsc-options", values={"clone-max": HUGE}),)
    found = errors_of(tuple(validate(Configuration(resource_defaults=defaults))))
    assert [finding.code for finding in found] == ["too-many-instances"]


@pytest.mark.parametrize("unique", ["true", "false"])
@pytest.mark.parametrize("child", [VIP, WEB])
def test_a_stored_configuration_from_before_the_limit_is_planned_all_the_same(child: object, unique: str) -> None:
    cluster = Cluster()
    cluster.admit()
    made: Clone = clone("many", child, clone_max=HUGE, clone_node_max=HUGE, globally_unique=unique)  # type: ignore[arg-type]
    cluster.state.configuration = Configuration(resources=(made,))
    plan(cluster.state.view())
    cluster.lose("a4")
    driven = slot_driven(cluster.state.configuration, 4)
    assert all(target.slots == 4_096 for target in driven.values())
