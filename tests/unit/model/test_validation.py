"""Every kind of finding, provoked."""

from typing import Any

import pytest

from daemon.model.configuration import (
    AttributeSet,
    Clone,
    Colocation,
    Configuration,
    Group,
    Location,
    NodeEntry,
    Operation,
    Order,
    Primitive,
    ResourceSet,
    Tag,
    Ticket,
)
from daemon.model.initial import initial_configuration
from daemon.model.validation import new_warnings, validate


def dummy(name: str, **more: Any) -> Primitive:
    return Primitive(id=name, standard="ocf", provider="heartbeat", type="Dummy", **more)


def vip(name: str, **parameters: str) -> Primitive:
    values = AttributeSet(id=f"{name}-instance_attributes", values=parameters)
    return Primitive(id=name, standard="ocf", provider="heartbeat", type="IPaddr2", instance=(values,))


def values(set_id: str, **pairs: str) -> tuple[AttributeSet, ...]:
    return (AttributeSet(id=set_id, values={name.replace("_", "-"): value for name, value in pairs.items()}),)


def codes(configuration: Configuration) -> list[tuple[str, str]]:
    return [(finding.severity, finding.code) for finding in validate(configuration)]


def test_a_cluster_begins_without_findings() -> None:
    assert validate(initial_configuration("lab", ["a1", "a2"])) == []
    assert validate(Configuration()) == []


A, B = dummy("a"), dummy("b")
CASES: dict[str, tuple[Configuration, str, str]] = {
    "a constraint on nothing": (
        Configuration(resources=(A,), constraints=(Order(id="o", first="a", then="gone"),)),
        "error",
        "unknown-resource",
    ),
    "a set that names nothing": (
        Configuration(constraints=(Colocation(id="c", sets=(ResourceSet(id="s", resources=("gone",)),)),)),
        "error",
        "unknown-resource",
    ),
    "an empty set": (
        Configuration(constraints=(Order(id="c", sets=(ResourceSet(id="s", resources=()),)),)),
        "error",
        "empty-set",
    ),
    "the same id twice": (Configuration(resources=(A, A)), "error", "duplicate-id"),
    "an id that XML does not allow": (Configuration(resources=(dummy("1a"),)), "error", "bad-id"),
    "a control character": (Configuration(resources=(dummy("a", description="\x00"),)), "error", "bad-character"),
    "bytes that were not UTF-8": (
        Configuration(resources=(dummy("a", description=b"\xff".decode(errors="surrogateescape")),)),
        "error",
        "bad-character",
    ),
    "a character that is none": (
        Configuration(resources=(dummy("a", description="\ufffe"),)),
        "error",
        "bad-character",
    ),
    "a score that is none": (
        Configuration(resources=(A,), constraints=(Location(id="l", resource="a", node="n", score="much"),)),
        "error",
        "bad-value",
    ),
    "colocation with itself": (
        Configuration(resources=(A,), constraints=(Colocation(id="c", resource="a", with_resource="a"),)),
        "error",
        "colocated-with-itself",
    ),
    "half a colocation": (
        Configuration(resources=(A,), constraints=(Colocation(id="c", resource="a"),)),
        "error",
        "incomplete-constraint",
    ),
    "a location without a node": (
        Configuration(resources=(A,), constraints=(Location(id="l", resource="a"),)),
        "error",
        "incomplete-constraint",
    ),
    "a pattern that is none": (
        Configuration(constraints=(Location(id="l", resource_pattern="(", node="n", score="1"),)),
        "error",
        "bad-pattern",
    ),
    "a ring of orders": (
        Configuration(
            resources=(A, B),
            constraints=(Order(id="o1", first="a", then="b"), Order(id="o2", first="b", then="a")),
        ),
        "error",
        "order-cycle",
    ),
    "a constraint on what is inside a clone": (
        Configuration(
            resources=(Clone(id="c", child=A), B),
            constraints=(Colocation(id="k", resource="b", with_resource="a"),),
        ),
        "warning",
        "inside-clone",
    ),
    "an empty group": (Configuration(resources=(Group(id="g"),)), "error", "empty-group"),
    "a resource without agent": (Configuration(resources=(Primitive(id="a"),)), "error", "no-agent"),
    "a standard that nobody knows": (
        Configuration(resources=(Primitive(id="a", standard="docker", type="x"),)),
        "error",
        "bad-agent",
    ),
    "a standard that we do not run": (
        Configuration(resources=(Primitive(id="a", standard="lsb", type="x"),)),
        "warning",
        "unsupported-standard",
    ),
    "a template that is not there": (
        Configuration(resources=(Primitive(id="a", template="t"),)),
        "error",
        "unknown-template",
    ),
    "a bad number of instances": (
        Configuration(resources=(Clone(id="c", child=A, meta=values("m", clone_max="many")),)),
        "error",
        "bad-value",
    ),
    "many instances on a node without globally-unique": (
        Configuration(resources=(Clone(id="c", child=A, meta=values("m", clone_node_max="4")),)),
        "warning",
        "anonymous-clone-node-max",
    ),
    "more instances needed than allowed": (
        Configuration(resources=(Clone(id="c", child=A, meta=values("m", clone_max="1", clone_min="2")),)),
        "error",
        "clone-min",
    ),
    "a meta attribute that nobody knows": (
        Configuration(resources=(dummy("a", meta=values("m", colour="red")),)),
        "warning",
        "unknown-name",
    ),
    "a bad time": (
        Configuration(resources=(dummy("a", operations=(Operation(id="o", name="start", timeout="soon"),)),)),
        "error",
        "bad-value",
    ),
    "an operation twice": (
        Configuration(
            resources=(
                dummy(
                    "a",
                    operations=(
                        Operation(id="o1", name="monitor", interval="10s"),
                        Operation(id="o2", name="monitor", interval="PT10S"),
                    ),
                ),
            )
        ),
        "error",
        "duplicate-operation",
    ),
    "a bad cluster property": (
        Configuration(properties=values("p", stonith_enabled="perhaps")),
        "error",
        "bad-value",
    ),
    "an unknown cluster property": (Configuration(properties=values("p", foo="bar")), "warning", "unknown-name"),
    "a node twice": (
        Configuration(nodes=(NodeEntry(id="1", name="n"), NodeEntry(id="2", name="n"))),
        "error",
        "duplicate-node",
    ),
    "a location on a stranger": (
        Configuration(
            nodes=(NodeEntry(id="1", name="n"),),
            resources=(A,),
            constraints=(Location(id="l", resource="a", node="stranger", score="1"),),
        ),
        "warning",
        "unknown-node",
    ),
    "a ticket": (
        Configuration(resources=(A,), constraints=(Ticket(id="t", ticket="T", resource="a"),)),
        "warning",
        "unsupported-ticket",
    ),
    "a bundle": (
        Configuration(extras=('<bundle id="b"><podman image="i"/></bundle>',)),
        "warning",
        "unsupported-bundle",
    ),
    "the same address twice": (
        Configuration(resources=(vip("v", ip="192.0.2.1"), vip("w", ip="192.0.2.1"))),
        "error",
        "duplicate-address",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_found(name: str) -> None:
    configuration, severity, code = CASES[name]
    assert (severity, code) in codes(configuration)


@pytest.mark.parametrize(
    ("parameters", "severity"),
    [
        ({}, "error"),
        ({"ip": "192.168.110"}, "error"),
        ({"ip": "224.0.0.1"}, "error"),
        ({"ip": "192.0.2.1", "cidr_netmask": "33"}, "error"),
        ({"ip": "192.0.2.1", "cidr_netmask": "255.255.255.0"}, None),
        ({"ip": "2001:db8::1", "cidr_netmask": "64"}, None),
        ({"ip": "192.0.2.1", "clusterip_hash": "source"}, "error"),
        ({"ip": "192.0.2.1", "mac": "02:00:00:00:00:01"}, "error"),
        ({"ip": "192.0.2.1", "mac": "02:00:00:00:00:01", "mac_mode": "unicast"}, None),
        ({"ip": "192.0.2.1", "mac": "01:00:5e:7f:00:01", "mac_mode": "unicast"}, "error"),
        ({"ip": "192.0.2.1", "mac": "03:00:00:00:00:01", "mac_mode": "igmp"}, "error"),
        ({"ip": "192.0.2.1", "mac": "21:37:6F:88:C2:A0"}, None),
        ({"ip": "192.0.2.1", "mac": "21:37:6F"}, "error"),
        ({"ip": "192.0.2.1", "mac_mode": "anycast"}, "error"),
        ({"ip": "192.0.2.1", "nic": "an-interface-of-too-long-a-name"}, "error"),
        ({"ip": "192.0.2.1", "arp_count": "-1"}, "error"),
        ({"ip": "192.0.2.1", "nodad": "maybe"}, "error"),
        ({"ip": "192.0.2.1", "broadcast": "192.0.2"}, "error"),
    ],
)
def test_parameters_of_an_address_are_checked(parameters: dict[str, str], severity: str | None) -> None:
    found = validate(Configuration(resources=(vip("v", **parameters),)))
    assert [finding.severity for finding in found] == ([] if severity is None else [severity])


def test_optional_orders_may_go_round() -> None:
    orders = (Order(id="o1", first="a", then="b"), Order(id="o2", first="b", then="a", order_kind="Optional"))
    assert codes(Configuration(resources=(A, B), constraints=orders)) == []


def test_two_rings_of_orders_are_both_named_with_their_constraints() -> None:
    names = "abcde"
    orders = [Order(id=f"{x}{y}", first=x, then=y) for x, y in ("ab", "ba", "cd", "de", "ec")]
    found = validate(Configuration(resources=tuple(dummy(n) for n in names), constraints=tuple(orders)))
    assert len(found) == 2
    said = " ".join(finding.message for finding in found)
    assert all(order.id in said for order in orders)


def test_the_whole_is_told_at_once_errors_first() -> None:
    configuration = Configuration(
        properties=values("p", foo="bar"),
        resources=(vip("v", ip="x", mac_mode="y"), Group(id="g")),
        constraints=(Order(id="o", first="gone", then="v", score="z"),),
    )
    severities = [severity for severity, _code in codes(configuration)]
    assert severities == ["error"] * 5 + ["warning"]


def test_constraints_may_name_tags_templates_and_bundles() -> None:
    template = dummy("t")
    configuration = Configuration(
        resources=(Primitive(id="a", template="t"),),
        templates=(template,),
        tags=(Tag(id="tag", members=("a",)),),
        extras=('<bundle id="bu"><podman image="i"/></bundle>',),
        constraints=(
            Order(id="o1", first="t", then="tag", order_kind="Optional"),
            Order(id="o2", first="bu", then="a"),
        ),
    )
    assert [code for _severity, code in codes(configuration)] == ["unsupported-bundle"]


def test_only_what_an_edit_brought_is_a_new_warning() -> None:
    old = Configuration(properties=values("p", foo="bar"))
    new = old.model_copy(update={"resource_defaults": values("r", colour="red")})
    assert [finding.where for finding in new_warnings(old, new)] == ["colour"]


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        ("tcp/22:one:3", []),
        ("tcp/22:one:4", [("error", "no-such-slot")]),
        ("22:one:x", [("error", "bad-parameter")]),
        ("*:refused", []),
    ],
)
def test_rules_for_ports_name_slots_that_there_are(rules: str, found: list[tuple[str, str]]) -> None:
    address = vip("v", ip="192.0.2.1", port_rules=rules)
    meta = values("m", clone_max="4", clone_node_max="4", globally_unique="true")
    assert codes(Configuration(resources=(Clone(id="c", child=address, meta=meta),))) == found


def test_an_edit_names_the_remedy_for_what_does_not_go_together() -> None:
    six = Configuration(resources=(vip("v", ip="fd00::1", clusterip_hash_order="clusterip"),))
    (finding,) = validate(six)
    assert finding.message == "clusterip_hash_order=clusterip of 'v' is not possible with IPv6, leave it out"
    (finding,) = validate(Configuration(resources=(vip("v", ip="192.0.2.1", hash_seed="agent"),)))
    assert "needs cidr_netmask" in finding.message
    assert "name the prefix length" in finding.remedy
