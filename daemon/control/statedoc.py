"""What the replicated state alone says, as parts of the status document; `past` is a document of nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from types import MappingProxyType

from daemon.control import resourcetree
from daemon.control.schema import (
    AddressStatus,
    DatapathStatus,
    DrainStatus,
    FailedAction,
    NodeStatus,
    PendingAction,
    SlotPhase,
    SlotStatus,
    StatusDocument,
)
from daemon.executor.progress import Left
from daemon.scheduler.cluster import Cluster
from daemon.scheduler.view import BY_SLOTS, OperationView, View
from daemon.state.slots import Phase, Slot
from daemon.state.state import State
from datapath.mac import agents_seed

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
    running = state.plan.ready()
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
        drains=tuple(drains_of(state, slots)),
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
        prefixlen = driven.parameters.get("cidr_netmask", "")
        yield AddressStatus(
            id=name,
            ip=driven.parameters.get("ip", ""),
            prefixlen=int(prefixlen) if prefixlen.isdecimal() else None,
            interface=driven.parameters.get("nic", ""),
            mac=driven.parameters.get("mac", ""),
            hash=driven.parameters.get("clusterip_hash", "") or "sourceip-sourceport",
            seed=_seed(driven.parameters),
            slots_total=driven.slots,
            ready=tuple(sorted(state.ready.get(name, ()))),
            slots=slots.get(name, ()),
            order=driven.parameters.get("clusterip_hash_order", "") or "network",
            port_rules=driven.parameters.get("port_rules", ""),
        )


def _seed(parameters: Mapping[str, str]) -> int:
    """The hash's start value; 0, the default, where what is written is none."""
    text = parameters.get("hash_seed", "").strip() or parameters.get("clusterip_hash_seed", "").strip()
    try:
        if text == "agent":
            return agents_seed(ip_address(parameters["ip"].strip()), int(parameters["cidr_netmask"]))
        return int(text, 16) if text.lower().startswith("0x") else int(text or "0")
    except (ValueError, KeyError):
        return 0


def pending_actions(state: State) -> Iterator[PendingAction]:
    planned = {action.key for action in state.plan.actions}
    ready = {action.key for action in state.plan.ready()}
    for action in state.plan.actions:
        done_by_slots = action.operation in BY_SLOTS and planned.isdisjoint(action.after)
        yield PendingAction(action.instance, action.operation, action.node, action.key in ready or done_by_slots)


def slots_of(held: Mapping[int, Slot], left: Mapping[int, Left] = MappingProxyType({})) -> Iterator[SlotStatus]:
    """`left` has what draining slots still wait for, as far as that is known."""
    for number, slot in sorted(held.items()):
        waits_for = left.get(number)
        yield SlotStatus(
            number,
            slot.holder,
            _PHASES[slot.phase],
            slot.successor,
            slot.generation,
            slot.opened,
            waits_for.flows if waits_for is not None else None,
            waits_for.ms if waits_for is not None else None,
            waits_for.conversations if waits_for is not None else None,
        )


def drains_of(state: State, slots: Mapping[str, tuple[SlotStatus, ...]]) -> Iterator[DrainStatus]:
    """What is drained by hand, and how far it is."""
    for drain, since_ms in sorted(state.drains.items(), key=lambda item: item[0].key):
        left = [
            slot
            for address, held in slots.items()
            for slot in held
            if slot.holder is not None and drain.covers(slot.holder, address, slot.slot)
        ]
        flows = [slot.flows_left for slot in left if slot.flows_left is not None]
        talks = [slot.udp_left for slot in left if slot.udp_left is not None]
        waits_ms = [slot.drain_left_ms for slot in left if slot.drain_left_ms is not None]
        yield DrainStatus(
            node=drain.node,
            address=drain.address,
            slot=drain.slot,
            since_ms=since_ms,
            slots_left=len(left),
            flows_left=sum(flows) if flows or not left else None,
            drain_left_ms=max(waits_ms, default=None),
            udp_left=sum(talks) if talks or not left else None,
        )


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
