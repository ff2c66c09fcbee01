"""Operations: times, and each name and interval once."""

from __future__ import annotations

from collections.abc import Iterator

from daemon.model.configuration import Configuration, Operation, Primitive
from daemon.model.findings import Finding, error
from daemon.model.options import OPERATION_DEFAULTS, check_values
from daemon.model.values import BadValue, parse_boolean, parse_duration_ms


def check(configuration: Configuration) -> Iterator[Finding]:
    for resource in (*configuration.templates, *configuration.walk()):
        if isinstance(resource, Primitive) and resource.operations_ref is None:
            yield from _primitive(resource)


def _primitive(primitive: Primitive) -> Iterator[Finding]:
    seen: dict[tuple[str, int], Operation] = {}
    for operation in primitive.operations:
        yield from _operation(primitive, operation)
        if not _enabled(operation):
            continue
        try:
            key = (operation.name, parse_duration_ms(operation.interval))
        except BadValue:
            continue
        other = seen.setdefault(key, operation)
        if other is not operation:
            yield error(
                "duplicate-operation",
                f"{primitive.id} {operation.name}",
                f"operation {operation.name} with interval {operation.interval} is specified twice for "
                f"'{primitive.id}': '{other.id}' and '{operation.id}'",
                "give each another interval",
            )


def _operation(primitive: Primitive, operation: Operation) -> Iterator[Finding]:
    values = {"interval": operation.interval, **operation.options}
    if operation.timeout is not None:
        values["timeout"] = operation.timeout
    yield from check_values(operation.id, values, OPERATION_DEFAULTS)
    if not operation.name:
        yield error("bad-operation", operation.id, f"operation '{operation.id}' of '{primitive.id}' has no name")


def _enabled(operation: Operation) -> bool:
    try:
        return parse_boolean(operation.options.get("enabled", "true"))
    except BadValue:
        return True
