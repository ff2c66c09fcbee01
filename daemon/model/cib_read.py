"""A CIB's configuration section → `Configuration`.

Structure only: what `cib_shape` has accepted becomes the tree, with everything that refers by `id-ref` repeated
where it is referred to, so that no reader of the tree need look anything up.  Whether the result makes sense is for
`daemon.model.validation` to say.
"""

from __future__ import annotations

from typing import Literal, cast
from xml.etree.ElementTree import tostring

from daemon.model import configuration as model
from daemon.model.cib_shape import REFERABLE
from daemon.model.findings import Finding, error, warning
from daemon.model.identifiers import pair_id
from daemon.model.xmltree import XmlNode

BooleanOp = Literal["and", "or"]


def read_section(section: XmlNode) -> tuple[model.Configuration, list[Finding]]:
    """The tree of a `<configuration>` that has the right shape, and what is wrong with its references."""
    reader = _Reader(section)
    return reader.configuration(), reader.findings


class _Reader:
    def __init__(self, section: XmlNode) -> None:
        self.section = section
        self.findings: list[Finding] = []
        self.by_id: dict[tuple[str, str], XmlNode] = {}
        self.referred: set[str] = set()
        self.resolving: list[XmlNode] = []
        for node in section.walk():
            if node.tag in REFERABLE:
                if (name := node.get("id")) is not None:
                    self.by_id.setdefault((node.tag, name), node)
                if (name := node.get("id-ref")) is not None:
                    self.referred.add(name)

    def configuration(self) -> model.Configuration:
        resources = self._section("resources")
        return model.Configuration(
            properties=self.sets(self._section("crm_config"), "cluster_property_set"),
            nodes=tuple(self.node(n) for n in self._section("nodes").all("node")),
            resources=tuple(
                self.resource(n) for n in resources.children if n.tag in {"primitive", "group", "clone", "master"}
            ),
            templates=tuple(self.primitive(n) for n in resources.all("template")),
            constraints=tuple(self.constraint(n) for n in self._section("constraints").children),
            resource_defaults=self.sets(self._section("rsc_defaults"), "meta_attributes"),
            operation_defaults=self.sets(self._section("op_defaults"), "meta_attributes"),
            tags=tuple(
                model.Tag(id=n.attributes["id"], members=tuple(r.attributes["id"] for r in n.all("obj_ref")))
                for n in self._section("tags").all("tag")
            ),
            fencing=tuple(self.fencing_level(n) for n in self._section("fencing-topology").all("fencing-level")),
            extras=(
                *(_text(n) for n in resources.all("bundle")),
                *(_text(n) for tag in ("acls", "alerts") for n in self.section.all(tag) if n.children),
            ),
        )

    def _section(self, tag: str) -> XmlNode:
        """All sections of that name as one (there should be one at most), or an empty one."""
        found = self.section.all(tag)
        merged = XmlNode(tag, {}, found[0].line if found else 0)
        for node in found:
            merged.children.extend(node.children)
        return merged

    # references

    def _resolve(self, node: XmlNode) -> XmlNode:
        """The element that `node` stands for: itself, or the one that its id-ref names."""
        name = node.get("id-ref")
        if name is None:
            return node
        target = self.by_id.get((node.tag, name))
        if target is None or target in self.resolving:
            problem = "does not exist" if target is None else "contains this reference"
            self.findings.append(
                error(
                    "dangling-id-ref",
                    f"line {node.line}",
                    f"line {node.line}: <{node.tag} id-ref='{name}'>: a <{node.tag}> of that id {problem}",
                )
            )
            return XmlNode(node.tag, {"id": name, "name": "", "boolean-op": "and"}, node.line)
        return target

    # attribute sets and rules

    def sets(self, parent: XmlNode, tag: str) -> tuple[model.AttributeSet, ...]:
        return tuple(self.attribute_set(node) for node in parent.all(tag))

    def attribute_set(self, node: XmlNode) -> model.AttributeSet:
        source = self._resolve(node)
        set_id = source.attributes["id"]
        values: dict[str, str] = {}
        pair_ids: dict[str, str] = {}
        pair_refs: dict[str, str] = {}
        for pair in source.all("nvpair"):
            stated = self._resolve(pair)
            name = pair.get("name") or stated.attributes["name"]
            value = stated.get("value")
            if value is None or name in values:
                what = "has no value" if value is None else "is given twice, the first one counts"
                self.findings.append(
                    warning("ignored-pair", f"line {pair.line}", f"line {pair.line}: '{name}' of '{set_id}' {what}")
                )
                continue
            values[name] = value
            if stated is not pair:
                pair_refs[name] = stated.attributes["id"]
                continue
            own = pair.attributes["id"]
            usual = pair_id(set_id, name)
            if own in self.referred or not (own == usual or _numbered(own, usual)):
                pair_ids[name] = own
        rule = source.first("rule")
        return model.AttributeSet(
            id=set_id,
            values=values,
            score=source.get("score"),
            rule=self.rule(rule) if rule else None,
            id_ref=node.get("id-ref"),
            pair_ids=pair_ids,
            pair_refs=pair_refs,
        )

    def rule(self, node: XmlNode) -> model.Rule:
        source = self._resolve(node)
        self.resolving.append(source)
        rule = model.Rule(
            id=source.attributes["id"],
            boolean_op=cast(BooleanOp, (source.get("boolean-op") or "and").strip()),
            score=source.get("score"),
            score_attribute=source.get("score-attribute"),
            role=source.get("role"),
            expressions=tuple(self.expression(child) for child in source.children),
            id_ref=node.get("id-ref"),
        )
        self.resolving.pop()
        return rule

    def expression(self, node: XmlNode) -> model.Expression:
        if node.tag == "rule":
            rule = self.rule(node)
            return model.Expression(kind="rule", id=rule.id, rule=rule)
        name = node.attributes["id"]
        match node.tag:
            case "expression":
                return model.Expression(
                    kind="attribute",
                    id=name,
                    attribute=node.attributes["attribute"],
                    operation=node.attributes["operation"],
                    value=node.get("value"),
                    value_type=node.get("type") or "",
                    value_source=node.get("value-source") or "",
                )
            case "date_expression":
                duration, spec = node.first("duration"), node.first("date_spec")
                return model.Expression(
                    kind="date",
                    id=name,
                    operation=node.attributes["operation"],
                    start=node.get("start") or "",
                    end=node.get("end") or "",
                    duration=dict(duration.attributes) if duration else {},
                    spec=dict(spec.attributes) if spec else {},
                )
            case _:
                kind: Literal["resource", "op"] = "resource" if node.tag == "rsc_expression" else "op"
                return model.Expression(kind=kind, id=name, fields=_without(node, "id"))

    # resources

    def resource(self, node: XmlNode) -> model.Primitive | model.Group | model.Clone:
        match node.tag:
            case "primitive":
                return self.primitive(node)
            case "group":
                return self.group(node)
            case _:
                return self.clone(node)

    def primitive(self, node: XmlNode) -> model.Primitive:
        operations: list[model.Operation] = []
        operations_id = operations_ref = None
        for listed in node.all("operations"):
            operations_id, operations_ref = listed.get("id"), listed.get("id-ref")
            operations.extend(self.operation(op) for op in self._resolve(listed).all("op"))
        return model.Primitive(
            id=node.attributes["id"],
            description=node.get("description"),
            standard=node.get("class") or "",
            provider=node.get("provider") or "",
            type=node.get("type") or "",
            template=node.get("template"),
            meta=self.sets(node, "meta_attributes"),
            instance=self.sets(node, "instance_attributes"),
            utilization=self.sets(node, "utilization"),
            operations=tuple(operations),
            operations_id=operations_id,
            operations_ref=operations_ref,
        )

    def operation(self, node: XmlNode) -> model.Operation:
        return model.Operation(
            id=node.attributes["id"],
            name=node.attributes["name"],
            interval=node.get("interval") or "0",
            timeout=node.get("timeout"),
            options=_without(node, "id", "name", "interval", "timeout"),
            meta=self.sets(node, "meta_attributes"),
            instance=self.sets(node, "instance_attributes"),
        )

    def group(self, node: XmlNode) -> model.Group:
        return model.Group(
            id=node.attributes["id"],
            description=node.get("description"),
            members=tuple(self.primitive(n) for n in node.all("primitive")),
            meta=self.sets(node, "meta_attributes"),
            instance=self.sets(node, "instance_attributes"),
        )

    def clone(self, node: XmlNode) -> model.Clone:
        children = [n for n in node.children if n.tag in {"primitive", "group"}]
        if len(children) != 1:
            self.findings.append(
                error(
                    "bad-clone",
                    f"line {node.line}",
                    f"line {node.line}: <{node.tag}> '{node.get('id')}' contains {len(children)} resources",
                    "a clone has exactly one primitive or group",
                )
            )
        child = children[0] if children else XmlNode("primitive", {"id": node.attributes["id"]}, node.line)
        return model.Clone(
            id=node.attributes["id"],
            description=node.get("description"),
            child=self.group(child) if child.tag == "group" else self.primitive(child),
            legacy_master=node.tag == "master",
            meta=self.sets(node, "meta_attributes"),
            instance=self.sets(node, "instance_attributes"),
        )

    # constraints

    def constraint(self, node: XmlNode) -> model.AnyConstraint:
        match node.tag:
            case "rsc_location":
                return self.location(node)
            case "rsc_colocation":
                return self.colocation(node)
            case "rsc_order":
                return self.order(node)
            case _:
                return model.Ticket(
                    id=node.attributes["id"],
                    ticket=node.attributes["ticket"],
                    resource=node.get("rsc"),
                    role=node.get("rsc-role"),
                    loss_policy=node.get("loss-policy"),
                    sets=self.resource_sets(node),
                )

    def location(self, node: XmlNode) -> model.Location:
        return model.Location(
            id=node.attributes["id"],
            resource=node.get("rsc"),
            resource_pattern=node.get("rsc-pattern"),
            node=node.get("node"),
            score=node.get("score"),
            role=node.get("role"),
            resource_discovery=node.get("resource-discovery"),
            rules=tuple(self.rule(r) for r in node.all("rule")),
            sets=self.resource_sets(node),
            lifetime=self.lifetime(node),
            options=_without(node, "id", "rsc", "rsc-pattern", "node", "score", "role", "resource-discovery"),
        )

    def colocation(self, node: XmlNode) -> model.Colocation:
        known = ("id", "rsc", "with-rsc", "score", "rsc-role", "with-rsc-role", "node-attribute", "influence")
        return model.Colocation(
            id=node.attributes["id"],
            resource=node.get("rsc"),
            with_resource=node.get("with-rsc"),
            score=node.get("score"),
            role=node.get("rsc-role"),
            with_role=node.get("with-rsc-role"),
            node_attribute=node.get("node-attribute"),
            influence=node.get("influence"),
            sets=self.resource_sets(node),
            lifetime=self.lifetime(node),
            options=_without(node, *known),
        )

    def order(self, node: XmlNode) -> model.Order:
        known = (
            "id",
            "first",
            "then",
            "first-action",
            "then-action",
            "kind",
            "score",
            "symmetrical",
            "require-all",
        )
        return model.Order(
            id=node.attributes["id"],
            first=node.get("first"),
            then=node.get("then"),
            first_action=node.get("first-action"),
            then_action=node.get("then-action"),
            order_kind=node.get("kind"),
            score=node.get("score"),
            symmetrical=node.get("symmetrical"),
            require_all=node.get("require-all"),
            sets=self.resource_sets(node),
            lifetime=self.lifetime(node),
            options=_without(node, *known),
        )

    def lifetime(self, node: XmlNode) -> tuple[model.Rule, ...]:
        return tuple(self.rule(rule) for part in node.all("lifetime") for rule in part.all("rule"))

    def resource_sets(self, node: XmlNode) -> tuple[model.ResourceSet, ...]:
        sets = []
        for stated in node.all("resource_set"):
            source = self._resolve(stated)
            sets.append(
                model.ResourceSet(
                    id=source.attributes["id"],
                    resources=tuple(ref.attributes["id"] for ref in source.all("resource_ref")),
                    options=_without(source, "id"),
                    id_ref=stated.get("id-ref"),
                )
            )
        return tuple(sets)

    # the rest

    def node(self, node: XmlNode) -> model.NodeEntry:
        return model.NodeEntry(
            id=node.attributes["id"],
            name=node.attributes["uname"],
            type=node.get("type") or "member",
            description=node.get("description"),
            score=node.get("score"),
            attributes=self.sets(node, "instance_attributes"),
            utilization=self.sets(node, "utilization"),
        )

    def fencing_level(self, node: XmlNode) -> model.FencingLevel:
        return model.FencingLevel(
            id=node.attributes["id"],
            index=node.attributes["index"],
            devices=node.attributes["devices"],
            target=_without(node, "id", "index", "devices"),
        )


def _without(node: XmlNode, *names: str) -> dict[str, str]:
    return {name: value for name, value in node.attributes.items() if name not in names}


def _numbered(own: str, usual: str) -> bool:
    """Whether `own` is `usual` made unique by a number, as the writer does."""
    return own.startswith(f"{usual}-") and own[len(usual) + 1 :].isdecimal()


def _text(node: XmlNode) -> str:
    return tostring(node.element(), encoding="unicode")
