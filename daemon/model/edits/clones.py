"""Clones: made around a primitive or group, and taken off again."""

from __future__ import annotations

from collections.abc import Mapping

from daemon.model.configuration import AttributeSet, Clone, Configuration, Group
from daemon.model.edits.references import with_references_renamed, without_references
from daemon.model.edits.settle import settled
from daemon.model.edits.tree import parent_of, require_new_id, require_resource, with_resource, without_resource
from daemon.model.findings import Refused, error, refuse_errors
from daemon.model.identifiers import ids_in_use, unique_id
from daemon.model.options import check_meta
from daemon.model.validation.constraints import named_resources


def clone_resource(
    configuration: Configuration,
    *,
    resource: str,
    meta: Mapping[str, str] | None = None,
    clone: str | None = None,
    force: bool = False,
) -> Configuration:
    """`pcs resource clone RESOURCE [CLONE] [meta] [name=value …]`; the clone is `RESOURCE-clone` unless named.

    The clone takes the last place among the resources, and the constraints of the resource become the clone's.
    A member of a group leaves the group.
    """
    found = require_resource(configuration, resource)
    if isinstance(found, Clone) or isinstance(parent_of(configuration, resource), Clone):
        raise Refused(error("already-cloned", resource, f"'{resource}' is already a clone resource"))
    if clone is not None:
        require_new_id(configuration, clone, "clone name")
    refuse_errors(check_meta(clone or resource, "clone", meta or {}, force=force))
    clone_id = clone or unique_id(f"{resource}-clone", ids_in_use(configuration))
    values = {name: value for name, value in sorted((meta or {}).items()) if value != ""}
    sets: tuple[AttributeSet, ...] = ()
    if values:
        set_id = unique_id(f"{clone_id}-meta_attributes", ids_in_use(configuration))
        sets = (AttributeSet(id=set_id, values=values),)
    if isinstance(found, Group):
        _refuse_constrained_members(configuration, found)
    made = Clone(id=clone_id, child=found, meta=sets)
    group = parent_of(configuration, resource)
    remaining = without_resource(configuration, resource)
    if isinstance(group, Group) and remaining.find(group.id) is None:
        remaining = without_references(remaining, {group.id})
    return settled(configuration, with_references_renamed(with_resource(remaining, made), resource, clone_id))


def _refuse_constrained_members(configuration: Configuration, group: Group) -> None:
    """A copy of a group has copies of its members: there is no single one that a constraint could name.

    pcs lets it happen, and crm_verify then calls the configuration invalid.
    """
    members = {member.id for member in group.members}
    refuse_errors(
        error(
            "member-is-constrained",
            constraint.id,
            f"constraint '{constraint.id}' names '{name}', a member of group '{group.id}', which is to be cloned",
            f"remove it or let it name '{group.id}': vipcast constraint delete {constraint.id}",
        )
        for constraint in configuration.constraints
        for name in named_resources(constraint)
        if name in members
    )


def unclone_resource(configuration: Configuration, *, resource: str) -> Configuration:
    """`pcs resource unclone RESOURCE`, by the name of the clone or of what is in it.

    What was cloned takes the last place among the resources.  As with pcs, constraints of the clone are removed.
    """
    found = require_resource(configuration, resource)
    clone = found if isinstance(found, Clone) else parent_of(configuration, resource)
    if not isinstance(clone, Clone):
        raise Refused(error("not-a-clone", resource, f"'{resource}' is not a clone resource"))
    remaining = without_references(without_resource(configuration, clone.id), {clone.id})
    return settled(configuration, with_resource(remaining, clone.child))
