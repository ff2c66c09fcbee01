"""Where everything shall run: hosts are chosen here, unit by unit, by falling priority.

Each choice takes the host with the best score; ties go to the host with the fewest assigned instances, then to
where the instance already runs, then to the first by name.  A unit is placed after those that it is colocated with.
"""

from __future__ import annotations

from functools import cmp_to_key

from daemon.model.configuration import INFINITY
from daemon.scheduler import clones
from daemon.scheduler.capacity import Capacity
from daemon.scheduler.cluster import Cluster
from daemon.scheduler.colocation import (
    Merging,
    affects,
    any_available,
    apply_to_scores,
    intersect,
    this_with,
    with_this,
)
from daemon.scheduler.scores import ban, restore, snapshot
from daemon.scheduler.units import CloneUnit, Colocation, GroupUnit, Instance, Role, Unit, places


class Placement:
    """The state of choosing hosts: who is next, who waits for whom."""

    def __init__(self, cluster: Cluster, merging: Merging) -> None:
        self.cluster = cluster
        self.merging = merging
        self.capacity = Capacity(cluster)

    def assign_all(self) -> None:
        if self.cluster.options.placement != "default":
            self._sort_units()
        for unit in self.cluster.units:
            self.assign(unit, None, final=True)

    def _sort_units(self) -> None:
        """Where room is scarce, those choose first that have the most to lose."""
        hosts = self.sorted_hosts(dict.fromkeys(self.cluster.hosts, 0), None)
        keys = {}
        for unit in self.cluster.units:
            table = self.merging.own_wishes(unit)
            here = next(iter(places(unit)), None)
            wishes = [table.get(host, -INFINITY) for host in ([here] if here else [""]) + hosts]
            keys[id(unit)] = [-unit.priority, *(-score for score in wishes)]
        self.cluster.units.sort(key=lambda unit: keys[id(unit)])

    def assign(self, unit: Unit, prefer: str | None, final: bool) -> str | None:
        """Choose; `prefer` breaks ties; unless `final`, a failure leaves no trace and may be tried again."""
        if isinstance(unit, Instance):
            return self._assign_instance(unit, prefer, final)
        if isinstance(unit, GroupUnit):
            return self._assign_group(unit, prefer, final)
        assert isinstance(unit, CloneUnit)
        clones.assign_clone(self, unit, prefer, final)
        return None

    # ---- one instance

    def _assign_instance(self, instance: Instance, prefer: str | None, final: bool) -> str | None:
        parent = instance.parent
        if parent is not None and not parent.assigning:
            self.assign(parent, prefer, final)
        if not instance.provisional:
            return instance.assigned
        if instance.assigning:
            return None
        instance.assigning = True
        needs, wishes = this_with(instance), with_this(instance)
        for mandatory in (True, False):
            for colocation in needs:
                if colocation.mandatory == mandatory:
                    self._apply_need(instance, colocation, final)
            for colocation in wishes:
                if colocation.mandatory == mandatory:
                    self.merging.add_dependents(instance, colocation)
        self._settle_role(instance)
        cluster = self.cluster
        if cluster.options.fencing and not cluster.have_fencing:
            instance.managed = False
        if not instance.managed:
            instance.next_role = instance.role
            self.put(instance, instance.current, force=True, final=final)
        elif cluster.options.stop_all:
            self.put(instance, None, force=True, final=final)
        else:
            self._assign_best(instance, prefer, final)
        instance.assigning = False
        return instance.assigned

    def _settle_role(self, instance: Instance) -> None:
        options = self.cluster.options
        if instance.next_role == Role.STOPPED:
            ban(instance, self.cluster.hosts, "target-role")
        elif instance.next_role > instance.role and not self.cluster.quorate and options.no_quorum == "freeze":
            instance.next_role = instance.role

    def _apply_need(self, instance: Instance, colocation: Colocation, final: bool) -> None:
        archive = None
        if colocation.dependent_role >= Role.PROMOTED or -INFINITY < colocation.score < 0:
            archive = snapshot(instance)
        if colocation.primary.provisional:
            self.assign(colocation.primary, None, final=True)
        self.colocate(instance, colocation.primary, colocation)
        if archive is not None and not any_available(self.cluster, instance.allowed):
            restore(instance, archive)

    def _assign_best(self, instance: Instance, prefer: str | None, final: bool) -> None:
        roomiest = self.capacity.ban_the_too_small(instance)
        if prefer is None:
            prefer = roomiest
        hosts = self.sorted_hosts(instance.allowed, instance.place)
        chosen: str | None = None
        if len(hosts) > 1 and instance.allowed[hosts[0]] == instance.allowed[hosts[1]]:
            instance.tied = {host: self.cluster.hosts[host].load for host in hosts}
        if hosts:
            best = hosts[0]
            if (
                prefer is not None
                and prefer in instance.allowed
                and instance.allowed[prefer] >= instance.allowed[best]
                and instance.allowed[prefer] >= 0
                and self.cluster.available(prefer)
            ):
                chosen = prefer
            else:
                chosen = self._stay_if_as_good(instance, hosts)
        self.put(instance, chosen, force=False, final=final)

    def _stay_if_as_good(self, instance: Instance, hosts: list[str]) -> str:
        """The best host; of equally good ones (and better than 0) the one where the instance runs already."""
        best, current = hosts[0], instance.place
        score = instance.allowed[best]
        parent = instance.parent
        if isinstance(parent, CloneUnit) and parent.unique:
            return best
        if score <= 0 or current is None or not self.cluster.available(best):
            return best
        return current if instance.allowed.get(current) == score and self.cluster.available(current) else best

    def sorted_hosts(self, scores: dict[str, int], current: str | None) -> list[str]:
        """Hosts by falling preference."""
        hosts, strategy = self.cluster.hosts, self.cluster.options.placement

        def compare(left: str, right: str) -> int:
            one, two = hosts[left], hosts[right]
            ahead = (scores[right] if two.available else -INFINITY) - (scores[left] if one.available else -INFINITY)
            if not ahead and strategy == "balanced":
                ahead = self.capacity.compare(left, right)
            if not ahead and strategy != "minimal":
                ahead = one.load - two.load or (right == current) - (left == current)
            return ahead or (left > right) - (left < right)

        return sorted(sorted(scores), key=cmp_to_key(compare))

    def put(self, unit: Unit, host: str | None, force: bool, final: bool) -> bool:
        """Assign to a host (None: nowhere).  Without `force` only where the score and the host allow it."""
        if not isinstance(unit, Instance):
            changes = [self.put(child, host, force, final) for child in unit.children]
            return any(changes)
        if host is not None and not force and not self._may_run(unit, host):
            host = None
        changed = host != unit.assigned
        self.take_back(unit)
        unit.provisional = False
        if host is None:
            if final:
                unit.next_role = Role.STOPPED
            return changed
        unit.assigned = host
        self.cluster.hosts[host].load += 1
        self.capacity.consume(unit, host)
        return changed

    def _may_run(self, instance: Instance, host: str) -> bool:
        return instance.allowed.get(host, 0) >= 0 and self.cluster.available(host)

    def take_back(self, unit: Unit) -> None:
        unit.provisional = True
        for child in unit.children:
            self.take_back(child)
        if isinstance(unit, Instance) and unit.assigned is not None:
            self.cluster.hosts[unit.assigned].load -= 1
            self.capacity.release(unit, unit.assigned)
            unit.assigned = None

    # ---- groups

    def _assign_group(self, group: GroupUnit, prefer: str | None, final: bool) -> str | None:
        if not group.provisional:
            return group.assigned
        if group.assigning:
            return None
        if not group.members:
            group.provisional = False
            return None
        group.assigning = True
        first: str | None = None
        for member in group.members:
            host = self.assign(member, prefer, final)
            first = first or host
        group.next_role = group.members[0].next_role
        group.assigning = False
        group.provisional = False
        return first if group.colocated else None

    # ---- colocations

    def colocate(self, dependent: Unit, primary: Unit, colocation: Colocation) -> None:
        """Apply a colocation to the dependent's scores, whatever kinds of unit both are."""
        if isinstance(primary, CloneUnit):
            clones.colocate_with_clone(self, dependent, primary, colocation)
        elif isinstance(primary, GroupUnit):
            self._colocate_with_group(dependent, primary, colocation)
        elif affects(dependent, primary, colocation):
            apply_to_scores(self.cluster, dependent, primary, colocation)

    def colocate_group(self, group: GroupUnit, primary: Unit, colocation: Colocation) -> None:
        for member in group.members[:1] if group.colocated else group.members:
            self.colocate(member, primary, colocation)

    def _colocate_with_group(self, dependent: Unit, group: GroupUnit, colocation: Colocation) -> None:
        if group.provisional or not group.members:
            return
        if not group.colocated:
            if colocation.score < INFINITY:
                for member in group.members:
                    self.colocate(dependent, member, colocation)
            return
        # a mandatory colocation needs the whole group up, a wish is content with its beginning
        member = group.members[-1] if colocation.score >= INFINITY else group.members[0]
        self.colocate(dependent, member, colocation)


__all__ = ["Placement", "intersect"]
