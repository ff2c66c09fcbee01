"""Resources, properties and node attributes as `pcs resource show`, `pcs property` and the like tell them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from daemon.model.configuration import (
    AttributeSet,
    Clone,
    Configuration,
    Group,
    NodeEntry,
    Operation,
    Primitive,
)
from daemon.model.precedence import merged


def resource(element: Primitive | Group | Clone, indent: int = 1) -> Iterator[str]:
    """One resource with everything in it."""
    pad = " " * indent
    if isinstance(element, Clone):
        yield f"{pad}{'Master' if element.legacy_master else 'Clone'}: {element.id}"
        yield from _common(element, indent + 1)
        yield from resource(element.child, indent + 1)
    elif isinstance(element, Group):
        yield f"{pad}Group: {element.id}"
        yield from _common(element, indent + 1)
        for member in element.members:
            yield from resource(member, indent + 1)
    else:
        yield f"{pad}Resource: {element.id} ({_agent(element)})"
        yield from _common(element, indent + 1)
        yield from _sets("Utilization", element.utilization, indent + 1)
        yield from _operations(element.operations, indent + 1)


def _agent(primitive: Primitive) -> str:
    if primitive.template is not None:
        return f"template={primitive.template}"
    words = [f"class={primitive.standard}"]
    words += [f"provider={primitive.provider}"] if primitive.provider else []
    return " ".join([*words, f"type={primitive.type}"])


def _common(element: Primitive | Group | Clone, indent: int) -> Iterator[str]:
    yield from _sets("Attributes", element.instance, indent)
    yield from _sets("Meta Attrs", element.meta, indent)


def _sets(heading: str, sets: Sequence[AttributeSet], indent: int) -> Iterator[str]:
    for stated in sets:
        if stated.values:
            yield f"{' ' * indent}{heading}: {pairs(stated.values)}"


def _operations(operations: Sequence[Operation], indent: int) -> Iterator[str]:
    heading = f"{' ' * indent}Operations: "
    for at, operation in enumerate(operations):
        words = [operation.name, f"interval={operation.interval}"]
        words += [f"timeout={operation.timeout}"] if operation.timeout is not None else []
        words += [pairs(operation.options)] if operation.options else []
        yield f"{heading if at == 0 else ' ' * len(heading)}{' '.join(words)} ({operation.id})"


def properties(configuration: Configuration) -> Iterator[str]:
    """Cluster properties, then attributes of nodes."""
    yield "Cluster Properties:"
    for name, value in sorted(values_of(configuration.properties).items()):
        yield f" {name}: {value}"
    if any(values_of(node.attributes) for node in configuration.nodes):
        yield from node_attributes(configuration.nodes)


def node_attributes(nodes: Sequence[NodeEntry]) -> Iterator[str]:
    yield "Node Attributes:"
    for node in nodes:
        values = values_of(node.attributes)
        if values:
            yield f" {node.name}: {pairs(values)}"


def defaults(sets: Sequence[AttributeSet]) -> Iterator[str]:
    """`resource defaults` and `resource op defaults`."""
    values = values_of(sets)
    if not values:
        yield "No defaults set"
    for name, value in sorted(values.items()):
        yield f"{name}: {value}"


def values_of(sets: Sequence[AttributeSet]) -> dict[str, str]:
    """All name/value pairs, those of sets under a rule only where no other has the name."""
    conditional = {
        name: value for stated in sets if stated.rule is not None for name, value in stated.values.items()
    }
    return conditional | merged(sets)


def pairs(values: dict[str, str]) -> str:
    """`ip=10.0.0.1 nic=eth0`; values with blanks in quotes, so that they can be typed again."""
    return " ".join(f"{name}={_quoted(value)}" for name, value in values.items())


def _quoted(value: str) -> str:
    return f'"{value}"' if not value or any(character.isspace() for character in value) else value


def owner_of_operation(configuration: Configuration, operation_id: str) -> str | None:
    """The primitive that has an operation of this id."""
    for element in configuration.walk():
        if isinstance(element, Primitive) and any(one.id == operation_id for one in element.operations):
            return element.id
    return None
