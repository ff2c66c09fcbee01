"""Nodes: standby, maintenance, attributes, utilization; and utilization of resources."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from daemon.model.configuration import Configuration, NodeEntry, Primitive
from daemon.model.edits.sets import Sets, put_values, without_name
from daemon.model.edits.settle import settled
from daemon.model.edits.tree import AnyOf, change_resource, require_resource
from daemon.model.findings import Finding, Refused, error
from daemon.model.identifiers import ids_in_use
from daemon.model.options import TIE_BREAKER
from daemon.model.values import BadValue, parse_integer

NodeChange = Callable[[NodeEntry], dict[str, Sets]]
"""the fields of a node that change"""


def list_nodes(configuration: Configuration, *, names: Sequence[str]) -> Configuration:
    """Nodes that the configuration does not list yet are added, with the next free numbers as their ids."""
    known = {node.name for node in configuration.nodes}
    numbers = [int(node.id) for node in configuration.nodes if node.id.isascii() and node.id.isdecimal()]
    following = max(numbers, default=0) + 1
    added = [name for name in dict.fromkeys(names) if name not in known]
    entries = tuple(NodeEntry(id=str(following + place), name=name) for place, name in enumerate(added))
    return settled(configuration, configuration.model_copy(update={"nodes": (*configuration.nodes, *entries)}))


def standby(configuration: Configuration, *, nodes: Sequence[str]) -> Configuration:
    """`pcs node standby NODE …`"""
    return set_attributes(configuration, nodes=nodes, attributes={"standby": "on"})


def unstandby(configuration: Configuration, *, nodes: Sequence[str]) -> Configuration:
    """`pcs node unstandby NODE …`"""
    return set_attributes(configuration, nodes=nodes, attributes={"standby": ""})


def maintenance(configuration: Configuration, *, nodes: Sequence[str]) -> Configuration:
    """`pcs node maintenance NODE …`"""
    return set_attributes(configuration, nodes=nodes, attributes={"maintenance": "on"})


def unmaintenance(configuration: Configuration, *, nodes: Sequence[str]) -> Configuration:
    """`pcs node unmaintenance NODE …`"""
    return set_attributes(configuration, nodes=nodes, attributes={"maintenance": ""})


def set_attributes(
    configuration: Configuration, *, nodes: Sequence[str], attributes: Mapping[str, str]
) -> Configuration:
    """`pcs node attribute NODE name=value …`; an empty value takes an attribute away."""
    changed = configuration
    for name in _known(configuration, nodes):
        taken = ids_in_use(changed)

        def change(node: NodeEntry, taken: Mapping[str, int] = taken) -> dict[str, Sets]:
            return {"attributes": put_values(node.attributes, attributes, f"nodes-{node.id}", taken)}

        changed = _with_node(changed, name, change)
    return settled(configuration, changed)


def set_node_utilization(
    configuration: Configuration, *, node: str, utilization: Mapping[str, str]
) -> Configuration:
    """`pcs node utilization NODE name=integer …`; an empty value takes one away."""
    findings = _utilization_findings(node, utilization)
    _known(configuration, (node,))
    taken = ids_in_use(configuration)

    def change(entry: NodeEntry) -> dict[str, Sets]:
        return {"utilization": put_values(entry.utilization, utilization, f"nodes-{entry.id}-utilization", taken)}

    return settled(configuration, _with_node(configuration, node, change), findings)


def set_resource_utilization(
    configuration: Configuration, *, resource: str, utilization: Mapping[str, str]
) -> Configuration:
    """`pcs resource utilization RESOURCE name=integer …`; an empty value takes one away."""
    found = require_resource(configuration, resource)
    if not isinstance(found, Primitive):
        raise Refused(
            error("not-a-primitive", resource, f"'{resource}' is a {found.kind}, only a primitive uses capacity")
        )
    sets = put_values(found.utilization, utilization, f"{resource}-utilization", ids_in_use(configuration))

    def change(old: AnyOf) -> AnyOf:
        return old.model_copy(update={"utilization": sets})

    findings = _utilization_findings(resource, utilization)
    return settled(configuration, change_resource(configuration, resource, change), findings)


def _utilization_findings(where: str, utilization: Mapping[str, str]) -> list[Finding]:
    findings = []
    for name, value in utilization.items():
        if value == "":
            continue
        try:
            parse_integer(value)
        except BadValue:
            message = f"value of utilization attribute must be integer: '{name}={value}'"
            findings.append(error("bad-value", f"{where} {name}", message))
    return findings


def _known(configuration: Configuration, nodes: Sequence[str]) -> list[str]:
    known = {node.name for node in configuration.nodes}
    unknown = [name for name in dict.fromkeys(nodes) if name not in known]
    if unknown:
        remedy = f"nodes are {', '.join(sorted(known))}" if known else "the configuration lists no nodes"
        raise Refused(
            error("unknown-node", name, f"node '{name}' does not appear to exist in configuration", remedy)
            for name in unknown
        )
    return list(dict.fromkeys(nodes))


def _with_node(configuration: Configuration, name: str, change: NodeChange) -> Configuration:
    nodes = (node.model_copy(update=change(node)) if node.name == name else node for node in configuration.nodes)
    return configuration.model_copy(update={"nodes": tuple(nodes)})


def forget(configuration: Configuration, *, nodes: Sequence[str]) -> Configuration:
    """What `crm_node --remove` takes out of the configuration: the nodes' entries.  Constraints stay.

    So does not a wish that one of them break ties: who bears its name next would begin with an extra vote.
    """
    entries = tuple(entry for entry in configuration.nodes if entry.name not in nodes)
    sets = configuration.properties
    if any(one.values.get(TIE_BREAKER) in nodes for one in sets):
        sets = without_name(sets, TIE_BREAKER)
    return settled(configuration, configuration.model_copy(update={"nodes": entries, "properties": sets}))
