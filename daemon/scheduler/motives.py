"""Why an action is in the plan, where nothing before it says so: what is wrong with how it is now."""

from __future__ import annotations

from daemon.scheduler.cluster import Cluster
from daemon.scheduler.graph import Op
from daemon.scheduler.units import CloneUnit, Host, Instance, Role


def motive(cluster: Cluster, op: Op) -> str:
    """A reason for an operation of an instance; one that follows from another operation has that one's key."""
    if op.reason or op.because:
        return op.reason or op.because
    instance = op.unit
    if not isinstance(instance, Instance) or op.host is None:
        return ""
    match op.task:
        case "start":
            return _start(instance, op.host)
        case "stop":
            return _stop(cluster, instance, op.host)
        case "promote":
            return _promote(instance, op.host)
        case "demote":
            return _demote(cluster, instance, op.host)
        case "migrate_to" | "migrate_from":
            return f"it moves from {instance.current} to {instance.assigned} while it runs"
    return ""


def _start(instance: Instance, host: str) -> str:
    if instance.role <= Role.STOPPED:
        homes = " and ".join(instance.homes)
        return f"it was stopped on {homes} to be started again" if homes else "it runs nowhere"
    if host in instance.running_on:
        return _trouble(instance, host) or "it was stopped there"
    if instance.current is not None:
        return f"it moves from {instance.current} to {host}"
    return "it runs nowhere"


def _stop(cluster: Cluster, instance: Instance, host: str) -> str:
    if len(instance.running_on) > 1:
        return f"it is active more than once: on {', '.join(sorted(instance.running_on))}"
    if instance.assigned == host:
        return _trouble(instance, host) or "it is started anew"
    if instance.assigned is not None:
        wrong = _out_of_use(cluster.hosts[host])
        return f"it moves from {host} to {instance.assigned}{wrong and ': '}{wrong}"
    return _out_of_use(cluster.hosts[host]) or whereless(cluster, instance)


def _promote(instance: Instance, host: str) -> str:
    if host in instance.running_on and instance.role == Role.PROMOTED:
        return _trouble(instance, host) or "it was demoted there"
    return "it is chosen for promotion"


def _demote(cluster: Cluster, instance: Instance, host: str) -> str:
    if host in instance.demote_on:
        return "it has failed, and on-fail is demote"
    if instance.assigned != host:
        return _stop(cluster, instance, host)
    if instance.next_role == Role.PROMOTED:
        return _trouble(instance, host) or "it is promoted anew"
    return "another one is promoted instead" if _rivals(instance) else "it is not to be promoted any more"


def _rivals(instance: Instance) -> bool:
    return any(one.next_role == Role.PROMOTED for one in instance.top.instances())


def _trouble(instance: Instance, host: str) -> str:
    if instance.failed or host in instance.recover_on:
        return f"it has failed on {host}"
    return "it is blocked" if instance.blocked else ""


def _out_of_use(host: Host) -> str:
    for wrong, text in ((host.standby, "in standby"), (host.shutdown, "shutting down"), (host.unclean, "unclean")):
        if wrong:
            return f"{host.name} is {text}"
    return ""


def whereless(cluster: Cluster, instance: Instance) -> str:
    """Why an instance is to run nowhere."""
    if instance.orphan:
        top = instance.top
        return "the clone has fewer instances" if isinstance(top, CloneUnit) else "it is configured no more"
    if instance.meta.get("target-role", "").lower() == "stopped":
        return "its target-role is Stopped"
    if cluster.options.stop_all:
        return "stop-all-resources is set"
    return "no host may run it"
