"""shutdown-lock: what ran on a host that was shut down waits for it, for as long as shutdown-lock-limit says.

Who saved the CIB has to have remembered the locks (`View.locks`).  A lock holds a plain primitive, or a group's
member, that ran on one host; clones and fencing devices are never locked.
"""

from __future__ import annotations

from daemon.scheduler.cluster import Cluster, span_ms
from daemon.scheduler.scores import ban
from daemon.scheduler.units import CloneUnit, Instance

ORIGIN = "shutdown-lock"
GRAIN_MS = 1_000
"""locks expire by whole seconds"""


def apply_locks(cluster: Cluster) -> None:
    """Ban every locked instance from all hosts but the one that it waits for."""
    locks = cluster.view.locks
    if locks is None or not cluster.options.shutdown_lock:
        return
    limit_ms = span_ms(cluster.options.values, "shutdown-lock-limit") // 1000 * 1000
    for instance in cluster.instances():
        if isinstance(instance.top, CloneUnit) or instance.agent.startswith("stonith:"):
            continue
        lock = _lock(cluster, instance, locks.get(instance.id), limit_ms)
        if lock is None:
            continue
        host, since_ms = lock
        if limit_ms:
            cluster.rechecks_ms.append(since_ms + limit_ms + GRAIN_MS)
        ban(instance, [name for name in cluster.hosts if name != host], ORIGIN)


def _lock(
    cluster: Cluster, instance: Instance, known: tuple[str, int] | None, limit_ms: int
) -> tuple[str, int] | None:
    """(host, since when) from the history, else from a host that is going down now."""
    now_ms = cluster.view.now_ms
    if known is not None and not (limit_ms and now_ms > known[1] + limit_ms):
        return None if instance.running_on else known  # it was started elsewhere all the same: leave it alone
    if len(instance.running_on) != 1:
        return None
    host = cluster.hosts[instance.running_on[0]]
    if not host.shutdown or host.unclean:
        return None
    said = host.attributes.get("shutdown", "")
    return host.name, int(said) * 1000 if said.isdigit() else now_ms
