"""The operations (`op …`) of a primitive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from daemon.model.agents import Advice
from daemon.model.configuration import AttributeSet, Configuration, Operation, Primitive
from daemon.model.edits.settle import settled
from daemon.model.edits.tree import change_resource, require_resource
from daemon.model.findings import Finding, Refused, error
from daemon.model.identifiers import ids_in_use, sanitized, unique_id

IN_INSTANCE_ATTRIBUTES = frozenset({"OCF_CHECK_LEVEL"})
"""options that are written as an op but are handed to the agent"""

KNOWN_OPTIONS = frozenset(
    {"OCF_CHECK_LEVEL", "description", "enabled", "id", "interval", "interval-origin", "name", "on-fail"}
    | {"record-pending", "role", "start-delay", "timeout"}
)


@dataclass(frozen=True, slots=True)
class OperationRequest:
    """`op NAME option=value …` as the administrator gives it."""

    name: str
    options: Mapping[str, str] = field(default_factory=dict)


def requests_from_advice(advice: Iterable[Advice]) -> list[OperationRequest]:
    return [
        OperationRequest(
            one.name,
            {"interval": one.interval, **({"timeout": one.timeout} if one.timeout else {}), **one.options},
        )
        for one in advice
    ]


def check_requests(requests: Sequence[OperationRequest]) -> list[Finding]:
    """What is wrong with the requests themselves; times and the like are checked in the configuration."""
    findings = []
    for request in requests:
        if not request.name or not sanitized(request.name):
            findings.append(error("bad-operation", request.name, f"'{request.name}' is not a valid operation name"))
        for name in sorted(set(request.options) - KNOWN_OPTIONS):
            findings.append(
                error(
                    "unknown-operation-option",
                    f"{request.name} {name}",
                    f"invalid resource operation option '{name}'",
                    f"allowed options are: {', '.join(sorted(KNOWN_OPTIONS))}",
                )
            )
    return findings


def default_interval(name: str) -> str:
    return "60s" if name == "monitor" else "0s"


def make_operation(resource_id: str, request: OperationRequest, taken: set[str]) -> Operation:
    """The `op` element for a request; its ids are added to `taken`."""
    options = {name: value for name, value in request.options.items() if value != ""}
    options.pop("name", None)
    interval = options.pop("interval", None) or default_interval(request.name)
    own = options.pop("id", None) or unique_id(
        sanitized(f"{resource_id}-{request.name}-interval-{interval}"), taken
    )
    taken.add(own)
    handed = {name: options.pop(name) for name in sorted(IN_INSTANCE_ATTRIBUTES & options.keys())}
    instance: tuple[AttributeSet, ...] = ()
    if handed:
        set_id = unique_id(f"{own}-instance_attributes", taken)
        taken.add(set_id)
        instance = (AttributeSet(id=set_id, values=handed),)
    return Operation(
        id=own,
        name=request.name,
        interval=interval,
        timeout=options.pop("timeout", None),
        options=options,
        instance=instance,
    )


def update_operations(
    configuration: Configuration, primitive: Primitive, requests: Sequence[OperationRequest]
) -> Primitive:
    """Each request replaces the first operation of its name and role, or is added, as in `pcs resource update`."""
    operations = list(primitive.operations)
    taken = set(ids_in_use(configuration))
    for request in requests:
        role = request.options.get("role") or ""
        places = (
            place
            for place, operation in enumerate(operations)
            if operation.name == request.name and operation.options.get("role", "") == role
        )
        place = next(places, None)
        if place is None:
            operations.append(make_operation(primitive.id, request, taken))
        else:
            taken -= {operations[place].id, *(one.id for one in operations[place].instance)}
            operations[place] = make_operation(primitive.id, request, taken)
    return primitive.model_copy(update={"operations": tuple(operations), "operations_ref": None})


def add_operation(configuration: Configuration, *, resource: str, request: OperationRequest) -> Configuration:
    """`pcs resource op add RESOURCE NAME option=value …`"""
    primitive = _primitive(configuration, resource)
    findings = check_requests([request])
    if findings:
        raise Refused(findings)
    made = make_operation(resource, request, set(ids_in_use(configuration)))
    changed = primitive.model_copy(update={"operations": (*primitive.operations, made), "operations_ref": None})
    return settled(configuration, change_resource(configuration, resource, lambda _old: changed))


def remove_operation(configuration: Configuration, *, resource: str, request: OperationRequest) -> Configuration:
    """`pcs resource op remove RESOURCE NAME [option=value …]`: those whose options all match.

    The name may also be an operation's id.
    """
    primitive = _primitive(configuration, resource)
    kept = tuple(operation for operation in primitive.operations if not _matches(operation, request))
    if len(kept) == len(primitive.operations):
        message = f"unable to find operation '{request.name}' matching the given options on resource '{resource}'"
        raise Refused(error("unknown-operation", resource, message))
    changed = primitive.model_copy(update={"operations": kept, "operations_ref": None})
    return settled(configuration, change_resource(configuration, resource, lambda _old: changed))


def _matches(operation: Operation, request: OperationRequest) -> bool:
    if operation.id == request.name and not request.options:
        return True
    stated = {"interval": operation.interval, **operation.options}
    if operation.timeout is not None:
        stated["timeout"] = operation.timeout
    return operation.name == request.name and all(stated.get(n) == v for n, v in request.options.items())


def _primitive(configuration: Configuration, resource: str) -> Primitive:
    found = require_resource(configuration, resource)
    if not isinstance(found, Primitive):
        message = f"'{resource}' is a {found.kind}, only a primitive resource has operations"
        raise Refused(error("not-a-primitive", resource, message))
    return found
