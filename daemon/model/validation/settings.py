"""Cluster properties and defaults."""

from __future__ import annotations

from collections.abc import Iterator

from daemon.model.configuration import Configuration
from daemon.model.findings import Finding, warning
from daemon.model.options import OPERATION_DEFAULTS, PROPERTIES, RESOURCE_DEFAULTS, check_values, unknown_names
from daemon.model.validation import clones


def check(configuration: Configuration) -> Iterator[Finding]:
    for sets, noun, known in (
        (configuration.properties, "cluster property", PROPERTIES),
        (configuration.resource_defaults, "resource default", RESOURCE_DEFAULTS),
        (configuration.operation_defaults, "operation default", OPERATION_DEFAULTS),
    ):
        for one in sets:
            yield from check_values("" if noun == "cluster property" else one.id, one.values, known)
            yield from unknown_names(noun, "", one.values, known)
    if any(one.values.get("no-quorum-policy") == "demote" for one in configuration.properties):
        yield warning(
            "counts-as-stop",
            "no-quorum-policy",
            "no-quorum-policy=demote counts as stop: what is promoted is stopped, not demoted first",
        )
    for one in configuration.resource_defaults:
        yield from clones.check_default(one)
