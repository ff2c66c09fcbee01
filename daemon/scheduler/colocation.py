"""Colocations: who pulls whom where, before, while and after hosts are chosen.

Two things happen with a colocation.  When its *dependent* is placed, the primary is placed first, and its host
becomes a requirement (INFINITY) or a preference for the dependent.  When its *primary* is placed, what the
dependents would like counts as a preference of the primary, attenuated by score/INFINITY, and theirs by that of
what depends on them, and so on.
"""

from __future__ import annotations

from daemon.model.configuration import INFINITY
from daemon.model.values import add_scores
from daemon.scheduler.cluster import Cluster
from daemon.scheduler.scores import note, replace_table
from daemon.scheduler.units import CloneUnit, Colocation, GroupUnit, Instance, Role, Unit, places

UNUSABLE = -INFINITY // 2 - 1
"""marks a host, within one merge, that a positive preference must not make attractive again"""


def connect(cluster: Cluster, colocation: Colocation) -> None:
    if colocation.score == 0:
        return
    colocation.dependent.this_with.append(colocation)
    colocation.primary.with_this.append(colocation)
    cluster.colocations.append(colocation)


def has_influence(colocation: Colocation, primary: Unit | None = None) -> bool:
    """Do the dependent's wishes count for the primary?  Always, while the primary runs nowhere yet."""
    allowed = colocation.influence if colocation.influence is not None else colocation.dependent.critical
    return allowed or not places(primary or colocation.primary)


def _order_key(unit: Unit) -> tuple[int, int, bool, str]:
    promotable = isinstance(unit, CloneUnit) and unit.promotable
    return (-unit.priority, -unit.rank, not promotable, unit.id)


def _sorted_by_primary(colocations: list[Colocation]) -> list[Colocation]:
    # a later one goes before earlier equal ones: it is inserted in front of them
    return sorted(colocations, key=lambda c: _order_key(c.primary))


def _sorted_by_dependent(colocations: list[Colocation]) -> list[Colocation]:
    return sorted(colocations, key=lambda c: _order_key(c.dependent))


def this_with(unit: Unit) -> list[Colocation]:
    """Colocations in which the unit is a dependent, its parents' included where they bind it."""
    found: list[Colocation] = []
    _this_with(unit, unit, found)
    return _sorted_by_primary(found)


def _this_with(unit: Unit, origin: Unit, found: list[Colocation]) -> None:
    if isinstance(unit, GroupUnit):
        _this_with_group(unit, origin, found)
    elif unit is origin or isinstance(unit, CloneUnit):
        found.extend(unit.this_with)
        if unit.parent is not None:
            _this_with(unit.parent, origin, found)
    else:
        found.extend(c for c in unit.this_with if c.explicit)


def _this_with_group(group: GroupUnit, origin: Unit, found: list[Colocation]) -> None:
    if not group.members:
        return
    if origin in (group, group.members[0]):
        found.extend(group.this_with)
        if group.parent is not None:
            _this_with(group.parent, origin, found)
        if group.colocated:
            for member in group.members:
                if member is not origin:
                    _this_with(member, origin, found)
        return
    # later members follow the first through the chain inside the group, unless an unmanaged one breaks it
    for member in group.members:
        if member is origin:
            return
        if not member.managed:
            found.extend(c for c in group.this_with if c.score >= INFINITY)
            return


def with_this(unit: Unit) -> list[Colocation]:
    """Colocations in which the unit is the primary."""
    found: list[Colocation] = []
    _with_this(unit, unit, found)
    return _sorted_by_dependent(found)


def _with_this(unit: Unit, origin: Unit, found: list[Colocation]) -> None:
    if isinstance(unit, GroupUnit):
        if not unit.members or origin not in (unit, unit.members[-1]):
            return
        found.extend(unit.with_this)
        if unit.parent is not None:
            _with_this(unit.parent, origin, found)
        if unit.colocated:
            for member in unit.members:
                if member is not origin:
                    _with_this(member, origin, found)
    elif unit is origin or isinstance(unit, CloneUnit):
        found.extend(unit.with_this)
        if unit.parent is not None:
            _with_this(unit.parent, origin, found)
    else:
        found.extend(c for c in unit.with_this if c.explicit)


# ---- what dependents would like, for the primary


def attribute(cluster: Cluster, host: str | None, name: str) -> str | None:
    return None if host is None else cluster.hosts[host].attributes.get(name)


def same(left: str | None, right: str | None) -> bool:
    if left is None or right is None:
        return left is right
    return left.lower() == right.lower()


def any_available(cluster: Cluster, scores: dict[str, int]) -> bool:
    return any(score >= 0 and cluster.available(host) for host, score in scores.items())


class Merging:
    """Collects preferences along chains of colocations into a table of scores."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def add_dependents(self, primary: Unit, colocation: Colocation) -> None:
        """Let a colocation's dependent say where it would like `primary` to be."""
        if not has_influence(colocation):
            return
        factor = colocation.score / INFINITY
        positive = isinstance(primary, CloneUnit)
        merged = self.collect(
            colocation.dependent, primary, primary.allowed, colocation, factor, positive, active=True
        )
        if merged is not primary.allowed:
            replace_table(primary, merged, colocation.id)

    def own_wishes(self, unit: Unit) -> dict[str, int]:
        """A unit's scores with those of what it has to be with, and of what that has to be with."""
        source: Unit = unit.members[-1] if isinstance(unit, GroupUnit) and unit.members else unit
        source.merging = True
        work = dict(source.allowed)
        if any_available(self.cluster, work):
            for colocation in this_with(source):
                work = self._follow(colocation.primary, source, work, colocation, colocation.score / INFINITY)
        source.merging = False
        return work

    def _follow(
        self, source: Unit, target: Unit, scores: dict[str, int], colocation: Colocation, factor: float
    ) -> dict[str, int]:
        """Like `collect`, along primaries."""
        if source.merging:
            return scores
        if isinstance(source, GroupUnit) and source.members:
            return self._follow(source.members[0], target, scores, colocation, factor)
        source.merging = True
        work = self._matching(source, target, scores, colocation, factor, positive=False)
        if any_available(self.cluster, work):
            for further in this_with(source):
                work = self._follow(further.primary, target, work, further, factor * further.score / INFINITY)
        else:
            work = scores
        source.merging = False
        return work

    def collect(
        self,
        source: Unit,
        target: Unit,
        scores: dict[str, int],
        colocation: Colocation,
        factor: float,
        positive: bool,
        active: bool,
    ) -> dict[str, int]:
        """`scores` plus `factor` times what `source`, and all that depends on it, would like."""
        if source.merging:
            return scores
        source.merging = True
        try:
            if isinstance(source, GroupUnit):
                if not source.members:
                    return scores
                return self.collect(source.members[0], target, scores, colocation, factor, positive, active)
            return self._collect(source, target, scores, colocation, factor, positive, active)
        finally:
            source.merging = False

    def _collect(
        self,
        source: Unit,
        target: Unit,
        scores: dict[str, int],
        colocation: Colocation,
        factor: float,
        positive: bool,
        active: bool,
    ) -> dict[str, int]:
        work = self._matching(source, target, scores, colocation, factor, positive)
        if any_available(self.cluster, work):
            for further in with_this(source):
                if has_influence(further):
                    work = self.collect(
                        further.dependent, target, work, further, factor * further.score / INFINITY, positive, True
                    )
        elif active:
            return scores
        if positive:
            work = {host: 1 if score == UNUSABLE else score for host, score in work.items()}
        return work

    def _matching(
        self,
        source: Unit,
        target: Unit,
        scores: dict[str, int],
        colocation: Colocation,
        factor: float,
        positive: bool,
    ) -> dict[str, int]:
        work = dict(scores)
        for host, before in scores.items():
            value = attribute(self.cluster, host, colocation.node_attribute)
            score = self._best(colocation, source, value)
            if factor < 0 and score < 0 and not self._double_negative(colocation, score):
                continue
            if before == UNUSABLE:
                continue
            exact = factor * score
            delta = int(exact - 0.5) if exact < 0 else int(exact + 0.5)
            if delta == 0 and score != 0:
                delta = 1 if factor > 0 else -1 if factor < 0 else 0
            after = add_scores(delta, before)
            if positive and after < 0:
                if before > 0:
                    work[host] = UNUSABLE
                if before >= 0:
                    continue
            work[host] = after
        return work

    def _double_negative(self, colocation: Colocation, score: int) -> bool:
        """May a host that an anti-colocated dependent avoids become attractive for the primary?

        Only where the dependent has exactly one host left, and the primary is less sticky than that matters.
        """
        if colocation.primary.stickiness >= -score or not has_influence(colocation):
            return False
        return sum(value >= 0 for value in colocation.dependent.allowed.values()) == 1

    def _best(self, colocation: Colocation, source: Unit, value: str | None) -> int:
        """The best score of the source on a host whose attribute has this value."""
        table = source.allowed
        parent = source.parent
        if (
            source is colocation.dependent
            and colocation.explicit
            and isinstance(parent, GroupUnit)
            and source is not parent.members[0]
        ):
            table = dict(table)
            for host, parts in parent.origins.items():
                for origin, score in parts:
                    if origin in self.group_locations:
                        table[host] = add_scores(table.get(host, 0), score)
        best = -INFINITY
        for host, score in table.items():
            alike = same(value, attribute(self.cluster, host, colocation.node_attribute))
            if score > best and alike and self.cluster.available(host):
                best = score
        return best

    group_locations: frozenset[str] = frozenset()
    """ids of location constraints: what a group's own scores are made of that its later members did not get"""


# ---- what a placed primary means for its dependent


def affects(dependent: Unit, primary: Unit, colocation: Colocation) -> bool:
    """Does the colocation say anything about where `dependent` goes, now that `primary` is placed?"""
    if primary.provisional or not dependent.provisional:
        return False
    if colocation.dependent_role not in (Role.UNKNOWN, dependent.next_role):
        return False
    return colocation.primary_role in (Role.UNKNOWN, _role(primary))


def _role(unit: Unit) -> Role:
    return unit.next_role


def apply_to_scores(cluster: Cluster, dependent: Unit, primary: Unit, colocation: Colocation) -> None:
    """Require, prefer or avoid the host of a primary that has been placed."""
    host_of_primary = primary.assigned if isinstance(primary, Instance | GroupUnit) else None
    if host_of_primary is None and colocation.score < 0:
        return
    wanted = attribute(cluster, host_of_primary, colocation.node_attribute)
    work = dict(dependent.allowed)
    for host, score in work.items():
        if host_of_primary is None:
            work[host] = add_scores(-colocation.score, score)
        elif same(attribute(cluster, host, colocation.node_attribute), wanted):
            if colocation.score < INFINITY:
                work[host] = add_scores(colocation.score, score)
        elif colocation.score >= INFINITY:
            work[host] = -INFINITY
    if colocation.mandatory or any_available(cluster, work):
        replace_table(dependent, work, colocation.id)


def intersect(dependent: Unit, hosts: set[str], colocation: Colocation) -> None:
    """The dependent may run only on these hosts."""
    for host, before in dependent.allowed.items():
        if host not in hosts:
            note(dependent, host, before, -INFINITY, colocation.id)
