"""Finding and replacing resources in the frozen tree, and asking that an id be free or known."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from daemon.model.configuration import Clone, Configuration, Group, Primitive
from daemon.model.findings import Finding, Refused, error
from daemon.model.identifiers import id_problem, ids_in_use

AnyOf = Primitive | Group | Clone
Change = Callable[[AnyOf], AnyOf | None]
"""what becomes of a resource; None takes it away"""


def require_new_id(configuration: Configuration, wanted: str, noun: str) -> None:
    """Refuse an id that XML does not allow or that is in use."""
    if (problem := id_problem(wanted)) is not None:
        raise Refused(error("bad-id", wanted, f"invalid {noun}: {problem}"))
    if wanted in ids_in_use(configuration):
        raise Refused(error("id-exists", wanted, f"'{wanted}' already exists"))


def unknown_resource(resource_id: str) -> Finding:
    return error("unknown-resource", resource_id, f"resource '{resource_id}' does not exist")


def require_resource(configuration: Configuration, resource_id: str) -> AnyOf:
    found = configuration.find(resource_id)
    if found is None:
        raise Refused(unknown_resource(resource_id))
    return found


def require_resources(configuration: Configuration, resource_ids: Iterable[str]) -> list[AnyOf]:
    """The resources of these ids in their order; refuses with all that do not exist."""
    found = {resource_id: configuration.find(resource_id) for resource_id in resource_ids}
    missing = [unknown_resource(resource_id) for resource_id, resource in found.items() if resource is None]
    if missing:
        raise Refused(missing)
    return [resource for resource in found.values() if resource is not None]


def parent_of(configuration: Configuration, resource_id: str) -> Group | Clone | None:
    for resource in configuration.walk():
        if resource_id in {child.id for child in children_of(resource)}:
            assert not isinstance(resource, Primitive)
            return resource
    return None


def ancestors_of(configuration: Configuration, resource_id: str) -> list[Group | Clone]:
    """The group and the clone around a resource, innermost first."""
    found: list[Group | Clone] = []
    while (parent := parent_of(configuration, found[-1].id if found else resource_id)) is not None:
        found.append(parent)
    return found


def children_of(resource: AnyOf) -> tuple[AnyOf, ...]:
    if isinstance(resource, Clone):
        return (resource.child,)
    return resource.members if isinstance(resource, Group) else ()


def primitives_of(resource: AnyOf) -> tuple[Primitive, ...]:
    """The primitives at or below `resource`."""
    if isinstance(resource, Primitive):
        return (resource,)
    return tuple(primitive for child in children_of(resource) for primitive in primitives_of(child))


def change_resource(configuration: Configuration, resource_id: str, change: Change) -> Configuration:
    """The configuration with `change` applied to one resource where it stands.

    A group that loses its last member, and a clone that loses its child, go with it.
    """
    changed = [_changed(resource, resource_id, change) for resource in configuration.resources]
    return configuration.model_copy(update={"resources": tuple(one for one in changed if one is not None)})


def _changed(resource: AnyOf, resource_id: str, change: Change) -> AnyOf | None:
    if resource.id == resource_id:
        return change(resource)
    if isinstance(resource, Group):
        members = [_changed(member, resource_id, change) for member in resource.members]
        kept = tuple(member for member in members if member is not None)
        if resource.members and not kept:
            return None
        return resource.model_copy(update={"members": kept})
    if isinstance(resource, Clone):
        child = _changed(resource.child, resource_id, change)
        return None if child is None else resource.model_copy(update={"child": child})
    return resource


def without_resource(configuration: Configuration, resource_id: str) -> Configuration:
    return change_resource(configuration, resource_id, lambda _resource: None)


def with_resource(configuration: Configuration, resource: AnyOf) -> Configuration:
    """The configuration with one more resource at the end."""
    return configuration.model_copy(update={"resources": (*configuration.resources, resource)})
