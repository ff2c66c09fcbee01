"""What the administrator has asked for: Pacemaker's configuration as typed data.

One frozen tree, the same on every node.  Names and meanings are Pacemaker's ("Pacemaker Explained"), so that the
CIB's XML maps onto it without loss (`daemon.model.cib`), and an edit is a function from one tree to the next
(`daemon.model.edits`).  The tree is only a container: what is *right* is decided, all findings at once, by
`daemon.model.validation`; a stored configuration that is wrong must still load and yield a plan for the rest.

Values of options stay the strings that the administrator wrote; whoever uses one parses it
(`daemon.model.values`), so that nothing is lost on the way back to XML.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

INFINITY = 1_000_000
"""Pacemaker's infinity: scores saturate at ±1,000,000, and -INFINITY wins against +INFINITY."""


class Element(BaseModel):
    """A node of the tree: frozen, and strict about names so that a misspelt field cannot vanish."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Expression(Element):
    """One test inside a rule.

    kind "attribute": node attribute `attribute` compared by `operation` with `value` (as `value_type`).
    kind "date": `operation` (gt, lt, in_range, date_spec) with `start`, `end`, `duration`, `spec`.
    kind "resource"/"op": matches resource or operation defaults (class/provider/type, name/interval).
    kind "rule": a nested rule.
    """

    kind: Literal["attribute", "date", "resource", "op", "rule"]
    id: str
    attribute: str = ""
    operation: str = ""
    value: str | None = None
    value_type: str = ""
    value_source: str = ""
    start: str = ""
    end: str = ""
    duration: dict[str, str] = {}
    spec: dict[str, str] = {}
    fields: dict[str, str] = {}
    rule: Rule | None = None


class Rule(Element):
    """Expressions joined by `boolean_op`; as part of a location it carries a score and perhaps a role."""

    id: str
    boolean_op: Literal["and", "or"] = "and"
    score: str | None = None
    score_attribute: str | None = None
    role: str | None = None
    expressions: tuple[Expression, ...] = ()
    id_ref: str | None = None
    """this is the rule of that id, repeated here; written as `<rule id-ref=…>`"""


class AttributeSet(Element):
    """A named set of name/value pairs (instance_attributes, meta_attributes, utilization, …).

    Which of several sets of one kind counts says `daemon.model.precedence`; a set whose `rule` does not hold counts
    for nothing.
    """

    id: str
    values: dict[str, str] = {}
    score: str | None = None
    rule: Rule | None = None
    id_ref: str | None = None
    """this is the set of that id, repeated here so that a reader need not look it up; written as `id-ref`"""
    pair_ids: dict[str, str] = {}
    """name → id of its nvpair, where it is not the conventional `SET-NAME`"""
    pair_refs: dict[str, str] = {}
    """name → id of the nvpair elsewhere whose value this is (`<nvpair id-ref=…>`)"""


class Operation(Element):
    """An `op`: monitor interval=10s and so on.  Times are as written (`10s`, `1min`, `PT10S`, plain seconds)."""

    id: str
    name: str
    interval: str = "0"
    timeout: str | None = None
    options: dict[str, str] = {}
    """on-fail, role, enabled, start-delay, record-pending … as in the XML."""
    meta: tuple[AttributeSet, ...] = ()
    instance: tuple[AttributeSet, ...] = ()


class Resource(Element):
    """What primitives, groups, clones and templates share."""

    id: str
    description: str | None = None
    meta: tuple[AttributeSet, ...] = ()
    instance: tuple[AttributeSet, ...] = ()


class Primitive(Resource):
    """One resource with an agent, `standard:provider:type` (`ocf:heartbeat:IPaddr2`, `systemd:nginx`)."""

    kind: Literal["primitive"] = "primitive"
    standard: str = ""
    provider: str = ""
    type: str = ""
    template: str | None = None
    utilization: tuple[AttributeSet, ...] = ()
    operations: tuple[Operation, ...] = ()
    operations_id: str | None = None
    operations_ref: str | None = None
    """`operations` are those of the element of this id, repeated here; written as `<operations id-ref=…>`"""

    @property
    def agent(self) -> str:
        return ":".join(part for part in (self.standard, self.provider, self.type) if part)


class Group(Resource):
    kind: Literal["group"] = "group"
    members: tuple[Primitive, ...] = ()


class Clone(Resource):
    """A clone; `legacy_master` remembers that the XML said <master>, which is a promotable clone."""

    kind: Literal["clone"] = "clone"
    child: Primitive | Group
    legacy_master: bool = False


AnyResource = Annotated[Primitive | Group | Clone, Field(discriminator="kind")]


class ResourceSet(Element):
    """A resource_set of a constraint: options as in the XML (sequential, require-all, role, action, score …)."""

    id: str
    resources: tuple[str, ...]
    options: dict[str, str] = {}
    id_ref: str | None = None
    """this is the set of that id, repeated here; written as `id-ref`"""


class Location(Element):
    kind: Literal["location"] = "location"
    id: str
    resource: str | None = None
    resource_pattern: str | None = None
    node: str | None = None
    score: str | None = None
    role: str | None = None
    resource_discovery: str | None = None
    rules: tuple[Rule, ...] = ()
    sets: tuple[ResourceSet, ...] = ()
    lifetime: tuple[Rule, ...] = ()
    """old syntax: the constraint counts only while one of these rules holds"""
    options: dict[str, str] = {}


class Colocation(Element):
    """`resource` (the dependent) with `with_resource` (the primary), or ordered `sets`."""

    kind: Literal["colocation"] = "colocation"
    id: str
    resource: str | None = None
    with_resource: str | None = None
    score: str | None = None
    role: str | None = None
    with_role: str | None = None
    node_attribute: str | None = None
    influence: str | None = None
    sets: tuple[ResourceSet, ...] = ()
    lifetime: tuple[Rule, ...] = ()
    """old syntax: the constraint counts only while one of these rules holds"""
    options: dict[str, str] = {}


class Order(Element):
    kind: Literal["order"] = "order"
    id: str
    first: str | None = None
    then: str | None = None
    first_action: str | None = None
    then_action: str | None = None
    order_kind: str | None = None
    """Mandatory (default), Optional, Serialize."""
    score: str | None = None
    symmetrical: str | None = None
    require_all: str | None = None
    sets: tuple[ResourceSet, ...] = ()
    lifetime: tuple[Rule, ...] = ()
    """old syntax: the constraint counts only while one of these rules holds"""
    options: dict[str, str] = {}


class Ticket(Element):
    kind: Literal["ticket"] = "ticket"
    id: str
    ticket: str
    resource: str | None = None
    role: str | None = None
    loss_policy: str | None = None
    sets: tuple[ResourceSet, ...] = ()


AnyConstraint = Annotated[Location | Colocation | Order | Ticket, Field(discriminator="kind")]


class NodeEntry(Element):
    """A node as the configuration knows it; `id` is the CIB's id, `name` is its uname."""

    id: str
    name: str
    type: str = "member"
    description: str | None = None
    score: str | None = None
    attributes: tuple[AttributeSet, ...] = ()
    utilization: tuple[AttributeSet, ...] = ()


class Tag(Element):
    id: str
    members: tuple[str, ...] = ()


class FencingLevel(Element):
    id: str
    index: str
    devices: str
    target: dict[str, str] = {}


class Configuration(Element):
    """The whole tree.  Order of resources and constraints is the administrator's and is kept."""

    properties: tuple[AttributeSet, ...] = ()
    """crm_config: cluster properties; the first set is `cib-bootstrap-options`."""
    nodes: tuple[NodeEntry, ...] = ()
    resources: tuple[AnyResource, ...] = ()
    templates: tuple[Primitive, ...] = ()
    constraints: tuple[AnyConstraint, ...] = ()
    resource_defaults: tuple[AttributeSet, ...] = ()
    operation_defaults: tuple[AttributeSet, ...] = ()
    tags: tuple[Tag, ...] = ()
    fencing: tuple[FencingLevel, ...] = ()
    extras: tuple[str, ...] = ()
    """What is kept but not understood (sections acls and alerts, bundles), each as its XML text."""

    def walk(self) -> Iterator[Primitive | Group | Clone]:
        """Every resource, parents before their children, in the administrator's order."""
        for resource in self.resources:
            yield resource
            inner: Primitive | Group = resource.child if isinstance(resource, Clone) else resource
            if isinstance(resource, Clone):
                yield inner
            if isinstance(inner, Group):
                yield from inner.members

    def find(self, resource_id: str) -> Primitive | Group | Clone | None:
        return next((r for r in self.walk() if r.id == resource_id), None)


Expression.model_rebuild()
