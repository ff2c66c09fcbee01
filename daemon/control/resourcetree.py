"""What runs where: the resources of a status document, read with the scheduler's own eyes.

The scheduler's units already know templates, defaults, numbers of instances and what the results of operations
mean; this turns them into documents and adds what only a status shows: slots, and what is being done now.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from daemon.control.schema import InstanceStatus, ResourceStatus, Role, SlotStatus
from daemon.model.configuration import Configuration
from daemon.scheduler import units
from daemon.scheduler.cluster import Cluster
from daemon.scheduler.history import read_history
from daemon.scheduler.unpack import unpack
from daemon.scheduler.view import Action, NodeView, View

Slots = Mapping[str, tuple[SlotStatus, ...]]
"""address → its slots in order"""

_ROLES: Mapping[units.Role, Role] = {
    units.Role.UNKNOWN: "Stopped",
    units.Role.STOPPED: "Stopped",
    units.Role.STARTED: "Started",
    units.Role.UNPROMOTED: "Unpromoted",
    units.Role.PROMOTED: "Promoted",
}
_IN_WORK: Mapping[str, Role] = {"start": "Starting", "stop": "Stopping"}


def read(view: View) -> Cluster:
    """The scheduler's picture: hosts and units, with what the results of operations say of them."""
    cluster = unpack(view)
    read_history(cluster)
    return cluster


def resources(
    cluster: Cluster, actions: Iterable[Action] = (), slots: Slots | None = None
) -> tuple[ResourceStatus, ...]:
    """The tree in the administrator's order; `actions` are those that run now."""
    teller = _Teller(tuple(cluster.hosts), {(a.instance, a.node): a.operation for a in actions}, slots or {})
    order = {resource.id: number for number, resource in enumerate(cluster.view.configuration.resources)}
    ordered = sorted(cluster.units, key=lambda unit: order.get(unit.id, len(order)))
    return tuple(teller.resource(unit) for unit in ordered if not _only_remembered(unit))


def resources_at_rest(configuration: Configuration) -> tuple[ResourceStatus, ...]:
    """The tree of a configuration that nothing runs of: `vipcast -f FILE resource`."""
    nodes = {entry.name: NodeView(entry.name, online=False) for entry in configuration.nodes}
    return resources(read(View(configuration, nodes, ())))


def _only_remembered(unit: units.Unit) -> bool:
    """Results tell of it, but it is configured no more and runs nowhere."""
    return unit.orphan and not units.hosts_running(unit)


class _Teller:
    def __init__(self, hosts: tuple[str, ...], in_work: Mapping[tuple[str, str], str], slots: Slots) -> None:
        self.hosts = hosts
        self.in_work = in_work
        self.slots = slots

    def resource(self, unit: units.Unit) -> ResourceStatus:
        if isinstance(unit, units.CloneUnit):
            return self._clone(unit)
        if isinstance(unit, units.GroupUnit):
            return _described(unit, "group", members=tuple(self.resource(member) for member in unit.members))
        assert isinstance(unit, units.Instance)
        return _described(unit, "primitive", agent=unit.agent, instances=tuple(self._plain(unit)))

    def _clone(self, clone: units.CloneUnit) -> ResourceStatus:
        assert clone.config is not None
        if clone.address is not None:
            members: tuple[ResourceStatus, ...] = (self._slot_driven(clone),)
        else:
            members = tuple(self._merged(clone))
        return _described(clone, "clone", unique=clone.unique, promotable=clone.promotable, members=members)

    def _slot_driven(self, clone: units.CloneUnit) -> ResourceStatus:
        """A shared address: its instances are its slots."""
        assert clone.config is not None
        assert clone.address is not None
        child = clone.config.child
        found = {slot.slot: slot for slot in self.slots.get(clone.address, ())}
        instances = tuple(
            _slot_instance(clone, found.get(number, SlotStatus(number, None, "free")))
            for number in range(clone.clone_max)
        )
        agent = getattr(child, "agent", "")
        return _described(clone, "primitive", identity=child.id, agent=agent, instances=instances)

    def _merged(self, clone: units.CloneUnit) -> Iterator[ResourceStatus]:
        """The copies of a clone side by side: one child, with the instances of all of them."""
        assert clone.config is not None
        child = clone.config.child
        columns: dict[str, list[units.Instance]] = {}
        for copy in clone.copies:
            for instance in copy.instances():
                columns.setdefault(_base(instance), []).append(instance)
        merged = tuple(self._column(clone, base, instances) for base, instances in columns.items())
        if child.kind == "group":
            yield _described(clone, "group", identity=child.id, members=merged)
        else:
            yield from merged

    def _column(self, clone: units.CloneUnit, base: str, instances: list[units.Instance]) -> ResourceStatus:
        if clone.unique:
            told = tuple(status for instance in instances for status in self._plain(instance))
        else:
            told = tuple(self._by_node(instances, base))
        first = instances[0]
        return _described(first, "primitive", identity=base, agent=first.agent, instances=told)

    def _by_node(self, instances: list[units.Instance], base: str) -> Iterator[InstanceStatus]:
        """An anonymous clone has one entry a node, whether something runs there or not."""
        for host in self.hosts:
            here = next((instance for instance in instances if host in instance.running_on), None)
            if here is not None:
                yield self._instance(here, host)
                continue
            role = _IN_WORK.get(self.in_work.get((base, host), ""), "Stopped")
            yield InstanceStatus(base, role, host, managed=instances[0].managed)

    def _plain(self, instance: units.Instance) -> Iterator[InstanceStatus]:
        for host in instance.running_on:
            yield self._instance(instance, host)
        if instance.running_on:
            return
        starting = next(
            (host for (name, host), what in self.in_work.items() if name == instance.name and what == "start"), None
        )
        role: Role = "Starting" if starting is not None else "Stopped"
        yield InstanceStatus(instance.name, role, starting, failed=False, managed=instance.managed)

    def _instance(self, instance: units.Instance, host: str) -> InstanceStatus:
        failed = instance.failed or host in instance.recover_on
        role: Role = "FAILED" if failed else _ROLES[instance.role]
        role = _IN_WORK.get(self.in_work.get((instance.name, host), ""), role)
        return InstanceStatus(instance.name, role, host, failed, instance.managed)


def _slot_instance(clone: units.CloneUnit, slot: SlotStatus) -> InstanceStatus:
    return InstanceStatus(
        id=f"{clone.address}:{slot.slot}",
        role=_role_of_slot(slot),
        node=slot.holder,
        managed=clone.managed,
        slot=slot.slot,
        successor=slot.successor,
        phase=slot.phase,
    )


def _role_of_slot(slot: SlotStatus) -> Role:
    if slot.holder is None:
        return "Stopped"
    if slot.phase == "closing" or (slot.phase == "draining" and slot.successor is None):
        return "Stopping"
    return "Started" if slot.opened else "Starting"


def _base(instance: units.Instance) -> str:
    return instance.config.id if instance.config is not None else instance.id.partition(":")[0]


def _described(
    unit: units.Unit,
    kind: str,
    *,
    identity: str | None = None,
    agent: str = "",
    unique: bool = False,
    promotable: bool = False,
    instances: tuple[InstanceStatus, ...] = (),
    members: tuple[ResourceStatus, ...] = (),
) -> ResourceStatus:
    return ResourceStatus(
        kind=kind,  # type: ignore[arg-type]
        id=identity or unit.id,
        agent=agent,
        unique=unique,
        promotable=promotable,
        managed=unit.managed,
        target_role=unit.meta.get("target-role", "Started").capitalize(),
        orphan=unit.orphan,
        instances=instances,
        members=members,
    )
