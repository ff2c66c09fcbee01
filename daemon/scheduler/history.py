"""What the results of operations say: where each instance runs, in which role, and what has failed.

Results of one resource on one host are read in the order of their serial numbers; each may change the role, and a
failure stands until something later puts it right (a successful stop, start, or the same monitor).  What a failure
causes (`on-fail`) is applied when all of them have been read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from daemon.model.configuration import INFINITY
from daemon.scheduler.cluster import Cluster
from daemon.scheduler.failures import expired, failcount
from daemon.scheduler.operations import OnFail, on_fail
from daemon.scheduler.scores import ban, prefer
from daemon.scheduler.units import CloneUnit, GroupUnit, Host, Instance, Role, Unit, hosts_running
from daemon.scheduler.unpack import mark_orphan, new_copy, target_role
from daemon.scheduler.view import OperationView

OK, NOT_INSTALLED, NOT_CONFIGURED, NOT_RUNNING, PROMOTED, FAILED_PROMOTED = 0, 5, 6, 7, 8, 9
INVALID_PARAMETER, UNIMPLEMENTED, NO_PERMISSION = 2, 3, 4
DEGRADED, DEGRADED_PROMOTED = 190, 191

FORGIVEN = frozenset({OnFail.IGNORE, OnFail.DEMOTE, OnFail.RESTART, OnFail.RESTART_CONTAINER, OnFail.BLOCK})
"""what a later success puts right; the graver ones stand until they are cleaned up"""
IRRELEVANT = frozenset({"notify", "meta-data", "validate-all", "delete", "cancel", "reload", "reload-agent"})


def read_history(cluster: Cluster) -> None:
    """Put every result in: units get roles, places and failures; orphans appear."""
    grouped: dict[tuple[str, str], list[OperationView]] = {}
    for operation in sorted(cluster.view.operations, key=lambda result: (result.serial, result.node)):
        if operation.node in cluster.hosts:
            grouped.setdefault((operation.node, operation.instance), []).append(operation)
    for (node, name), results in grouped.items():
        host = cluster.hosts[node]
        # without fencing nobody waits for what a host that is gone may still be running
        if host.online or cluster.options.fencing:
            _resource(cluster, host, name, results)


@dataclass
class _Reading:
    """The results of one resource on one host, as they are gone through."""

    host: Host
    instance: Instance
    on_fail: OnFail = OnFail.IGNORE
    last_failure: OperationView | None = None
    standing: Role = Role.UNKNOWN


def _resource(cluster: Cluster, host: Host, name: str, results: Iterable[OperationView]) -> None:
    instance = find(cluster, host, name)
    reading = _Reading(host, instance)
    if name != instance.id:
        instance.known_as = name
    before = instance.role
    instance.role = Role.UNKNOWN
    for result in results:
        if result.operation not in IRRELEVANT:
            _result(cluster, reading, result)
            if not (result.operation == "monitor" and result.interval_ms == 0 and result.status == "pending"):
                instance.last[f"{result.operation}_{result.interval_ms}@{host.name}"] = result
    _conclude(cluster, reading)
    wanted = target_role(instance)
    if wanted != Role.UNKNOWN and (instance.next_role == Role.UNKNOWN or wanted < instance.next_role):
        instance.next_role = wanted
    instance.role = max(instance.role, before)


# ---- whose history is it?


def find(cluster: Cluster, host: Host, name: str) -> Instance:
    """The instance that a history entry belongs to; one that nobody configured becomes an orphan."""
    unit = cluster.by_id.get(name)
    if unit is not None and not isinstance(unit, Instance):
        unit = None
    if unit is None:
        first = cluster.by_id.get(f"{name}:0")
        if isinstance(first, Instance) and isinstance(first.top, CloneUnit) and not first.top.unique:
            unit = first
    if unit is None:
        return _orphan(cluster, name)
    assert isinstance(unit, Instance)
    if isinstance(unit.top, CloneUnit) and not unit.top.unique:
        return _anonymous(cluster, host, unit.top, name.partition(":")[0])
    return unit


def _orphan(cluster: Cluster, name: str) -> Instance:
    orphan = Instance(name, {}, name=name, orphan=True)
    orphan.role = Role.STOPPED
    orphan.requires = "nothing"
    if cluster.options.symmetric:
        orphan.allowed = dict.fromkeys(cluster.hosts, 0)
    orphan.managed = cluster.options.stop_orphans and not cluster.options.maintenance
    if cluster.options.stop_orphans:
        ban(orphan, cluster.hosts, "orphan")
    cluster.units.append(orphan)
    cluster.by_id[name] = orphan
    return orphan


def _anonymous(cluster: Cluster, host: Host, clone: CloneUnit, base: str) -> Instance:
    """The copy of an anonymous clone that is active on this host, else the first idle one, else one too many."""
    found: Instance | None = None
    idle: Instance | None = None
    closed = False
    for copy in clone.copies:
        places = [*hosts_running(copy), *_pending(copy)]
        if places:
            if host.name in places:
                found = member(copy, base)
                if found is not None and found.running_on:
                    closed, found = True, None
                if found is not None:
                    break
        elif not closed and idle is None and not _blocked(copy):
            idle = member(copy, base)
    if found is None and not closed:
        found = idle
    if (
        found is not None
        and found.requires not in {"fencing", "unfencing"}
        and (not host.online or host.unclean)
        and clone.clone_max != len(cluster.hosts)
    ):
        found = None
    if found is None:
        found = member(new_copy(cluster, clone), base)
        assert found is not None
    return found


def member(copy: Instance | GroupUnit, base: str) -> Instance | None:
    return next((i for i in copy.instances() if i.config is not None and i.config.id == base), None)


def _pending(copy: Unit) -> list[str]:
    return [host for instance in copy.instances() for host in instance.dangling]


def _blocked(copy: Unit) -> bool:
    return any(instance.blocked for instance in copy.instances())


# ---- one result


def _result(cluster: Cluster, reading: _Reading, result: OperationView) -> None:
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
        _succeeded(reading, result, code)
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
        _succeeded(reading, result, result.expected)
        instance.ignore_failure = True
        if strategy == OnFail.RESTART_CONTAINER and reading.on_fail <= OnFail.RESTART:
            reading.on_fail = strategy
        return
    _failed(cluster, reading, result, strategy, code, probe)
    if status == "hard":
        _ban_all(scope, [host.name], "hard-error")
    elif status == "fatal":
        _ban_all(scope, list(cluster.hosts), "fatal-error")


def _not_there(cluster: Cluster, reading: _Reading, result: OperationView, old: bool) -> None:
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


def _meaning(cluster: Cluster, reading: _Reading, result: OperationView, probe: bool, old: bool) -> tuple[str, int]:
    """The result's real outcome: done, error, timeout, hard, fatal, not-installed … and the exit code to go by."""
    instance, host = reading.instance, reading.host
    code = {DEGRADED: OK, DEGRADED_PROMOTED: PROMOTED}.get(result.exit_code, result.exit_code)
    if result.status not in {"done", "error"}:
        return result.status, code
    status = "done" if code == result.expected else "error"
    match code:
        case _ if code == OK:
            if probe and result.expected == NOT_RUNNING:
                status = "done"
        case _ if code == NOT_RUNNING:
            if probe or result.expected == code or not instance.managed:
                status = "done"
                instance.role = Role.STOPPED
                reading.on_fail = OnFail.IGNORE
                instance.next_role = Role.UNKNOWN
        case _ if code == PROMOTED:
            if probe:
                status = "done"
            if not old or code == result.expected:
                instance.role = Role.PROMOTED
        case _ if code == FAILED_PROMOTED:
            if not old:
                instance.role = Role.PROMOTED
            status = "error"
        case _ if code == NOT_CONFIGURED:
            status = "fatal"
        case _ if code == UNIMPLEMENTED:
            status = "not-supported"
            if result.interval_ms == 0:
                _block_if_stop(cluster, instance, host, result, old)
                status = "hard"
        case _ if code in {NOT_INSTALLED, INVALID_PARAMETER, NO_PERMISSION}:
            _block_if_stop(cluster, instance, host, result, old)
            status = "hard"
        case _:
            if status == "done" and code not in range(16):
                status = "error"
    return status, code


def _block_if_stop(cluster: Cluster, instance: Instance, host: Host, result: OperationView, old: bool) -> None:
    if result.operation == "stop" and not old and not cluster.may_fence(host):
        instance.managed, instance.blocked = False, True


def _active(instance: Instance) -> Role:
    top = instance.top
    return Role.UNPROMOTED if isinstance(top, CloneUnit) and top.promotable else Role.STARTED


def _succeeded(reading: _Reading, result: OperationView, code: int) -> None:
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
        instance.role, clear = Role.STARTED, result.operation == "start"
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
    cluster: Cluster, reading: _Reading, result: OperationView, strategy: OnFail, code: int, probe: bool
) -> None:
    instance, host = reading.instance, reading.host
    reading.last_failure = result
    reading.on_fail = max(reading.on_fail, strategy)
    if result.operation == "stop":
        ban(instance, [host.name], "stop-failure")
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
        ban(instance, cluster.hosts, "on-fail=stop")


def _in_flight(cluster: Cluster, reading: _Reading, result: OperationView) -> None:
    """An operation that has begun and not ended: what it was going to be is taken for what is."""
    instance = reading.instance
    if result.operation == "start":
        instance.start_pending = True
        instance.role = _active(instance)
    elif result.operation == "promote":
        instance.role = Role.PROMOTED
    elif result.operation == "monitor" and result.interval_ms == 0:
        instance.dangling.append(reading.host.name)


# ---- all results of a host together


def _conclude(cluster: Cluster, reading: _Reading) -> None:
    instance, host, severity = reading.instance, reading.host, reading.on_fail
    if instance.role != Role.UNKNOWN:
        _known(instance, host.name)
    if (
        instance.role > Role.STOPPED
        and not host.online
        and not host.maintenance
        and instance.managed
        and cluster.options.fencing
    ):
        fence(cluster, host, f"{instance.id} is thought to be active there")
    failed = severity != OnFail.IGNORE
    if host.unclean:
        severity = OnFail.IGNORE
    match severity:
        case OnFail.DEMOTE:
            instance.failed = True
            instance.demote_on.add(host.name)
        case OnFail.FENCE:
            fence(cluster, host, f"{instance.id} failed there")
        case OnFail.STANDBY:
            host.standby = True
        case OnFail.BLOCK:
            instance.managed, instance.blocked = False, True
        case OnFail.BAN:
            ban(instance, [host.name], "on-fail=migrate")
        case OnFail.STOP:
            instance.next_role = Role.STOPPED
        case OnFail.RESTART_CONTAINER:
            instance.failed = instance.stop_if_failed = True
            (instance.container or instance).recover_on.add(host.name)
        case OnFail.RESTART if instance.role > Role.STOPPED:
            instance.failed = instance.stop_if_failed = True
            instance.recover_on.add(host.name)
    if instance.role > Role.STOPPED:
        _running(cluster, instance, host, failed)
        if severity in {OnFail.DEMOTE, OnFail.BLOCK}:
            instance.failed = True
        elif severity != OnFail.IGNORE:
            instance.failed = instance.stop_if_failed = True
    elif ":" in instance.known_as:
        instance.known_as = ""  # a number under which nothing runs is nobody's name


def _known(instance: Instance, host: str) -> None:
    unit: Unit | None = instance
    while unit is not None:
        unit.known_on.add(host)
        if not (isinstance(instance.top, CloneUnit) and not instance.top.unique):
            return
        unit = unit.parent


def fence(cluster: Cluster, host: Host, why: str) -> None:
    """The host may be doing harm: it is unclean until it has been fenced."""
    cluster.fence.setdefault(host.name, why)
    host.unclean = True


def _running(cluster: Cluster, instance: Instance, host: Host, failed: bool) -> None:
    if host.name in instance.running_on:
        return
    instance.running_on.append(host.name)
    if host.maintenance:
        instance.managed = False
    if not instance.managed:
        prefer(instance, host.name, INFINITY, "unmanaged")
        return
    places = [name for name in instance.running_on if _counts(cluster, instance, cluster.hosts[name])]
    if len(places) < 2:
        return
    if instance.multiple_active == "stop_only":
        instance.allowed = dict.fromkeys(cluster.hosts, -INFINITY)
    elif instance.multiple_active == "block":
        block(instance)
        parent = instance.parent
        if isinstance(parent, GroupUnit) and parent.meta.get("multiple-active") == "block":
            for sibling in parent.members:
                block(sibling)


def block(instance: Instance) -> None:
    instance.managed, instance.blocked = False, True


def _counts(cluster: Cluster, instance: Instance, host: Host) -> bool:
    """Does running there count as running twice?  Not on a dead host that nobody has to wait for."""
    return instance.requires in {"fencing", "unfencing"} or (host.online and not host.unclean)


__all__ = ["failcount", "fence", "find", "mark_orphan", "member", "read_history"]
