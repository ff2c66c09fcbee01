"""How many instances a clone may have: every node of the cluster computes with each of them at every entry.

The limits are where a plan still takes well below a second.  Slots of a shared address are planned as one block,
anonymous instances are alike; instances of another globally-unique clone are compared with each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from daemon.model.agents import IPADDR2
from daemon.model.configuration import AttributeSet, Clone, Configuration, Primitive
from daemon.model.findings import Finding, error
from daemon.model.validation.effective import agent_of, merged
from daemon.model.values import BadValue, parse_boolean, parse_integer

SLOTS_MAX = 4_096
"""of a shared address: some forty for each of a hundred hosts"""
ANONYMOUS_MAX = 1_000
UNIQUE_MAX = 128
COUNTS = ("clone-max", "clone-node-max")


def instances_max(*, unique: bool, address: bool, nodes: int) -> int:
    """The most instances that a clone can have; as many as there are nodes are possible always."""
    if unique and address:
        return SLOTS_MAX
    return max(UNIQUE_MAX if unique else ANONYMOUS_MAX, nodes)


def check(clone: Clone, configuration: Configuration) -> Iterator[Finding]:
    unique = _is_unique(clone)
    child = clone.child
    address = isinstance(child, Primitive) and agent_of(child, configuration.templates) == IPADDR2
    most = instances_max(unique=unique, address=address, nodes=len(configuration.nodes))
    kind = "the slots of an address" if unique and address else "a globally-unique clone" if unique else "a clone"
    yield from _counts(clone.id, clone.meta, most, kind)


def check_default(defaults: AttributeSet) -> Iterator[Finding]:
    """Resource defaults reach every clone, of whatever kind."""
    yield from _counts(defaults.id, (defaults,), UNIQUE_MAX, "a resource default")


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
