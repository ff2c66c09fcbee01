"""What one result of an operation says: which role the instance has after it, and whether it is a failure."""

from __future__ import annotations

from dataclasses import dataclass

from daemon.scheduler import migration
from daemon.scheduler.cluster import Cluster
from daemon.scheduler.failures import expired
from daemon.scheduler.operations import OnFail, on_fail
from daemon.scheduler.scores import ban
from daemon.scheduler.units import CloneUnit, Host, Instance, Role, Unit
from daemon.scheduler.view import OperationView

OK, NOT_INSTALLED, NOT_CONFIGURED, NOT_RUNNING, PROMOTED, FAILED_PROMOTED = 0, 5, 6, 7, 8, 9
INVALID_PARAMETER, UNIMPLEMENTED, NO_PERMISSION = 2, 3, 4
DEGRADED, DEGRADED_PROMOTED = 190, 191
HEALTHY = {DEGRADED: OK, DEGRADED_PROMOTED: PROMOTED}
"""what a result means that is good, but not quite"""

FORGIVEN = frozenset({OnFail.IGNORE, OnFail.DEMOTE, OnFail.RESTART, OnFail.RESTART_CONTAINER, OnFail.BLOCK})
"""what a later success puts right; the graver ones stand until they are cleaned up"""
HARD = frozenset({NOT_INSTALLED, INVALID_PARAMETER, NO_PERMISSION})
"""exit codes that will not get better on that host"""


@dataclass(slots=True)
class Reading:
    """The results of one resource on one host, as they are gone through."""

    host: Host
    instance: Instance
    on_fail: OnFail = OnFail.IGNORE
    last_failure: OperationView | None = None


def take(cluster: Cluster, reading: Reading, result: OperationView) -> None:
    """Go on with the next result."""
    instance, host = reading.instance, reading.host
    probe = result.operation == "monitor" and result.interval_ms == 0
    old = expired(cluster, instance, host, result)
    if probe and (result.exit_code in {NOT_INSTALLED, INVALID_PARAMETER} or result.status == "not-installed"):
        _not_there(cluster, reading, result, old)
        return
    if result.status == "pending":
        _in_flight(cluster, reading, result)
        return
    status, code = _meaning(cluster, reading, result, probe, old)
    if old and status != "done" and (probe or result.interval_ms == 0 or code != result.expected):
        return
    if status == "done":
        _succeeded(cluster, reading, result, code)
        return
    strategy = on_fail(cluster, instance, result.operation, result.interval_ms)
    scope = _scope(instance)
    if status == "not-installed":
        if strategy == OnFail.IGNORE:
            reading.on_fail = OnFail.BAN
        ban(scope, [host.name], "hard-error")
        _ban_children(scope, host.name, "hard-error")
        _failed(cluster, reading, result, strategy, code, probe)
        return
    if strategy == OnFail.IGNORE or (strategy == OnFail.RESTART_CONTAINER and result.operation == "stop"):
        _succeeded(cluster, reading, result, result.expected)
        instance.ignore_failure = True
        if strategy == OnFail.RESTART_CONTAINER and reading.on_fail <= OnFail.RESTART:
            reading.on_fail = strategy
        return
    _failed(cluster, reading, result, strategy, code, probe)
    if status == "hard":
        _ban_all(scope, [host.name], "hard-error")
    elif status == "fatal":
        _ban_all(scope, list(cluster.hosts), "fatal-error")


def _not_there(cluster: Cluster, reading: Reading, result: OperationView, old: bool) -> None:
    """A probe that found nothing installed: nothing runs there, and nothing may."""
    instance = reading.instance
    if old and result.exit_code != result.expected:
        if instance.role <= Role.STOPPED:
            instance.role = Role.UNKNOWN
        return
    instance.role, reading.on_fail, instance.next_role = Role.STOPPED, OnFail.IGNORE, Role.UNKNOWN
    _ban_all(_scope(instance), [reading.host.name], "probe failed")


def _scope(instance: Instance) -> Unit:
    """What a hard error keeps away: the instance, or the whole anonymous clone."""
    top = instance.top
    return top if isinstance(top, CloneUnit) and not top.unique else instance


def _ban_all(unit: Unit, hosts: list[str], origin: str) -> None:
    ban(unit, hosts, origin)
    for host in hosts:
        _ban_children(unit, host, origin)


def _ban_children(unit: Unit, host: str, origin: str) -> None:
    for child in unit.children:
        ban(child, [host], origin)
        _ban_children(child, host, origin)


def _meaning(cluster: Cluster, reading: Reading, result: OperationView, probe: bool, old: bool) -> tuple[str, int]:
    """The result's real outcome: done, error, timeout, hard, fatal, not-installed … and the exit code to go by."""
    code = HEALTHY.get(result.exit_code, result.exit_code)
    if result.status not in {"done", "error"}:
        return result.status, code
    if code in HARD or (code == UNIMPLEMENTED and result.interval_ms == 0):
        _block_if_stop(cluster, reading.instance, reading.host, result, old)
        return "hard", code
    if code in (UNIMPLEMENTED, NOT_CONFIGURED):
        return "not-supported" if code == UNIMPLEMENTED else "fatal", code
    as_expected = code == result.expected
    if _harmless(reading, result, code, probe, as_expected, old):
        return "done", code
    return "done" if as_expected and code != FAILED_PROMOTED else "error", code


def _harmless(
    reading: Reading, result: OperationView, code: int, probe: bool, as_expected: bool, old: bool
) -> bool:
    """Results that are no failure although they may be news; what they say of the role is taken over."""
    instance = reading.instance
    if code == OK:
        return probe and result.expected == NOT_RUNNING
    if code == NOT_RUNNING and (probe or as_expected or not instance.managed):
        instance.role, reading.on_fail, instance.next_role = Role.STOPPED, OnFail.IGNORE, Role.UNKNOWN
        return True
    if code == PROMOTED:
        if not old or as_expected:
            instance.role = Role.PROMOTED
        return probe
    if code == FAILED_PROMOTED and not old:
        instance.role = Role.PROMOTED
    return False


def _block_if_stop(cluster: Cluster, instance: Instance, host: Host, result: OperationView, old: bool) -> None:
    if result.operation == "stop" and not old and not cluster.may_fence(host):
        instance.managed, instance.blocked = False, True


def _active(instance: Instance) -> Role:
    top = instance.top
    return Role.UNPROMOTED if isinstance(top, CloneUnit) and top.promotable else Role.STARTED


def _succeeded(cluster: Cluster, reading: Reading, result: OperationView, code: int) -> None:
    instance, clear = reading.instance, False
    if code == NOT_INSTALLED:
        instance.role = Role.STOPPED
    elif code == NOT_RUNNING:
        clear = True
    elif result.operation == "monitor":
        failure = reading.last_failure
        if failure is not None and (failure.operation, failure.interval_ms) == ("monitor", result.interval_ms):
            clear = True
        if instance.role < Role.STARTED:
            instance.role = _active(instance)
    elif result.operation in {"start", "migrate_from"}:
        instance.role, clear = Role.STARTED, True
    elif result.operation == "migrate_to":
        migration.left(cluster, instance, reading.host, result)
    elif result.operation == "stop":
        instance.role, clear = Role.STOPPED, True
    elif result.operation == "promote":
        instance.role, clear = Role.PROMOTED, True
    elif result.operation == "demote":
        clear = reading.on_fail == OnFail.DEMOTE
        instance.role = Role.UNPROMOTED
    elif instance.role < Role.STARTED:
        instance.role = _active(instance)
    if clear and reading.on_fail in FORGIVEN:
        reading.on_fail = OnFail.IGNORE
        instance.next_role = Role.UNKNOWN


def _failed(
    cluster: Cluster, reading: Reading, result: OperationView, strategy: OnFail, code: int, probe: bool
) -> None:
    instance, host = reading.instance, reading.host
    reading.last_failure = result
    reading.on_fail = max(reading.on_fail, strategy)
    if result.operation == "stop":
        ban(instance, [host.name], "stop-failure")
    elif result.operation == "migrate_to":
        migration.could_not_leave(cluster, instance, host, result)
    elif result.operation == "migrate_from":
        migration.could_not_arrive(cluster, instance, host, result)
    elif result.operation == "promote":
        instance.role = Role.PROMOTED
    elif result.operation == "demote":
        if strategy == OnFail.BLOCK:
            instance.role, instance.next_role = Role.PROMOTED, Role.STOPPED
        else:
            instance.role = Role.STOPPED if code == NOT_RUNNING else Role.UNPROMOTED
    if probe and code == NOT_INSTALLED:
        instance.role = Role.STOPPED
    elif instance.role < Role.STARTED:
        instance.role = _active(instance)
    after = Role.STOPPED if strategy == OnFail.STOP else Role.UNPROMOTED if result.operation == "promote" else None
    if after is not None and instance.next_role < after:
        instance.next_role = after
    if after == Role.STOPPED:
        ban(_scope(instance), cluster.hosts, "on-fail=stop")


def _in_flight(cluster: Cluster, reading: Reading, result: OperationView) -> None:
    """An operation that has begun and not ended: what it was going to be is taken for what is."""
    instance = reading.instance
    if result.operation == "start":
        instance.start_pending = True
        instance.role = _active(instance)
    elif result.operation == "promote":
        instance.role = Role.PROMOTED
    elif result.operation == "migrate_to":
        migration.leaving(cluster, instance, reading.host, result)
    elif result.operation == "monitor" and result.interval_ms == 0:
        instance.dangling.append(reading.host.name)
