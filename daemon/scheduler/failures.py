"""Fail counts: how often an instance has failed on a host, and when that stops to matter."""

from __future__ import annotations

from daemon.model.configuration import INFINITY
from daemon.scheduler.cluster import Cluster
from daemon.scheduler.operations import interval_of
from daemon.scheduler.units import CloneUnit, Host, Instance, Unit
from daemon.scheduler.view import OperationView

KEPT_PROBES = frozenset({0, 7, 8, 190, 191})


def recorded(cluster: Cluster, instance: Instance, host: str) -> tuple[int, int]:
    """(fail count, time of the last failure in ms), whether or not it has expired."""
    top = instance.top
    if isinstance(top, CloneUnit) and not top.unique:
        return cluster.failcounts.of_all(instance.id.partition(":")[0], host)
    return cluster.failcounts.of(instance.id, host)


def failcount(cluster: Cluster, instance: Instance, host: str) -> int:
    """What counts now: 0 when all failures are older than failure-timeout."""
    count, last = recorded(cluster, instance, host)
    timeout = timeout_ms(cluster, instance, host, count)
    if count > 0 and last > 0 and timeout and cluster.view.now_ms // 1000 * 1000 > last + timeout:
        return 0
    return count


def with_fillers(cluster: Cluster, instance: Instance, host: str) -> int:
    """The fail count of a container includes those of what is in it."""
    counts = [failcount(cluster, unit, host) for unit in (instance, *instance.fillers)]
    return min(INFINITY, sum(counts))


def timeout_ms(cluster: Cluster, instance: Instance, host: str, count: int) -> int:
    """failure-timeout, which is ignored where a failure blocks the resource."""
    if count > 0 and instance.failure_timeout_ms and _blocks(cluster, instance, host):
        instance.failure_timeout_ms = 0
    return instance.failure_timeout_ms


def _blocks(cluster: Cluster, instance: Instance, host: str) -> bool:
    if instance.config is None:
        return False
    blocking = {
        (operation.name, interval_of(operation))
        for operation in instance.config.operations
        if operation.options.get("on-fail") == "block"
    }
    if not blocking:
        return False
    return any(
        result.node == host
        and result.instance.partition(":")[0] == instance.id.partition(":")[0]
        and (result.operation, result.interval_ms) in blocking
        and result.exit_code != result.expected
        for result in cluster.view.operations
    )


def expired(cluster: Cluster, instance: Instance, host: Host, result: OperationView) -> bool:
    """The result is so old that it no longer counts (failure-timeout)."""
    if result.status == "not-installed" or not instance.failure_timeout_ms or not result.stamp_ms:
        return False
    if cluster.view.now_ms < result.stamp_ms + instance.failure_timeout_ms:
        return False
    count, _ = recorded(cluster, instance, host.name)
    if count and failcount(cluster, instance, host.name):
        return False
    if count:
        instance.clear_failcount_on.add(host.name)
    probe = result.operation == "monitor" and result.interval_ms == 0
    return not (probe and result.exit_code in KEPT_PROBES)


def threshold_reached(cluster: Cluster, instance: Instance, host: str) -> Unit | None:
    """What migration-threshold keeps away from the host: the instance, or its whole anonymous clone."""
    if instance.migration_threshold == 0 or instance.ignore_failure:
        return None
    count = with_fillers(cluster, instance, host)
    if count <= 0 or instance.migration_threshold - count > 0:
        return None
    top = instance.top
    return top if isinstance(top, CloneUnit) and not top.unique else instance
