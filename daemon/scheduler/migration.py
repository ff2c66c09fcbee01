"""Live migration in the results: where something runs that was on its way from one host to another.

A migration is `migrate_to` on the source, `migrate_from` on the target, `stop` on the source.  After the first it is
*partial*: active on both.  After the second it is *dangling*: it runs on the target, and the source has to be told.
A result of either counts only as long as nothing newer is known of the host in question, and either host's history
may have been cleaned up in between.
"""

from __future__ import annotations

from collections.abc import Iterator

from daemon.scheduler.cluster import Cluster
from daemon.scheduler.presence import add_running
from daemon.scheduler.units import Host, Instance, Role
from daemon.scheduler.view import OperationView, View

TO, FROM = "migrate_to", "migrate_from"
CHANGES = frozenset({"start", "stop", TO, FROM})
NOT_RUNNING, NOTHING_YET = 7, 193


class Traces:
    """All results of one resource on all hosts, to be compared with each other."""

    def __init__(self, view: View, name: str) -> None:
        self.results: dict[str, list[OperationView]] = {}
        for result in view.operations:
            if result.instance == name:
                self.results.setdefault(result.node, []).append(result)

    def find(self, node: str, operation: str, **details: str) -> OperationView | None:
        for result in self.results.get(node, ()):
            if result.operation == operation and details.items() <= result.details.items():
                return result
        return None

    def known(self, node: str) -> bool:
        """Has anything that was done there ended?"""
        return any(result.exit_code != NOTHING_YET for result in self.results.get(node, ()))

    def changed_after(self, node: str, since: OperationView) -> bool:
        """Has the resource been started, stopped or migrated there since?"""
        return any(
            result is not since and result.operation in CHANGES and _newer(result, since)
            for result in self.results.get(node, ())
        )

    def gone_after(self, node: str, since: OperationView) -> bool:
        monitors = (r for r in self.results.get(node, ()) if r.operation == "monitor")
        first = next(monitors, None)
        return first is not None and first.exit_code == NOT_RUNNING and _newer(first, since)

    def superseded(self, node: str, to: OperationView | None, arrival: OperationView | None) -> bool:
        """Does what is known of the host make the migration's results irrelevant for it?"""
        own = next((result for result in (arrival, to) if result is not None and result.node == node), None)
        since = own or arrival or to
        return since is not None and (self.changed_after(node, since) or self.gone_after(node, since))


def _newer(result: OperationView, other: OperationView) -> bool:
    if result.node == other.node:
        return result.serial > other.serial
    pending = result.status == "pending", other.status == "pending"
    if pending[0] != pending[1]:
        return pending[0]
    return 0 < other.stamp_ms < result.stamp_ms  # 0: nobody knows when that was


def _ends(host: Host, result: OperationView) -> tuple[str, str] | None:
    """(source, target); None where the result does not say them, or says another host's."""
    source, target = result.details.get("migrate_source"), result.details.get("migrate_target")
    if source is None or target is None:
        return None
    return (source, target) if host.name == (source if result.operation == TO else target) else None


def _online(cluster: Cluster, name: str) -> Host | None:
    host = cluster.hosts.get(name)
    return host if host is not None and host.online else None


def left(cluster: Cluster, instance: Instance, host: Host, result: OperationView) -> None:
    """`migrate_to` has succeeded on the source."""
    ends = _ends(host, result)
    if ends is None:
        return
    source, target = ends
    traces = Traces(cluster.view, instance.id)
    moved_on = traces.changed_after(source, result)
    arrival = traces.find(target, FROM, migrate_source=source)
    if arrival is not None and moved_on:
        return
    elsewhere = traces.superseded(target, result, arrival)
    if moved_on and elsewhere:
        return
    if arrival is not None and arrival.status == "done" and arrival.exit_code == 0:
        instance.role = Role.STOPPED
        instance.abandoned.append(source)
        return
    instance.role = Role.STARTED
    there = _online(cluster, target)
    if arrival is not None and arrival.status != "pending":
        if there is not None and not elsewhere:
            add_running(cluster, instance, there)
        else:
            _needs_recovery(instance)
        return
    if there is not None and not traces.known(target):
        return  # it has been cleaned up there, and a probe will tell
    if there is not None and not elsewhere:
        add_running(cluster, instance, there)
        if _online(cluster, source) is not None:
            instance.migrating = (source, target)
    elif not moved_on:
        _needs_recovery(instance)


def _needs_recovery(instance: Instance) -> None:
    instance.failed = instance.stop_if_failed = True
    instance.migratable = False


def could_not_leave(cluster: Cluster, instance: Instance, host: Host, result: OperationView) -> None:
    """`migrate_to` has failed on the source: it may be active on either host."""
    ends = _ends(host, result)
    if ends is None:
        return
    source, target = ends
    instance.role = Role.STARTED
    traces = Traces(cluster.view, instance.id)
    arrival = _good(traces.find(target, FROM, migrate_source=source))
    if traces.known(target) and not traces.superseded(target, result, arrival):
        there = _online(cluster, target)
        if there is not None:
            add_running(cluster, instance, there)
    elif not traces.changed_after(source, result):
        instance.abandoned.append(source)


def could_not_arrive(cluster: Cluster, instance: Instance, host: Host, result: OperationView) -> None:
    """`migrate_from` has failed on the target: it may still be active on the source."""
    ends = _ends(host, result)
    if ends is None:
        return
    source, target = ends
    instance.role = Role.STARTED
    traces = Traces(cluster.view, instance.id)
    departure = _good(traces.find(source, TO, migrate_target=target))
    if traces.known(source) and not traces.superseded(source, departure, result):
        there = _online(cluster, source)
        if there is not None:
            add_running(cluster, instance, there)


def leaving(cluster: Cluster, instance: Instance, host: Host, result: OperationView) -> None:
    """`migrate_to` has begun and not ended: if the source is unclean, the target must not keep what arrived."""
    target = result.details.get("migrate_target")
    if host.unclean and target in cluster.hosts:
        instance.abandoned.append(target)


def still_arriving(instance: Instance, host: Host) -> bool:
    """A stop on the source does not stop what is only partly there: it may be active on the target."""
    return instance.migrating is not None and instance.migrating[0] == host.name and bool(instance.running_on)


def _good(result: OperationView | None) -> OperationView | None:
    return result if result is not None and result.status == "done" and result.exit_code == 0 else None


def abandoned_hosts(instance: Instance) -> Iterator[str]:
    """Where it has to be stopped although it does not count as running there."""
    yield from sorted(set(instance.abandoned))
