"""Resources and where they run, as `pcs resource` of the 0.9 series shows them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from daemon.control.schema import InstanceStatus, ResourceStatus

Paint = Callable[[str, str], str]
"""(text, what it is) → text in its colour"""

_STEP = 4
_HOW_IT_IS = {
    "Started": "good",
    "Promoted": "good",
    "Unpromoted": "good",
    "Starting": "moving",
    "Stopping": "moving",
}
_OF_CLONE = ("Promoted", "Unpromoted", "Started")
_NAMES = {"Promoted": "Masters", "Unpromoted": "Slaves"}


def plain(text: str, what: str) -> str:
    """No colours."""
    return text


def resources(tree: Iterable[ResourceStatus], paint: Paint = plain) -> Iterator[str]:
    """The whole tree."""
    found = False
    for resource in tree:
        found = True
        yield from _resource(resource, 1, paint)
    if not found:
        yield "NO resources configured"


def _resource(resource: ResourceStatus, indent: int, paint: Paint) -> Iterator[str]:
    if resource.kind == "clone":
        yield from _clone(resource, indent, paint)
    elif resource.kind == "group":
        yield f"{' ' * indent}Resource Group: {resource.id}{_unmanaged(resource)}"
        for member in resource.members:
            yield from _primitive(member, indent + _STEP, paint)
    else:
        yield from _primitive(resource, indent, paint)


def _primitive(resource: ResourceStatus, indent: int, paint: Paint) -> Iterator[str]:
    for instance in resource.instances:
        yield f"{' ' * indent}{instance.id}  ({agent(resource.agent)}):  {standing(resource, instance, paint)}"


def agent(name: str) -> str:
    """`ocf:heartbeat:IPaddr2` as crm_mon writes it: `ocf::heartbeat:IPaddr2`."""
    standard, _, rest = name.partition(":")
    return f"{standard}::{rest}" if ":" in rest else name


def standing(resource: ResourceStatus, instance: InstanceStatus, paint: Paint = plain) -> str:
    """What an instance is doing, and where: `Started a1`, `Started a1, moving to a4 (draining)`, `FAILED a2`."""
    role = paint(instance.role, "bad" if instance.failed else _HOW_IT_IS.get(instance.role, "bad"))
    words = [role]
    if instance.node is not None:
        words.append(instance.node)
    if instance.failed and instance.role != "FAILED":
        words.append(paint("(failed)", "bad"))
    if resource.target_role == "Stopped" and instance.role in {"Stopped", "FAILED"}:
        words.append("(disabled)")
    if not instance.managed:
        words.append("(unmanaged)")
    text = " ".join(words)
    if instance.successor is not None:
        text += paint(f", moving to {instance.successor} ({instance.phase})", "moving")
    return text


def _clone(clone: ResourceStatus, indent: int, paint: Paint) -> Iterator[str]:
    child = clone.members[0]
    kind = "Master/Slave Set" if clone.promotable else "Clone Set"
    unique = " (unique)" if clone.unique else ""
    yield f"{' ' * indent}{kind}: {clone.id} [{child.id}]{unique}{_unmanaged(clone)}"
    inner = indent + _STEP
    if clone.unique:
        for primitive in _primitives(child):
            yield from _primitive(primitive, inner, paint)
        return
    primitives = list(_primitives(child))
    odd = [
        (primitive, instance)
        for primitive in primitives
        for instance in primitive.instances
        if instance.failed or not instance.managed or instance.role not in {*_OF_CLONE, "Stopped"}
    ]
    for primitive, instance in odd:
        yield f"{' ' * inner}{instance.id}  ({agent(primitive.agent)}):  {standing(primitive, instance, paint)}"
    yield from _node_lists(primitives, {instance.node for _, instance in odd}, clone, inner, paint)


def _node_lists(
    primitives: list[ResourceStatus], odd: set[str | None], clone: ResourceStatus, indent: int, paint: Paint
) -> Iterator[str]:
    """`Started: [ a1 a2 ]`: a node is in a list when every member of the clone does that there."""
    roles: dict[str, set[str]] = {}
    for primitive in primitives:
        for instance in primitive.instances:
            if instance.node is not None and instance.node not in odd:
                roles.setdefault(instance.node, set()).add(instance.role)
    for role in _OF_CLONE:
        nodes = sorted((node for node, there in roles.items() if there == {role}), key=natural)
        if nodes:
            yield f"{' ' * indent}{paint(_NAMES.get(role, role), 'good')}: [ {' '.join(nodes)} ]"
    stopped = sorted((node for node, there in roles.items() if "Stopped" in there), key=natural)
    if stopped:
        disabled = " (disabled)" if clone.target_role == "Stopped" else ""
        yield f"{' ' * indent}{paint('Stopped', 'bad')}{disabled}: [ {' '.join(stopped)} ]"


def natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key: numbers inside names count as numbers, a2 before a10."""
    parts = re.split(r"([0-9]+)", name)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts if part]


def _primitives(resource: ResourceStatus) -> Iterator[ResourceStatus]:
    if resource.kind == "primitive":
        yield resource
    for member in resource.members:
        yield from _primitives(member)


def _unmanaged(resource: ResourceStatus) -> str:
    return "" if resource.managed else " (unmanaged)"
