"""Slots of an address: as many on each host as its weight says, moving as few as possible.

A slot-driven address is a globally-unique clone of `ocf:heartbeat:IPaddr2`.  Its instances are slots in the kernel,
not processes, so they are planned as a block: first how many slots each host gets, then which.

Hosts are taken in tiers of equal score, best tier first; within a tier the slots are shared by weight, none beyond
clone-node-max; what is left over goes to the next tier.  A host on which a resource that must be with the address
cannot run is used only when no other host is left.  Unlike Pacemaker's clones, slots spread again over a host that
returns, which costs a move of just the slots that it is due.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heapreplace
from typing import TYPE_CHECKING

from daemon.model.configuration import INFINITY
from daemon.model.values import add_scores
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


def spread(count: int, owners: Mapping[int, str], quota: Mapping[str, int]) -> dict[int, str]:
    """Give each slot an owner so that the quota is met; a slot whose owner has room for it stays."""
    room = dict(quota)
    plan: dict[int, str] = {}
    for slot in range(count):
        owner = owners.get(slot)
        if owner is not None and room.get(owner, 0) > 0:
            plan[slot] = owner
            room[owner] -= 1
    # a heap of the emptiest: most room first, then by name
    waiting = [(-left, host) for host, left in room.items() if left > 0]
    heapify(waiting)
    for slot in range(count):
        if slot in plan:
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
    clone.slot_owners, clone.slot_hosts = {}, []
    if not clone.managed:
        clone.slot_owners = dict(owners)
        clone.slot_hosts = sorted(set(owners.values()))
        return
    if clone.next_role == Role.STOPPED or cluster.options.stop_all:
        return
    refused = {host for (name, host), n in view.failures.items() if name == clone.address and n >= INFINITY}
    usable = [h for h in clone.allowed if clone.allowed[h] >= 0 and cluster.available(h) and h not in refused]
    banned = hosts_without_dependents(clone)
    tiers: dict[tuple[bool, int], list[str]] = {}
    for host in sorted(usable):
        tiers.setdefault((host in banned, -clone.allowed[host]), []).append(host)
    quota: dict[str, int] = {}
    left = clone.clone_max
    for tier in sorted(tiers):
        hosts = tiers[tier]
        weights = {host: max(0, view.nodes[host].weight) for host in hosts}
        held = {host: sum(owner == host for owner in owners.values()) for host in hosts}
        given = shares(left, hosts, weights, held, clone.clone_node_max)
        quota |= given
        left -= sum(given.values())
    clone.slot_owners = spread(clone.clone_max, owners, quota)
    clone.slot_hosts = [host for host in sorted(quota) if quota[host] > 0]
    for host in clone.slot_hosts:
        cluster.hosts[host].load += quota[host]


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
