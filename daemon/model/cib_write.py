"""`Configuration` → a CIB that Pacemaker's `crm_verify` accepts and `pcs -f` edits, with ids as pcs makes them."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree.ElementTree import Element, SubElement

from daemon.model import configuration as model
from daemon.model.identifiers import ids_in_use, pair_id, unique_id
from daemon.model.xmltree import parse_xml


def write_section(configuration: model.Configuration) -> Element:
    """The `<configuration>` element."""
    return _Writer(configuration).section()


class _Writer:
    def __init__(self, configuration: model.Configuration) -> None:
        self.configuration = configuration
        self.taken = set(ids_in_use(configuration))

    def section(self) -> Element:
        root = Element("configuration")
        extras = [parse_xml(text) for text in self.configuration.extras]
        self.sets(SubElement(root, "crm_config"), "cluster_property_set", self.configuration.properties)
        nodes = SubElement(root, "nodes")
        for node in self.configuration.nodes:
            self.node(nodes, node)
        resources = SubElement(root, "resources")
        for template in self.configuration.templates:
            self.primitive(resources, template, "template")
        for resource in self.configuration.resources:
            self.resource(resources, resource)
        resources.extend(extra.element() for extra in extras if extra.tag == "bundle")
        constraints = SubElement(root, "constraints")
        for constraint in self.configuration.constraints:
            self.constraint(constraints, constraint)
        if self.configuration.fencing:
            topology = SubElement(root, "fencing-topology")
            for level in self.configuration.fencing:
                attributes = {"id": level.id, **level.target, "index": level.index, "devices": level.devices}
                SubElement(topology, "fencing-level", attributes)
        if self.configuration.operation_defaults:
            self.sets(SubElement(root, "op_defaults"), "meta_attributes", self.configuration.operation_defaults)
        root.extend(extra.element() for extra in extras if extra.tag == "acls")
        if self.configuration.tags:
            tags = SubElement(root, "tags")
            for tag in self.configuration.tags:
                made = SubElement(tags, "tag", {"id": tag.id})
                for member in tag.members:
                    SubElement(made, "obj_ref", {"id": member})
        root.extend(extra.element() for extra in extras if extra.tag == "alerts")
        if self.configuration.resource_defaults:
            self.sets(SubElement(root, "rsc_defaults"), "meta_attributes", self.configuration.resource_defaults)
        return root

    # attribute sets and rules

    def sets(self, parent: Element, tag: str, sets: Iterable[model.AttributeSet]) -> None:
        for stated in sets:
            if stated.id_ref is not None:
                SubElement(parent, tag, {"id-ref": stated.id_ref})
                continue
            made = SubElement(parent, tag, _given(id=stated.id, score=stated.score))
            if stated.rule is not None:
                self.rule(made, stated.rule)
            for name, value in stated.values.items():
                if name in stated.pair_refs:
                    SubElement(made, "nvpair", {"id-ref": stated.pair_refs[name], "name": name})
                else:
                    own = stated.pair_ids.get(name) or self._pair_id(stated.id, name)
                    SubElement(made, "nvpair", {"id": own, "name": name, "value": value})

    def _pair_id(self, set_id: str, name: str) -> str:
        made = unique_id(pair_id(set_id, name), self.taken)
        self.taken.add(made)
        return made

    def rule(self, parent: Element, rule: model.Rule) -> None:
        if rule.id_ref is not None:
            SubElement(parent, "rule", {"id-ref": rule.id_ref})
            return
        made = SubElement(
            parent,
            "rule",
            _given(
                id=rule.id,
                boolean_op=None if rule.boolean_op == "and" else rule.boolean_op,
                score=rule.score,
                score_attribute=rule.score_attribute,
                role=rule.role,
            ),
        )
        for expression in rule.expressions:
            self.expression(made, expression)

    def expression(self, parent: Element, expression: model.Expression) -> None:
        match expression.kind:
            case "rule":
                assert expression.rule is not None
                self.rule(parent, expression.rule)
            case "attribute":
                SubElement(
                    parent,
                    "expression",
                    _given(
                        id=expression.id,
                        attribute=expression.attribute,
                        operation=expression.operation,
                        value=expression.value,
                        type=expression.value_type or None,
                        value_source=expression.value_source or None,
                    ),
                )
            case "date":
                made = SubElement(
                    parent,
                    "date_expression",
                    _given(
                        id=expression.id,
                        operation=expression.operation,
                        start=expression.start or None,
                        end=expression.end or None,
                    ),
                )
                if expression.duration:
                    SubElement(made, "duration", expression.duration)
                if expression.spec:
                    SubElement(made, "date_spec", expression.spec)
            case "resource":
                SubElement(parent, "rsc_expression", {"id": expression.id, **expression.fields})
            case "op":
                SubElement(parent, "op_expression", {"id": expression.id, **expression.fields})

    # resources

    def resource(self, parent: Element, resource: model.Primitive | model.Group | model.Clone) -> None:
        if isinstance(resource, model.Primitive):
            self.primitive(parent, resource, "primitive")
            return
        tag = "master" if isinstance(resource, model.Clone) and resource.legacy_master else resource.kind
        made = SubElement(parent, tag, _given(id=resource.id, description=resource.description))
        for child in (resource.child,) if isinstance(resource, model.Clone) else resource.members:
            self.resource(made, child)
        self.sets(made, "instance_attributes", resource.instance)
        self.sets(made, "meta_attributes", resource.meta)

    def primitive(self, parent: Element, primitive: model.Primitive, tag: str) -> None:
        made = SubElement(
            parent,
            tag,
            {
                **_given(id=primitive.id, description=primitive.description),
                **({"class": primitive.standard} if primitive.standard else {}),
                **_given(
                    provider=primitive.provider or None, type=primitive.type or None, template=primitive.template
                ),
            },
        )
        self.sets(made, "instance_attributes", primitive.instance)
        self.sets(made, "meta_attributes", primitive.meta)
        if primitive.operations_ref is not None:
            SubElement(made, "operations", {"id-ref": primitive.operations_ref})
        elif primitive.operations or primitive.operations_id is not None:
            operations = SubElement(made, "operations", _given(id=primitive.operations_id))
            for operation in primitive.operations:
                self.operation(operations, operation)
        self.sets(made, "utilization", primitive.utilization)

    def operation(self, parent: Element, operation: model.Operation) -> None:
        attributes = _given(
            id=operation.id, name=operation.name, interval=operation.interval, timeout=operation.timeout
        )
        made = SubElement(parent, "op", {**attributes, **operation.options})
        self.sets(made, "instance_attributes", operation.instance)
        self.sets(made, "meta_attributes", operation.meta)

    # constraints

    def constraint(self, parent: Element, constraint: model.AnyConstraint) -> None:
        match constraint:
            case model.Location():
                made = self.location(parent, constraint)
            case model.Colocation():
                made = self.colocation(parent, constraint)
            case model.Order():
                made = self.order(parent, constraint)
            case model.Ticket():
                made = SubElement(
                    parent,
                    "rsc_ticket",
                    _given(
                        id=constraint.id,
                        rsc=constraint.resource,
                        rsc_role=constraint.role,
                        ticket=constraint.ticket,
                        loss_policy=constraint.loss_policy,
                    ),
                )
        for stated in constraint.sets:
            self.resource_set(made, stated)
        if not isinstance(constraint, model.Ticket) and constraint.lifetime:
            lifetime = SubElement(made, "lifetime")
            for rule in constraint.lifetime:
                self.rule(lifetime, rule)

    def location(self, parent: Element, constraint: model.Location) -> Element:
        attributes = _given(
            id=constraint.id,
            rsc=constraint.resource,
            rsc_pattern=constraint.resource_pattern,
            role=constraint.role,
            node=constraint.node,
            score=constraint.score,
            resource_discovery=constraint.resource_discovery,
        )
        made = SubElement(parent, "rsc_location", {**attributes, **constraint.options})
        for rule in constraint.rules:
            self.rule(made, rule)
        return made

    def colocation(self, parent: Element, constraint: model.Colocation) -> Element:
        attributes = _given(
            id=constraint.id,
            rsc=constraint.resource,
            with_rsc=constraint.with_resource,
            score=constraint.score,
            rsc_role=constraint.role,
            with_rsc_role=constraint.with_role,
            node_attribute=constraint.node_attribute,
            influence=constraint.influence,
        )
        return SubElement(parent, "rsc_colocation", {**attributes, **constraint.options})

    def order(self, parent: Element, constraint: model.Order) -> Element:
        attributes = _given(
            id=constraint.id,
            first=constraint.first,
            then=constraint.then,
            first_action=constraint.first_action,
            then_action=constraint.then_action,
            kind=constraint.order_kind,
            score=constraint.score,
            symmetrical=constraint.symmetrical,
            require_all=constraint.require_all,
        )
        return SubElement(parent, "rsc_order", {**attributes, **constraint.options})

    def resource_set(self, parent: Element, stated: model.ResourceSet) -> None:
        if stated.id_ref is not None:
            SubElement(parent, "resource_set", {"id-ref": stated.id_ref})
            return
        made = SubElement(parent, "resource_set", {"id": stated.id, **stated.options})
        for name in stated.resources:
            SubElement(made, "resource_ref", {"id": name})

    def node(self, parent: Element, node: model.NodeEntry) -> None:
        attributes = _given(
            id=node.id,
            uname=node.name,
            type=None if node.type == "member" else node.type,
            description=node.description,
            score=node.score,
        )
        made = SubElement(parent, "node", attributes)
        self.sets(made, "instance_attributes", node.attributes)
        self.sets(made, "utilization", node.utilization)


def _given(**attributes: str | None) -> dict[str, str]:
    """XML attributes of those that are not None, with dashes where Python's names have underscores."""
    return {name.replace("_", "-"): value for name, value in attributes.items() if value is not None}
