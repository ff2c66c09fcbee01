"""Cluster properties, and the defaults of resources and operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from daemon.model.configuration import AttributeSet, Configuration
from daemon.model.edits.sets import put_values, without_name
from daemon.model.edits.settle import settled
from daemon.model.findings import Finding, Refused, error
from daemon.model.identifiers import ids_in_use
from daemon.model.options import (
    OPERATION_DEFAULTS,
    RESOURCE_DEFAULTS,
    Check,
    check_names,
    check_properties,
    check_values,
)

BOOTSTRAP = "cib-bootstrap-options"
"""the id of the first set of cluster properties, by which Pacemaker's tools know it"""


def set_properties(
    configuration: Configuration, *, properties: Mapping[str, str], force: bool = False
) -> Configuration:
    """`pcs property set name=value …`; an empty value takes a property away."""
    findings = check_properties(properties, force=force)
    sets = put_values(configuration.properties, properties, BOOTSTRAP, ids_in_use(configuration))
    return settled(configuration, configuration.model_copy(update={"properties": sets}), findings)


def unset_properties(configuration: Configuration, *, names: Sequence[str], force: bool = False) -> Configuration:
    """`pcs property unset name …`; refused, with all of them, where one is not set (unless `force`)."""
    missing = [
        error("property-not-set", name, f"cannot remove property '{name}', it is not set")
        for name in names
        if not force and not any(name in one.values for one in configuration.properties)
    ]
    if missing:
        raise Refused(missing)
    sets: tuple[AttributeSet, ...] = configuration.properties
    for name in names:
        sets = without_name(sets, name)
    return settled(configuration, configuration.model_copy(update={"properties": sets}))


def set_resource_defaults(
    configuration: Configuration, *, values: Mapping[str, str], force: bool = False
) -> Configuration:
    """`pcs resource defaults [update] name=value …`; an empty value takes a default away."""
    findings = _check("resource default", values, RESOURCE_DEFAULTS, force=force)
    _one_set_only(configuration.resource_defaults, "resource")
    sets = put_values(
        configuration.resource_defaults, values, "rsc_defaults-meta_attributes", ids_in_use(configuration)
    )
    return settled(configuration, configuration.model_copy(update={"resource_defaults": sets}), findings)


def set_operation_defaults(
    configuration: Configuration, *, values: Mapping[str, str], force: bool = False
) -> Configuration:
    """`pcs resource op defaults [update] name=value …`; an empty value takes a default away."""
    findings = _check("operation default", values, OPERATION_DEFAULTS, force=force)
    _one_set_only(configuration.operation_defaults, "operation")
    sets = put_values(
        configuration.operation_defaults, values, "op_defaults-meta_attributes", ids_in_use(configuration)
    )
    return settled(configuration, configuration.model_copy(update={"operation_defaults": sets}), findings)


def _check(noun: str, values: Mapping[str, str], known: Mapping[str, Check], *, force: bool) -> list[Finding]:
    given = {name: value for name, value in values.items() if value != ""}
    return [*check_names(noun, "", given, known, force=force), *check_values("", given, known)]


def _one_set_only(sets: tuple[AttributeSet, ...], noun: str) -> None:
    if len(sets) > 1:
        names = ", ".join(one.id for one in sets)
        message = f"several sets of {noun} defaults exist ({names}), it is not clear which one is meant"
        raise Refused(error("several-sets", noun, message, "edit them with 'cluster cib' and 'cluster cib-push'"))
