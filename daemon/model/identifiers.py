"""Ids: what XML allows, which are taken, and how pcs makes new ones."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator

from daemon.model.configuration import (
    AnyConstraint,
    AttributeSet,
    Clone,
    Configuration,
    Group,
    Location,
    Primitive,
    Rule,
    Ticket,
)
from daemon.model.xmltree import XmlNode, parse_xml

_FIRST = r"A-Za-z_\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02ff\u0370-\u037d\u037f-\u1fff\u200c\u200d"
_REST = _FIRST + r"0-9.\-\u00b7\u0300-\u036f\u203f\u2040"
_NAME = re.compile(f"[{_FIRST}][{_REST}]*")
_NOT_FIRST = re.compile(f"^[^{_FIRST}]+")
_NOT_REST = re.compile(f"[^{_REST}]")


def is_valid_id(text: str) -> bool:
    """Whether `text` can be an XML id (an NCName): begins with a letter or `_`; letters, digits, `.`, `-`, `_`."""
    return _NAME.fullmatch(text) is not None


def id_problem(text: str) -> str | None:
    """Why `text` cannot be an id; None if it can."""
    if not text:
        return "an id cannot be empty"
    if not _NAME.match(text[0]):
        return f"'{text}' is not a valid id, '{text[0]}' is not a valid first character for an id"
    bad = _NOT_REST.search(text)
    if bad:
        return f"'{text}' is not a valid id, '{bad[0]}' is not a valid character for an id"
    return None


def sanitized(text: str) -> str:
    """`text` without the characters that an id cannot have."""
    return _NOT_REST.sub("", _NOT_FIRST.sub("", text))


def pair_id(set_id: str, name: str) -> str:
    """The conventional id of an nvpair."""
    return sanitized(f"{set_id}-{name}")


def unique_id(wanted: str, taken: Collection[str]) -> str:
    """`wanted`, or the first of `wanted-1`, `wanted-2` … that is free."""
    if wanted not in taken:
        return wanted
    number = 1
    while f"{wanted}-{number}" in taken:
        number += 1
    return f"{wanted}-{number}"


def ids_in_use(configuration: Configuration) -> Counter[str]:
    """Every id that the tree spells out and how often, without those that the writer makes for nvpairs."""
    return Counter(_ids(configuration))


def _ids(configuration: Configuration) -> Iterator[str]:
    for group in (configuration.properties, configuration.resource_defaults, configuration.operation_defaults):
        yield from _set_ids(group)
    for node in configuration.nodes:
        yield from _set_ids(node.attributes)
        yield from _set_ids(node.utilization)
    for resource in (*configuration.walk(), *configuration.templates):
        yield from _resource_ids(resource)
    for constraint in configuration.constraints:
        yield from _constraint_ids(constraint)
    yield from (tag.id for tag in configuration.tags)
    yield from (level.id for level in configuration.fencing)
    for text in configuration.extras:
        yield from _extra_ids(parse_xml(text))


def _resource_ids(resource: Primitive | Group | Clone) -> Iterator[str]:
    yield resource.id
    yield from _set_ids(resource.meta)
    yield from _set_ids(resource.instance)
    if isinstance(resource, Primitive):
        yield from _set_ids(resource.utilization)
        if resource.operations_ref is None:
            if resource.operations_id is not None:
                yield resource.operations_id
            for operation in resource.operations:
                yield operation.id
                yield from _set_ids(operation.meta)
                yield from _set_ids(operation.instance)


def _constraint_ids(constraint: AnyConstraint) -> Iterator[str]:
    yield constraint.id
    yield from (stated.id for stated in constraint.sets if stated.id_ref is None)
    if isinstance(constraint, Location):
        yield from _rule_ids(constraint.rules)
    if not isinstance(constraint, Ticket):
        yield from _rule_ids(constraint.lifetime)


def _set_ids(sets: Iterable[AttributeSet]) -> Iterator[str]:
    for stated in sets:
        if stated.id_ref is None:
            yield stated.id
            yield from (name for key, name in stated.pair_ids.items() if key in stated.values)
            if stated.rule is not None:
                yield from _rule_ids((stated.rule,))


def _rule_ids(rules: Iterable[Rule]) -> Iterator[str]:
    for rule in rules:
        if rule.id_ref is None:
            yield rule.id
            for expression in rule.expressions:
                if expression.rule is not None:
                    yield from _rule_ids((expression.rule,))
                else:
                    yield expression.id


def _extra_ids(root: XmlNode) -> Iterator[str]:
    return (node.attributes["id"] for node in root.walk() if "id" in node.attributes and node.tag != "role")
