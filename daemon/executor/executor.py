"""The executor: compares the replicated state with what this node has done, and says what is left to do.

Sans I/O.  The shell (`daemon.node`) carries out what `take` returns after each change, and reports back with
`kernel_did`, `counted` and `finished`.  Everything here may be thrown away and rebuilt from the state: a
restarted daemon starts with an empty executor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from daemon.cluster.messages import Draining
from daemon.definition import is_address
from daemon.executor.holds import Answer, HoldDuty, Spoken, Task, Word
from daemon.executor.operations import Finish, OperationDuty, RunOperation
from daemon.executor.progress import DrainNews, Left
from daemon.executor.slots import Count, SlotDuty, Wanted
from daemon.state.commands import Result, Slots, StateCommand
from daemon.state.state import State

NS_PER_MS = 1_000_000
STOP_AFTER_NS = 2_000 * NS_PER_MS
"""a node without a lease for this long stops what it runs: the others may have started it already"""
KERNEL_RETRY_NS = 500 * NS_PER_MS
FLOWS_EVERY_NS = 50 * NS_PER_MS
"""how often the remaining flows of a draining slot are counted at most"""
COUNT_REST = 9
"""for as many times as long as a count took the next one waits: a tenth of a processor for any number of flows"""
UNKNOWN_FLOWS = 1
"""where the kernel cannot tell: the slot goes on draining"""


@dataclass(slots=True)
class Effects:
    """What the shell has to carry out, in this order."""

    kernel: Wanted | None = None
    """slot states that the engine must hold (None: it holds them)"""
    enforced_epoch: int | None = None
    """tell the core that the kernel holds what this admission says (LEASES.md, rule 19)"""
    count_flows: list[Count] = field(default_factory=list)
    """`counted` wants to know what became of each"""
    end_flows: list[tuple[str, frozenset[int]]] = field(default_factory=list)
    """address and its slots that were closed for good although flows were left"""
    operations: list[RunOperation] = field(default_factory=list)
    proposals: list[StateCommand] = field(default_factory=list)
    holding: list[Task] = field(default_factory=list)
    """for the engine; `held` wants to know what became of each"""
    words: list[Word] = field(default_factory=list)
    """for other hosts"""
    draining: Draining | None = None
    """for all other hosts"""


class Executor:
    """One node's hands, without fingers.

    `admitted` is True while the state has this very process admitted; before that nothing is touched: what a former
    process left in the kernel runs out by itself (LEASES.md, rule 20).
    """

    def __init__(self, node: str, incarnation: int, drain_timeout_ms: int, holds: HoldDuty | None = None) -> None:
        """`holds`: where the engine reconciles SYNs (`datapath.engine.Reconciles`)."""
        self.node = node
        self.incarnation = incarnation
        self.slots = SlotDuty(node, incarnation, drain_timeout_ms * NS_PER_MS, holds=holds)
        self.operations = OperationDuty(node, incarnation)
        self.drain_news = DrainNews(node, incarnation)
        self.lease_until_ns = 0
        """0: this process never had one"""
        self._in_flight: set[bytes] = set()
        self._was_admitted = False
        self._alone_from_ns = 0
        """a new process is not on its own before this: its first lease is on its way"""
        self._mine: list[str] = []
        """instances that were to run here when this node was last admitted"""
        self._kernel_pending = False
        self._kernel_retry_ns = 0
        self._enforced: int | None = None
        self._flows_due_ns = 0
        self._counting: dict[Count, int] = {}
        """→ since when"""
        self.goes_on = False
        """without a lease too, what runs is left running (`quorumless`: freeze, and ignore before it begins)"""
        self._went_on = False
        self._committed_slots = self.slots
        """while an overlay is on: what the kernel held before it, with its latches (rule 26)"""
        self._undo: list[str] = []
        """instances that an overlay has started here, and that belong elsewhere"""

    def admitted(self, state: State) -> bool:
        node = state.nodes.get(self.node)
        return node is not None and node.admitted and node.incarnation == self.incarnation

    def take(self, state: State, now_ns: int) -> Effects:
        """What there is to do now.  Calling it twice does nothing twice."""
        effects = Effects()
        if self._went_on and not self.goes_on:
            self._alone_from_ns = now_ns + STOP_AFTER_NS
        self._went_on = self.goes_on
        if self.admitted(state):
            if not self._was_admitted:
                self._was_admitted = True
                self._alone_from_ns = now_ns + STOP_AFTER_NS
        elif not self._was_admitted:
            return effects
        effects.kernel = self._for_kernel(state, now_ns)
        if effects.kernel is None and not self._kernel_pending and not self.slots.needs_kernel():
            self.slots.note_generations(state)
        if not self.admitted(state):
            effects.operations = self._abandon(state, now_ns)
            return effects
        if not self._kernel_pending:
            effects.end_flows = self.slots.take_to_end()
        self._hold(effects, now_ns)
        self._mine = [instance for instance, nodes in state.plan.placement.items() if self.node in nodes]
        self._offer_epoch(state, effects)
        self._watch_flows(state, effects, now_ns)
        if now_ns < self.lease_until_ns:
            self.operations.follow(state.plan, now_ns)
            effects.operations = [*self._undone(), *self.operations.begin(state.plan, now_ns)]
        else:
            effects.operations = self._abandon(state, now_ns)
        reports: list[StateCommand] = [
            *self.slots.reports(state),
            *self.slots.returns(state),
            *self.operations.told.values(),
        ]
        for command in reports:
            if self._mark(command):
                effects.proposals.append(command)
        return effects

    def hasten(self, state: State, now_ns: int) -> Effects:
        """Of a state that has not planned by its last entry (`State.enter`): what the kernel is to hold by it.

        And what was held is let in.  Packets wait for that, and for nothing that the plan says; the rest is `take`'s.
        """
        effects = Effects()
        if self._was_admitted and self.admitted(state):
            effects.kernel = self._for_kernel(state, now_ns)
            self._hold(effects, now_ns)
            self.slots.look_again()
        return effects

    def _for_kernel(self, state: State, now_ns: int) -> Wanted | None:
        wanted = self.slots.update(state, now_ns) and now_ns >= self._kernel_retry_ns
        if not wanted or self._kernel_pending:
            return None
        self._kernel_pending = True
        return self.slots.to_tell()

    def _hold(self, effects: Effects, now_ns: int) -> None:
        holds = self.slots.holds
        if holds is not None and not self._kernel_pending:
            effects.holding = holds.tasks(self.slots.have, now_ns)
            effects.words = holds.words(now_ns)

    def held(self, task: Task, answer: Answer | None) -> None:
        """What the engine made of a task; None: it could not."""
        if self.slots.holds is not None:
            self.slots.holds.done(task, answer)

    def heard(self, sender: str, message: Spoken | Draining, state: State, now_ns: int) -> None:
        """Another host speaks about slots that move between it and this one, or that it drains."""
        if isinstance(message, Draining):
            self.drain_news.heard(sender, message, state)
        elif self.slots.holds is not None:
            self.slots.holds.heard(sender, message, state, now_ns)

    def _abandon(self, state: State, now_ns: int) -> list[RunOperation]:
        if now_ns < self.lease_until_ns or self.goes_on:
            return self._undone()
        return [*self._undone(), *self.operations.abandon(self._left_alone(state, now_ns), now_ns)]

    def _undone(self) -> list[RunOperation]:
        waiting, self._undo = self._undo, []
        starts = []
        for instance in waiting:
            if instance in self.operations.running:
                self._undo.append(instance)
            else:
                starts.append(self.operations.stop(instance))
        return starts

    def _left_alone(self, state: State, now_ns: int) -> list[str]:
        """Without a lease (no-quorum-policy=stop): plain addresses go at once, the rest after STOP_AFTER_NS.

        A node that was declared lost and hears of it does the same with what it last was to run.  Slots need
        nothing: the kernel itself has closed them.
        """
        if now_ns < self._alone_from_ns:
            return []
        others = [i for i in self._mine if i.rpartition(":")[0] not in state.slots and i not in state.slots]
        if now_ns - self.lease_until_ns >= STOP_AFTER_NS:
            return others
        return [i for i in others if is_address(state.definable(self.node, i, "stop"), i)]

    def may_ask_to_leave(self, state: State) -> bool:
        """Whether a `Leave` of this process would mean something now."""
        return self.admitted(state) and not state.nodes[self.node].leaving

    def has_left(self, state: State, now_ns: int) -> bool:
        """Whether nothing of the cluster's runs or is served here any more, after a `Leave` of this process.

        Without a lease nobody hears a `Leave`: then everything must have been stopped for want of one.
        """
        if self.operations.running:
            return False
        if not self._was_admitted:
            return True
        if self.admitted(state) and now_ns < self.lease_until_ns:
            held = any(
                self.node in (s.holder, s.successor) for slots in state.slots.values() for s in slots.values()
            )
            busy = any(action.node == self.node for action in state.plan.actions)
            return state.nodes[self.node].leaving and not held and not busy
        return self.has_stopped(state, now_ns)

    def has_stopped(self, state: State, now_ns: int) -> bool:
        """Whether all that ran here was stopped for want of a lease."""
        overdue = now_ns - self.lease_until_ns >= STOP_AFTER_NS and now_ns >= self._alone_from_ns
        left = self.operations.unstopped(self._left_alone(state, now_ns))
        return overdue and not left and not self.operations.running

    # ---- overlays (`quorumless`)

    @property
    def is_busy_with_kernel(self) -> bool:
        """The kernel was asked for something and has not answered yet."""
        return self._kernel_pending

    def begin_overlay(self) -> None:
        """Another state counts from now on, with generations of its own."""
        self._committed_slots = self.slots
        self.change_overlay()

    def change_overlay(self) -> None:
        self.slots = SlotDuty(self.node, self.incarnation, self.slots.drain_timeout_ns)
        self._forget_told()

    def end_overlay(self, results: list[Result], elsewhere: list[str], now_ns: int) -> None:
        """The committed state counts again, and the kernel has to be told all of it.

        `results` is what the log has not heard; `elsewhere` is stopped before anything is said about it.
        """
        self.slots = self._committed_slots
        self.slots.known = False
        self._forget_told()
        self.lease_until_ns = now_ns
        self._alone_from_ns = now_ns + STOP_AFTER_NS
        self._undo = list(elsewhere)
        self.operations.told = {
            (r.instance, r.operation, r.interval_ms): r for r in results if r.instance not in elsewhere
        }

    def _forget_told(self) -> None:
        self._in_flight.clear()
        self._counting.clear()
        self._enforced = None

    def _mark(self, command: StateCommand) -> bool:
        """True for a report that is not on its way yet."""
        name = msgspec.msgpack.encode(command)
        if name in self._in_flight:
            return False
        self._in_flight.add(name)
        return True

    def _offer_epoch(self, state: State, effects: Effects) -> None:
        epoch = state.nodes[self.node].epoch
        if epoch != self._enforced and not self._kernel_pending and not self.slots.needs_kernel():
            self._enforced = epoch
            effects.enforced_epoch = epoch

    def _watch_flows(self, state: State, effects: Effects, now_ns: int) -> None:
        if now_ns >= self._flows_due_ns:
            effects.draining = self.drain_news.words(self.slots.left(state, now_ns), now_ns)
            effects.count_flows = self._to_count(state)
            self._counting |= dict.fromkeys(effects.count_flows, now_ns)
            self._flows_due_ns = now_ns + FLOWS_EVERY_NS

    def _to_count(self, state: State) -> list[Count]:
        under_way = {count.address for count in self._counting}
        return [count for count in self.slots.watch_flows(state) if count.address not in under_way]

    def kernel_did(self, state: State, applied: Wanted, failures: dict[str, str]) -> None:
        """The engine acknowledged `applied` (what `Effects.kernel` asked, less the addresses that failed)."""
        self._kernel_pending = False
        self.slots.kernel_did(state, applied, failures)

    def kernel_refused(self, now_ns: int, again_ns: int = KERNEL_RETRY_NS) -> None:
        """The engine took nothing, or broke off.  Tried again after a while."""
        self._kernel_pending = False
        self._kernel_retry_ns = now_ns + again_ns
        # What it holds is not certain any more, so no epoch may be offered before it has taken something again.
        self.slots.known = False

    def left(self, state: State, now_ns: int) -> dict[tuple[str, int], Left]:
        """(address, slot) → what it still waits for, of slots that drain anywhere, as far as this host knows."""
        return self.drain_news.known(state, self.slots.left(state, now_ns))

    def counted(self, state: State, count: Count, flows: Mapping[int, int] | None, now_ns: int) -> None:
        """The flows that each slot of a count has left, 0 where it is not named; None: the kernel cannot tell."""
        began_ns = self._counting.get(count)
        if began_ns is None:
            return
        del self._counting[count]
        self._flows_due_ns = max(self._flows_due_ns, now_ns + COUNT_REST * (now_ns - began_ns))
        for number in self.slots.still_watched(state, count):
            left = UNKNOWN_FLOWS if flows is None else flows.get(number, 0)
            self.slots.flows_left(state, count.address, number, left, now_ns)

    def lease(self, until_ns: int) -> None:
        """This host's lease now ends then (CLOCK_BOOTTIME)."""
        self.lease_until_ns = until_ns

    def finished(self, operation: RunOperation, finish: Finish, now_ns: int) -> None:
        self.operations.finished(operation, finish, now_ns)

    def proposal_ended(self, command: StateCommand) -> None:
        """A proposal was applied, refused or given up; if it still holds it is made again."""
        self._in_flight.discard(msgspec.msgpack.encode(command))
        if isinstance(command, Result):
            self.operations.seen(command)

    def deadline_ns(self, state: State, now_ns: int) -> int | None:
        """When `take` wants to be called although nothing changed."""
        candidates = [self._kernel_retry_ns] if self._kernel_retry_ns > now_ns else []
        if self._was_admitted:
            on_its_own_ns = max(self.lease_until_ns + STOP_AFTER_NS, self._alone_from_ns)
            candidates += [due for due in (self.lease_until_ns, on_its_own_ns) if due > now_ns]
        if self.admitted(state):
            due = self.operations.next_due_ns(now_ns)
            if due is not None and now_ns < self.lease_until_ns:
                candidates.append(due)
            if self._to_count(state):
                candidates.append(self._flows_due_ns)
            if self.slots.holds is not None and (due := self.slots.holds.deadline_ns()) is not None:
                candidates.append(due)
        return min(candidates, default=None)


__all__ = ["Effects", "Executor", "Slots"]
