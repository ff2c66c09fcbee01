"""Promotable clones: which instances are promoted, once hosts are chosen.

The agents' promotion scores (`master-NAME` node attributes) first attract instances to hosts.  Of the instances that
will run, those with the highest scores are promoted; locations and colocations of the promoted role are added.
"""

from __future__ import annotations

from functools import cmp_to_key
from typing import TYPE_CHECKING

from daemon.model.configuration import INFINITY
from daemon.model.values import add_scores, sum_scores
from daemon.scheduler import clones
from daemon.scheduler.colocation import attribute, has_influence, same, this_with, with_this
from daemon.scheduler.scores import ban, note, prefer, replace_table, score_of
from daemon.scheduler.units import CloneUnit, Colocation, GroupUnit, Instance, Role, Unit

if TYPE_CHECKING:
    from daemon.scheduler.placement import Placement

UNMANAGED = (("unmanaged", INFINITY),)
CROWD = "other instances on the host"
"""whose ratings are added to each other's"""
NO_SCORE = -1
"""of an instance that no promotion score speaks of: only a location can make it eligible"""


# ---- the agents' scores


def add_promotion_scores(placement: Placement, clone: CloneUnit) -> None:
    """Let promotion scores attract instances to hosts, and order them."""
    if clone.promotion_added:
        return
    clone.promotion_added = True
    for copy in clone.copies:
        for host in list(copy.allowed):
            if not placement.cluster.available(host):
                continue
            score, _ = _score(placement, clone, copy, host)
            if score > 0:
                prefer(copy, host, score, "promotion-score")
            copy.priority = max(copy.priority, score)


def _score(placement: Placement, clone: CloneUnit, copy: Unit, host: str) -> tuple[int, bool]:
    """(score, whether any was given); a group's is the sum of its members'."""
    if not isinstance(copy, Instance):
        parts = [_score(placement, clone, child, host) for child in copy.children]
        return sum(score for score, _ in parts), any(given for _, given in parts)
    if not _applies(clone, copy, host):
        return 0, False
    values = placement.cluster.hosts[host].attributes
    base = copy.id.partition(":")[0]
    names = [copy.known_as or copy.id]
    if not clone.unique:
        names.append(base)
    for name in names:
        text = values.get(f"master-{name}")
        if text is not None:
            return score_of(text), True
    return 0, False


def _applies(clone: CloneUnit, instance: Instance, host: str) -> bool:
    """Does a score on this host speak of this instance?"""
    if instance.allowed.get(host, -1) < 0:
        return False
    if not clone.unique:
        base = instance.id.partition(":")[0]
        siblings = [i for i in clone.instances() if i.id.partition(":")[0] == base]
        active = next((i for i in siblings if host in i.running_on), None)
        if active is instance:
            return True
        if active is None and any(host in i.known_on for i in siblings):
            return True
    if not instance.running_on and not instance.known_on:
        return True
    return host in instance.known_on or host in instance.running_on


# ---- choosing


def set_roles(placement: Placement, clone: CloneUnit) -> None:
    """Choose which instances are promoted; all others that run are unpromoted."""
    clone.counts = dict.fromkeys(clone.allowed, 0)
    for copy in clone.copies:
        _set_priority(placement, clone, copy)
    _sort(placement, clone)
    promoted = 0
    for copy in clone.copies:
        host = None
        if copy.rating >= 0 and (promoted < clone.promoted_max or not clone.managed):
            host = _promotable_on(placement, clone, copy)
        frozen = not placement.cluster.quorate and placement.cluster.options.no_quorum == "freeze"
        if host is None or (role_of(copy, current=True) < Role.PROMOTED and frozen):
            _unpromote(copy)
            continue
        clone.counts[host] = clone.counts.get(host, 0) + 1
        _promote(copy)
        promoted += 1


def role_of(unit: Unit, current: bool) -> Role:
    if isinstance(unit, Instance):
        return unit.role if current else unit.next_role
    return max((role_of(child, current) for child in unit.children), default=Role.UNKNOWN)


def assigned_host(unit: Unit) -> str | None:
    return unit.assigned if isinstance(unit, Instance | GroupUnit) else None


def _set_priority(placement: Placement, clone: CloneUnit, copy: Instance | GroupUnit) -> None:
    if role_of(copy, current=True) == Role.STARTED:
        for instance in copy.instances():
            if instance.role == Role.STARTED:
                instance.role = Role.UNPROMOTED
    host = assigned_host(copy)
    if host is None:
        copy.rating = copy.priority
        return
    following = role_of(copy, current=False)
    origin = "promotion-score"
    if following in (Role.STARTED, Role.UNKNOWN):
        score, given = _score(placement, clone, copy, host)
        copy.priority = score if given else NO_SCORE
        origin = "promotion-score" if given else "no promotion-score"
    elif following in (Role.UNPROMOTED, Role.STOPPED):
        copy.priority, origin = -INFINITY, "target-role"
    copy.rated = ((origin, copy.priority),)
    for preference in placement.cluster.preferences:
        if preference.role == Role.PROMOTED and preference.unit in (copy, clone) and host in preference.scores:
            copy.priority = add_scores(copy.priority, preference.scores[host])
            copy.rated += ((preference.id, preference.scores[host]),)
    for colocation in this_with(copy):
        before = copy.priority
        colocate_role(placement, copy, colocation.primary, colocation)
        copy.rated += _part(colocation.id, before, copy.priority)
    copy.rating = copy.priority
    if following == Role.PROMOTED:
        copy.rating, copy.rated = INFINITY, UNMANAGED


def _part(origin: str, before: int, after: int) -> tuple[tuple[str, int], ...]:
    """What has changed a rating, if anything has."""
    if before == after:
        return ()
    return ((origin, after if abs(after) >= INFINITY else after - before),)


def _sort(placement: Placement, clone: CloneUnit) -> None:
    """By falling promotion score; what those would like that want to be with a promoted instance is added first."""
    clone.merging = True
    table = dict(clone.allowed)
    parts = dict(clone.origins)
    for copy in clone.copies:
        host = assigned_host(copy)
        if copy.rating >= 0 and host is not None:
            table[host] = add_scores(copy.rating, table.get(host, 0))
    for colocation in with_this(clone):
        if colocation.primary_role == Role.PROMOTED and has_influence(colocation):
            factor = colocation.score / INFINITY
            wished = placement.merging.collect(
                colocation.dependent, clone, table, colocation, factor, positive=True, active=True
            )
            for host, score in wished.items():
                parts[host] = (*parts.get(host, ()), *_part(colocation.id, table[host], score))
            table = wished
    replace_table(clone, table, "promotion-score")
    if clone.without_ticket:
        ban(clone, clone.allowed, "ticket")
        table = dict(clone.allowed)
    for copy in clone.copies:
        host = assigned_host(copy)
        if not _managed(copy) and role_of(copy, current=False) == Role.PROMOTED:
            copy.rating, copy.rated = INFINITY, UNMANAGED
        elif host is None:
            copy.rating = -INFINITY
        elif copy.rating >= 0:
            copy.rating = table.get(host, 0)
            copy.rated += parts.get(host, ())
            copy.rated += _part(CROWD, sum_scores(score for _, score in copy.rated), copy.rating)
    clone.merging = False

    def order(left: Instance | GroupUnit, right: Instance | GroupUnit) -> int:
        if left.rating != right.rating:
            return right.rating - left.rating
        roles = role_of(left, current=True), role_of(right, current=True)
        if roles[0] != roles[1]:
            return roles[1] - roles[0]
        return clones.compare(placement, clone, left, right)

    clone.copies.sort(key=cmp_to_key(order))


def _managed(copy: Unit) -> bool:
    return any(instance.managed for instance in copy.instances()) if copy.children else copy.managed


def _promotable_on(placement: Placement, clone: CloneUnit, copy: Unit) -> str | None:
    """The host on which the copy can be promoted, if it can."""
    for child in copy.children:
        if _promotable_on(placement, clone, child) is None:
            return None
    host = assigned_host(copy)
    if host is None:
        return None
    managed = copy.managed
    if not managed:
        if role_of(copy, current=True) != Role.PROMOTED:
            return None
    elif copy.priority < 0 or not placement.cluster.available(host):
        return None
    if host not in clone.allowed or (managed and clone.counts.get(host, 0) >= clone.promoted_node_max):
        return None
    return host


def _unpromote(unit: Unit) -> None:
    unit.next_role = Role.STOPPED if not _anywhere(unit) else Role.UNPROMOTED
    for child in unit.children:
        _unpromote(child)


def _anywhere(unit: Unit) -> bool:
    return any(instance.assigned is not None for instance in unit.instances())


def _promote(unit: Unit) -> None:
    if unit.next_role == Role.UNKNOWN:
        unit.next_role = Role.PROMOTED
    for child in unit.children:
        _promote(child)


# ---- colocations of roles


def colocate_role(placement: Placement, dependent: Unit, primary: Unit, colocation: Colocation) -> int:
    """What a colocation means for the promotion of a dependent that has its host; returns what it added."""
    if isinstance(dependent, GroupUnit):
        if not dependent.members:
            return 0
        members = dependent.members[:1] if dependent.colocated else dependent.members
        delta = 0
        for member in members:
            delta = add_scores(delta, colocate_role(placement, member, primary, colocation))
        if delta:
            dependent.priority = add_scores(delta, dependent.priority)
        return delta
    if isinstance(primary, CloneUnit):
        return _with_clone(placement, dependent, primary, colocation)
    if isinstance(primary, GroupUnit):
        if primary.provisional or not primary.members:
            return 0
        member = primary.members[-1] if colocation.score >= INFINITY else primary.members[0]
        return colocate_role(placement, dependent, member, colocation)
    assert isinstance(dependent, Instance)
    assert isinstance(primary, Instance)
    top = dependent.top
    promotable = isinstance(top, CloneUnit) and top.promotable and dependent.parent is not None
    if primary.provisional or dependent.provisional:
        return 0
    if colocation.dependent_role < Role.UNPROMOTED or not promotable:
        return 0
    return _to_priority(placement, dependent, primary, colocation)


def _to_priority(placement: Placement, dependent: Instance, primary: Instance, colocation: Colocation) -> int:
    if dependent.assigned is None:
        return 0
    if primary.assigned is not None and colocation.primary_role not in (Role.UNKNOWN, primary.next_role):
        return 0
    cluster = placement.cluster
    here = attribute(cluster, dependent.assigned, colocation.node_attribute)
    there = attribute(cluster, primary.assigned, colocation.node_attribute)
    factor = 1
    if not same(here, there):
        if colocation.score != INFINITY or colocation.dependent_role != Role.PROMOTED:
            return 0
        factor = -1
    elif colocation.dependent_role == Role.UNPROMOTED:
        factor = -1
    delta = factor * colocation.score
    dependent.priority = add_scores(delta, dependent.priority)
    return delta


def _with_clone(placement: Placement, dependent: Unit, primary: CloneUnit, colocation: Colocation) -> int:
    if primary.provisional:
        return 0
    if (
        primary.promotable
        and colocation.primary_role != Role.UNKNOWN
        and colocation.dependent_role == Role.PROMOTED
        and not dependent.provisional
    ):
        role = colocation.primary_role
        if clones.compatible(placement, dependent, primary, current=False, role=role) is not None:
            dependent.priority = add_scores(dependent.priority, colocation.score)
            return colocation.score
        if colocation.score >= INFINITY:
            dependent.priority = -INFINITY
            return -INFINITY
        return 0
    if clones.interleaved(colocation, primary):
        partner = clones.compatible(placement, dependent, primary, current=False)
        if partner is not None:
            return colocate_role(placement, dependent, partner, colocation)
        if colocation.score >= INFINITY:
            placement.put(dependent, None, force=True, final=True)
        return 0
    if colocation.score >= INFINITY:
        return 0
    delta = 0
    for copy in primary.copies:
        delta = add_scores(delta, colocate_role(placement, dependent, copy, colocation))
    return delta


def colocate_with_role(placement: Placement, dependent: Unit, primary: CloneUnit, colocation: Colocation) -> None:
    """A dependent, not yet placed, that has to be (or would like to be) where the primary has a certain role."""
    hosts: list[str] = []
    for copy in primary.copies:
        host = assigned_host(copy)
        if host is not None and role_of(copy, current=False) == colocation.primary_role:
            hosts.append(host)
            if colocation.score < INFINITY:
                _prefer_alike(placement, dependent, host, colocation)
    both = colocation.dependent_role == colocation.primary_role == Role.PROMOTED
    if colocation.score < INFINITY or both:
        return
    for host, before in dependent.allowed.items():
        after = add_scores(before, primary_score(primary, host)) if host in hosts else -INFINITY
        note(dependent, host, before, after, colocation.id)


def primary_score(primary: CloneUnit, host: str) -> int:
    """The score of the instance that the primary has on the host."""
    for copy in reversed(primary.copies):
        if assigned_host(copy) == host:
            instance = next(iter(copy.instances()))
            # what nobody manages is there because it runs there, whatever its score
            return instance.allowed.get(host, 0) if instance.managed else 0
    return 0


def _prefer_alike(placement: Placement, dependent: Unit, place: str, colocation: Colocation) -> None:
    value = attribute(placement.cluster, place, colocation.node_attribute)
    for host in dependent.allowed:
        if same(value, attribute(placement.cluster, host, colocation.node_attribute)):
            prefer(dependent, host, colocation.score, colocation.id)
