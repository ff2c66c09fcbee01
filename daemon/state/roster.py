"""Nodes that come and go: a roster takes effect, a node is lost, a node is told to leave for good."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daemon.cluster.records import Roster
from daemon.state.nodes import NodeState
from daemon.state.outcome import Outcome
from daemon.state.slots import Slot

if TYPE_CHECKING:
    from daemon.state.state import State


def take_roster(state: State, roster: Roster) -> Outcome:
    """Whoever is on the roster belongs to the cluster, nobody else.

    The state forgets who is gone.  The configuration does not: constraints that name the node, its attributes and its
    utilization are the administrator's, and an entry that is no edit changes nothing of his.  (`crm_node --remove`,
    which pcs calls, takes the node's entry along; `vipcast node remove` does that by an edit of its own.)
    """
    names = {member.name for member in roster.members}
    gone = sorted(state.nodes.keys() - names)
    for name in gone:
        if state.nodes[name].admitted:
            lose(state, name)
        state.results.forget_node(name, failures=True)
        state.started.forget_node(name)
        state.tickets.forget_origin(name)
        forget_ready(state, name)
        del state.nodes[name]
    for member in roster.members:
        state.nodes.setdefault(member.name, NodeState(member.name))
    state.members = tuple(member.name for member in roster.members if not member.witness)
    state.witnesses = frozenset(member.name for member in roster.members if member.witness)
    state.rostered = True
    return Outcome(True, roster.why)


def remove_node(state: State, name: str, author: str) -> Outcome:
    """A node is told to leave for good: from now on it is given nothing, and gives away what it has."""
    node = state.nodes.get(name)
    if node is None or name not in {*state.members, *state.witnesses}:
        known = ", ".join((*state.members, *sorted(state.witnesses)))
        return Outcome(False, f"there is no node '{name}' in the cluster; there are: {known}")
    if node.removing:
        return Outcome(True, f"{name} is already on its way out")
    staying = [member for member in state.members if member != name and not state.nodes[member].removing]
    if not staying:
        return Outcome(
            False,
            f"{name} is the last node: nobody would be left to serve anything. "
            "Add another one first, or end this cluster by stopping vipcastd",
        )
    node.removing = True
    return Outcome(True, f"{name} leaves the cluster for good, as {author or 'somebody'} wishes")


def lose(state: State, name: str) -> Outcome:
    """No lease of the node can still be running: what it held is free."""
    node = state.nodes.setdefault(name, NodeState(name))
    node.admitted, node.leaving, node.epoch = False, False, state.index
    node.restarting = False
    state.results.forget_node(name, failures=True)
    forget_ready(state, name)
    freed = 0
    for address, slots in state.slots.items():
        left: dict[int, Slot] = {}
        for number, slot in slots.items():
            after = slot.lost(name, state.index)
            if after is not None:
                left[number] = after
            freed += slot.holder == name
        state.slots[address] = left
    return Outcome(True, f"{name} is lost" + (f", {freed} slots of it are free" if freed else ""))


def forget_ready(state: State, name: str) -> None:
    for nodes in state.ready.values():
        nodes.discard(name)
