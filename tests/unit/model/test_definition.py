"""What an operation is run with, and what of it cannot depend on a rule."""

from __future__ import annotations

from daemon.definition import define
from daemon.model.configuration import AttributeSet, Configuration, Expression, Operation, Primitive, Rule
from daemon.model.validation import validate


def stated(name: str, *expressions: Expression, **values: str) -> AttributeSet:
    rule = Rule(id=f"{name}-rule", expressions=expressions) if expressions else None
    return AttributeSet(id=name, values=values, rule=rule)


def configured(*defaults: AttributeSet, instance: tuple[AttributeSet, ...] = ()) -> Configuration:
    checked = Operation(
        id="m2", name="monitor", interval="30s", instance=(stated("m2i", OCF_CHECK_LEVEL="10", deep="yes"),)
    )
    first = Operation(id="m1", name="monitor", interval="10s", timeout="7s")
    one = Primitive(
        id="r",
        standard="ocf",
        provider="heartbeat",
        type="Dummy",
        instance=(stated("ri", state="here"), *instance),
        operations=(first, checked),
    )
    return Configuration(resources=(one,), operation_defaults=defaults)


def test_an_operations_own_parameters_reach_its_agent_alone() -> None:
    deep = define(configured(), "r", "monitor", 30_000)
    plain = define(configured(), "r", "monitor", 10_000)
    assert deep is not None
    assert plain is not None
    assert deep.environment.items() >= {("OCF_CHECK_LEVEL", "10"), ("OCF_RESKEY_deep", "yes")}
    assert "OCF_CHECK_LEVEL" not in plain.environment
    assert deep.digest == plain.digest  # the resource itself is defined alike


def test_a_probe_takes_the_timeout_of_the_shortest_monitor_and_nothing_else_of_it() -> None:
    probe = define(configured(), "r", "monitor", 0)
    assert probe is not None
    assert probe.timeout_ms == 7_000
    assert "OCF_CHECK_LEVEL" not in probe.environment


def test_operation_defaults_may_go_by_agent_and_operation() -> None:
    starts = Expression(kind="op", id="x", fields={"name": "start"})
    others = Expression(kind="resource", id="y", fields={"class": "ocf", "provider": "other", "type": "Dummy"})
    configuration = configured(
        stated("d1", timeout="30s"), stated("d2", starts, timeout="60s"), stated("d3", others, timeout="90s")
    )
    found = [define(configuration, "r", name, 0) for name in ("start", "stop")]
    assert [one.timeout_ms for one in found if one is not None] == [60_000, 30_000]


def test_parameters_under_a_rule_are_reported_by_name() -> None:
    there = Expression(kind="attribute", id="x", attribute="#uname", operation="eq", value="a1")
    configuration = configured(
        stated("d", there, timeout="60s"), instance=(stated("per-node", there, state="elsewhere"),)
    )
    told = {finding.where: finding.message for finding in validate(configuration) if finding.code == "no-effect"}
    assert told.keys() == {"d", "per-node"}
    assert "'state' has no effect" in told["per-node"]
