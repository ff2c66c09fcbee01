"""Slots of an address: as many on each host as its weight says, moving as few as possible.

A slot-driven address is a globally-unique clone of `ocf:heartbeat:IPaddr2`.  Its instances are slots in the kernel,
not processes, so they are planned as a block: first how many slots each host gets, then which.

Hosts are taken in tiers of equal score, best tier first; within a tier the slots are shared by weight, none beyond
clone-node-max; what is left over goes to the next tier.  A host on which a resource that must be with the address
cannot run is used only when no other host is left.  Unlike Pacemaker's clones, slots spread again over a host that
returns, which costs a move of just the slots that it is due.

A drained host is left out as if it were not there, but keeps the address, with all slots closed, where it would have
slots otherwise: so that nothing which goes with the address is stopped by a drain, and `undrain` takes a moment.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from heapq import heapify, heappop, heapreplace
from types import MappingProxyType
from typing import TYPE_CHECKING

from daemon.model.configuration import INFINITY
from daemon.model.values import add_scores
from daemon.scheduler.cluster import Cluster
from daemon.scheduler.drained import hosts_drained, slots_barred
from daemon.scheduler.failback import STEPS, Policy, weight_of
from daemon.scheduler.units import CloneUnit, Role, Unit

if TYPE_CHECKING:
    from daemon.scheduler.placement import Placement


def shares(
    count: int, hosts: Sequence[str], weights: Mapping[str, int], held: Mapping[str, int], most: int
) -> dict[str, int]:
    """How many of `count` slots each host gets: by weight, at most `most`; who holds more keeps the odd ones.

    The sum is below `count` only if the hosts together may not take more.
    """
    quota = dict.fromkeys(hosts, 0)
    remaining = count
    open_hosts = [host for host in hosts if most > 0]
    while remaining and open_hosts:
        total = sum(weights.get(host, 1) for host in open_hosts)
        if total == 0:
            break
        room = remaining
        for host in open_hosts:
            ideal = room * weights.get(host, 1) // total
            given = min(ideal, most - quota[host])
            quota[host] += given
            remaining -= given
        if all(quota[host] < most for host in open_hosts):
            # what does not divide: to those nearest to one more, then to who holds more, then by name
            rest = sorted(
                open_hosts,
                key=lambda h: (-(room * weights.get(h, 1) % total), -(held.get(h, 0) - quota[h]), h),
            )
            for host in rest[:remaining]:
                quota[host] += 1
            remaining -= min(remaining, len(rest))
        open_hosts = [host for host in open_hosts if quota[host] < most]
    return quota


def spread(
    count: int,
    owners: Mapping[int, str],
    quota: Mapping[str, int],
    barred: Mapping[int, Collection[str]] = MappingProxyType({}),
    most: int = 0,
) -> dict[int, str]:
    """Give each slot an owner so that the quota is met; a slot whose owner has room for it stays.

    `barred` says whom single slots must not go to.  Those choose first; where nobody else has room, one of the others
    takes more than its quota, up to `most`.
    """
    room = dict(quota)
    plan: dict[int, str] = {}
    for slot in sorted(number for number in barred if 0 <= number < count):
        free = [host for host in room if host not in barred[slot] and quota[host] - room[host] < most]
        if free:
            owner = owners.get(slot)
            plan[slot] = min(free, key=lambda host: (room[host] <= 0, host != owner, -room[host], host))
            room[plan[slot]] -= 1
    for slot in range(count):
        owner = owners.get(slot)
        if slot not in plan and slot not in barred and owner is not None and room.get(owner, 0) > 0:
            plan[slot] = owner
            room[owner] -= 1
    # a heap of the emptiest: most room first, then by name
    waiting = [(-left, host) for host, left in room.items() if left > 0]
    heapify(waiting)
    for slot in range(count):
        if slot in plan or slot in barred:
            continue
        if not waiting:
            break
        left, host = waiting[0]
        plan[slot] = host
        if left == -1:
            heappop(waiting)
        else:
            heapreplace(waiting, (left + 1, host))
    return dict(sorted(plan.items()))


def assign_slots(placement: Placement, clone: CloneUnit) -> None:
    """Choose the owner of each slot; sets `slot_owners` and `slot_hosts`."""
    cluster = placement.cluster
    assert clone.address is not None
    view = cluster.view
    owners = view.slots[clone.address].owners
    clone.slot_owners, clone.slot_hosts, clone.idle_hosts = {}, [], []
    if not clone.managed:
        clone.slot_owners = dict(owners)
        clone.slot_hosts = sorted(set(owners.values()))
        return
    if clone.next_role == Role.STOPPED or cluster.options.stop_all:
        return
    refused = {host for (name, host), n in view.failures.items() if name == clone.address and n >= INFINITY}
    usable = [h for h in clone.allowed if clone.allowed[h] >= 0 and cluster.available(h) and h not in refused]
    drained = hosts_drained(view.drains, clone.address, usable)
    quota = _quota(cluster, clone, [host for host in usable if host not in drained])
    clone.slot_owners = spread(
        clone.clone_max, owners, quota, slots_barred(view.drains, clone.address), clone.clone_node_max
    )
    would_serve = _quota(cluster, clone, usable) if drained else quota
    clone.idle_hosts = sorted(host for host in drained if would_serve.get(host, 0) > 0)
    clone.slot_hosts = sorted({*(host for host in quota if quota[host] > 0), *clone.idle_hosts})
    if view.drains:
        clone.slot_hosts = sorted({*clone.slot_hosts, *clone.slot_owners.values()})
        _tell_homeless(cluster, clone, sum(would_serve.values()))
    for host in clone.slot_hosts:
        cluster.hosts[host].load += quota.get(host, 0)


def _tell_homeless(cluster: Cluster, clone: CloneUnit, could_serve: int) -> None:
    """Slots that nobody is to serve although hosts for them are there: a drain is obeyed to the end."""
    assert clone.address is not None
    if any(drain.node is None and drain.address == clone.address for drain in cluster.view.drains):
        return
    left = could_serve - len(clone.slot_owners)
    if left > 0:
        cluster.findings.append(
            f"{left} slots of {clone.address} are to be served by nobody: the hosts that are left for them are"
            " drained; 'vipcast drain status' tells which, 'vipcast undrain' ends that"
        )


def _quota(cluster: Cluster, clone: CloneUnit, usable: Sequence[str]) -> dict[str, int]:
    """How many slots each of these hosts is to have: tier by tier, best score first."""
    assert clone.address is not None
    owners = cluster.view.slots[clone.address].owners
    banned = hosts_without_dependents(clone)
    tiers: dict[tuple[bool, int], list[str]] = {}
    for host in sorted(usable):
        tiers.setdefault((host in banned, -clone.allowed[host]), []).append(host)
    policy = Policy.of(clone.meta)
    quota: dict[str, int] = {}
    left = clone.clone_max
    for tier in sorted(tiers):
        hosts = tiers[tier]
        held = {host: sum(owner == host for owner in owners.values()) for host in hosts}
        given = _shares_of_tier(cluster, policy, left, held, clone.clone_node_max)
        quota |= given
        left -= sum(given.values())
    return quota


def _shares_of_tier(
    cluster: Cluster, policy: Policy, count: int, held: Mapping[str, int], most: int
) -> dict[str, int]:
    """What each host of a tier gets: who has to wait keeps what it holds, unless the others cannot take the rest.

    Where all would have to wait (nobody has been released by hand since the cluster began), those that serve already
    do not.
    """
    now_ms = cluster.view.now_ms
    steps = {host: policy.steps(cluster.hosts[host], now_ms) for host in held}
    weights = {host: weight_of(cluster.hosts[host]) for host in held}
    changes = (policy.next_change_ms(cluster.hosts[host], now_ms) for host in held if weights[host])
    cluster.rechecks_ms.extend(change for change in changes if change is not None)
    if not any(steps.values()):
        steps = {host: STEPS if held[host] else 0 for host in held}
    due = [host for host in held if steps[host]]
    waiting = {host: min(held[host], most) for host in held if not steps[host] and weights[host]}
    kept = sum(waiting.values())
    if due and kept <= count:
        given = shares(count - kept, due, {host: weights[host] * steps[host] for host in due}, held, most)
        if sum(given.values()) + kept == count or not waiting:
            return given | waiting
    return shares(count, list(held), weights, held, most)


def hosts_without_dependents(clone: CloneUnit) -> set[str]:
    """Hosts on which something that has to be with the address cannot run: slots there would serve nobody."""
    found: set[str] = set()
    for colocation in clone.with_this:
        if colocation.score < INFINITY:
            continue
        dependent: Unit = colocation.dependent
        instances = list(dependent.instances())
        for host in clone.allowed:
            whole = dependent.allowed.get(host, -INFINITY)
            scores = [add_scores(whole, instance.allowed.get(host, -INFINITY)) for instance in instances]
            if max(scores, default=0) < 0:
                found.add(host)
    return found
