"""Resources: agents, groups, clones, their meta attributes."""

from __future__ import annotations

from collections.abc import Iterator

from daemon.model.agents import STANDARDS
from daemon.model.configuration import Clone, Configuration, Group, Primitive
from daemon.model.findings import Finding, error, warning
from daemon.model.options import META, check_values, unknown_names
from daemon.model.precedence import merged
from daemon.model.validation import clones
from daemon.model.values import BadValue, parse_boolean, parse_integer
from daemon.model.xmltree import parse_xml

SUPPORTED_STANDARDS = frozenset({"ocf", "systemd", "stonith"})


def check(configuration: Configuration) -> Iterator[Finding]:
    for template in configuration.templates:
        yield from _agent(template)
        yield from _meta(template)
    templates = {template.id for template in configuration.templates}
    for resource in configuration.walk():
        yield from _meta(resource)
        match resource:
            case Primitive():
                yield from _primitive(resource, templates)
            case Group() if not resource.members:
                yield error("empty-group", resource.id, f"group '{resource.id}' has no resources", "delete it")
            case Clone():
                yield from _clone(resource)
                yield from clones.check(resource, configuration)
    for text in configuration.extras:
        kept = parse_xml(text)
        if kept.tag == "bundle":
            yield warning(
                "unsupported-bundle",
                kept.get("id") or "bundle",
                f"bundle '{kept.get('id')}' is kept, but vipcast runs no bundles",
            )
        elif kept.tag == "acls":
            yield warning("unsupported-acls", "acls", "ACLs are kept, but vipcast does not enforce them")
        elif kept.tag == "alerts":
            yield warning("unsupported-alerts", "alerts", "alerts are kept, but vipcast does not send them")
    if configuration.fencing:
        yield warning(
            "unsupported-fencing",
            "fencing-topology",
            "fencing levels are not carried out: where one names several devices, no host is fenced",
        )


def _primitive(primitive: Primitive, templates: set[str]) -> Iterator[Finding]:
    if primitive.template is None:
        yield from _agent(primitive)
    elif primitive.template not in templates:
        yield error(
            "unknown-template", primitive.id, f"template '{primitive.template}' of '{primitive.id}' does not exist"
        )


def _agent(primitive: Primitive) -> Iterator[Finding]:
    if not primitive.standard or not primitive.type:
        yield error("no-agent", primitive.id, f"resource '{primitive.id}' names no agent (class and type)")
    elif primitive.standard not in STANDARDS:
        yield error(
            "bad-agent",
            primitive.id,
            f"'{primitive.standard}' of '{primitive.id}' is not a resource standard",
            f"use one of {', '.join(STANDARDS)}",
        )
    elif primitive.standard == "ocf" and not primitive.provider:
        yield error("bad-agent", primitive.id, f"resource '{primitive.id}' names no provider of its ocf agent")
    elif primitive.standard not in SUPPORTED_STANDARDS:
        yield warning(
            "unsupported-standard",
            primitive.id,
            f"vipcast runs no {primitive.standard} resources, '{primitive.id}' will not be started",
        )


def _meta(resource: Primitive | Group | Clone) -> Iterator[Finding]:
    # What stands on the child of a clone is often meant for the clone, and Pacemaker keeps silent about it.
    known = META["clone"]
    for one in resource.meta:
        yield from check_values(resource.id, one.values, known)
        yield from unknown_names("meta attribute", resource.id, one.values, known)


def _clone(clone: Clone) -> Iterator[Finding]:
    values = merged(clone.meta)
    numbers = {}
    for name in ("clone-max", "clone-node-max", "clone-min", "promoted-max", "promoted-node-max"):
        try:
            numbers[name] = parse_integer(values[name]) if name in values else None
        except BadValue:
            numbers[name] = None  # said by the check of the values
    try:
        unique = parse_boolean(values.get("globally-unique", "false"))
    except BadValue:
        unique = False
    most, per_node = numbers["clone-max"], numbers["clone-node-max"]
    if per_node is not None and per_node > 1 and not unique:
        yield warning(
            "anonymous-clone-node-max",
            f"{clone.id} clone-node-max",
            f"clone-node-max={per_node} of '{clone.id}' counts as 1, the clone is not globally-unique",
            "set globally-unique=true if instances differ",
        )
    if most == 0 or per_node == 0:
        yield warning("empty-clone", clone.id, f"clone '{clone.id}' will run no instance, its maximum is 0")
    least = numbers["clone-min"]
    if least is not None and most is not None and least > most:
        yield error(
            "clone-min", f"{clone.id} clone-min", f"clone-min={least} of '{clone.id}' is more than clone-max={most}"
        )
