"""Whether resources shall run, and whether the cluster shall manage them: enable, disable, manage, unmanage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from daemon.model.configuration import Clone, Configuration, Operation, Primitive
from daemon.model.edits.resources import put_meta
from daemon.model.edits.sets import without_name
from daemon.model.edits.settle import settled
from daemon.model.edits.tree import (
    AnyOf,
    ancestors_of,
    change_resource,
    children_of,
    primitives_of,
    require_resources,
)
from daemon.model.findings import Refused, error


def disable(configuration: Configuration, *, resources: Sequence[str]) -> Configuration:
    """`pcs resource disable RESOURCE …`: target-role=Stopped on each."""
    changed = configuration
    for found in require_resources(configuration, resources):
        changed = put_meta(changed, found.id, {"target-role": "Stopped"})
    return settled(configuration, changed)


def enable(configuration: Configuration, *, resources: Sequence[str]) -> Configuration:
    """`pcs resource enable RESOURCE …`: no target-role on it, on the clone around it, or on the child in it."""
    names: list[str] = []
    for found in require_resources(configuration, resources):
        names.append(found.id)
        if isinstance(found, Clone):
            names.append(found.child.id)
        names.extend(one.id for one in ancestors_of(configuration, found.id)[:1] if isinstance(one, Clone))
    return settled(configuration, _without_meta(configuration, names, "target-role"))


def fail_back(configuration: Configuration, *, resources: Sequence[str], at_s: int) -> Configuration:
    """Nodes that are back by `at_s` (since 1970) get their share of the slots of these clones, whatever their
    failback policy says.  A resource inside a clone stands for it."""
    changed = configuration
    for found in require_resources(configuration, resources):
        around = (found, *ancestors_of(configuration, found.id))
        clone = next((one for one in around if isinstance(one, Clone)), None)
        if clone is None:
            raise Refused(
                error(
                    "not-cloned",
                    found.id,
                    f"'{found.id}' is no clone and in none, so it has no slots that could come back",
                    "to move a resource use 'resource move'",
                )
            )
        changed = put_meta(changed, clone.id, {"failback-at": str(at_s)})
    return settled(configuration, changed)


def unmanage(configuration: Configuration, *, resources: Sequence[str]) -> Configuration:
    """`pcs resource unmanage RESOURCE …`: is-managed=false on the primitives at or below each."""
    changed = configuration
    for found in require_resources(configuration, resources):
        for primitive in primitives_of(found):
            changed = put_meta(changed, primitive.id, {"is-managed": "false"})
    return settled(configuration, changed)


def manage(configuration: Configuration, *, resources: Sequence[str]) -> Configuration:
    """`pcs resource manage RESOURCE …`: no is-managed on it, on what is in it, and on what it is in."""
    names: list[str] = []
    for found in require_resources(configuration, resources):
        names.extend(one.id for one in (found, *ancestors_of(configuration, found.id), *_below(found)))
    return settled(configuration, _without_meta(configuration, names, "is-managed"))


def disable_monitors(configuration: Configuration, *, resources: Sequence[str]) -> Configuration:
    """What `--monitor` adds to unmanage: the recurring monitors of the primitives are disabled."""
    changed = configuration
    for primitive in _primitives(configuration, resources):
        operations = tuple(
            one.model_copy(update={"options": {**one.options, "enabled": "false"}})
            if one.name == "monitor"
            else one
            for one in primitive.operations
        )
        changed = _with_operations(changed, primitive, operations)
    return settled(configuration, changed)


def enable_monitors(configuration: Configuration, *, resources: Sequence[str]) -> Configuration:
    """What `--monitor` adds to manage: the recurring monitors of the primitives are enabled again."""
    changed = configuration
    for primitive in _primitives(configuration, resources):
        operations = tuple(
            one.model_copy(update={"options": {n: v for n, v in one.options.items() if n != "enabled"}})
            if one.name == "monitor"
            else one
            for one in primitive.operations
        )
        changed = _with_operations(changed, primitive, operations)
    return settled(configuration, changed)


def _primitives(configuration: Configuration, resources: Sequence[str]) -> Iterable[Primitive]:
    return (one for found in require_resources(configuration, resources) for one in primitives_of(found))


def _with_operations(
    configuration: Configuration, primitive: Primitive, operations: tuple[Operation, ...]
) -> Configuration:
    return change_resource(
        configuration, primitive.id, lambda old: old.model_copy(update={"operations": operations})
    )


def _without_meta(configuration: Configuration, names: Iterable[str], name: str) -> Configuration:
    def change(found: AnyOf) -> AnyOf:
        return found.model_copy(update={"meta": without_name(found.meta, name)})

    for one in dict.fromkeys(names):
        configuration = change_resource(configuration, one, change)
    return configuration


def _below(resource: AnyOf) -> list[AnyOf]:
    return [one for child in children_of(resource) for one in (child, *_below(child))]
