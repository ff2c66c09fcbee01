"""Mandatory orders that wait for each other: nothing in such a ring could ever start."""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from daemon.model.configuration import Configuration, Order
from daemon.model.findings import Finding, error
from daemon.model.values import BadValue, parse_boolean, parse_score

Step = tuple[str, str]
"""(resource, action)"""


def check(configuration: Configuration) -> Iterator[Finding]:
    waits: dict[Step, dict[Step, str]] = {}
    for order in configuration.constraints:
        if isinstance(order, Order) and order.first is not None and order.then is not None and is_mandatory(order):
            action = order.first_action or "start"
            then = (order.then, order.then_action or action)
            waits.setdefault(then, {})[(order.first, action)] = order.id
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
