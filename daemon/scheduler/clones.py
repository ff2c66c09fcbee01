"""Placing the instances of clones.

Instances that run stay where they are if that place is still the best for *some* instance; the remaining ones go
where the scores say, no more than clone-node-max on a host and clone-max in all.
"""

from __future__ import annotations

from functools import cmp_to_key
from typing import TYPE_CHECKING

from daemon.model.configuration import INFINITY
from daemon.scheduler import promotion, slots
from daemon.scheduler.cluster import Cluster
from daemon.scheduler.colocation import apply_to_scores, has_influence, intersect, this_with, with_this
from daemon.scheduler.scores import Snapshot, ban, note, restore, snapshot
from daemon.scheduler.units import (
    CloneUnit,
    Colocation,
    GroupUnit,
    Instance,
    Role,
    Unit,
    first_assigned,
    hosts_running,
    places,
)

if TYPE_CHECKING:
    from daemon.scheduler.placement import Placement


def assign_clone(placement: Placement, clone: CloneUnit, prefer: str | None, final: bool) -> None:
    if not clone.provisional or clone.assigning:
        return
    clone.assigning = True
    if clone.promotable:
        promotion.add_promotion_scores(placement, clone)
    for colocation in this_with(clone):
        placement.assign(colocation.primary, prefer, final)
    for colocation in with_this(clone):
        placement.merging.add_dependents(clone, colocation)
    if clone.address is not None:
        slots.assign_slots(placement, clone)
    else:
        clone.copies.sort(key=cmp_to_key(lambda a, b: compare(placement, clone, a, b)))
        _assign_copies(placement, clone)
        if clone.promotable:
            promotion.set_roles(placement, clone)
    clone.assigning = clone.provisional = False


# ---- in which order instances choose


def number_of(copy: Unit) -> int:
    return int(copy.id.rpartition(":")[2])


def compare(placement: Placement, clone: CloneUnit, left: Instance | GroupUnit, right: Instance | GroupUnit) -> int:
    """Negative if `left` shall choose first: what runs well keeps its place, what is free takes what is left."""
    cluster = placement.cluster
    runs = places(left), places(right)
    if runs[0] and runs[1] and len(runs[0]) != len(runs[1]):
        return len(runs[0]) - len(runs[1])
    homes = _home(left, runs[0]), _home(right, runs[1])
    if homes[0][1] != homes[1][1]:
        return -1 if homes[0][1] else 1
    if left.priority != right.priority:
        return right.priority - left.priority
    here, there = homes[0][0], homes[1][0]
    if here is None or there is None:
        return (here is None) - (there is None)
    good = cluster.available(here), cluster.available(there)
    if good[0] != good[1]:
        return -1 if good[0] else 1
    known = here in clone.allowed, there in clone.allowed
    if not (known[0] and known[1]):
        return known[1] - known[0]
    crowd = clone.counts.get(here, 0) - clone.counts.get(there, 0)
    if crowd:
        return crowd
    failed = _failed(left), _failed(right)
    if failed[0] != failed[1]:
        return 1 if failed[0] else -1
    pull = _pull(placement, right, there) - _pull(placement, left, here)
    return pull or number_of(left) - number_of(right)


def _home(copy: Instance | GroupUnit, runs: list[str]) -> tuple[str | None, bool]:
    """(where it runs, whether that is all right); None where it runs nowhere, or where it may not be."""
    if not runs:
        return None, True
    if copy.allowed.get(runs[0], -1) < 0:
        return None, False
    return runs[0], True


def _failed(copy: Instance | GroupUnit) -> bool:
    return any(instance.failed for instance in copy.instances())


def _pull(placement: Placement, copy: Instance | GroupUnit, host: str) -> int:
    """What colocations make of an instance's present place."""
    here = placement.cluster.hosts[host]
    scores = {host: 0 if here.online and not here.shutdown else -INFINITY}
    for colocation in this_with(copy):
        factor = colocation.score / INFINITY
        scores = placement.merging.collect(
            colocation.primary, copy, scores, colocation, factor, positive=False, active=False
        )
    for colocation in with_this(copy):
        if has_influence(colocation, copy):
            factor = colocation.score / INFINITY
            scores = placement.merging.collect(
                colocation.dependent, copy, scores, colocation, factor, positive=True, active=False
            )
    return scores[host]


# ---- choosing


def _assign_copies(placement: Placement, clone: CloneUnit) -> None:
    cluster = placement.cluster
    clone.counts = dict.fromkeys(clone.allowed, 0)
    usable = sum(cluster.available(host) for host in clone.allowed)
    optimal = max(1, clone.clone_max // usable if usable else 0)
    assigned = 0
    for copy in clone.copies:
        if assigned >= clone.clone_max:
            break
        if not copy.provisional:
            continue
        home = _preferred(cluster, clone, copy, optimal)
        if home is not None and _stay(placement, clone, copy, home, clone.clone_max - assigned):
            assigned += 1
    for copy in clone.copies:
        if not copy.provisional:
            continue
        if assigned >= clone.clone_max:
            _ban_everywhere(placement, copy)
            placement.assign(copy, None, final=True)
        elif _assign_copy(placement, clone, copy, None) is not None:
            assigned += 1
    if not clone.unique:
        _keep_what_runs(placement, clone)


def _keep_what_runs(placement: Placement, clone: CloneUnit) -> None:
    """Copies that nobody can tell apart change places, where one would be stopped for another to start there.

    The peer does not: there a copy that has just been refused its host gives way to one that was asked later, and the
    next plan says the same again, for ever.
    """
    idle = {copy.running_on[0]: copy for copy in clone.copies if _is_idle(copy)}
    for fresh in clone.copies:
        kept = idle.pop(fresh.assigned, None) if fresh.assigned is not None and not fresh.running_on else None
        if kept is None:
            continue
        for old, new in zip(kept.instances(), fresh.instances(), strict=True):
            host, tables = new.assigned, (snapshot(old), snapshot(new))
            restore(old, tables[1])
            restore(new, tables[0])
            old.next_role = new.next_role
            placement.put(new, None, force=True, final=True)
            placement.put(old, host, force=True, final=True)


def _is_idle(copy: Instance | GroupUnit) -> bool:
    """It runs on one host, well, and was given none."""
    if copy.assigned is not None or copy.orphan or len(copy.running_on) != 1:
        return False
    return not any(instance.failed for instance in copy.instances())


def _ban_everywhere(placement: Placement, copy: Unit) -> None:
    ban(copy, placement.cluster.hosts, "clone-max")
    for child in copy.children:
        _ban_everywhere(placement, child)


def _preferred(cluster: Cluster, clone: CloneUnit, copy: Instance | GroupUnit, optimal: int) -> str | None:
    runs = places(copy)
    if not runs or (isinstance(copy, Instance) and copy.failed):
        return None
    if not cluster.available(runs[0]) or clone.counts.get(runs[0], 0) >= optimal:
        return None
    return runs[0]


def _stay(placement: Placement, clone: CloneUnit, copy: Instance | GroupUnit, home: str, available: int) -> bool:
    """Leave the copy on its host, unless others need the instances more.

    Where the best host is another one, one instance is set aside for that host and the question asked again: so
    instances are spread as the scores say, and those that run are the last to be moved.
    """
    if copy.allowed.get(home, -1) < 0 or not placement.cluster.available(home):
        return False
    tables = _tables(copy)
    counts = clone.counts
    clone.counts = dict(counts)
    chosen: str | None = None
    reserved = 0
    while reserved < available:
        chosen = _assign_copy(placement, clone, copy, home)
        if chosen == home:
            break
        _restore(copy, tables)
        if chosen is None:
            _provisional(copy)
            break
        reserved += 1
        placement.take_back(copy)
        chosen = None
    clone.counts = counts
    if chosen is None:
        return False
    clone.counts[home] = clone.counts.get(home, 0) + 1
    return True


def _tables(unit: Unit) -> dict[str, Snapshot]:
    found = {unit.id: snapshot(unit)}
    for child in unit.children:
        found |= _tables(child)
    return found


def _restore(unit: Unit, tables: dict[str, Snapshot]) -> None:
    restore(unit, tables[unit.id])
    for child in unit.children:
        _restore(child, tables)


def _provisional(unit: Unit) -> None:
    unit.provisional = True
    for child in unit.children:
        _provisional(child)


def _assign_copy(
    placement: Placement, clone: CloneUnit, copy: Instance | GroupUnit, prefer: str | None
) -> str | None:
    if copy.assigning:
        return None
    for host in list(copy.allowed):
        if not _may_host(placement, clone, copy, host):
            for unit in (copy, *copy.children):
                if host in unit.allowed:
                    note(unit, host, unit.allowed[host], -INFINITY, _full(placement, clone, host))
    chosen = placement.assign(copy, prefer, final=prefer is None)
    if chosen is not None and chosen in clone.allowed:
        clone.counts[chosen] = clone.counts.get(chosen, 0) + 1
    return chosen


def _full(placement: Placement, clone: CloneUnit, host: str) -> str:
    """What keeps a copy away from a host as such, for the reasons."""
    if clone.counts.get(host, 0) >= clone.clone_node_max:
        return "clone-node-max"
    return "its clone may not run there" if placement.cluster.available(host) else "the host cannot run it"


def _may_host(placement: Placement, clone: CloneUnit, copy: Unit, host: str) -> bool:
    if copy.orphan or not placement.cluster.available(host):
        return False
    score = clone.allowed.get(host)
    if score is None or score < 0:
        return False
    return clone.counts.get(host, 0) < clone.clone_node_max


# ---- clones as the primary of a colocation


def colocate_with_clone(placement: Placement, dependent: Unit, primary: CloneUnit, colocation: Colocation) -> None:
    if primary.provisional:
        return
    if primary.promotable and colocation.primary_role != Role.UNKNOWN and dependent.provisional:
        promotion.colocate_with_role(placement, dependent, primary, colocation)
        return
    if interleaved(colocation, primary):
        partner = compatible(placement, dependent, primary, current=False)
        if partner is not None:
            if isinstance(partner, GroupUnit | Instance):
                placement.colocate(dependent, partner, colocation)
        elif colocation.score >= INFINITY:
            placement.put(dependent, None, force=True, final=True)
        return
    if colocation.score >= INFINITY:
        intersect(dependent, active_hosts(primary), colocation)
        return
    if primary.address is not None:
        _prefer_slots(placement, dependent, primary, colocation)
        return
    for copy in primary.copies:
        placement.colocate(dependent, copy, colocation)


def _prefer_slots(placement: Placement, dependent: Unit, primary: CloneUnit, colocation: Colocation) -> None:
    for host in sorted(active_hosts(primary)):
        stand_in = Instance(primary.id, {}, assigned=host, provisional=False)
        apply_to_scores(placement.cluster, dependent, stand_in, colocation)


def active_hosts(clone: CloneUnit) -> set[str]:
    """Where the clone will have instances that are not blocked."""
    if clone.address is not None:
        return set(clone.slot_hosts)
    found: set[str] = set()
    for copy in clone.copies:
        host = first_assigned(copy)
        if host is not None and not any(instance.blocked for instance in copy.instances()):
            found.add(host)
    return found


def interleaved(colocation: Colocation, primary: CloneUnit) -> bool:
    dependent = colocation.dependent
    if not isinstance(dependent, CloneUnit) or not dependent.interleave or primary.address is not None:
        return False
    if colocation.score <= -INFINITY:
        # who must never meet must not meet any instance; the peer looks at one alone, and swings to and fro
        return False
    return dependent.clone_node_max == primary.clone_node_max


def compatible(
    placement: Placement, unit: Unit, clone: CloneUnit, current: bool, role: Role = Role.UNKNOWN
) -> Instance | GroupUnit | None:
    """The clone's instance on the unit's host, or on one of the unit's best hosts where it has none yet."""
    home = _place(unit, current)
    hosts = [home] if home is not None else placement.sorted_hosts(unit.allowed, None)
    for host in hosts:
        for copy in clone.copies:
            if any(instance.blocked for instance in copy.instances()):
                continue
            if role != Role.UNKNOWN and _copy_role(copy, current) != role:
                continue
            if _place(copy, current) == host:
                return copy
    return None


def _copy_role(copy: Instance | GroupUnit, current: bool) -> Role:
    roles = [i.role if current else i.next_role for i in copy.instances()]
    return max(roles, default=Role.UNKNOWN)


def _place(unit: Unit, current: bool) -> str | None:
    if current:
        return next(iter(hosts_running(unit)), None)
    return first_assigned(unit)
