"""Mandatory orders that wait for each other: nothing in such a ring could ever start."""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from daemon.model.configuration import AnyResource, Clone, Configuration, Group, Order, Primitive, ResourceSet
from daemon.model.findings import Finding, error
from daemon.model.precedence import merged
from daemon.model.values import TRUE_WORDS, BadValue, parse_boolean, parse_score

Step = tuple[str, str]
"""(resource, action)"""


def _waits(configuration: Configuration) -> dict[Step, dict[Step, str]]:
    """What has to wait for what, and which constraint or group says so."""
    waits: dict[Step, dict[Step, str]] = {}
    within = _Within(configuration)
    for group in within.ordered_groups():
        for first, then in pairwise(group.members):
            waits.setdefault((then.id, "start"), {})[(first.id, "start")] = group.id
    for order in configuration.constraints:
        if isinstance(order, Order):
            for first_step, then_step in _steps(order):
                for then_name in within.primitives(then_step[0]):
                    firsts = waits.setdefault((then_name, then_step[1]), {})
                    for first_name in within.primitives(first_step[0]):
                        if first_name != then_name or first_step[1] != then_step[1]:
                            firsts[first_name, first_step[1]] = order.id
    return waits


def check(configuration: Configuration) -> Iterator[Finding]:
    waits = _waits(configuration)
    # One ring at a time, taken apart where it closes, so that each is named once.
    while True:
        try:
            TopologicalSorter({step: set(firsts) for step, firsts in waits.items()}).prepare()
        except CycleError as problem:
            ring: list[Step] = problem.args[1]  # each before the next one; the last is the first again
            pairs = list(pairwise(ring))
            ids = [waits[then][first] for first, then in pairs]
            steps = " then ".join(f"{action} {resource}" for resource, action in ring)
            yield error(
                "order-cycle",
                ids[-1],
                f"mandatory orders wait for each other: {steps} ({', '.join(dict.fromkeys(ids))})",
                "remove one of them or make it kind=Optional",
            )
            first, then = pairs[-1]
            del waits[then][first]
        else:
            return


class _Within:
    """The primitives that an id stands for: an order with a group or a clone is one with everything in it."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.tags = {tag.id: tag.members for tag in configuration.tags}
        self.resources = {resource.id: resource for resource in configuration.walk()}

    def ordered_groups(self) -> Iterator[Group]:
        for resource in self.resources.values():
            if isinstance(resource, Group) and merged(resource.meta).get("ordered", "true").lower() in TRUE_WORDS:
                yield resource

    def primitives(self, name: str) -> list[str]:
        if name in self.tags:
            members = [self.resources[member] for member in self.tags[name] if member in self.resources]
        else:
            members = [self.resources[name]] if name in self.resources else []
        found = [one.id for member in members for one in _inside(member)]
        return found or [name]


def _inside(resource: AnyResource) -> Iterator[Primitive]:
    inner = resource.child if isinstance(resource, Clone) else resource
    yield from inner.members if isinstance(inner, Group) else (inner,)


def _steps(order: Order) -> Iterator[tuple[Step, Step]]:
    """What has to come before what, by a mandatory order: of two resources, or in sets and from set to set."""
    if order.first is not None and order.then is not None and is_mandatory(order):
        action = order.first_action or "start"
        yield (order.first, action), (order.then, order.then_action or action)
    last: tuple[ResourceSet, str] | None = None
    for one in order.sets:
        action = one.options.get("action", "start")
        kind = one.options.get("kind")
        if (kind == "Mandatory" if kind is not None else is_mandatory(order)) and _sequential(one):
            yield from (((first, action), (then, action)) for first, then in pairwise(one.resources))
        if last is not None and is_mandatory(order):
            before, former = last
            firsts = before.resources[-1:] if _sequential(before) else before.resources
            thens = one.resources[:1] if _sequential(one) else one.resources
            yield from (((first, former), (then, action)) for first in firsts for then in thens)
        last = (one, action)


def _sequential(one: ResourceSet) -> bool:
    return one.options.get("sequential", "true").strip().lower() in TRUE_WORDS


def is_mandatory(order: Order) -> bool:
    """Mandatory by its kind or, where that is not given, by a positive score."""
    if order.order_kind is not None:
        return order.order_kind == "Mandatory"
    try:
        return order.score is None or parse_score(order.score) > 0
    except BadValue:
        return False


def is_symmetrical(order: Order) -> bool:
    try:
        return parse_boolean(order.symmetrical or "true")
    except BadValue:
        return True
