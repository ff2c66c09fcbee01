"""Groups: resources put into them and taken out."""

from __future__ import annotations

from collections.abc import Sequence

from daemon.model.configuration import Clone, Configuration, Group, Primitive
from daemon.model.edits.references import without_references
from daemon.model.edits.settle import settled
from daemon.model.edits.tree import (
    AnyOf,
    change_resource,
    parent_of,
    require_new_id,
    require_resource,
    require_resources,
    with_resource,
    without_resource,
)
from daemon.model.findings import Finding, Refused, error


def add_to_group(
    configuration: Configuration,
    *,
    group: str,
    resources: Sequence[str],
    before: str | None = None,
    after: str | None = None,
) -> Configuration:
    """`pcs resource group add GROUP RESOURCE … [--before X | --after X]`, making the group where it is none.

    Resources come from the top level or from other groups; a group that becomes empty goes.  With `before` or
    `after` they may also be members already, which moves them.
    """
    findings = _requests_findings(configuration, group, resources, before, after)
    if findings:
        raise Refused(findings)
    found = [one for one in require_resources(configuration, resources) if isinstance(one, Primitive)]
    target = configuration.find(group)
    if target is None:
        require_new_id(configuration, group, "group name")
        emptied = _taken_out(configuration, resources)
        return settled(configuration, with_resource(emptied, Group(id=group, members=tuple(found))))
    assert isinstance(target, Group)
    stay = [member for member in target.members if member.id not in resources]
    neighbour = before or after
    place = len(stay)
    if neighbour is not None:
        place = [member.id for member in stay].index(neighbour) + (1 if before is None else 0)
    members = (*stay[:place], *found, *stay[place:])
    outside = [one for one in resources if one not in {member.id for member in target.members}]
    emptied = _taken_out(configuration, outside)

    def change(old: AnyOf) -> AnyOf:
        return old.model_copy(update={"members": members})

    return settled(configuration, change_resource(emptied, group, change))


def _requests_findings(
    configuration: Configuration, group: str, resources: Sequence[str], before: str | None, after: str | None
) -> list[Finding]:
    findings: list[Finding] = []
    target = configuration.find(group)
    if target is not None and not isinstance(target, Group):
        findings.append(error("not-a-group", group, f"'{group}' is not a group"))
    members = {member.id for member in target.members} if isinstance(target, Group) else set()
    if not resources:
        findings.append(
            error("nothing-to-add", group, f"cannot modify group '{group}', no resources to add specified")
        )
    for name in sorted({name for name in resources if list(resources).count(name) > 1}):
        findings.append(error("named-twice", name, f"resource '{name}' is specified more than once"))
    if before is not None and after is not None:
        findings.append(error("before-and-after", group, "you cannot specify both --before and --after"))
    neighbour = before or after
    if neighbour is not None and neighbour not in members:
        findings.append(
            error("unknown-member", neighbour, f"there is no resource '{neighbour}' in the group '{group}'")
        )
    if neighbour is not None and neighbour in resources:
        findings.append(error("beside-itself", neighbour, f"cannot put resource '{neighbour}' next to itself"))
    for name in resources:
        found = configuration.find(name)
        if found is None:
            findings.append(error("unknown-resource", name, f"resource '{name}' does not exist"))
        elif not isinstance(found, Primitive):
            message = f"'{name}' is a {found.kind}, only primitive resources can be in a group"
            findings.append(error("not-a-primitive", name, message))
        elif isinstance(parent_of(configuration, name), Clone):
            message = f"'{name}' is cloned and cannot be put into a group"
            findings.append(error("cloned-member", name, message, f"unclone '{name}' first, or clone the group"))
        elif name in members and neighbour is None:
            message = f"cannot add resource '{name}', it is already present in group '{group}'"
            findings.append(error("already-in-group", name, message))
    return findings


def _taken_out(configuration: Configuration, resources: Sequence[str]) -> Configuration:
    """Without these members; what refers to a group that goes with its last one is refused by the validation."""
    for name in resources:
        configuration = without_resource(configuration, name)
    return configuration


def remove_from_group(configuration: Configuration, *, group: str, resources: Sequence[str] = ()) -> Configuration:
    """`pcs resource group remove GROUP [RESOURCE …]`: to the top level; without resources, all of them.

    The group goes with its last member, together with its clone and the constraints of both.
    """
    target = require_resource(configuration, group)
    if not isinstance(target, Group):
        raise Refused(error("not-a-group", group, f"'{group}' is not a group"))
    members = {member.id: member for member in target.members}
    leaving = list(resources) or list(members)
    unknown = [name for name in dict.fromkeys(leaving) if name not in members]
    if unknown:
        raise Refused(
            error("unknown-member", name, f"resource '{name}' is not a member of group '{group}'")
            for name in unknown
        )
    clone = parent_of(configuration, group)
    changed = _taken_out(configuration, leaving)
    if changed.find(group) is None:
        changed = without_references(changed, {group, *([clone.id] if clone is not None else [])})
    elif clone is not None and len(members) > len(leaving):
        message = f"cannot remove resources from the cloned group '{group}' one by one"
        raise Refused(error("cloned-group", group, message, f"unclone '{group}' first"))
    for name in dict.fromkeys(leaving):
        changed = with_resource(changed, members[name])
    return settled(configuration, changed)
