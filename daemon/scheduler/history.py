"""What the results of operations say: where each instance runs, in which role, and what has failed.

Results of one resource on one host are read in the order of their serial numbers; each may change the role, and a
failure stands until something later puts it right (a successful stop, start, or the same monitor).  What a failure
causes (`on-fail`) is applied when all of them have been read.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from daemon.scheduler.cluster import Cluster, merged, truth
from daemon.scheduler.migration import still_arriving
from daemon.scheduler.operations import OnFail
from daemon.scheduler.outcomes import Reading, take
from daemon.scheduler.presence import add_running, block, put_active_first
from daemon.scheduler.rules import Facts
from daemon.scheduler.scores import ban, score_of
from daemon.scheduler.units import CloneUnit, GroupUnit, Host, Instance, Role, Unit, hosts_running, places
from daemon.scheduler.unpack import new_copy, target_role
from daemon.scheduler.view import OperationView

IRRELEVANT = frozenset({"notify", "meta-data", "validate-all", "delete", "cancel", "reload", "reload-agent"})


def read_history(cluster: Cluster) -> None:
    """Put every result in: units get roles, places and failures; orphans appear."""
    grouped: dict[tuple[str, str], list[OperationView]] = {}
    for operation in sorted(cluster.view.operations, key=attrgetter("serial", "node")):
        if operation.node in cluster.hosts:
            grouped.setdefault((operation.node, operation.instance), []).append(operation)
    locking = cluster.options.shutdown_lock and cluster.view.locks is not None
    for (node, name), results in grouped.items():
        host = cluster.hosts[node]
        # without fencing nobody waits for what a host that is gone may still be running
        if host.online or cluster.options.fencing or locking:
            _resource(cluster, host, name, results)
    for unit in cluster.units:
        put_active_first(cluster, unit)
    for name, node in sorted(cluster.view.homes):
        if node in cluster.hosts:
            _home(cluster, name, node)


def _home(cluster: Cluster, name: str, node: str) -> None:
    """An instance that runs nowhere was stopped there in order to be started again."""
    unit = cluster.by_id.get(name)
    found = unit if isinstance(unit, Instance) else None
    first = cluster.by_id.get(f"{name}:0")
    if found is None and first is not None and isinstance(first.top, CloneUnit):
        copies = (member(copy, name) for copy in first.top.copies)
        found = next((one for one in copies if one is not None and not places(one)), None)
    above: Unit | None = found if found is not None and not places(found) else None
    while above is not None:
        if node not in above.homes:
            above.homes.append(node)
        above = above.parent


def _resource(cluster: Cluster, host: Host, name: str, results: Sequence[OperationView]) -> None:
    instance = find(cluster, host, name)
    if instance.config is None and any(result.details.get("class") == "stonith" for result in results):
        cluster.have_fencing = True  # it goes, but as long as it is there it fences
    reading = Reading(host, instance)
    if name != instance.id:
        instance.known_as = name
    before = instance.role
    instance.role = Role.UNKNOWN
    for result in results:
        if result.operation not in IRRELEVANT:
            take(cluster, reading, result)
    _conclude(cluster, reading)
    wanted = target_role(instance) if "target-role" in instance.meta else Role.UNKNOWN
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
        # a clone's instance of any number, also of one beyond clone-max
        first = cluster.by_id.get(f"{_base(name)}:0")
        if isinstance(first, Instance) and isinstance(first.top, CloneUnit) and not first.top.unique:
            unit = first
    if unit is None:
        return _orphan(cluster, name)
    assert isinstance(unit, Instance)
    if isinstance(unit.top, CloneUnit) and not unit.top.unique:
        return _anonymous(cluster, host, unit.top, _base(name))
    return unit


def _base(name: str) -> str:
    """A primitive's id: an instance's name without its number."""
    base, colon, number = name.rpartition(":")
    return base if colon and number.isdigit() else name


def _orphan(cluster: Cluster, name: str) -> Instance:
    defaults = merged(cluster.view.configuration.resource_defaults, Facts(now_ms=cluster.view.now_ms))
    orphan = Instance(name, defaults, name=name, orphan=True)
    orphan.role = Role.STOPPED
    orphan.requires = "nothing"
    orphan.priority = score_of(defaults.get("priority"))
    orphan.multiple_active = defaults.get("multiple-active", "stop_start")
    if cluster.options.symmetric:
        orphan.allowed = dict.fromkeys(cluster.hosts, 0)
    orphan.managed = cluster.options.stop_orphans and not cluster.options.maintenance
    orphan.managed &= truth(defaults, "is-managed", True) and not truth(defaults, "maintenance", False)
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


# ---- all results of a host together


def _conclude(cluster: Cluster, reading: Reading) -> None:
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
    if host.unclean:
        severity = OnFail.IGNORE
    if severity != OnFail.IGNORE:
        _consequence(cluster, instance, host, severity)
    if instance.role > Role.STOPPED:
        add_running(cluster, instance, host)
        if severity != OnFail.IGNORE:
            instance.failed = True
            instance.stop_if_failed |= severity not in (OnFail.DEMOTE, OnFail.BLOCK)
    elif ":" in instance.known_as:
        instance.known_as = ""  # a number under which nothing runs is nobody's name
    if instance.role == Role.STOPPED and still_arriving(instance, host):
        instance.role = Role.STARTED


def _consequence(cluster: Cluster, instance: Instance, host: Host, severity: OnFail) -> None:
    """What the gravest failure that still stands asks for."""
    match severity:
        case OnFail.DEMOTE:
            instance.failed = True
            instance.demote_on.add(host.name)
        case OnFail.FENCE:
            fence(cluster, host, f"{instance.id} failed there")
        case OnFail.STANDBY:
            host.standby = True
        case OnFail.BLOCK:
            block(instance)
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


def _known(instance: Instance, host: str) -> None:
    instance.known_on.add(host)
    top = instance.top
    unit: Unit | None = instance.parent if isinstance(top, CloneUnit) and not top.unique else None
    while unit is not None:
        unit.known_on.add(host)
        unit = unit.parent


def fence(cluster: Cluster, host: Host, why: str) -> None:
    """The host may be doing harm: it is unclean until it has been fenced."""
    cluster.fence.setdefault(host.name, why)
    host.unclean = True
