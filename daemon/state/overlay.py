"""no-quorum-policy=ignore: what a partition without quorum serves, laid over the last committed state.

The overlay is the committed state, thawed from its frozen bytes, to which a few entries are applied that nobody has
committed: each node that is not heard is lost, each that is heard takes part.  Scheduler and state are those that
ship, so every node of the partition that has applied the same log and hears the same nodes computes the same.

It is volatile.  It knows what this node reports of itself, and nothing that the others do while it lasts: so no slot
moves between two nodes of the partition, for the move would wait for words that never come.  A free slot, one of a
node that is not heard, is given out at once, and what is being closed to be given out anew counts as closed.

None of this is safe, and it is not meant to be: the nodes that are not heard may do the same.  That is the policy's
promise, exempt from exactly-once; what bounds it stands in `daemon.executor.quorumless`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from daemon.cluster.core.presence import Present
from daemon.cluster.records import Admit, Command, LogEntry, Lost, Request
from daemon.state.commands import Result, StateCommand
from daemon.state.outcome import Outcome
from daemon.state.settling import settle
from daemon.state.slots import Phase, Slot
from daemon.state.state import State


def stay(slots: Mapping[int, Slot], planned: Mapping[int, str]) -> Mapping[int, str]:
    """Only what is free is given out; what was being given to nobody goes on."""
    ending = {n for n, slot in slots.items() if slot.phase is Phase.DRAINING and slot.successor is None}
    return {**planned, **{number: slot.owner for number, slot in slots.items() if number not in ending}}


@dataclass(slots=True)
class OverlayState(State):
    """A state in which no slot moves."""

    def _settle(self) -> None:
        settle(self, stay)


@dataclass(slots=True)
class Overlay:
    """`state` is what this node serves by; `committed` itself is never touched."""

    node: str
    base: bytes
    """the last committed state, frozen"""
    present: tuple[Present, ...]
    state: OverlayState = field(init=False)
    results: list[Result] = field(default_factory=list)
    """how operations of this node ended meanwhile, in order, the newest of each: the log hears of it afterwards"""
    _tickets: int = 0

    def __post_init__(self) -> None:
        self.state = self._laid()

    def hear(self, present: tuple[Present, ...]) -> bool:
        """Other nodes are heard now: begin again from the committed state.  False: they are the same."""
        if present == self.present:
            return False
        self.present = present
        self.state = self._laid()
        for result in self.results:
            self._request(result)
        return True

    def report(self, command: StateCommand) -> Outcome:
        """What this node would have proposed."""
        if isinstance(command, Result):
            same = (command.instance, command.operation, command.interval_ms)
            self.results = [r for r in self.results if (r.instance, r.operation, r.interval_ms) != same]
            self.results.append(command)
        return self._request(command)

    def started_here(self) -> list[str]:
        """Instances that were started on this node under the overlay and not stopped again."""
        running: dict[str, None] = {}
        for result in self.results:
            if result.operation in {"start", "promote"} and result.exit_code == 0:
                running[result.instance] = None
            elif result.operation == "stop" and result.exit_code == 0:
                running.pop(result.instance, None)
        return list(running)

    def _laid(self) -> OverlayState:
        state = OverlayState.thaw(self.base)
        for address, slots in state.slots.items():
            state.slots[address] = {n: slot for n, slot in slots.items() if slot.phase is not Phase.CLOSING}
        for command in _since(state, self.present):
            self._append(state, command)
        return state

    def _request(self, command: StateCommand) -> Outcome:
        self._tickets += 1
        own = next(present for present in self.present if present.name == self.node)
        # negative: no process ever had such a ticket
        request = Request(self.node, own.incarnation, -self._tickets, msgspec.msgpack.encode(command))
        return self._append(self.state, request)

    @staticmethod
    def _append(state: State, command: Command) -> Outcome:
        return state.apply(LogEntry(state.index + 1, 0, state.now_ms, command))


def _since(state: State, present: Iterable[Present]) -> list[Command]:
    """What the log would say if those who are here were the cluster."""
    here = {one.name: one for one in present}
    commands: list[Command] = [
        Lost(node.name) for _, node in sorted(state.nodes.items()) if node.admitted and node.name not in here
    ]
    for name, one in sorted(here.items()):
        known = state.nodes.get(name)
        if known is None or not known.admitted or known.incarnation != one.incarnation:
            commands.append(Admit(name, one.incarnation, one.kernel_boot_id))
    return commands
