"""Which operations each unit needs to get from where it is to where it shall be."""

from __future__ import annotations

from daemon.scheduler.cluster import Cluster, truth
from daemon.scheduler.graph import DONE, Graph, Op
from daemon.scheduler.history import fence
from daemon.scheduler.migration import abandoned_hosts
from daemon.scheduler.units import CloneUnit, GroupUnit, Instance, Role, Unit

DOWN = {Role.PROMOTED: Role.UNPROMOTED, Role.UNPROMOTED: Role.STOPPED, Role.STARTED: Role.STOPPED}


class ActionBuilder:
    def __init__(self, cluster: Cluster, graph: Graph) -> None:
        self.cluster = cluster
        self.graph = graph

    def build_all(self) -> None:
        for unit in self.cluster.units:
            self.build(unit)

    def build(self, unit: Unit) -> None:
        if isinstance(unit, Instance):
            self._instance(unit)
        elif isinstance(unit, GroupUnit):
            for member in unit.members:
                self._instance(member)
            promotable = isinstance(unit.top, CloneUnit) and unit.top.promotable
            for task in _points(promotable):
                self._pseudo(unit, task, optional=True, runnable=True)
        elif isinstance(unit, CloneUnit):
            self._clone(unit)

    # ---- collectives

    def _pseudo(self, unit: Unit, task: str, optional: bool, runnable: bool) -> Op:
        op = self.graph.op(unit, task, None)
        op.pseudo, op.optional, op.runnable = True, optional, runnable
        return op

    def _clone(self, clone: CloneUnit) -> None:
        if clone.address is not None:
            for task in ("start", "running", "stop", "stopped"):
                self._pseudo(clone, task, optional=True, runnable=True)
            return
        for copy in clone.copies:
            self.build(copy)
        instances = list(clone.instances())
        starting = any(op.due for i in instances for op in self.graph.of(i, "start"))
        stopping = any(
            not op.optional and (op.runnable or op.pseudo) for i in instances for op in self.graph.of(i, "stop")
        )
        active = any(i.running_on for i in instances)
        self._pseudo(clone, "start", optional=not starting, runnable=True)
        self._pseudo(clone, "running", optional=not starting, runnable=active or starting)
        self._pseudo(clone, "stop", optional=not stopping, runnable=True)
        self._pseudo(clone, "stopped", optional=not stopping, runnable=True)
        if clone.promotable:
            for task in ("demote", "promote"):
                needed = any(not op.optional for i in instances for op in self.graph.of(i, task))
                self._pseudo(clone, task, optional=not needed, runnable=True)
                self._pseudo(clone, DONE[task], optional=not needed, runnable=True)

    # ---- one instance

    def _instance(self, instance: Instance) -> None:
        if instance.next_role == Role.UNKNOWN:
            instance.next_role = Role.STOPPED if instance.assigned is None else Role.STARTED
        if instance.orphan and instance.config is None and not instance.running_on:
            return
        target = instance.assigned
        moving = instance.current not in (None, target) and target is not None
        moving = moving and instance.next_role >= Role.STARTED
        for host in abandoned_hosts(instance):
            self._stop(instance, host, optional=False)
        restart, skip = self._multiple(instance)
        if instance.start_pending and target is not None:
            self._start(instance, target, optional=True)
        promote_again = False
        if not moving:
            restart = restart or self._must_restart(instance)
            recovers_by_demotion = instance.failed and not instance.stop_if_failed
            promote_again = recovers_by_demotion and instance.next_role == Role.PROMOTED
        role = self._restart(instance, restart or moving, promote_again, skip)
        self._transition(instance, role)
        self._monitored(instance)
        for host in sorted(instance.demote_on.intersection(instance.running_on)):
            self._demote(instance, host, optional=False)
        for host in sorted(instance.recover_on.intersection(instance.running_on)):
            self._stop(instance, host, optional=False)

    def _monitored(self, instance: Instance) -> None:
        """What is to run is to be monitored, and that comes after a start, should there be one."""
        host = instance.assigned
        if host is None or instance.blocked or self.cluster.hosts[host].maintenance:
            return
        if self.cluster.options.maintenance or truth(instance.meta, "maintenance", False):
            return
        if instance.next_role > Role.STOPPED or not instance.managed:
            self._start(instance, host, optional=True)

    def _must_restart(self, instance: Instance) -> bool:
        """Of an instance that stays where it is: does what has happened ask for a stop first?"""
        if instance.failed:
            return instance.stop_if_failed
        if instance.blocked:
            return True
        if instance.role > Role.STARTED and instance.current is not None and instance.assigned is not None:
            return not self._start(instance, instance.assigned, optional=True).optional
        return False

    def _multiple(self, instance: Instance) -> tuple[bool, set[str]]:
        """(whether running twice asks for a restart, where the run is the one that stays)"""
        if instance.migrating is not None:
            return (False, {instance.migrating[1]}) if self._goes_on(instance) else (True, set())
        if not self._multiply_active(instance) or instance.multiple_active in {"block", "stop_only"}:
            return False, set()
        keeps = instance.multiple_active == "stop_unexpected" and instance.assigned in instance.running_on
        return True, {instance.assigned} if keeps and instance.assigned is not None else set()

    def _goes_on(self, instance: Instance) -> bool:
        """Can the migration that has begun be ended as it was meant?"""
        return (
            instance.migratable
            and instance.managed
            and not (instance.failed or instance.start_pending)
            and len(instance.running_on) == 2
            and (instance.current, instance.assigned) == instance.migrating
            and not any(self.cluster.hosts[host].unclean for host in instance.running_on)
        )

    def _multiply_active(self, instance: Instance) -> bool:
        hosts = self.cluster.hosts
        if instance.requires in {"fencing", "unfencing"}:
            return len(instance.running_on) > 1
        return sum(hosts[h].online and not hosts[h].unclean for h in instance.running_on) > 1

    def _restart(self, instance: Instance, need_stop: bool, need_promote: bool, skip: set[str]) -> Role:
        """Down to stopped and up again to the present role; optional unless something demands it."""
        role = instance.role
        while role > Role.STOPPED:
            if role == Role.PROMOTED:
                for host in instance.running_on:
                    if host not in skip:
                        self._demote(instance, host, not need_stop)
            else:
                for host in instance.running_on:
                    if host not in skip:
                        self._stop(instance, host, not need_stop)
            role = DOWN[role]
        role = max(role, Role.STOPPED)
        if instance.role > instance.next_role or instance.blocked:
            return instance.role
        while role < instance.role and instance.assigned is not None:
            if role == Role.STOPPED:
                start = self._start(instance, instance.assigned, not need_stop)
                start.pseudo = start.pseudo or instance.assigned in skip
                role = Role.STARTED if instance.role == Role.STARTED else Role.UNPROMOTED
            else:
                self._promote(instance, instance.assigned, not (need_stop or need_promote))
                role = Role.PROMOTED
        return instance.role

    def _transition(self, instance: Instance, role: Role) -> None:
        """From the present role to the wanted one."""
        wanted = instance.next_role
        if role == Role.UNKNOWN:
            role = Role.STOPPED
        if role > wanted:
            if role == Role.PROMOTED:
                for host in instance.running_on:
                    self._demote(instance, host, optional=False)
                role = Role.UNPROMOTED
            if wanted == Role.STOPPED:
                for host in instance.running_on:
                    self._stop(instance, host, optional=False)
            elif instance.assigned is not None and instance.current not in (None, instance.assigned):
                self._start(instance, instance.assigned, optional=False)
            return
        target = instance.assigned
        if role == Role.STOPPED and wanted > Role.STOPPED and target is not None:
            self._start(instance, target, optional=False)
            role = Role.UNPROMOTED if wanted > Role.STARTED else Role.STARTED
        if role < wanted == Role.PROMOTED and target is not None:
            self._promote(instance, target, optional=False)

    # ---- operations

    def _new(self, instance: Instance, task: str, host: str, optional: bool) -> Op:
        op = self.graph.op(instance, task, host)
        if not instance.managed:
            op.optional = True
        elif not optional:
            op.optional = False
        self._runnable(instance, op)
        return op

    def _runnable(self, instance: Instance, op: Op) -> None:
        """A host must be up; what brings something up needs quorum, or whatever no-quorum-policy grants."""
        assert op.host is not None
        host = self.cluster.hosts[op.host]
        if op.pseudo:
            return
        if not host.online:
            op.runnable, op.waits = False, f"{host.name} is offline"
            if instance.managed and op.task == "stop" and not host.unclean:
                fence(self.cluster, host, f"{instance.id} cannot be stopped there")
            return
        if host.pending:
            op.runnable, op.waits = False, f"{host.name} is not ready yet"
            return
        needs = instance.requires if op.task in {"start", "promote"} else "nothing"
        op.needs = "fencing" if needs == "unfencing" else needs
        if needs == "nothing" or self.cluster.quorate:
            return
        policy = self.cluster.options.no_quorum
        if policy == "demote":
            policy = self._demoted_without_quorum(instance)
        if policy in {"stop", "suicide"}:
            op.runnable, op.waits = False, "no quorum"
        elif policy == "freeze" and (not instance.running_on or instance.next_role > instance.role):
            op.runnable, op.waits = False, "no quorum, and no-quorum-policy is freeze"

    def _demoted_without_quorum(self, instance: Instance) -> str:
        """no-quorum-policy=demote: what has roles goes on without being promoted, everything else stops."""
        if instance.role < Role.UNPROMOTED:
            return "stop"
        instance.next_role = min(instance.next_role, Role.UNPROMOTED)
        return "ignore"

    def _stop(self, instance: Instance, host: str, optional: bool) -> Op:
        op = self._new(instance, "stop", host, optional)
        if not instance.managed:
            op.runnable, op.waits = False, f"{instance.name} is not managed"
        return op

    def _start(self, instance: Instance, host: str, optional: bool) -> Op:
        op = self._new(instance, "start", host, True)
        if op.runnable and not optional and instance.managed:
            op.optional = False
        return op

    def _promote(self, instance: Instance, host: str, optional: bool) -> None:
        if all(op.runnable for op in self.graph.of(instance, "start", host)):
            self._new(instance, "promote", host, optional)

    def _demote(self, instance: Instance, host: str, optional: bool) -> None:
        self._new(instance, "demote", host, optional)


def _points(promotable: bool) -> list[str]:
    points = ["start", "running", "stop", "stopped"]
    return [*points, "promote", "promoted", "demote", "demoted"] if promotable else points
