"""Nodes: names once, values of their standing, and locations that name a node nobody knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from daemon.model.configuration import Configuration, Location
from daemon.model.findings import Finding, error, warning
from daemon.model.options import Check, check_values
from daemon.model.values import BadValue, parse_boolean, parse_integer
from daemon.model.weights import WEIGHT, WEIGHT_MAX


def _weight(text: str) -> int:
    weight = parse_integer(text)
    if not 0 <= weight <= WEIGHT_MAX:
        raise BadValue(f"'{text}' is not a weight, use 0 to {WEIGHT_MAX}")
    return weight


_ATTRIBUTES: dict[str, Check] = {
    "standby": lambda text: text == "online" or parse_boolean(text),
    "maintenance": parse_boolean,
    WEIGHT: _weight,
}


def check(configuration: Configuration) -> Iterator[Finding]:
    for name, count in Counter(node.name for node in configuration.nodes).items():
        if count > 1:
            yield error("duplicate-node", name, f"node '{name}' is listed {count} times")
    for name, count in Counter(node.id for node in configuration.nodes).items():
        if count > 1:
            yield error("duplicate-node", name, f"the node id '{name}' is used {count} times")
    for node in configuration.nodes:
        for one in node.attributes:
            yield from check_values(node.name, one.values, _ATTRIBUTES)
        for one in node.utilization:
            yield from check_values(node.name, one.values, dict.fromkeys(one.values, parse_integer))
    known = {node.name for node in configuration.nodes}
    if not known:
        return
    for constraint in configuration.constraints:
        if isinstance(constraint, Location) and constraint.node is not None and constraint.node not in known:
            yield warning(
                "unknown-node",
                constraint.id,
                f"constraint '{constraint.id}' names the unknown node '{constraint.node}'",
            )
