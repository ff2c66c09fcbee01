"""Clones: how many instances they may have, and what is served by which of their options."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from daemon.model.agents import IPADDR2
from daemon.model.configuration import AttributeSet, Clone, Configuration, Primitive
from daemon.model.findings import Finding, error
from daemon.model.instances import ANONYMOUS_MAX, instances_max
from daemon.model.precedence import merged
from daemon.model.validation.effective import agent_of, parameters_of
from daemon.model.values import BadValue, parse_boolean, parse_integer
from datapath.engine import PortFate
from datapath.ports import parse as parse_ports

COUNTS = ("clone-max", "clone-node-max")


def check(clone: Clone, configuration: Configuration) -> Iterator[Finding]:
    unique = _is_unique(clone)
    child = clone.child
    address = isinstance(child, Primitive) and agent_of(child, configuration.templates) == IPADDR2
    most = instances_max(unique=unique, address=address, nodes=len(configuration.nodes))
    kind = "the slots of an address" if unique and address else "a globally-unique clone" if unique else "a clone"
    yield from _counts(clone.id, clone.meta, most, kind)
    if unique and address and isinstance(child, Primitive):
        yield from _slots_of_ports(clone, parameters_of(child, configuration.templates).get("port_rules", ""))


def _slots_of_ports(clone: Clone, port_rules: str) -> Iterator[Finding]:
    """Rules for ports name slots that there are."""
    try:
        slots = parse_integer(merged(clone.meta).get("clone-max", ""))
        rules = parse_ports(port_rules)
    except (BadValue, ValueError):
        return  # said by the checks of the values; without clone-max there are as many as nodes, whoever comes
    for rule in rules:
        if rule.fate is PortFate.ONE and rule.slot >= slots:
            yield error(
                "no-such-slot",
                f"{clone.id} port_rules",
                f"a rule for ports names slot {rule.slot} of '{clone.id}', but its slots are 0 to {slots - 1}",
                "name one of these, or raise clone-max",
            )


def check_default(defaults: AttributeSet) -> Iterator[Finding]:
    """Resource defaults reach every clone, of whatever kind."""
    yield from _counts(defaults.id, (defaults,), ANONYMOUS_MAX, "a resource default")


def _counts(where: str, sets: Iterable[AttributeSet], most: int, kind: str) -> Iterator[Finding]:
    # Each set by itself: one under a rule counts at some times.
    for one in sets:
        for name in COUNTS:
            try:
                count = parse_integer(one.values.get(name, "0"))
            except BadValue:
                continue  # said by the check of the values
            if count > most:
                yield error(
                    "too-many-instances",
                    f"{where} {name}",
                    f"{name}={count} of '{where}' is too much, at most {most} are possible for {kind}",
                    f"set {name} to {most} or less",
                )


def _is_unique(clone: Clone) -> bool:
    try:
        return parse_boolean(merged(clone.meta).get("globally-unique", "false"))
    except BadValue:
        return False
