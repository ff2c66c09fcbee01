"""Primitives: create, update, delete; and the meta attributes of any resource."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from daemon.model.agents import Advice, advised_operations, resolve_agent
from daemon.model.configuration import AttributeSet, Clone, Configuration, Operation, Primitive
from daemon.model.edits.operations import (
    OperationRequest,
    check_requests,
    make_operation,
    requests_from_advice,
    update_operations,
)
from daemon.model.edits.references import without_references
from daemon.model.edits.sets import put_values
from daemon.model.edits.settle import settled
from daemon.model.edits.tree import (
    AnyOf,
    change_resource,
    require_new_id,
    require_resource,
    with_resource,
    without_resource,
)
from daemon.model.findings import Finding, Refused, error
from daemon.model.identifiers import ids_in_use
from daemon.model.options import check_meta
from daemon.model.validation import check_parameters


def create_resource(
    configuration: Configuration,
    *,
    resource: str,
    agent: str,
    options: Mapping[str, str] | None = None,
    operations: Sequence[OperationRequest] = (),
    meta: Mapping[str, str] | None = None,
    advice: Sequence[Advice] | None = None,
    installed: Iterable[str] = (),
    force: bool = False,
) -> Configuration:
    """`pcs resource create RESOURCE AGENT [option=value …] [op …] [meta …]`

    `advice` are the operations that the agent's meta-data advises; None takes what is known of the agent, a shorter
    list is how `--no-default-ops` is said.  `installed` helps to resolve a short name.  `force` admits options and
    meta attributes that nobody knows.  For `--disabled` see `disabled_meta`; for a group or a clone apply
    `groups.add_to_group` or `clones.clone_resource` to what this returns.
    """
    require_new_id(configuration, resource, "resource name")
    name = resolve_agent(agent, installed)
    findings: list[Finding] = [
        *check_requests(operations),
        *check_meta(resource, "primitive", meta or {}, force=force),
    ]
    primitive = Primitive(
        id=resource,
        standard=name.standard,
        provider=name.provider,
        type=name.type,
        instance=_first_set(f"{resource}-instance_attributes", options or {}),
        meta=_first_set(f"{resource}-meta_attributes", meta or {}),
        operations=_initial_operations(
            configuration, resource, operations, advised_operations(name) if advice is None else advice
        ),
    )
    findings += check_parameters(primitive, configuration.templates, force=force)
    return settled(configuration, with_resource(configuration, primitive), findings)


def disabled_meta(meta: Mapping[str, str] | None = None) -> dict[str, str]:
    """Meta attributes with what `--disabled` adds to them."""
    return {**(meta or {}), "target-role": "Stopped"}


def _first_set(set_id: str, values: Mapping[str, str]) -> tuple[AttributeSet, ...]:
    given = {name: values[name] for name in sorted(values) if values[name] != ""}
    return (AttributeSet(id=set_id, values=given),) if given else ()


def _initial_operations(
    configuration: Configuration, resource: str, requests: Sequence[OperationRequest], advice: Sequence[Advice]
) -> tuple[Operation, ...]:
    named = {request.name for request in requests}
    complete = [*requests, *(one for one in requests_from_advice(advice) if one.name not in named)]
    if not any(request.name == "monitor" for request in complete):
        complete.append(OperationRequest("monitor"))
    taken = {*ids_in_use(configuration), resource}
    return tuple(make_operation(resource, one, taken) for one in sorted(complete, key=lambda request: request.name))


def update_resource(
    configuration: Configuration,
    *,
    resource: str,
    options: Mapping[str, str] | None = None,
    operations: Sequence[OperationRequest] = (),
    meta: Mapping[str, str] | None = None,
    force: bool = False,
) -> Configuration:
    """`pcs resource update RESOURCE [option=value …] [op …] [meta …]`; an empty value takes an option away.

    For a clone, its options are meta attributes, as pcs has it.
    """
    found = require_resource(configuration, resource)
    if not isinstance(found, Primitive):
        if isinstance(found, Clone) and not operations:
            return set_meta(configuration, resource=resource, meta={**(options or {}), **(meta or {})}, force=force)
        message = f"'{resource}' is a {found.kind}, only a primitive has agent options and operations"
        raise Refused(error("not-a-primitive", resource, message, "name its primitive, or use 'resource meta'"))
    findings: list[Finding] = [
        *check_requests(operations),
        *check_meta(resource, "primitive", meta or {}, force=force),
    ]
    taken = ids_in_use(configuration)
    changed = found.model_copy(
        update={
            "instance": put_values(found.instance, options or {}, f"{resource}-instance_attributes", taken),
            "meta": put_values(found.meta, meta or {}, f"{resource}-meta_attributes", taken),
        }
    )
    if options:
        findings += check_parameters(changed, configuration.templates, force=force)
    if operations:
        changed = update_operations(configuration, changed, operations)
    return settled(configuration, change_resource(configuration, resource, lambda _old: changed), findings)


def set_meta(
    configuration: Configuration, *, resource: str, meta: Mapping[str, str], force: bool = False
) -> Configuration:
    """`pcs resource meta RESOURCE name=value …`, on a primitive, group or clone; an empty value takes one away."""
    found = require_resource(configuration, resource)
    findings = check_meta(resource, found.kind, meta, force=force)
    return settled(configuration, put_meta(configuration, resource, meta), findings)


def put_meta(configuration: Configuration, resource: str, meta: Mapping[str, str]) -> Configuration:
    """The same without any check, as a step of other edits."""
    taken = ids_in_use(configuration)

    def change(found: AnyOf) -> AnyOf:
        return found.model_copy(update={"meta": put_values(found.meta, meta, f"{resource}-meta_attributes", taken)})

    return change_resource(configuration, resource, change)


def delete_resource(configuration: Configuration, *, resource: str) -> Configuration:
    """`pcs resource delete RESOURCE`: with everything inside it, and with what refers to it in constraints.

    A clone goes with its child, a group when its last member goes.  Refused while a tag names the resource.
    """
    require_resource(configuration, resource)
    remaining = without_resource(configuration, resource)
    # it, what is in it, and a group or clone that became empty
    gone = {one.id for one in configuration.walk()} - {one.id for one in remaining.walk()}
    tagged = [(tag.id, name) for tag in configuration.tags for name in tag.members if name in gone]
    if tagged:
        raise Refused(
            error(
                "tagged-resource",
                name,
                f"unable to remove resource '{name}' because it is referenced in the tag: '{tag}'",
            )
            for tag, name in tagged
        )
    return settled(configuration, without_references(remaining, gone))
