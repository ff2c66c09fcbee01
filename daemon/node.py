"""One node: the shell that carries out what the pure parts ask for, on one event loop.

    datagrams, timers, fsyncs ─► Core ─► entries ─► State ─► Executor ─► kernel, agents, proposals ─► Core …

Everything here runs on the loop's thread and returns within a millisecond; what may be slow has a thread (the
store), a process (the runner) or a client that waits (control).  `pump` is called after every input and runs until
nobody wants anything any more.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from functools import partial

from agents.journald import about, named
from daemon.addresses import SharedAddresses
from daemon.belonging import Belonging
from daemon.census import counting, ending
from daemon.cluster import identity
from daemon.cluster.clock import boot_ns
from daemon.cluster.core.core import Core
from daemon.cluster.core.effects import (
    FencingWasWrong,
    ProposalCommitted,
    Ready,
    RestartGranted,
    RosterChanged,
    WasDismissed,
)
from daemon.cluster.core.proposals import TooMuchProposedError
from daemon.cluster.messages import Message
from daemon.cluster.store import Store
from daemon.cluster.transport import Transport
from daemon.executor import Executor, Finish, RunOperation
from daemon.executor.executor import KERNEL_RETRY_NS
from daemon.executor.quorumless import Quorumless
from daemon.executor.slots import Count, Wanted
from daemon.fencing import FencingShell
from daemon.holding import MESSAGES, Holding
from daemon.journal import Journal
from daemon.lateness import Lateness
from daemon.measures import Measures
from daemon.neighbourhood import member_with
from daemon.operations import Operations
from daemon.outstanding import Outstanding
from daemon.panic import PanicFile
from daemon.realtime import Punctuality
from daemon.repairs import Repairs
from daemon.silence import Silence
from daemon.slices import Slices
from daemon.state import tiebreaker
from daemon.state.commands import StateCommand, Tick
from daemon.state.outcome import Outcome
from daemon.state.state import State
from daemon.statemachine import StateMachine
from datapath.engine import DatapathError, HelperAwayError
from datapath.host.events import HostEvent

log = logging.getLogger("vipcast.node")

TICK_AGAIN_NS = 5_000_000_000
HELPER_TOLD_EVERY = 20
"""asked in vain so often, some ten seconds: it is said again, and so is its end"""
HELPER_RETRY_NS = 50_000_000
"""what closes waits for a helper's word, and nobody else may open it: asked soon, and then less and less often"""
ROUNDS_MAX = 64
"""a pump that goes on for longer has found two parts that feed each other: a bug, and better loud than hung"""
PROPOSAL_GIVEN_UP_S = 30.0


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
        fencing: FencingShell,
        panic: PanicFile,
        measures: Measures,
    ) -> None:
        self.core = core
        self.executor = executor
        self.store = store
        self.addresses = addresses
        self.operations = operations
        self.journal = journal
        self.quorumless = quorumless
        self.fencing = fencing
        fencing.propose, fencing.changed = self.propose, self.pump
        addresses.answered, addresses.claimed = self._segment_answered, journal.claimed
        self.heard_all: Callable[[], None] = lambda: None
        """called once: all nodes were heard at the same time"""
        self.ends_itself: Callable[[], None] = lambda: None
        """no-quorum-policy=suicide: everything was stopped that could be"""
        self.measures = measures
        self.outstanding = Outstanding(core, executor, measures.commits)
        self.machine = StateMachine(
            state, core, journal, measures, self.outstanding, self._expects, self._snapshot, self._hasten
        )
        self.repairs = Repairs(addresses, executor, journal, self.pump)
        addresses.unrenewed = self.repairs.hasten
        self.silence = Silence(panic, executor, quorumless, self.outstanding, self.propose)
        self.transport: Transport | None = None
        self.lateness = Lateness()
        self.punctuality = Punctuality()
        self._loop = asyncio.get_running_loop()
        self.slices = Slices(self._loop)
        self.holding = Holding(addresses.engine, executor, self.slices, self.pump)
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due_ns = 0
        self._tick_due_ns = 0
        self._refusals: dict[str, str] = {}
        """address → why it is not served here, as it was last told"""
        self._pumping = False
        self._helper_asked = 0
        """how often in vain"""
        self._deadline_is_ours = False
        """the kernel's deadline is this process's, and no former one's"""
        self.restart_granted: asyncio.Future[None] = self._loop.create_future()
        """done once the kernel goes on under a restart lease, and nothing more happens here"""
        self.stopping = False
        self.belonging = Belonging(
            store.saved.cluster_id, identity.id_of(secrets.token_bytes(identity.ID_BYTES)), self._keep_cluster_id
        )
        self.on_dismissal: Callable[[], None] = lambda: None
        """called when the cluster has gone on without this node"""

    @property
    def state(self) -> State:
        """As of the newest entry that was applied here."""
        return self.machine.state

    def start(self, transport: Transport) -> None:
        self.transport = transport
        self.addresses.member_of = partial(member_with, name_at=transport.name_at)
        self._roster_changed()
        self.pump()

    # ---- inputs

    def received(self, sender: str, message: Message) -> None:
        if isinstance(message, MESSAGES):
            self.executor.heard(sender, message, self.state, boot_ns())
        else:
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
        self.repairs.disturbed(event, self._loop)

    def propose(self, command: StateCommand, done: Callable[[int, Outcome], None] | None = None) -> int:
        """Ask for an entry; `done(index, outcome)` is called when it was applied here."""
        ticket = self.outstanding.propose(command, done)
        self._loop.call_later(PROPOSAL_GIVEN_UP_S, self.give_up, ticket)
        self._loop.call_soon(self.pump)
        return ticket

    def give_up(self, ticket: int) -> None:
        """Stop repeating a proposal; it may still turn up in the log."""
        if self.outstanding.give_up(ticket):
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
            if isinstance(event, FencingWasWrong):
                self.addresses.renew(0)  # nobody knows what the peer has done meanwhile
            elif isinstance(event, RosterChanged):
                self._roster_changed()
            elif isinstance(event, WasDismissed):
                self.on_dismissal()
        return self._follow(ready) or bool(ready.sends or ready.persist)

    def _follow(self, ready: Ready) -> bool:
        """The state goes on to where the log is, by slices; True once it is there and was not before."""
        if ready.restore is not None:
            self._roster_changed()
            self.machine.restore(ready.restore)
            for event in ready.events:
                if isinstance(event, ProposalCommitted) and event.index <= ready.restore.index:
                    self.outstanding.outcome_is_unknown(event.ticket)
        self.machine.committed(ready.committed)
        applied = self.machine.apply_some()
        if self.machine.is_behind:
            self._loop.call_soon(self.pump)
            return False
        return applied

    def _roster_changed(self) -> None:
        if self.transport is not None:
            self.transport.known(self.core.known_names())
            if self.belonging.learned(self.core.cluster_id):
                self.transport.identify(self.belonging.mark)

    def _keep_cluster_id(self, cluster_id: str) -> None:
        """A store that cannot take it now is told again by the next process, from the log."""

        def kept(_: int, error: Exception | None) -> None:
            if error is not None:
                log.warning("the cluster's id is not on the disk yet: %s", error)

        self.store.keep_cluster_id(cluster_id, kept)

    def _expects(self, node: str, incarnation: int) -> None:
        if self.transport is not None:
            self.transport.expect(node, incarnation)

    def _hasten(self) -> None:
        """Successors open, and let in what they held, before anything else is made of an entry."""
        if self.stopping or self.quorumless.state_in_force(self.state) is not self.state:
            return
        for _ in range(2):  # to open, and to let in
            now_ns = boot_ns()
            effects = self.executor.hasten(self.state, now_ns)
            if effects.kernel is not None:
                self._tell_kernel(self.state, effects.kernel, now_ns)
            self.holding.act(effects, self.transport)

    def _snapshot(self, index: int, body: bytes, digest: bytes) -> None:
        """`pump` does nothing where the snapshot was taken within it: what the core wants is seen to there."""
        if not self.stopping:
            self.core.snapshot(index, body, digest, boot_ns())
            self.pump()

    def _execute(self) -> bool:
        """The executor's effects; none while the state is on its way."""
        self.silence.look()
        if self.machine.is_behind or self.stopping:
            return False
        now_ns = boot_ns()
        self.core.retire(self.state.retired, now_ns)
        properties = self.quorumless.properties(self.state.configuration)
        self.core.wish_tie_breaker(tiebreaker.of(properties.tie_breaker, self.state), now_ns)
        self.core.wish_fencing(properties.fencing, now_ns)
        self.silence.tell(self.state)
        hears_named = self.transport is not None and self.transport.hears_named
        self.core.name_cluster(self.belonging.proposal(hears_named), now_ns)
        if now_ns >= self.repairs.due_ns:
            self.repairs.look(self.quorumless.state_in_force(self.state), now_ns)
            self.holding.tidy()
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
        for count in effects.count_flows:
            self.slices.begin(counting(count, self.addresses.served(count.address), self._counted))
        for resource, slots in effects.end_flows:
            if (address := self.addresses.served(resource)) is not None:
                self.slices.begin(ending(address, slots, partial(self.addresses.closed, resource, slots)))
        busy |= self.holding.act(effects, self.transport)
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
        presence = self.core.presence(now_ns)
        stays = not self.quorumless.is_leaving and not self.silence.is_on
        counts = stays and self.fencing.look(self.state, presence, now_ns)
        turn = self.quorumless.look(self.state, presence, now_ns)
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
        return turn.unenforced or counts

    def _propose_tick(self, now_ns: int) -> None:
        """The leader lets the state know that time has passed, where the plan waits for that (failure-timeout)."""
        recheck_ms = self.state.plan.recheck_ms
        if recheck_ms is None or recheck_ms <= self.state.now_ms or now_ns < self._tick_due_ns:
            return
        wall_ms = time.time_ns() // 1_000_000
        if wall_ms >= recheck_ms and self.core.leader is not None:
            self._tick_due_ns = now_ns + TICK_AGAIN_NS
            self.propose(Tick())

    def _tell_kernel(self, state: State, wanted: Wanted, now_ns: int) -> None:
        inherited_ns = 0 if self._deadline_is_ours else self.addresses.kernel_until_ns()
        try:
            applied, failures, changes = self.addresses.hold(state.in_force, wanted)
            if not self._deadline_is_ours:
                # before anybody is told that this kernel holds the admission: the former process's may be a long one
                self.addresses.replace_deadline(self.core.inherited_deadline_ns(inherited_ns, boot_ns()))
                self._deadline_is_ours = True
        except HelperAwayError as away:
            if not self._helper_asked % HELPER_TOLD_EVERY:
                log.warning("%s", away)
            self._helper_asked += 1
            self.executor.kernel_refused(now_ns, min(self._helper_asked * HELPER_RETRY_NS, KERNEL_RETRY_NS))
            return
        except DatapathError as error:
            log.error("%s", error)
            self.executor.kernel_refused(now_ns)
            return
        if self._helper_asked >= HELPER_TOLD_EVERY:
            log.info("what waited for a helper process is in force")
        self._helper_asked = 0
        for change in changes:
            self.journal.changed(change)
        for address, reason in failures.items():
            if self._refusals.get(address) != reason:
                log.error("%s cannot be served here: %s", address, reason, extra=about(resource=named(address)))
        self._refusals = failures
        self.executor.slots.waiting = self.addresses.waiting
        self.executor.kernel_did(state, applied, failures)

    def _segment_answered(self) -> None:
        """What waited for that is held now, or refused."""
        self.executor.slots.waiting = frozenset()
        self.pump()

    def _counted(self, count: Count, flows: Mapping[int, int] | None) -> None:
        self.executor.counted(self.quorumless.state_in_force(self.state), count, flows, boot_ns())
        self.pump()

    def _finished(self, operation: RunOperation, finish: Finish) -> None:
        self.executor.finished(operation, finish, boot_ns())
        self.pump()

    def _arm(self) -> None:
        due_ns = min(self.core.deadline_ns(), self.repairs.due_ns)
        state = self.quorumless.state_in_force(self.state)
        now_ns = boot_ns()
        waits = (
            self.executor.deadline_ns(state, now_ns),
            self.quorumless.deadline_ns(now_ns),
            self.fencing.policy.deadline_ns(self.state, now_ns),
        )
        for extra in waits:
            if extra is not None:
                due_ns = min(due_ns, extra)
        if self._timer is not None:
            if due_ns == self._timer_due_ns:
                return
            self._timer.cancel()
        self._timer_due_ns = due_ns
        delay_s = max(0, due_ns - boot_ns()) / 1e9
        self._timer = self._loop.call_later(delay_s, self._tick)

    def _end_under(self, until_ns: int) -> None:
        """The kernel's last deadline from this process: one that is renewed afterwards would be shorter."""
        self._fall_quiet()
        if self.transport is not None:
            self.transport.close()
        self.addresses.renew(until_ns)
        self.restart_granted.set_result(None)

    def _fall_quiet(self) -> None:
        self.stopping = True
        if self._timer is not None:
            self._timer.cancel()
        self.slices.close()

    def stop(self) -> None:
        """Fall silent at once and let go: what the others need is in the log.

        After `departure.restart` the kernel goes on.
        """
        if self.restart_granted.done():
            return
        self._fall_quiet()
        self.addresses.renew(0)
        if self.transport is not None:
            self.transport.close()
