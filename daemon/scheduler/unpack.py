"""From the configuration to units: what exists, with which meta attributes, before any status counts."""

from __future__ import annotations

from dataclasses import replace

from daemon.model.configuration import INFINITY, Clone, Configuration, Group, NodeEntry, Primitive
from daemon.model.instances import instances_max
from daemon.scheduler.cluster import Cluster, Options, merged, span_ms, truth, whole
from daemon.scheduler.rules import Facts
from daemon.scheduler.scores import ban, prefer, score_of
from daemon.scheduler.units import CloneUnit, GroupUnit, Host, Instance, Role, Unit
from daemon.scheduler.view import NodeView, View

ROLES = {
    "stopped": Role.STOPPED,
    "started": Role.STARTED,
    "slave": Role.UNPROMOTED,
    "unpromoted": Role.UNPROMOTED,
    "master": Role.PROMOTED,
    "promoted": Role.PROMOTED,
}


def unpack(view: View) -> Cluster:
    """Hosts and units, empty of status."""
    configuration = view.configuration
    facts = Facts(now_ms=view.now_ms)
    values = view.defaults | merged(configuration.properties, facts)
    if view.policy is not None:
        values["no-quorum-policy"] = view.policy
    options = Options.of(values)
    findings = list(view.notes)
    cluster = Cluster(view, options, _hosts(view, facts, values), quorate=view.quorate, findings=findings)
    # a watchdog is a fencing device that every node has of its own
    cluster.have_fencing = truth(values, "have-watchdog", False)
    builder = _Builder(cluster, facts)
    for resource in configuration.resources:
        made = builder.unit(resource, None)
        cluster.units.append(made)
        if isinstance(made, CloneUnit) and made.address is not None:
            cluster.units.append(builder.shadow(made))
    cluster.units.sort(key=lambda unit: -unit.priority)
    for unit in cluster.units:
        _register(cluster, unit)
    for instance in cluster.instances():
        container = cluster.by_id.get(instance.meta.get("container", ""))
        if isinstance(container, Instance) and container is not instance:
            instance.container = container
            container.fillers.append(instance)
    return cluster


def _register(cluster: Cluster, unit: Unit) -> None:
    cluster.by_id.setdefault(unit.id, unit)
    for child in unit.children:
        _register(cluster, child)


def _hosts(view: View, facts: Facts, cluster_values: dict[str, str]) -> dict[str, Host]:
    entries = {entry.name: entry for entry in view.configuration.nodes}
    names = sorted({*entries, *view.nodes})
    hosts = {}
    for name in names:
        node = view.nodes.get(name, NodeView(name, online=False))
        entry = entries.get(name, NodeEntry(id=name, name=name))
        # a node's own attributes cannot depend on rules about themselves, but on dates they can
        attributes = merged(entry.attributes, facts) | node.transient
        attributes |= {"#uname": name, "#id": entry.id, "#kind": "cluster"}
        if "cluster-name" in cluster_values:
            attributes["#cluster-name"] = cluster_values["cluster-name"]
        site = attributes.get("site-name", cluster_values.get("cluster-name"))
        if site is not None:
            attributes["#site-name"] = site
        hosts[name] = Host(
            name,
            node,
            attributes,
            standby=truth(attributes, "standby", False) or node.pending,
            maintenance=truth(attributes, "maintenance", False),
            online=node.online,
            unclean=node.unclean,
            shutdown=node.shutdown,
            pending=node.pending,
            discovery=truth(attributes, "resource-discovery-enabled", True),
        )
    return hosts


class _Builder:
    """Makes units, each inheriting what it does not say itself from its parent, then from resource defaults."""

    def __init__(self, cluster: Cluster, facts: Facts) -> None:
        self.cluster = cluster
        self.facts = facts
        self.configuration: Configuration = cluster.view.configuration
        self.templates = {template.id: template for template in self.configuration.templates}
        self.node_scores = {
            entry.name: score_of(entry.score)
            for entry in self.configuration.nodes
            if score_of(entry.score) and entry.name in cluster.hosts
        }
        """what a node entry gives to everything that may run there"""

    def unit(
        self, resource: Primitive | Group | Clone, parent: GroupUnit | CloneUnit | None, number: int | None = None
    ) -> Instance | GroupUnit | CloneUnit:
        if isinstance(resource, Clone):
            return self._clone(resource)
        if isinstance(resource, Group):
            return self._group(resource, parent, number)
        return self._instance(resource, parent, number)

    def _meta(self, resource: Primitive | Group | Clone, parent: Unit | None) -> dict[str, str]:
        facts = self.facts
        sets = resource.meta
        if isinstance(resource, Primitive):
            facts = replace(facts, resource=(resource.standard, resource.provider, resource.type))
            if resource.template in self.templates:
                sets = (*self.templates[resource.template].meta, *resource.meta)
        values = merged(sets, facts)
        inherited = parent.meta if parent is not None else {}
        defaults = merged(self.configuration.resource_defaults, facts)
        explicit = parent.explicit_meta if parent is not None else {}
        self._explicit = {**explicit, **values}
        return {**inherited, **defaults, **explicit, **values}

    def _common(self, unit: Unit) -> None:
        unit.explicit_meta = self._explicit
        meta, options = unit.meta, self.cluster.options
        unit.priority = score_of(meta.get("priority"))
        unit.stickiness = score_of(meta.get("resource-stickiness"))
        unit.managed = not options.maintenance and not truth(meta, "maintenance", False)
        unit.managed = unit.managed and truth(meta, "is-managed", True)
        unit.requires = _requires(meta.get("requires"), options)
        unit.next_role = target_role(unit)
        if options.symmetric:
            unit.allowed = dict.fromkeys(self.cluster.hosts, 0)
            for host, score in self.node_scores.items():
                prefer(unit, host, score, "node score")

    def _instance(self, config: Primitive, parent: GroupUnit | CloneUnit | None, number: int | None) -> Instance:
        if config.template in self.templates:
            config = _filled(config, self.templates[config.template])
        meta = self._meta(config, parent)
        unit = Instance(config.id if number is None else f"{config.id}:{number}", meta, parent, config=config)
        self._common(unit)
        unit.agent = config.agent
        top = unit.top
        unique = not isinstance(top, CloneUnit) or top.unique
        unit.name = unit.id if unique else config.id
        unit.multiple_active = meta.get("multiple-active", "stop_start")
        unit.migration_threshold = max(score_of(meta.get("migration-threshold"), INFINITY), 0)
        if score_of(meta.get("migration-threshold"), INFINITY) < 0:
            unit.migration_threshold = 1
        unit.failure_timeout_ms = span_ms(meta, "failure-timeout") // 1000 * 1000
        unit.migratable = truth(meta, "allow-migrate", False) and not isinstance(top, CloneUnit)
        if config.standard == "stonith":
            self.cluster.have_fencing = True
        if config.standard == "stonith":
            unit.requires = "quorum" if meta.get("requires", "fencing") == "fencing" else meta["requires"]
        return unit

    def shadow(self, clone: CloneUnit) -> Instance:
        """The plain resource that a slot-driven address was, or still is somewhere: to be looked for and stopped."""
        assert clone.config is not None
        assert isinstance(clone.config.child, Primitive)
        unit = self._instance(clone.config.child, None, None)
        unit.shadow_of, unit.orphan, unit.next_role = clone, True, Role.STOPPED
        ban(unit, self.cluster.hosts, "slot-driven")
        return unit

    def _group(self, config: Group, parent: GroupUnit | CloneUnit | None, number: int | None) -> GroupUnit:
        meta = self._meta(config, parent)
        unit = GroupUnit(config.id if number is None else f"{config.id}:{number}", meta, parent, config=config)
        self._common(unit)
        unit.ordered = truth(meta, "ordered", True)
        unit.colocated = truth(meta, "collocated", True)
        unit.members = [self._instance(member, unit, number) for member in config.members]
        return unit

    def _clone(self, config: Clone) -> CloneUnit:
        meta = self._meta(config, None)
        unit = CloneUnit(config.id, meta, None, config=config)
        self._common(unit)
        unit.unique = truth(meta, "globally-unique", False)
        unit.promotable = config.legacy_master or truth(meta, "promotable", False)
        unit.interleave = truth(meta, "interleave", False)
        unit.ordered = truth(meta, "ordered", False)
        hosts = max(1, len(self.cluster.hosts))
        address = isinstance(config.child, Primitive) and config.child.id in self.cluster.view.slots
        most = instances_max(unique=unit.unique, address=address, nodes=hosts)
        # Refused by validation, but what was stored before must not keep a cluster computing for ever.
        unit.clone_max = min(whole(meta, "clone-max", hosts), most)
        unit.clone_node_max = whole(meta, "clone-node-max", 1)
        if not unit.unique:
            unit.clone_node_max = min(unit.clone_node_max, 1)
        unit.clone_min = whole(meta, "clone-min", 0)
        unit.promoted_max = whole(meta, "promoted-max", whole(meta, "master-max", 1))
        unit.promoted_node_max = whole(meta, "promoted-node-max", whole(meta, "master-node-max", 1))
        unit.meta.setdefault("resource-stickiness", "1")
        child = config.child
        if isinstance(child, Primitive) and unit.unique and child.id in self.cluster.view.slots:
            unit.address = child.id
            # slots stand for instances: what is said of the primitive alone (`resource disable VIP`) goes for all
            slots = self._instance(child, unit, None)
            unit.next_role, unit.managed = slots.next_role, slots.managed
            return unit
        for number in range(max(1, unit.clone_max)):
            copy = self.unit(child, unit, number)
            assert not isinstance(copy, CloneUnit)
            unit.copies.append(copy)
            if unit.clone_max == 0:
                mark_orphan(copy)
        return unit


def new_copy(cluster: Cluster, clone: CloneUnit) -> Instance | GroupUnit:
    """One more instance of a clone, beyond clone-max: what history found running although nothing asks for it."""
    assert clone.config is not None
    builder = _Builder(cluster, Facts(now_ms=cluster.view.now_ms))
    copy = builder.unit(clone.config.child, clone, len(clone.copies))
    assert not isinstance(copy, CloneUnit)
    clone.copies.append(copy)
    mark_orphan(copy)
    _register(cluster, copy)
    return copy


def mark_orphan(unit: Unit) -> None:
    unit.orphan = True
    for child in unit.children:
        mark_orphan(child)


def target_role(unit: Unit) -> Role:
    """UNKNOWN where the placement alone decides."""
    role = ROLES.get(unit.meta.get("target-role", "").lower(), Role.UNKNOWN)
    top = unit.top
    promotable = isinstance(top, CloneUnit) and top.promotable
    if role == Role.STARTED:
        return Role.UNKNOWN
    if role >= Role.UNPROMOTED:
        if not promotable:
            return Role.UNKNOWN
        return Role.UNKNOWN if role == Role.PROMOTED else role
    return role


def _requires(text: str | None, options: Options) -> str:
    """What must be given before a start: nothing, quorum, fencing, unfencing."""
    if text in {"nothing", "quorum"}:
        return text
    if text in {"fencing", "unfencing"}:
        return text if options.fencing else "quorum"
    if options.no_quorum == "ignore" and not options.fencing:
        return "nothing"
    return "fencing" if options.fencing else "quorum"


def _filled(primitive: Primitive, template: Primitive) -> Primitive:
    """A primitive with what its template says and it does not."""
    named = {operation.name + operation.interval for operation in primitive.operations}
    return primitive.model_copy(
        update={
            "standard": primitive.standard or template.standard,
            "provider": primitive.provider or template.provider,
            "type": primitive.type or template.type,
            "instance": (*template.instance, *primitive.instance),
            "utilization": (*template.utilization, *primitive.utilization),
            "operations": (
                *primitive.operations,
                *(o for o in template.operations if o.name + o.interval not in named),
            ),
        }
    )
