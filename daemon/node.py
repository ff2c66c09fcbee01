"""One node: the shell that carries out what the pure parts ask for, on one event loop.

    datagrams, timers, fsyncs ─► Core ─► entries ─► State ─► Executor ─► kernel, agents, proposals ─► Core …

Everything here runs on the loop's thread and returns within a millisecond; what may be slow has a thread (the
store), a process (the runner) or a client that waits (control).  `pump` is called after every input and runs until
nobody wants anything any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from daemon.addresses import SharedAddresses
from daemon.cluster.core.core import Core
from daemon.cluster.core.effects import ProposalCommitted, Ready, RestartGranted, RosterChanged, WasDismissed
from daemon.cluster.core.proposals import TooMuchProposedError
from daemon.cluster.core.snapshot import Snapshot, digest_of
from daemon.cluster.messages import Message
from daemon.cluster.records import Admit, LogEntry, Request
from daemon.cluster.store import Store
from daemon.cluster.transport import Transport
from daemon.executor import Executor, Finish, RunOperation
from daemon.executor.quorumless import Quorumless
from daemon.executor.slots import Wanted
from daemon.journal import Journal
from daemon.lateness import Lateness
from daemon.operations import Operations
from daemon.realtime import Punctuality
from daemon.state.commands import Leave, StateCommand, Tick
from daemon.state.frozen import ThawError
from daemon.state.outcome import Outcome
from daemon.state.state import State
from datapath.engine import DatapathError
from datapath.host.events import HostEvent

log = logging.getLogger("vipcast.node")

TICK_AGAIN_NS = 5_000_000_000
APPLY_SLICE_NS = 10_000_000
DIGEST_AT_ONCE_BYTES = 512 << 10
"""SHA-256 of them takes a quarter of a millisecond; of more, a thread computes it"""
ROUNDS_MAX = 64
"""a pump that goes on for longer has found two parts that feed each other: a bug, and better loud than hung"""
REPAIR_EVERY_NS = 500_000_000
DISTURBANCE_SETTLES_S = 0.02
"""an interface that goes takes its addresses along: one look at the end of such a burst"""
DISTURBANCES_TOLD_MAX = 64
PROPOSAL_GIVEN_UP_S = 30.0
LEAVE_NS = 75_000_000_000
"""for what is given away before a stop; TimeoutStopSec= of the unit leaves room beyond it"""
LEAVE_LOOK_S = 0.02
RESTART_ASKED_S = 3.0
"""an election and a commit on slow disks fit in"""


def boot_ns() -> int:
    """Nanoseconds since boot, suspend included: the clock of every lease (clock_gettime(2), CLOCK_BOOTTIME)."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


@dataclass(slots=True)
class _Proposal:
    command: StateCommand
    done: Callable[[int, Outcome], None] | None


class Node:
    """The daemon's heart.  `start` after construction, `stop` before the loop ends."""

    def __init__(
        self,
        core: Core,
        state: State,
        executor: Executor,
        store: Store,
        addresses: SharedAddresses,
        operations: Operations,
        journal: Journal,
        quorumless: Quorumless,
    ) -> None:
        self.core = core
        self.state = state
        self.executor = executor
        self.store = store
        self.addresses = addresses
        self.operations = operations
        self.journal = journal
        self.quorumless = quorumless
        self.heard_all: Callable[[], None] = lambda: None
        """called once: all nodes were heard at the same time"""
        self.ends_itself: Callable[[], None] = lambda: None
        """no-quorum-policy=suicide: everything was stopped that could be"""
        self.transport: Transport | None = None
        self.lateness = Lateness()
        self.punctuality = Punctuality()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due_ns = 0
        self._proposals: dict[int, _Proposal] = {}
        self._repair_due_ns = 0
        self._disturbances: list[HostEvent] = []
        """what happened to this host's links and addresses since the last repair"""
        self._backlog: deque[LogEntry] = deque()
        """committed, and not applied yet"""
        self._tick_due_ns = 0
        self._refusals: dict[str, str] = {}
        """address → why it is not served here, as it was last told"""
        self._pumping = False
        self._deadline_is_ours = False
        """the kernel's deadline is this process's, and no former one's"""
        self._restart_granted: asyncio.Future[None] = self._loop.create_future()
        self.stopping = False
        self.on_dismissal: Callable[[], None] = lambda: None
        """called when the cluster has gone on without this node"""

    def start(self, transport: Transport) -> None:
        self.transport = transport
        self._roster_changed()
        self.pump()

    # ---- inputs

    def received(self, sender: str, message: Message) -> None:
        self.core.wall_ms = time.time_ns() // 1_000_000
        self.core.receive(sender, message, boot_ns())
        self.pump()

    def _tick(self) -> None:
        now_ns = boot_ns()
        self.lateness.note(now_ns - self._timer_due_ns, now_ns)
        self._timer = None
        self.core.wall_ms = time.time_ns() // 1_000_000
        self.core.tick(now_ns)
        self.pump()

    def _stored(self, receipt: int, error: Exception | None) -> None:
        if error is None:
            self.core.persisted(receipt, boot_ns())
        else:
            self.core.persist_failed(receipt, str(error), boot_ns())
        self.pump()

    def disturbed(self, event: HostEvent) -> None:
        """Somebody has changed this host's links or addresses: look and mend once the burst is over."""
        if self.stopping or self.transport is None:
            return
        if not self._disturbances:
            self._loop.call_later(DISTURBANCE_SETTLES_S, self._repair_now)
        if len(self._disturbances) < DISTURBANCES_TOLD_MAX:
            self._disturbances.append(event)

    def _repair_now(self) -> None:
        self._repair_due_ns = 0
        self.pump()

    def propose(self, command: StateCommand, done: Callable[[int, Outcome], None] | None = None) -> int:
        """Ask for an entry; `done(index, outcome)` is called when it was applied here."""
        ticket = self.core.propose(msgspec.msgpack.encode(command), boot_ns())
        self._proposals[ticket] = _Proposal(command, done)
        self._loop.call_later(PROPOSAL_GIVEN_UP_S, self.give_up, ticket)
        self._loop.call_soon(self.pump)
        return ticket

    def give_up(self, ticket: int) -> None:
        """Stop repeating a proposal; it may still turn up in the log."""
        proposal = self._proposals.pop(ticket, None)
        if proposal is not None:
            self.core.abandon(ticket)
            self.executor.proposal_ended(proposal.command)
            self.pump()

    # ---- the pump

    def pump(self) -> None:
        """Carry out whatever anyone asks for, until nobody does; then set the timer."""
        if self._pumping or self.stopping:
            return
        self._pumping = True
        try:
            for _ in range(ROUNDS_MAX):
                if not (self._carry_out(self.core.ready()) | self._execute()) or self.stopping:
                    break
            else:
                log.critical("the pump did not come to rest in %d rounds", ROUNDS_MAX)
        finally:
            self._pumping = False
        if not self.stopping:
            self._arm()

    def _carry_out(self, ready: Ready) -> bool:
        """The core's effects.  The kernel's deadline first: it is what time is short for."""
        if ready.lease_until_ns is not None:
            self.quorumless.granted(ready.lease_until_ns)
            self.addresses.renew(ready.lease_until_ns)
            self.executor.lease(ready.lease_until_ns)
        if self.transport is not None:
            for send in ready.sends:
                self.transport.send(send.to, send.message)
        if ready.persist is not None:
            self.store.submit(ready.persist, self._stored)
        for event in ready.events:
            self.journal.event(event)
            if isinstance(event, RestartGranted):
                self._end_under(event.until_ns)
                return False
            if isinstance(event, RosterChanged):
                self._roster_changed()
            elif isinstance(event, WasDismissed):
                self.on_dismissal()
        if ready.restore is not None:
            self._restore(ready.restore)
            for event in ready.events:
                if isinstance(event, ProposalCommitted) and event.index <= ready.restore.index:
                    self._outcome_is_unknown(event.ticket)
        self._backlog.extend(ready.committed)
        return self._apply_some() or bool(ready.sends or ready.persist)

    def _roster_changed(self) -> None:
        if self.transport is not None:
            self.transport.known(self.core.known_names())

    def _apply_some(self) -> bool:
        """Apply what is committed, but no longer than a heartbeat can wait: a long log comes at once after a start."""
        if not self._backlog:
            return False
        end_ns = boot_ns() + APPLY_SLICE_NS
        while self._backlog:
            entry = self._backlog.popleft()
            self._apply(entry)
            if self.core.snapshot_due(entry.index):
                self._take_snapshot(entry.index)
            if boot_ns() >= end_ns:
                break
        if self._backlog:
            self._loop.call_soon(self.pump)
            return False
        return True

    def _apply(self, entry: LogEntry) -> None:
        outcome = self.state.apply(entry)
        self.journal.applied(entry, outcome, self.state.configuration_epoch)
        command = entry.command
        if isinstance(command, Admit) and self.transport is not None:
            self.transport.expect(command.node, command.incarnation)
        own = (self.executor.node, self.executor.incarnation)
        if not isinstance(command, Request) or (command.origin, command.incarnation) != own:
            return
        proposal = self._proposals.pop(command.ticket, None)
        if proposal is not None:
            self.executor.proposal_ended(proposal.command)
            if proposal.done is not None:
                proposal.done(entry.index, outcome)

    # ---- snapshots

    def _take_snapshot(self, index: int) -> None:
        """The state as bytes takes less than half a millisecond a megabyte; its digest longer, so not on the loop."""
        body = self.state.freeze()
        if len(body) <= DIGEST_AT_ONCE_BYTES:
            self.core.snapshot(index, body, digest_of(body), boot_ns())
            return

        def digested(digest: asyncio.Future[bytes]) -> None:
            if not self.stopping:
                self.core.snapshot(index, body, digest.result(), boot_ns())
                self.pump()

        self._loop.run_in_executor(None, digest_of, body).add_done_callback(digested)

    def _restore(self, snapshot: Snapshot) -> None:
        """The state is another one at once; what the executor has done, it compares with that.

        Raises ThawError where this program cannot read it: then it can be no node of this cluster.
        """
        try:
            self.state = State.thaw(snapshot.body, self.state.members)
        except ThawError as problem:
            raise ThawError(f"the snapshot of entry {snapshot.index} is of no use here: {problem}") from None
        self._backlog.clear()
        log.info("the state is as of entry %d, by a snapshot of %d bytes", snapshot.index, len(snapshot.body))
        self._roster_changed()
        for name, standing in snapshot.head.standings.items():
            if standing.admitted and self.transport is not None:
                self.transport.expect(name, standing.incarnation)

    def _outcome_is_unknown(self, ticket: int) -> None:
        """It is in the log, and what became of it is in the state; whoever waits for its outcome is told so in time."""
        proposal = self._proposals.get(ticket)
        if proposal is not None:
            self.executor.proposal_ended(proposal.command)
            if proposal.done is None:
                del self._proposals[ticket]

    def _execute(self) -> bool:
        """The executor's effects; none while the state is on its way."""
        if self._backlog or self.stopping:
            return False
        now_ns = boot_ns()
        self.core.retire(self.state.retired, now_ns)
        self.core.wish_tie_breaker(self.quorumless.properties(self.state.configuration).tie_breaker, now_ns)
        if now_ns >= self._repair_due_ns:
            self._repair_due_ns = now_ns + REPAIR_EVERY_NS
            self.executor.slots.retry()
            self._repair()
            self._propose_tick(now_ns)
        busy = self._without_quorum(now_ns)
        effects = self.quorumless.take(self.state, now_ns)
        state = self.quorumless.state_in_force(self.state)
        if effects.kernel is not None:
            self._tell_kernel(state, effects.kernel, now_ns)
            busy = True
        if effects.enforced_epoch is not None:
            self.core.enforced(effects.enforced_epoch, now_ns)
            busy = True
        for address, number in effects.count_flows:
            flows = self.addresses.flows_left(address, number)
            self.executor.flows_left(state, address, number, flows, now_ns)
            busy = True
        for operation in effects.operations:
            known = state.definable(self.executor.node, operation.instance, operation.operation)
            self.operations.run(operation, known, self._finished)
        for command in effects.proposals:
            try:
                self.propose(command)
            except TooMuchProposedError as error:
                log.warning("a report waits: %s", error)
                self.executor.proposal_ended(command)
                break
        return busy

    def _without_quorum(self, now_ns: int) -> bool:
        """What no-quorum-policy asks for; True where the core has something to say to that."""
        heard_all = self.quorumless.heard_all
        turn = self.quorumless.look(self.state, self.core.presence(now_ns), now_ns)
        if self.quorumless.heard_all and not heard_all:
            self.heard_all()
        if turn.unenforced:
            self.core.unenforced(now_ns)
        if turn.deadline_ns is not None:
            self.addresses.renew(turn.deadline_ns)
        for notice in turn.notices:
            self.journal.without_quorum(notice)
        if turn.ends_itself:
            self.ends_itself()
        return turn.unenforced

    def _propose_tick(self, now_ns: int) -> None:
        """The leader lets the state know that time has passed, where the plan waits for that (failure-timeout)."""
        recheck_ms = self.state.plan.recheck_ms
        if recheck_ms is None or recheck_ms <= self.state.now_ms or now_ns < self._tick_due_ns:
            return
        wall_ms = time.time_ns() // 1_000_000
        if wall_ms >= recheck_ms and self.core.leader is not None:
            self._tick_due_ns = now_ns + TICK_AGAIN_NS
            self.propose(Tick())

    def _repair(self) -> None:
        disturbances, self._disturbances = self._disturbances, []
        self.executor.slots.ailment = self.addresses.ailment()
        changes = self.addresses.repair()
        self.journal.disturbed(disturbances, changes)
        for change in changes:
            self.journal.repaired(change)

    def _tell_kernel(self, state: State, wanted: Wanted, now_ns: int) -> None:
        inherited_ns = 0 if self._deadline_is_ours else self.addresses.kernel_until_ns()
        try:
            applied, failures, changes = self.addresses.hold(state.in_force, wanted)
            if not self._deadline_is_ours:
                # before anybody is told that this kernel holds the admission: the former process's may be a long one
                self.addresses.replace_deadline(self.core.inherited_deadline_ns(inherited_ns, boot_ns()))
                self._deadline_is_ours = True
        except DatapathError as error:
            log.error("%s", error)
            self.executor.kernel_refused(now_ns)
            return
        for change in changes:
            self.journal.changed(change)
        for address, reason in failures.items():
            if self._refusals.get(address) != reason:
                log.error("%s cannot be served here: %s", address, reason)
        self._refusals = failures
        self.executor.kernel_did(state, applied, failures)

    def _finished(self, operation: RunOperation, finish: Finish) -> None:
        self.executor.finished(operation, finish, boot_ns())
        self.pump()

    def _arm(self) -> None:
        due_ns = min(self.core.deadline_ns(), self._repair_due_ns)
        state = self.quorumless.state_in_force(self.state)
        now_ns = boot_ns()
        for extra in (self.executor.deadline_ns(state, now_ns), self.quorumless.deadline_ns(now_ns)):
            if extra is not None:
                due_ns = min(due_ns, extra)
        if self._timer is not None:
            if due_ns == self._timer_due_ns:
                return
            self._timer.cancel()
        self._timer_due_ns = due_ns
        delay_s = max(0, due_ns - boot_ns()) / 1e9
        self._timer = self._loop.call_later(delay_s, self._tick)

    async def restart(self, duration_ms: int) -> bool:
        """Have the kernel go on under a restart lease (`daemon.cluster.core.restarts`); True when it does.

        Then nothing more happens here: no message is sent, no lease renewed, and the process is to end.  False where
        the log did not take it in time; then what this node holds ends with its lease, as in a crash.
        """
        now_ns = boot_ns()
        if not self.executor.admitted(self.state):
            return False
        self._hand_over(now_ns)
        self.core.restart(duration_ms, now_ns)
        self.pump()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RESTART_ASKED_S):
                await self._restart_granted
                return True
        return False

    def _end_under(self, until_ns: int) -> None:
        """The kernel's last deadline from this process: one that is renewed afterwards would be shorter."""
        self.stopping = True
        if self._timer is not None:
            self._timer.cancel()
        if self.transport is not None:
            self.transport.close()
        self.addresses.renew(until_ns)
        self._restart_granted.set_result(None)

    def _hand_over(self, now_ns: int) -> None:
        """Let the first that has the whole log lead; whoever lacks entries, or is this node, says no."""
        peers = [peer.name for peer in self.core.status(now_ns).peers if peer.live and peer.admitted]
        any(self.core.transfer(name, now_ns) for name in peers)

    async def leave(self) -> None:
        """Give everything away and stop it here, `LEAVE_S` at most; then hand over the leadership if it is ours."""
        end_ns = boot_ns() + LEAVE_NS
        self.quorumless.is_leaving = True
        asked: int | None = None
        while not self.executor.has_left(self.state, boot_ns()):
            # again where it was given up, or where this node was lost and admitted anew in between
            if asked not in self._proposals and self.executor.may_ask_to_leave(self.state):
                with contextlib.suppress(TooMuchProposedError):
                    asked = self.propose(Leave(self.executor.node, self.executor.incarnation))
            if boot_ns() >= end_ns:
                log.warning("not everything could be given away in time; what is left ends with this process")
                break
            await asyncio.sleep(LEAVE_LOOK_S)
        self._hand_over(boot_ns())
        self.pump()

    def stop(self) -> None:
        """Fall silent at once and let go: what the others need is in the log.  After `restart` the kernel goes on."""
        if self._restart_granted.done():
            return
        self.stopping = True
        if self._timer is not None:
            self._timer.cancel()
        self.addresses.renew(0)
        if self.transport is not None:
            self.transport.close()
