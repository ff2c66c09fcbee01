"""After every entry: the scheduler plans on the new state, and slots get holders and moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from daemon.scheduler.planner import plan
from daemon.scheduler.view import Plan
from daemon.state import homes, plainruns
from daemon.state.addresses import SlotDriven
from daemon.state.claims import Claims, claims_of, ip_of, second_names, with_waiting_starts
from daemon.state.drains import forget_drains
from daemon.state.settle import close_address, release_address, settle_address
from daemon.state.slots import Slot

if TYPE_CHECKING:
    from daemon.state.state import State

SETTLE_ROUNDS_MAX = 4
"""a plan changes holders, which changes the plan: it comes to rest after two rounds, the limit is for safety"""


Targets = Callable[[Mapping[int, Slot], Mapping[int, str]], Mapping[int, str]]
"""slots as they are, as the plan wants them → as they shall become"""


def as_planned(_slots: Mapping[int, Slot], planned: Mapping[int, str]) -> Mapping[int, str]:
    return planned


def settle(state: State, targets: Targets = as_planned) -> None:
    """Plan, and turn the plan into holders, until both are at rest."""
    state.refusals = {key: reason for key, reason in state.refusals.items() if key in state.results.failures}
    driven = state.slot_driven()
    for address in driven:
        state.slots.setdefault(address, {})
    _retire(state, driven)
    forget_drains(state, driven)
    for _ in range(SETTLE_ROUNDS_MAX):
        state.plan = planned(state)
        changed = _follow(state, driven, targets)
        if not _withdraw(state) and not changed:
            break
    else:
        state.plan = planned(state)
    homes.forget(state)


def planned(state: State) -> Plan:
    return with_waiting_starts(plan(state.view()), state.configuration, _claims(state))


def _claims(state: State) -> Claims:
    admitted = {node.name for node in state.nodes.values() if node.admitted}
    return claims_of(state.in_force, state.slots, state.started.addresses(admitted))


def _retire(state: State, driven: Mapping[str, SlotDriven]) -> None:
    """Slots of what is no shared address any more are drained; of what means something else now, closed."""
    for address in list(state.slots):
        target = driven.get(address)
        slots = state.slots[address]
        if target is not None and target.mapping == state.in_force.setdefault(address, target).mapping:
            state.in_force[address] = target
            continue
        if not slots:
            state.in_force.pop(address, None)
            if target is None:
                del state.slots[address]
                state.ready.pop(address, None)
            else:
                state.in_force[address] = target
        elif target is None and state.configuration.find(address) is not None:
            state.slots[address] = release_address(slots, state.index)
        else:
            state.slots[address] = close_address(slots, state.index)


def _follow(state: State, driven: Mapping[str, SlotDriven], targets: Targets) -> bool:
    """Turn the plan into holders; True if that changed anything."""
    changed = False
    for address, target in driven.items():
        slots = state.slots[address]
        if address not in state.in_force or state.in_force[address].mapping != target.mapping:
            continue
        if _served_as_another(state, address):
            continue
        standings = state.results.standings(address)
        settled = settle_address(
            slots,
            targets(slots, state.plan.slots.get(address, {})),
            state.plan,
            address,
            [name for name in state.nodes if _may_hold(state, address, name, standings)],
            state.index,
        )
        if settled != slots:
            state.slots[address] = settled
            changed = True
    return changed


def _withdraw(state: State) -> bool:
    """A host that has lost its last slot takes the address down, and says anew when it is up; True: one does."""
    changed = False
    for address, nodes in state.ready.items():
        down = {node for node in nodes if not state.keeps_up(address, node)}
        if down:
            nodes.difference_update(down)
            changed = True
    return changed


def _served_as_another(state: State, address: str) -> bool:
    """Whether the ip is still in force under another name: it is given out when that has let go of it."""
    if address in second_names(state.in_force, state.slots):
        return True
    return bool(_claims(state).get(ip_of(state.in_force[address]), frozenset()) - {address})


def _may_hold(state: State, address: str, name: str, standings: Mapping[str, str]) -> bool:
    """May a node be given a slot: is it sure that no plain run of the same address accepts its packets?

    For the node itself one where nobody has looked counts as one where it runs.
    """
    known = state.nodes[name]
    if name in state.witnesses or known.removing:
        return False
    if not known.admitted or known.restarting or standings.get(name) != "stopped":
        return False
    return not plainruns.may_run(state, address, standings)
