"""A stored configuration with faults that an edit would refuse: the rest is planned, and the plan says what is so."""

from __future__ import annotations

import pytest

from daemon.model.configuration import (
    AnyConstraint,
    Colocation,
    Configuration,
    Expression,
    Location,
    NodeEntry,
    Order,
    ResourceSet,
    Rule,
)
from daemon.model.findings import errors_of
from daemon.model.validation import validate
from daemon.scheduler import Plan, plan
from daemon.scheduler.view import NodeView, View
from tests.unit.scheduler.worlds import primitive

IMPOSSIBLE = Rule(
    id="r", score="INFINITY", expressions=(Expression(kind="date", id="x", operation="gt", start="2026-02-30"),)
)
FAULTS: dict[str, tuple[tuple[AnyConstraint, ...], str]] = {
    "orders in a ring": ((Order(id="o1", first="a", then="b"), Order(id="o2", first="b", then="a")), "circle"),
    "a colocation with itself": ((Colocation(id="k", resource="a", with_resource="a", score="INFINITY"),), "'k'"),
    "a set that is colocated with itself": (
        (Colocation(id="k", score="INFINITY", sets=(ResourceSet(id="s", resources=("a", "a")),)),),
        "'k'",
    ),
    "an order with itself": ((Order(id="o", first="a", then="a"),), "'o'"),
    "an unknown resource": ((Order(id="o", first="gone", then="a"),), "'gone'"),
    "an unknown resource in a set": (
        (Colocation(id="k", score="INFINITY", sets=(ResourceSet(id="s", resources=("a", "gone")),)),),
        "'gone'",
    ),
    "a score that is none": ((Location(id="l", resource="a", node="a1", score="much"),), "'much' is not a score"),
    "a score out of range": ((Location(id="l", resource="a", node="a2", score="99999999999"),), "out of range"),
    "a date that is none": ((Location(id="l", resource="a", rules=(IMPOSSIBLE,)),), "'2026-02-30' is not a date"),
}


def planned(constraints: tuple[AnyConstraint, ...]) -> tuple[Configuration, Plan]:
    configuration = Configuration(
        nodes=(NodeEntry(id="1", name="a1"), NodeEntry(id="2", name="a2")),
        resources=(primitive("a"), primitive("b"), primitive("rest")),
        constraints=constraints,
    )
    nodes = {name: NodeView(name, online=True) for name in ("a1", "a2")}
    return configuration, plan(View(configuration, nodes, (), defaults={"stonith-enabled": "false"}))


@pytest.mark.parametrize("fault", FAULTS)
def test_the_rest_is_planned_and_the_fault_is_told(fault: str) -> None:
    constraints, told = FAULTS[fault]
    configuration, found = planned(constraints)
    assert errors_of(validate(configuration)), "an edit refuses it"
    assert all(found.placement[name] for name in ("a", "b", "rest"))
    assert {action.instance for action in found.actions if action.operation == "start"} == {"a", "b", "rest"}
    assert told, "each says what is wrong"
    assert told in " ".join(found.findings)


def test_a_score_beyond_the_range_counts_as_infinity() -> None:
    _, found = planned(FAULTS["a score out of range"][0])
    assert found.placement["a"] == ("a2",)


def test_a_meta_attribute_that_is_no_score_is_told_with_its_resource() -> None:
    found = plan(
        View(
            Configuration(resources=(primitive("a", resource_stickiness="very"),)),
            {"a1": NodeView("a1", online=True)},
            (),
            defaults={"stonith-enabled": "false"},
        )
    )
    assert found.placement["a"] == ("a1",)
    assert any("resource-stickiness" in sentence and "'a'" in sentence for sentence in found.findings)


def test_nothing_is_told_of_a_configuration_that_is_right() -> None:
    found = plan(
        View(
            Configuration(resources=(primitive("a", resource_stickiness="INFINITY"),)),
            {"a1": NodeView("a1", online=True)},
            (),
            defaults={"stonith-enabled": "false"},
        )
    )
    assert not found.findings
