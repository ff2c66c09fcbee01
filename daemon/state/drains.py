"""Drains by hand: which are refused, which begin or end, which are forgotten with what they name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from daemon.scheduler.drained import Drained
from daemon.scheduler.planner import plan
from daemon.scheduler.view import Plan
from daemon.state.addresses import SlotDriven
from daemon.state.outcome import Outcome

if TYPE_CHECKING:
    from daemon.state.commands import Drain
    from daemon.state.state import State


DRAINS_MAX = 1_024
"""each is looked at for each host and slot in every plan"""


class _RefusedError(Exception):
    """The sentence is the administrator's."""


def take_drain(state: State, command: Drain) -> Outcome:
    """Begin a drain, or end one.  The slots follow when the state settles, in the same entry."""
    author = command.author or "somebody"
    try:
        if command.on:
            drain = _new(state, command)
            state.drains[drain] = state.now_ms
            return Outcome(True, f"{drain.name} is drained, as {author} wishes")
        ended = _ended(state, command)
    except _RefusedError as refusal:
        return Outcome(False, str(refusal))
    for drain in ended:
        del state.drains[drain]
    names = ", ".join(drain.name for drain in ended)
    return Outcome(True, f"{names} {'is' if len(ended) == 1 else 'are'} drained no more, as {author} wishes")


def forget_drains(state: State, driven: Mapping[str, SlotDriven]) -> None:
    """Drains of a host that has left the cluster, of an address that is shared no more, of a slot that it has not."""
    state.drains = {
        drain: since_ms
        for drain, since_ms in state.drains.items()
        if (drain.node is None or drain.node in state.nodes)
        and (drain.address is None or drain.address in driven)
        and (drain.slot is None or drain.slot < driven[drain.address or ""].slots)
    }


def _new(state: State, command: Drain) -> Drained:
    """Raises _RefusedError for what there is not, for what is drained already, and where nobody would be left."""
    address = None
    if command.address is not None:
        driven = _address(state, command.address)
        address = driven.address
        if command.slot is not None and not 0 <= command.slot < driven.slots:
            raise _RefusedError(f"{address} has the slots 0 to {driven.slots - 1}, there is no slot {command.slot}")
    elif command.node is None or command.slot is not None:
        raise _RefusedError("a drain names a node, an address, or a slot of an address")
    node = command.node
    if node is None and command.slot is not None:
        slot = state.slots.get(address or "", {}).get(command.slot)
        if slot is None:
            raise _RefusedError(f"nobody has slot {command.slot} of {address}: there is nothing to drain")
        node = slot.owner
    if node is not None:
        _must_be_a_host(state, node)
    drain = Drained(node, address, command.slot)
    if drain in state.drains:
        raise _RefusedError(f"{drain.name} is drained already; 'vipcast drain status' shows how far it is")
    if len(state.drains) >= DRAINS_MAX:
        raise _RefusedError(
            f"{DRAINS_MAX} things are drained already: take some back, or drain a whole host instead"
        )
    _must_be_possible(state, drain)
    return drain


def _must_be_a_host(state: State, node: str) -> None:
    if node in state.witnesses:
        raise _RefusedError(f"{node} is a witness: it serves nothing that could be drained")
    known = state.nodes.get(node)
    if known is None or (state.rostered and node not in state.members):
        raise _RefusedError(f"there is no node '{node}' in the cluster; there are: {', '.join(state.members)}")
    if known.removing:
        raise _RefusedError(f"{node} is on its way out of the cluster: it gives everything away already")


def _address(state: State, name: str) -> SlotDriven:
    """By the primitive's id, its clone's, or the IP address.  Raises _RefusedError."""
    shared = state.slot_driven()
    for driven in shared.values():
        if name in _names(driven):
            return driven
    known = ", ".join(f"{d.address} ({d.parameters.get('ip', '').strip()})" for d in shared.values()) or "none"
    raise _RefusedError(f"no address '{name}' is shared by several hosts; there are: {known}")


def _must_be_possible(state: State, drain: Drained) -> None:
    """Raises _RefusedError where slots would be left to nobody, or cannot be moved now."""
    view = state.view()
    then = plan(replace(view, drains=view.drains | {drain}))
    for address, owners in state.plan.slots.items():
        staying = [n for n, node in then.slots.get(address, {}).items() if drain.covers(node, address, n)]
        if staying:
            raise _RefusedError(
                f"slots of {address} cannot be moved now: it is in maintenance, or not managed; end that first"
            )
        if drain.node is not None:
            _must_have_hosts(drain, address, owners, then)


def _must_have_hosts(drain: Drained, address: str, owners: Mapping[int, str], then: Plan) -> None:
    homeless = sorted(owners.keys() - then.slots.get(address, {}).keys())
    if not homeless:
        return
    what = f"slot {homeless[0]}" if len(homeless) == 1 else f"{len(homeless)} of its {len(owners)} slots"
    raise _RefusedError(
        f"{drain.node} is the last host that can hold {what} of {address}: the others are drained, away, banned or"
        " full (clone-node-max).  Undrain another one first; to end the service gently everywhere:"
        f" vipcast drain address {address}"
    )


def _ended(state: State, command: Drain) -> list[Drained]:
    """Raises _RefusedError where nothing like it is drained."""
    address = command.address
    if address is not None:
        address = next((d.address for d in state.slot_driven().values() if address in _names(d)), address)
    drain = Drained(command.node, address, command.slot)
    found = [d for d in state.drains if d == drain]
    if command.slot is not None and command.node is None:
        found = [d for d in state.drains if (d.address, d.slot) == (address, command.slot)]
    if not found:
        drained = ", ".join(d.name for d in sorted(state.drains, key=lambda d: d.key)) or "nothing"
        raise _RefusedError(f"{drain.name} is not drained; what is: {drained}")
    return sorted(found, key=lambda d: d.key)


def _names(driven: SlotDriven) -> tuple[str, ...]:
    return driven.address, driven.clone, driven.parameters.get("ip", "").strip()
