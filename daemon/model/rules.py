"""All rules of a configuration, wherever they stand."""

from __future__ import annotations

from collections.abc import Iterator

from daemon.model.configuration import AttributeSet, Configuration, Location, Primitive, Rule


def rules_of(configuration: Configuration) -> Iterator[Rule]:
    """Every rule that anything in the configuration depends on."""
    for constraint in configuration.constraints:
        if isinstance(constraint, Location):
            yield from constraint.rules
        yield from getattr(constraint, "lifetime", ())
    for one in _sets(configuration):
        if one.rule is not None:
            yield one.rule


def _sets(configuration: Configuration) -> Iterator[AttributeSet]:
    yield from configuration.properties
    yield from configuration.resource_defaults
    yield from configuration.operation_defaults
    for node in configuration.nodes:
        yield from (*node.attributes, *node.utilization)
    for resource in (*configuration.templates, *configuration.walk()):
        yield from (*resource.meta, *resource.instance)
        if isinstance(resource, Primitive):
            yield from resource.utilization
            for operation in resource.operations:
                yield from (*operation.meta, *operation.instance)


def is_about_agents_alone(rule: Rule) -> bool:
    """Does it depend on the agent and the operation only: neither on a date nor on a node?"""
    return all(
        one.kind in {"resource", "op"} or (one.rule is not None and is_about_agents_alone(one.rule))
        for one in rule.expressions
    )
