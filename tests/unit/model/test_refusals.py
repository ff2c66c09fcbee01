"""What an edit refuses by name: rings of orders, colocations with oneself, scores out of range, impossible dates."""

from __future__ import annotations

import pytest

from daemon.model.configuration import (
    AttributeSet,
    Clone,
    Colocation,
    Configuration,
    Expression,
    Group,
    Location,
    Operation,
    Order,
    Primitive,
    ResourceSet,
    Rule,
)
from daemon.model.findings import Finding
from daemon.model.options import CLONE_META, OPERATION_DEFAULTS, PRIMITIVE_META, PROPERTIES
from daemon.model.validation import unsupported, validate
from daemon.model.values import parse_written_score


def dummy(name: str, operations: tuple[Operation, ...] = (), **meta: str) -> Primitive:
    values = {key.replace("_", "-"): value for key, value in meta.items()}
    sets = (AttributeSet(id=f"{name}-meta", values=values),) if values else ()
    return Primitive(id=name, standard="ocf", provider="heartbeat", type="Dummy", meta=sets, operations=operations)


def ordered(*names: str, sequential: bool = True) -> ResourceSet:
    return ResourceSet(
        id=f"set-{'-'.join(names)}", resources=names, options={} if sequential else {"sequential": "false"}
    )


def found(configuration: Configuration, code: str) -> list[Finding]:
    return [finding for finding in validate(configuration) if finding.code == code]


A, B, C = dummy("a"), dummy("b"), dummy("c")


def test_a_ring_of_sets_and_simple_orders_is_refused() -> None:
    orders = (Order(id="o1", sets=(ordered("a", "b"), ordered("c"))), Order(id="o2", first="c", then="a"))
    (ring,) = found(Configuration(resources=(A, B, C), constraints=orders), "order-cycle")
    assert "o1" in ring.message
    assert "o2" in ring.message


def test_an_order_against_a_groups_own_order_is_refused() -> None:
    configuration = Configuration(
        resources=(Group(id="g", members=(A, B)), C),
        constraints=(Order(id="o1", first="b", then="c"), Order(id="o2", first="c", then="a")),
    )
    assert found(configuration, "order-cycle")


def test_an_order_with_a_clone_is_one_with_what_is_cloned() -> None:
    configuration = Configuration(
        resources=(Clone(id="cl", child=A), B),
        constraints=(Order(id="o1", first="cl", then="b"), Order(id="o2", first="b", then="a")),
    )
    assert found(configuration, "order-cycle")


def test_sets_without_a_sequence_are_no_ring() -> None:
    orders = (Order(id="o1", sets=(ordered("a", "b", sequential=False),)), Order(id="o2", first="b", then="a"))
    assert not found(Configuration(resources=(A, B), constraints=orders), "order-cycle")


def test_a_set_that_is_only_a_wish_is_no_ring() -> None:
    orders = (Order(id="o1", sets=(ordered("a", "b"),), order_kind="Optional"), Order(id="o2", first="b", then="a"))
    assert not found(Configuration(resources=(A, B), constraints=orders), "order-cycle")


def test_a_resource_twice_in_the_sets_of_a_colocation_is_refused() -> None:
    constraint = Colocation(id="k", score="INFINITY", sets=(ordered("a", "b"), ordered("a")))
    (twice,) = found(Configuration(resources=(A, B), constraints=(constraint,)), "colocated-with-itself")
    assert "'a'" in twice.message


@pytest.mark.parametrize("text", ["1000001", "-1000001", "99999999999999999999"])
def test_a_score_out_of_range_is_refused_by_name(text: str) -> None:
    place = Location(id="l", resource="a", node="n", score=text)
    findings = found(Configuration(resources=(A,), constraints=(place,)), "bad-value")
    assert [text in finding.message and "out of range" in finding.message for finding in findings] == [True]
    assert found(Configuration(resources=(dummy("a", resource_stickiness=text),)), "bad-value")


@pytest.mark.parametrize(
    ("text", "score"), [("INFINITY", 1_000_000), ("1000000", 1_000_000), ("-01000000", -1_000_000)]
)
def test_infinity_by_word_or_by_number_is_in_range(text: str, score: int) -> None:
    assert parse_written_score(text) == score


# ---- dates


def dated(**fields: object) -> Configuration:
    expression = Expression.model_validate({"kind": "date", "id": "x", **fields})
    rule = Rule(id="r", score="INFINITY", expressions=(expression,))
    return Configuration(resources=(A,), constraints=(Location(id="l", resource="a", rules=(rule,)),))


@pytest.mark.parametrize(
    "fields",
    [
        {"operation": "gt", "start": "2023-02-30"},
        {"operation": "gt", "start": "soon"},
        {"operation": "gt"},
        {"operation": "lt", "end": "2023-13-01"},
        {"operation": "gt", "start": "2023-366"},
        {"operation": "in_range"},
        {"operation": "in_range", "start": "2024-01-02", "end": "2024-01-01"},
        {"operation": "in_range", "end": "2024-01-01", "duration": {"hours": "1"}},
        {"operation": "in_range", "start": "2024-01-01", "duration": {"fortnights": "1"}},
        {"operation": "in_range", "start": "2024-01-01", "duration": {"hours": "many"}},
        {"operation": "date_spec", "spec": {"hours": "24"}},
        {"operation": "date_spec", "spec": {"hours": "17-9"}},
        {"operation": "date_spec", "spec": {"months": "0"}},
        {"operation": "date_spec", "spec": {"months": "2", "monthdays": "30-31"}},
        {"operation": "date_spec", "spec": {"weekdays": "monday"}},
        {"operation": "date_spec", "spec": {}},
        {"operation": "around", "start": "2024-01-01"},
    ],
)
def test_a_date_that_is_none_or_never_comes_is_refused(fields: dict[str, object]) -> None:
    (finding,) = found(dated(**fields), "bad-date")
    assert "'x'" in finding.message


@pytest.mark.parametrize(
    "fields",
    [
        {"operation": "gt", "start": "2024-02-29"},
        {"operation": "gt", "start": "2024-W05-1"},
        {"operation": "gt", "start": "2024-366T10:00:00Z"},
        {"operation": "lt", "end": "2024-01-01 12:00:00+02:00"},
        {"operation": "in_range", "start": "2024-01-01", "duration": {"id": "d", "months": "3"}},
        {"operation": "date_spec", "spec": {"id": "s", "hours": "9-17", "weekdays": "1-5", "years": "2024-"}},
        {"operation": "date_spec", "spec": {"months": "2-3", "monthdays": "31"}},
    ],
)
def test_a_possible_date_is_no_finding(fields: dict[str, object]) -> None:
    assert not found(dated(**fields), "bad-date")


# ---- what has no effect is said by name


def test_every_option_without_effect_is_one_that_is_known() -> None:
    assert unsupported.PROPERTIES.keys() <= PROPERTIES.keys()
    assert unsupported.META.keys() | unsupported.OLD_SPELLINGS <= PRIMITIVE_META.keys() | CLONE_META.keys()
    assert unsupported.OPERATIONS.keys() <= OPERATION_DEFAULTS.keys()


def test_options_without_effect_are_reported_wherever_they_stand() -> None:
    monitor = Operation(id="a-monitor", name="monitor", interval="10s", options={"start-delay": "5s"})
    configuration = Configuration(
        properties=(AttributeSet(id="p", values={"load-threshold": "80%", "stop-orphan-actions": "true"}),),
        resource_defaults=(AttributeSet(id="d", values={"allow-migrate": "true"}),),
        operation_defaults=(AttributeSet(id="e", values={"record-pending": "false"}),),
        resources=(dummy("a", (monitor,), remote_node="far", is_managed="true"),),
    )
    assert [finding.where for finding in found(configuration, "no-effect")] == [
        "load-threshold",
        "d allow-migrate",
        "a remote-node",
        "a start-delay",
    ]
