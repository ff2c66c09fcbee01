"""What applies to a resource once templates are taken into account."""

from __future__ import annotations

from collections.abc import Iterable

from daemon.model.configuration import Operation, Primitive
from daemon.model.precedence import merged


def template_of(primitive: Primitive, templates: Iterable[Primitive]) -> Primitive | None:
    return next((one for one in templates if one.id == primitive.template), None) if primitive.template else None


def agent_of(primitive: Primitive, templates: Iterable[Primitive]) -> str:
    template = template_of(primitive, templates)
    return template.agent if template is not None else primitive.agent


def parameters_of(primitive: Primitive, templates: Iterable[Primitive]) -> dict[str, str]:
    template = template_of(primitive, templates)
    return merged((*(template.instance if template is not None else ()), *primitive.instance))


def operations_of(primitive: Primitive, templates: Iterable[Primitive]) -> tuple[Operation, ...]:
    """Its own, and those of its template with other name and interval."""
    template = template_of(primitive, templates)
    own = {(one.name, one.interval) for one in primitive.operations}
    inherited = template.operations if template is not None else ()
    return (*primitive.operations, *(one for one in inherited if (one.name, one.interval) not in own))
