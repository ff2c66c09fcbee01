"""What the replicated state alone says, as parts of the status document; `past` is a document of nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from daemon.control import resourcetree
from daemon.control.schema import (
    AddressStatus,
    DatapathStatus,
    FailedAction,
    NodeStatus,
    PendingAction,
    SlotPhase,
    SlotStatus,
    StatusDocument,
)
from daemon.scheduler.cluster import Cluster
from daemon.scheduler.view import OperationView, View
from daemon.state.slots import Phase, Slot
from daemon.state.state import State

_PHASES: Mapping[Phase, SlotPhase] = {
    Phase.OPEN: "open",
    Phase.DRAINING: "draining",
    Phase.SPLIT: "opening",
    Phase.CLOSING: "closing",
}
_FOUND_BY_A_PROBE = (0, 7, 8)


def past(state: State, cluster: str, node: str, term: int) -> StatusDocument:
    """The cluster as it was by this state: what no log knows, who led and what links did, stays open.

    `node` is who had the log, `term` of the state's last entry.
    """
    view = state.view()
    read = resourcetree.read(view)
    slots = {address: tuple(slots_of(held)) for address, held in state.slots.items()}
    planned = {action.key for action in state.plan.actions}
    running = [action for action in state.plan.actions if planned.isdisjoint(action.after)]
    return StatusDocument(
        cluster=cluster,
        node=node,
        quorate=True,
        leader=None,
        term=term,
        commit_index=state.index,
        applied_index=state.index,
        epoch=state.configuration_epoch,
        nodes=tuple(_nodes(read, state)),
        resources=resourcetree.resources(read, running, complete(state, slots)),
        addresses=tuple(_addresses(state, slots)),
        failed_actions=(*failed_actions(view), *refused_addresses(state)),
        pending_actions=tuple(pending_actions(state)),
        datapath=DatapathStatus(),
        findings=state.plan.findings,
    )


def _nodes(cluster: Cluster, state: State) -> Iterator[NodeStatus]:
    for name, host in sorted(cluster.hosts.items()):
        known = state.nodes.get(name)
        yield NodeStatus(
            name=name,
            online=host.online,
            standby=host.standby,
            maintenance=host.maintenance,
            incarnation=known.incarnation if known is not None and known.admitted else None,
            removing=known is not None and known.removing,
        )


def _addresses(state: State, slots: Mapping[str, tuple[SlotStatus, ...]]) -> Iterator[AddressStatus]:
    """As far as the configuration says it: interface and MAC may hang on the host."""
    shared = state.slot_driven()
    for name, driven in sorted(state.in_force.items()):
        if name not in shared:
            continue
        prefixlen, seed = driven.parameters.get("cidr_netmask", ""), driven.parameters.get("hash_seed", "0")
        yield AddressStatus(
            id=name,
            ip=driven.parameters.get("ip", ""),
            prefixlen=int(prefixlen) if prefixlen.isdecimal() else None,
            interface=driven.parameters.get("nic", ""),
            mac=driven.parameters.get("mac", ""),
            hash=driven.parameters.get("clusterip_hash", "sourceip-sourceport"),
            seed=int(seed) if seed.isdecimal() else 0,
            slots_total=driven.slots,
            ready=tuple(sorted(state.ready.get(name, ()))),
            slots=slots.get(name, ()),
        )


def pending_actions(state: State) -> Iterator[PendingAction]:
    planned = {action.key for action in state.plan.actions}
    for action in state.plan.actions:
        yield PendingAction(action.instance, action.operation, action.node, planned.isdisjoint(action.after))


def slots_of(held: Mapping[int, Slot]) -> Iterator[SlotStatus]:
    for number, slot in sorted(held.items()):
        yield SlotStatus(number, slot.holder, _PHASES[slot.phase], slot.successor, slot.generation, slot.opened)


def complete(state: State, slots: Mapping[str, tuple[SlotStatus, ...]]) -> dict[str, tuple[SlotStatus, ...]]:
    """Slots of addresses that are shared now; what is being given up is no instance of theirs."""
    return {address: slots.get(address, ()) for address in state.slot_driven()}


def failed_actions(view: View) -> Iterator[FailedAction]:
    """Operations whose last result is a failure that nobody has cleaned up, oldest first."""
    for result in sorted(view.operations, key=lambda result: result.serial):
        if not _failed(result):
            continue
        yield FailedAction(
            instance=result.instance,
            operation=result.operation,
            interval_ms=result.interval_ms,
            node=result.node,
            exit_code=result.exit_code,
            status=result.status,
            reason=result.reason,
            stamp_ms=result.stamp_ms,
            fail_count=view.failures.get((result.instance, result.node), 0),
        )


def refused_addresses(state: State) -> Iterator[FailedAction]:
    """Shared addresses that a host could not serve, with what its kernel or its settings said."""
    for (address, node), reason in sorted(state.refusals.items()):
        yield FailedAction(
            instance=address,
            operation="start",
            interval_ms=0,
            node=node,
            exit_code=1,
            status="done",
            reason=reason,
            stamp_ms=state.results.last_failure_ms.get((address, node), 0),
            fail_count=state.failures.get((address, node), 0),
        )


def _failed(result: OperationView) -> bool:
    if result.operation == "monitor" and result.interval_ms == 0 and result.exit_code in _FOUND_BY_A_PROBE:
        return result.status != "done"
    return result.status != "done" or result.exit_code != result.expected
