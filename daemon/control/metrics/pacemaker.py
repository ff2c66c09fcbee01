"""The names that ha_cluster_exporter has for Pacemaker, with its labels, so that dashboards and alerts go on working.

What a shared address has as slots stands where Pacemaker has instances of a globally-unique clone: `VIP:0` …
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from daemon.control.metrics.facts import MetricsFacts
from daemon.control.metrics.metric import Metric, Sample, yes
from daemon.control.schema import InstanceStatus, NodeStatus, ResourceStatus
from daemon.model.configuration import INFINITY, Location
from daemon.model.values import BadValue, parse_score
from daemon.scheduler.cluster import truth
from daemon.scheduler.units import Host, Instance

RUNNING = frozenset({"Started", "Promoted", "Unpromoted", "Stopping", "FAILED"})
"""roles of something that is, or may be, active"""


def _nodes(facts: MetricsFacts) -> Iterator[Sample]:
    for node in facts.status.nodes:
        for status, holds in _standing(node, facts).items():
            yield (node.name, status, "member"), yes(holds)


def _standing(node: NodeStatus, facts: MetricsFacts) -> dict[str, bool]:
    host = facts.cluster.hosts.get(node.name)
    return {
        "dc": node.name == facts.status.leader,
        "expected_up": not node.removing,
        "maintenance": node.maintenance,
        "online": node.online,
        "pending": node.pending,
        "shutdown": host is not None and host.shutdown,
        "standby": node.standby,
        "standby_onfail": host is not None and _failed_into_standby(host),
        "unclean": host is not None and host.unclean,
    }


def _failed_into_standby(host: Host) -> bool:
    """On-fail=standby did it; nobody asked for it, and it is not because the node is only coming up."""
    return host.standby and not host.pending and not truth(host.attributes, "standby", default=False)


def _resources(facts: MetricsFacts) -> Iterator[Sample]:
    known = {instance.name: instance for unit in facts.cluster.units for instance in unit.instances()}
    for resource, clone, group in _primitives(facts.status.resources, "", ""):
        for instance in resource.instances:
            unit = known.get(instance.id)
            for status, holds in _condition(resource, instance, unit).items():
                labels = (
                    resource.agent,
                    clone,
                    group,
                    "true" if instance.managed else "false",
                    instance.node or "",
                    instance.id,
                    instance.role.lower(),
                    status,
                )
                yield labels, yes(holds)


def _condition(resource: ResourceStatus, instance: InstanceStatus, unit: Instance | None) -> dict[str, bool]:
    return {
        "active": instance.node is not None and instance.role in RUNNING,
        "blocked": unit is not None and unit.blocked,
        "failed": instance.failed,
        "failure_ignored": unit is not None and unit.ignore_failure and unit.failed,
        "orphaned": resource.orphan,
    }


def _primitives(
    resources: Iterable[ResourceStatus], clone: str, group: str
) -> Iterator[tuple[ResourceStatus, str, str]]:
    """Every primitive with the clone and the group that it is in; "": in none."""
    for resource in resources:
        if resource.kind == "clone":
            yield from _primitives(resource.members, resource.id, group)
        elif resource.kind == "group":
            yield from _primitives(resource.members, clone, resource.id)
        else:
            yield resource, clone, group


def _fail_counts(facts: MetricsFacts) -> Iterator[Sample]:
    """Of what has a history on a node, 0 too: a rule that waits for a rise needs where it rises from."""
    view = facts.quorum.view
    known = {(result.node, result.instance) for result in view.operations}
    known |= {(node, resource) for resource, node in view.failures}
    for node, resource in sorted(known):
        yield (node, resource), _score(view.failures.get((resource, node), 0))


def _migration_thresholds(facts: MetricsFacts) -> Iterator[Sample]:
    """For each node and resource that has a history there, as crm_mon lists them."""
    thresholds = {
        instance.known_as or instance.name: instance.migration_threshold
        for unit in facts.cluster.units
        for instance in unit.instances()
    }
    for node, resource in sorted({(result.node, result.instance) for result in facts.quorum.view.operations}):
        if resource in thresholds:
            yield (node, resource), _score(thresholds[resource])


def _location_constraints(facts: MetricsFacts) -> Iterator[Sample]:
    """Those with a score and a node; a rule's score depends on the node."""
    for location in facts.quorum.view.configuration.constraints:
        if not isinstance(location, Location):
            continue
        if location.node is None or location.score is None or location.resource is None:
            continue
        try:
            score = _score(parse_score(location.score))
        except BadValue:
            continue  # the plan's findings name it
        yield (location.id, location.node, location.resource, (location.role or "").lower()), score


def _node_attributes(facts: MetricsFacts) -> Iterator[Sample]:
    permanent = {
        (entry.name, name): value
        for entry in facts.quorum.view.configuration.nodes
        for attributes in entry.attributes
        for name, value in attributes.values.items()
    }
    transient = {
        (node.name, name): value
        for node in facts.quorum.view.nodes.values()
        for name, value in node.transient.items()
    }
    for (node, name), value in sorted({**permanent, **transient}.items()):
        yield (name, node, value), 1.0


def _stonith_enabled(facts: MetricsFacts) -> Iterator[Sample]:
    yield (), yes(facts.quorum.properties.fencing)


def _maintenance_mode(facts: MetricsFacts) -> Iterator[Sample]:
    yield (), yes(facts.cluster.options.maintenance)


def _last_change(facts: MetricsFacts) -> Iterator[Sample]:
    if facts.last_change_ms is not None:
        yield (), facts.last_change_ms / 1000


def _score(value: int) -> float:
    if abs(value) >= INFINITY:
        return math.copysign(math.inf, value)
    return float(value)


PACEMAKER: tuple[Metric, ...] = (
    Metric(
        "ha_cluster_pacemaker_config_last_change",
        "gauge",
        "When the configuration changed last, in seconds since 1970",
        _last_change,
    ),
    Metric(
        "ha_cluster_pacemaker_fail_count",
        "gauge",
        "Failures of a resource on a node since the last cleanup",
        _fail_counts,
        ("node", "resource"),
    ),
    Metric(
        "ha_cluster_pacemaker_location_constraints",
        "gauge",
        "Scores of location constraints that name a node",
        _location_constraints,
        ("constraint", "node", "resource", "role"),
    ),
    Metric(
        "ha_cluster_pacemaker_maintenance_mode_enabled",
        "gauge",
        "1 where the whole cluster is in maintenance-mode",
        _maintenance_mode,
    ),
    Metric(
        "ha_cluster_pacemaker_migration_threshold",
        "gauge",
        "After how many failures a resource leaves a node",
        _migration_thresholds,
        ("node", "resource"),
    ),
    Metric(
        "ha_cluster_pacemaker_node_attributes",
        "gauge",
        "1 for each attribute of a node, with its value as a label",
        _node_attributes,
        ("name", "node", "value"),
    ),
    Metric(
        "ha_cluster_pacemaker_nodes",
        "gauge",
        "1 for what holds of a node: dc, expected_up, maintenance, online, pending, shutdown, standby,"
        " standby_onfail, unclean",
        _nodes,
        ("node", "status", "type"),
    ),
    Metric(
        "ha_cluster_pacemaker_resources",
        "gauge",
        "1 for what holds of an instance: active, blocked, failed, failure_ignored, orphaned",
        _resources,
        ("agent", "clone", "group", "managed", "node", "resource", "role", "status"),
    ),
    Metric(
        "ha_cluster_pacemaker_stonith_enabled",
        "gauge",
        "1 where one of two nodes may count the vote of the other once that is fenced",
        _stonith_enabled,
    ),
)
