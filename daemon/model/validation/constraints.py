"""Constraints: what they name exists, and their values are values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from daemon.model.configuration import (
    AnyConstraint,
    Clone,
    Colocation,
    Configuration,
    Location,
    Order,
    ResourceSet,
    Rule,
    Ticket,
)
from daemon.model.findings import Finding, error, warning
from daemon.model.options import Check, check_values, exactly_one_of
from daemon.model.values import parse_boolean, parse_written_score
from daemon.model.xmltree import parse_xml

_ROLE = exactly_one_of("Stopped", "Started", "Promoted", "Unpromoted", "Master", "Slave")
_ACTION = exactly_one_of("start", "stop", "promote", "demote")
_SET_OPTIONS: dict[str, Check] = {
    "sequential": parse_boolean,
    "require-all": parse_boolean,
    "ordering": exactly_one_of("group", "listed"),
    "action": _ACTION,
    "role": _ROLE,
    "score": parse_written_score,
    "kind": exactly_one_of("Optional", "Mandatory", "Serialize"),
}
_OPERATIONS = frozenset({"lt", "gt", "lte", "gte", "eq", "ne", "defined", "not_defined"})


def check(configuration: Configuration) -> Iterator[Finding]:
    known = _nameable(configuration)
    collections = {one.id for one in configuration.templates} | {one.id for one in configuration.tags}
    inside = {
        inner.id: clone.id
        for clone in configuration.resources
        if isinstance(clone, Clone)
        for inner in configuration.model_copy(update={"resources": (clone.child,)}).walk()
    }
    for constraint in configuration.constraints:
        for name in named_resources(constraint):
            if name not in known:
                yield error(
                    "unknown-resource",
                    constraint.id,
                    f"constraint '{constraint.id}' names '{name}', which does not exist",
                    "remove the constraint or create the resource",
                )
            elif name in inside:
                yield warning(
                    "inside-clone",
                    constraint.id,
                    f"constraint '{constraint.id}' names '{name}', which is inside the clone '{inside[name]}'",
                    "name the clone",
                )
        yield from _sets(constraint.id, constraint.sets)
        match constraint:
            case Location():
                yield from _location(constraint)
            case Colocation():
                yield from _colocation(constraint)
                if collections.issuperset((constraint.resource, constraint.with_resource)):
                    yield warning(
                        "no-effect",
                        constraint.id,
                        f"colocation '{constraint.id}' has no effect: it is between two tags or templates",
                        "name a resource on one side",
                    )
            case Order():
                yield from _order(constraint)
            case Ticket():
                yield from _values(constraint.id, {"rsc-role": (constraint.role, _ROLE)})
                yield warning(
                    "unsupported-ticket",
                    constraint.id,
                    f"ticket constraint '{constraint.id}' is kept, but vipcast knows no tickets",
                )


def _nameable(configuration: Configuration) -> set[str]:
    names = {resource.id for resource in configuration.walk()}
    names |= {template.id for template in configuration.templates} | {tag.id for tag in configuration.tags}
    for text in configuration.extras:
        root = parse_xml(text)
        if root.tag == "bundle":
            names |= {
                node.attributes["id"]
                for node in root.walk()
                if node.tag in {"bundle", "primitive"} and node.get("id")
            }
    return names


def named_resources(constraint: AnyConstraint) -> Iterator[str]:
    """Every resource, tag or template that a constraint names, sets included."""
    match constraint:
        case Colocation():
            direct = (constraint.resource, constraint.with_resource)
        case Order():
            direct = (constraint.first, constraint.then)
        case Location() | Ticket():
            direct = (constraint.resource, None)
    yield from (name for name in direct if name is not None)
    yield from (name for stated in constraint.sets for name in stated.resources)


def _location(constraint: Location) -> Iterator[Finding]:
    name = constraint.id
    if constraint.resource is None and constraint.resource_pattern is None and not constraint.sets:
        yield error("incomplete-constraint", name, f"location constraint '{name}' names no resource")
    if constraint.resource_pattern is not None:
        try:
            re.compile(constraint.resource_pattern)
        except re.error as problem:
            yield error(
                "bad-pattern", name, f"the resource pattern of '{name}' is not a regular expression: {problem}"
            )
    if constraint.rules:
        for rule in constraint.rules:
            yield from _rule(name, rule)
    elif constraint.node is None:
        yield error("incomplete-constraint", name, f"location constraint '{name}' has neither a node nor a rule")
    discovery = exactly_one_of("always", "never", "exclusive")
    yield from _values(
        name,
        {
            "score": (constraint.score, parse_written_score),
            "role": (constraint.role, _ROLE),
            "resource-discovery": (constraint.resource_discovery, discovery),
        },
    )


def _rule(owner: str, rule: Rule) -> Iterator[Finding]:
    if not rule.expressions:
        yield error("empty-rule", owner, f"rule '{rule.id}' of '{owner}' has no expressions")
    yield from _values(rule.id, {"score": (rule.score, parse_written_score)})
    for expression in rule.expressions:
        if expression.rule is not None:
            yield from _rule(owner, expression.rule)
        elif expression.kind == "attribute" and expression.operation not in _OPERATIONS:
            yield error(
                "bad-rule", expression.id, f"'{expression.operation}' of '{expression.id}' is not a comparison"
            )


def _colocation(constraint: Colocation) -> Iterator[Finding]:
    name = constraint.id
    if constraint.resource is None or constraint.with_resource is None:
        if not constraint.sets:
            yield error("incomplete-constraint", name, f"colocation constraint '{name}' names no two resources")
    elif constraint.resource == constraint.with_resource:
        yield error(
            "colocated-with-itself", name, f"constraint '{name}' colocates '{constraint.resource}' with itself"
        )
    in_sets = [resource for stated in constraint.sets for resource in stated.resources]
    for twice in sorted({resource for resource in in_sets if in_sets.count(resource) > 1}):
        yield error(
            "colocated-with-itself",
            name,
            f"constraint '{name}' names '{twice}' in more than one place, so it would be colocated with itself",
            "name it once",
        )
    yield from _values(
        name,
        {
            "score": (constraint.score, parse_written_score),
            "rsc-role": (constraint.role, _ROLE),
            "with-rsc-role": (constraint.with_role, _ROLE),
            "influence": (constraint.influence, parse_boolean),
        },
    )


def _order(constraint: Order) -> Iterator[Finding]:
    name = constraint.id
    if (constraint.first is None or constraint.then is None) and not constraint.sets:
        yield error("incomplete-constraint", name, f"order constraint '{name}' names no two resources")
    in_sets = [resource for stated in constraint.sets for resource in stated.resources]
    for twice in sorted({resource for resource in in_sets if in_sets.count(resource) > 1}):
        yield error(
            "order-with-itself",
            name,
            f"order constraint '{name}' names '{twice}' in more than one place, so it would come after itself",
            "name it once",
        )
    same_action = (constraint.first_action or "start") == (
        constraint.then_action or constraint.first_action or "start"
    )
    if constraint.first is not None and constraint.first == constraint.then and same_action:
        yield error(
            "order-with-itself",
            name,
            f"order constraint '{name}' puts '{constraint.first}' after itself",
            "name two different resources",
        )
    yield from _values(
        name,
        {
            "first-action": (constraint.first_action, _ACTION),
            "then-action": (constraint.then_action, _ACTION),
            "kind": (constraint.order_kind, _SET_OPTIONS["kind"]),
            "score": (constraint.score, parse_written_score),
            "symmetrical": (constraint.symmetrical, parse_boolean),
            "require-all": (constraint.require_all, parse_boolean),
        },
    )


def _sets(owner: str, sets: Iterable[ResourceSet]) -> Iterator[Finding]:
    for stated in sets:
        if not stated.resources:
            yield error("empty-set", owner, f"resource set '{stated.id}' of '{owner}' is empty")
        yield from check_values(stated.id, stated.options, _SET_OPTIONS)


def _values(where: str, values: dict[str, tuple[str | None, Check]]) -> Iterator[Finding]:
    for name, (value, parse) in values.items():
        if value is not None:
            yield from check_values(where, {name: value}, {name: parse})
