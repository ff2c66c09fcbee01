"""Which elements a CIB's configuration section may have, where, and with which attributes.

After Pacemaker's schemas up to pacemaker-3.9, wide enough for older documents.  What is not in these tables is
named with its line: an unknown element is an error (it could mean anything), an unknown attribute a warning.
"""

from __future__ import annotations

from dataclasses import dataclass

from daemon.model.findings import Finding, error, warning
from daemon.model.xmltree import XmlNode

ANYTHING = frozenset({"*"})
"""attributes of any name"""


@dataclass(frozen=True, slots=True)
class Shape:
    required: frozenset[str]
    optional: frozenset[str]
    children: frozenset[str]


def _shape(required: str = "", optional: str = "", children: str = "") -> Shape:
    return Shape(frozenset(required.split()), frozenset(optional.split()), frozenset(children.split()))


_SET = _shape("id", "score", "nvpair rule")
_DURATION = _shape(
    "", "id years months weeks days hours minutes seconds monthdays weekdays yeardays yearsdays weekyears moon"
)
_EXPRESSIONS = "expression date_expression rsc_expression op_expression rule"
_PARTS = "instance_attributes meta_attributes operations utilization"

SHAPES: dict[str, Shape] = {
    "configuration": _shape(
        "",
        "*",
        "crm_config nodes resources constraints rsc_defaults op_defaults tags fencing-topology acls alerts",
    ),
    "crm_config": _shape("", "", "cluster_property_set"),
    "rsc_defaults": _shape("", "", "meta_attributes"),
    "op_defaults": _shape("", "", "meta_attributes"),
    "cluster_property_set": _SET,
    "instance_attributes": _SET,
    "meta_attributes": _SET,
    "utilization": _SET,
    "nvpair": _shape("id name", "value"),
    "rule": _shape("id", "boolean-op score score-attribute role", _EXPRESSIONS),
    "expression": _shape("id attribute operation", "value type value-source"),
    "date_expression": _shape("id operation", "start end", "duration date_spec"),
    "duration": _DURATION,
    "date_spec": _DURATION,
    "rsc_expression": _shape("id", "class provider type"),
    "op_expression": _shape("id name", "interval"),
    "nodes": _shape("", "", "node"),
    "node": _shape("id uname", "type description score", "instance_attributes utilization"),
    "resources": _shape("", "", "primitive group clone master template bundle"),
    "primitive": _shape("id", "class provider type template description", _PARTS),
    "template": _shape("id class type", "provider description", _PARTS),
    "operations": _shape("", "id", "op"),
    "op": _shape("id name", "*", "instance_attributes meta_attributes"),
    "group": _shape("id", "description", "primitive instance_attributes meta_attributes"),
    "clone": _shape("id", "description", "primitive group instance_attributes meta_attributes"),
    "master": _shape("id", "description", "primitive group instance_attributes meta_attributes"),
    "constraints": _shape("", "", "rsc_location rsc_colocation rsc_order rsc_ticket"),
    "rsc_location": _shape("id", "*", "rule resource_set lifetime"),
    "rsc_colocation": _shape("id", "*", "resource_set lifetime"),
    "rsc_order": _shape("id", "*", "resource_set lifetime"),
    "rsc_ticket": _shape("id ticket", "rsc rsc-role loss-policy", "resource_set"),
    "resource_set": _shape("id", "*", "resource_ref"),
    "resource_ref": _shape("id"),
    "lifetime": _shape("", "", "rule"),
    "tags": _shape("", "", "tag"),
    "tag": _shape("id", "", "obj_ref"),
    "obj_ref": _shape("id"),
    "fencing-topology": _shape("", "", "fencing-level"),
    "fencing-level": _shape("id index devices", "target target-pattern target-attribute target-value"),
}

REFERABLE = frozenset(
    {"cluster_property_set", "instance_attributes", "meta_attributes", "utilization", "nvpair", "rule"}
    | {"operations", "resource_set"}
)
"""Elements that may stand for another of their kind, by `id-ref`."""

KEPT_WHOLE = frozenset({"acls", "alerts", "bundle"})
"""Elements that are kept as text, with whatever they contain."""

_NOT_AN_ID = frozenset({"node", "obj_ref", "resource_ref", "role", "duration", "date_spec"})
"""Elements whose `id` names something else, or is nobody's concern; all others share one space of ids."""

_CHOICES: dict[tuple[str, str], frozenset[str]] = {
    ("rule", "boolean-op"): frozenset({"and", "or"}),
    ("rsc_order", "kind"): frozenset({"Optional", "Mandatory", "Serialize"}),
    ("rsc_location", "resource-discovery"): frozenset({"always", "never", "exclusive"}),
    ("rsc_ticket", "loss-policy"): frozenset({"stop", "demote", "fence", "freeze"}),
}


def check_shape(configuration: XmlNode) -> list[Finding]:
    """Everything about elements, attributes and ids of the configuration section that is not as it should be."""
    findings: list[Finding] = []
    _check(configuration, findings)
    findings.extend(_duplicate_ids(configuration))
    return findings


def _check(node: XmlNode, findings: list[Finding]) -> None:
    if node.tag in KEPT_WHOLE:
        return
    shape = SHAPES[node.tag]
    where = f"line {node.line}"
    if "id-ref" in node.attributes and node.tag in REFERABLE:
        return
    for name in sorted(shape.required - node.attributes.keys()):
        label = f"<{node.tag}>" if name == "id" or "id" not in node.attributes else f"'{node.get('id')}'"
        findings.append(
            error("missing-attribute", where, f"line {node.line}: {label} lacks the attribute '{name}'")
        )
    if shape.optional != ANYTHING:
        for name in sorted(node.attributes.keys() - shape.required - shape.optional):
            findings.append(
                warning(
                    "unknown-attribute", where, f"line {node.line}: <{node.tag}> has an unknown attribute '{name}'"
                )
            )
    for name, value in node.attributes.items():
        allowed = _CHOICES.get((node.tag, name))
        if allowed is not None and value.strip() not in allowed:
            findings.append(
                error(
                    "bad-value",
                    where,
                    f"line {node.line}: '{value}' is not a valid {name} of <{node.tag}>",
                    f"use one of {', '.join(sorted(allowed))}",
                )
            )
    for child in node.children:
        if child.tag in shape.children:
            _check(child, findings)
        else:
            findings.append(
                error(
                    "unknown-element",
                    f"line {child.line}",
                    f"line {child.line}: <{child.tag}> is not known inside <{node.tag}>",
                )
            )


def _duplicate_ids(configuration: XmlNode) -> list[Finding]:
    findings = []
    seen: dict[str, XmlNode] = {}
    for node in configuration.walk():
        name = node.get("id")
        if name is None or node.tag in _NOT_AN_ID:
            continue
        if name in seen:
            findings.append(
                error(
                    "duplicate-id",
                    f"line {node.line}",
                    f"line {node.line}: id '{name}' of <{node.tag}> is already used by <{seen[name].tag}> "
                    f"in line {seen[name].line}",
                    "give one of them another id",
                )
            )
        else:
            seen[name] = node
    return findings
