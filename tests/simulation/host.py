"""A host with its clock, disk and kernel, and the daemon process that may run on it."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from daemon.cluster.core import Core, Persist
from daemon.cluster.core.effects import (
    BecameLeader,
    ProposalCommitted,
    Ready,
    RestartGranted,
    SnapshotRestored,
    WasDismissed,
    WasLate,
)
from daemon.cluster.messages import Message
from daemon.cluster.records import Request
from datapath.engine import SlotState
from tests.simulation.application import Application, Draft, KernelWork, Work
from tests.simulation.clock import Clock
from tests.simulation.disk import Disk
from tests.simulation.invariants import overlays
from tests.simulation.invariants.violation import ViolationError
from tests.simulation.kernel import Kernel, Slot

if TYPE_CHECKING:
    from tests.simulation.world import World

NS_PER_MS = 1_000_000


@dataclass(slots=True)
class Process:
    """One life of the daemon."""

    core: Core
    application: Application
    incarnation: int
    paused: bool = False
    waiting: list[Callable[[], None]] = field(default_factory=list)
    """what happened to it while it was stopped"""
    interrupted: Callable[[], None] | None = None
    """the system call before which it was stopped: the first thing that it does when it goes on"""
    holds: bool = False
    """its kernel holds what it wants, under a deadline of its own"""
    applied: int = 0
    edits: dict[int, bytes] = field(default_factory=dict)
    """ticket → body of edits that it has proposed and not seen committed"""
    down_ms: float = 0
    """of its restart: how long it takes until the next one starts"""
    timer: int = 0
    """counts the timers that were armed; only the newest one fires"""

    def proposed(self, request: Request) -> bool:
        return (request.origin, request.incarnation) == (self.core.replica.name, self.incarnation)


class Host:
    def __init__(self, name: str, world: World, clock: Clock, rng: random.Random) -> None:
        self.name = name
        self.world = world
        self.clock = clock
        self.rng = rng
        self.disk = Disk(rng, lies=world.cast.lying_disks)
        self.kernel = Kernel()
        self.boots = 1
        self.slack_ms = 0
        self.timers = world.timers
        """how much longer its daemon asks its lease to be"""
        self.process: Process | None = None
        self.founds = True
        """its settings name the founders; else it joins a cluster"""
        self.witness = False
        self.is_away = False
        """no daemon runs here: it has not joined yet, or was dismissed"""
        self.suspended = False
        """a virtual machine that does not run: no process, no kernel; its boot clock goes on"""
        self.kernel_takes_ms = 0
        """beyond what it takes by chance: scenes make it slow"""

    @property
    def local_ns(self) -> int:
        return self.clock.local(self.world.now_ns)

    @property
    def running(self) -> Process:
        assert self.process is not None
        return self.process

    # --- seen from outside

    def leads(self, true_ns: int) -> bool:
        """Whether its process would grant now."""
        process = self.process
        if process is None or process.core.leader is None:
            return False
        return process.core.leader.rounds.lead(self.clock.local(true_ns))

    def accepts(self, slot: Slot, true_ns: int) -> frozenset[str]:
        if self.suspended:
            return frozenset()
        return self.kernel.accepts(slot, self.clock.local(true_ns))

    def leased(self, true_ns: int) -> bool:
        return self.kernel.leased(self.clock.local(true_ns))

    def lease_left_ns(self, true_ns: int) -> int:
        return self.kernel.deadline_ns - self.clock.local(true_ns)

    # --- life and death

    def start(self) -> None:
        if self.is_away:
            return
        incarnation = self.disk.next_incarnation()
        core = self.world.make_core(self, incarnation)
        core.slack_ms = self.slack_ms
        self.process = Process(core, self.world.make_application(self, incarnation), incarnation)
        self.world.trace.say(self.name, f"starts as process {incarnation} of boot {self.boots}")
        self._perform(self.process)

    def die(self) -> None:
        self.process = None
        self.disk.process_died()

    def reboot(self) -> None:
        self.die()
        self.boots += 1
        self.kernel = Kernel()
        self.suspended = False
        self.clock.restart(self.world.now_ns, shows_ns=self.rng.randint(0, NS_PER_MS))

    def resume(self, process: Process) -> None:
        """What waited in sockets and queues comes in any order: there are several of them."""
        if process is not self.process or not process.paused:
            return
        process.paused = self.suspended = False
        interrupted, process.interrupted = process.interrupted, None
        if interrupted is not None:
            interrupted()
        waiting, process.waiting = process.waiting, []
        if self.rng.random() < 0.5:
            self.rng.shuffle(waiting)
        for happening in waiting:
            happening()

    # --- what happens to the process

    def happen(self, process: Process | None, step: Callable[[Process], None]) -> None:
        """`step` on that process, unless it is dead; later where it is stopped."""
        if process is None or process is not self.process:
            return
        if process.paused:
            process.waiting.append(lambda: self.happen(process, step))
            return
        process.core.wall_ms = self.world.now_ns // NS_PER_MS
        step(process)
        if process is self.process and not process.paused:
            self._perform(process)

    def receive(self, sender: str, message: Message) -> None:
        self.happen(self.process, lambda process: process.core.receive(sender, message, self.local_ns))

    def edit(self, body: bytes) -> None:
        self.edit_as(lambda process: Draft(body, None), 0)

    def edit_as(self, draft: Callable[[Process], Draft], number: int) -> None:
        """`draft` makes edit `number` from what the process shows when its turn comes."""

        def step(process: Process) -> None:
            edit = draft(process)
            ticket = process.core.propose(edit.body, self.local_ns)
            process.edits[ticket] = edit.body
            key = (self.name, process.incarnation, ticket)
            self.world.invariants.edits.called(self.name, key, number, edit.base, self.world.now_ns)

        self.happen(self.process, step)

    def drain(self, names: list[str], rng: random.Random) -> None:
        """An administrator drains something, or takes that back; what becomes of it nobody waits for."""

        def step(process: Process) -> None:
            body = process.application.drain(names, rng)
            if body is not None:
                process.core.propose(body, self.local_ns)
                self.world.counts.drains += 1

        self.happen(self.process, step)

    def read(self) -> None:
        """Somebody asks for the status and believes what it claims."""
        process, world = self.process, self.world
        if process is None or process.paused:
            return
        as_of_ns = process.core.as_of_ns(process.applied, self.local_ns)
        if as_of_ns is not None:
            as_of_true_ns = self.clock.true_then(as_of_ns)
            world.counts.reads += 1
            world.invariants.reads.claims(self.name, process.applied, as_of_true_ns, world.now_ns)
            register = process.application.register()
            if register is not None:
                world.invariants.edits.read(self.name, register, as_of_true_ns, world.now_ns)

    # --- effects

    def _perform(self, process: Process) -> None:
        """What `daemon.node`, the shell, does after each call: perform everything that the core wants."""
        core, world = process.core, self.world
        while (ready := core.ready()) or self._take(process):
            for send in ready.sends:
                world.network.send(self.name, send.to, send.message)
            if ready.persist is not None:
                self._write_disk(process, ready.persist)
            if ready.restore is not None:
                world.restored(self, process, ready.restore)
            if ready.committed:
                world.applied(self, process, ready.committed)
            if ready.committed or ready.restore is not None:
                core.retire(process.application.leaving(), self.local_ns)
                core.wish_tie_breaker(process.application.tie_breaker(), self.local_ns)
                core.wish_fencing(world.fences is not None, self.local_ns)
            for event in ready.events:
                world.trace.say(self.name, event)
                if isinstance(event, WasLate) and event.late_ns > 2 * world.now_ns:
                    raise ViolationError(f"{self.name} says that it was late by {event.late_ns / 1e6:.0f} ms")
                if isinstance(event, BecameLeader):
                    world.invariants.consensus.became_leader(self.name, event.term)
                elif isinstance(event, ProposalCommitted):
                    world.acknowledged(self, process, event)
                    if ready.restore is not None and event.index <= ready.restore.index:
                        process.application.outcome_is_unknown(event.ticket)
                elif isinstance(event, WasDismissed):
                    self.die()
                    world.dismissed(self)
                    return
                elif isinstance(event, SnapshotRestored):
                    world.counts.restores += 1
            if (granted := _restart_in(ready)) is not None:
                self._end_under(process, granted)
                return
            if ready.lease_until_ns is not None:
                overlays.closed_before_a_grant(self, process.application.is_overlaid)
                process.application.lease(ready.lease_until_ns)
                self._write_lease(process, ready.lease_until_ns)
            if process.paused:
                return
        for voter in core.elections.votes:
            world.invariants.consensus.counted_vote(self.name, voter, core.replica.term)
        self._arm(process)
        world.looked_at(self)

    def _take(self, process: Process) -> bool:
        """What the application wants; where it has no quorum, it may give itself a lease (no-quorum-policy)."""
        deadline_ns = process.application.without_quorum(process.core, self.local_ns)
        if deadline_ns is not None:
            self.world.counts.overlays += deadline_ns > 0 and not self.kernel.overlaid_deadline
            self._write_lease(process, deadline_ns, overlaid=deadline_ns > 0)
            if process.paused:
                return True
        return self._carry_out(process, process.application.take(self.local_ns)) or deadline_ns is not None

    def _arm(self, process: Process) -> None:
        """Timers are a little late."""
        process.timer += 1
        armed = process.timer
        deadline_ns = process.core.deadline_ns()
        application_ns = process.application.deadline_ns(self.local_ns)
        if application_ns is not None:
            deadline_ns = min(deadline_ns, application_ns)
        due_ns = self.clock.true(deadline_ns) - self.world.now_ns
        late_ns = self.rng.randint(0, 300_000)

        def fire() -> None:
            if process.timer == armed:
                self.happen(process, lambda process: process.core.tick(self.local_ns))

        self.world.at(max(0, due_ns) + late_ns, fire)

    def _write_disk(self, process: Process, persist: Persist) -> None:
        self.world.invariants.consensus.wrote(self.name, persist.entries)

        def done(written: bool) -> None:
            def step(process: Process) -> None:
                if written:
                    process.core.persisted(persist.receipt, self.local_ns)
                else:
                    process.core.persist_failed(persist.receipt, "the disk is full", self.local_ns)

            self.happen(process, step)

        self.disk.write(persist, self.world.at, done)

    def restart(self, duration_ms: int, down_ms: float) -> None:
        """Have the daemon start again under a restart lease; it is away for `down_ms`."""

        def step(process: Process) -> None:
            process.down_ms = down_ms
            process.core.restart(duration_ms, self.local_ns)

        self.happen(self.process, step)

    def _end_under(self, process: Process, granted: RestartGranted) -> None:
        """The last thing that a process does: the kernel goes on under the restart lease."""

        def end(_: Process) -> None:
            self.die()
            self.world.at(int(process.down_ms * NS_PER_MS), lambda: self.start() if self.process is None else None)

        self._write_lease(process, granted.until_ns, end)

    def _write_lease(
        self,
        process: Process,
        until_ns: int,
        afterwards: Callable[[Process], None] = lambda _: None,
        overlaid: bool = False,
    ) -> None:
        """One ordered writer (rule 15); now and then SIGSTOP strikes just before the system call."""
        computed_ns = self.local_ns

        def write(process: Process) -> None:
            self.world.trace.say(self.name, f"lease ends in {(until_ns - self.local_ns) / 1e6:.3f} ms")
            self.kernel.renew(self.world.deadline_as_written(until_ns, computed_ns, self.local_ns))
            self.kernel.overlaid_deadline = overlaid
            self.world.kernel_changed(self)
            afterwards(process)

        if self.world.strikes_before_write():
            self.world.trace.say(self.name, "is stopped just before it writes its lease")
            process.paused = True
            process.interrupted = lambda: self.happen(process, write)
            self.world.at(self.rng.randint(50, 400) * NS_PER_MS, lambda: self.resume(process))
        else:
            write(process)

    def _carry_out(self, process: Process, work: Work) -> bool:
        """What the application wants; kernel and agents are mostly quick, sometimes not."""
        if work.enforced_epoch is not None:
            process.core.enforced(work.enforced_epoch, self.local_ns)
        for body in work.proposals:
            process.application.proposed(process.core.propose(body, self.local_ns), body)
        if (kernel := work.kernel) is not None:
            self._later(process, lambda process: self._apply(process, kernel), self.kernel_takes_ms)
        for operation in work.operations:
            self._finish_later(process, operation)
        return bool(work)

    def _later(self, process: Process, step: Callable[[Process], None], least_ms: int = 0) -> None:
        quick = self.rng.random() < 0.9
        delay_ns = least_ms * NS_PER_MS + self.rng.randint(0, (3 if quick else 120) * NS_PER_MS)
        self.world.at(delay_ns, lambda: self.happen(process, step))

    def _finish_later(self, process: Process, operation: object) -> None:
        self._later(process, lambda process: process.application.finished(operation, self.local_ns))

    def _apply(self, process: Process, work: KernelWork) -> None:
        self._log_kernel(work.states)
        if not process.holds:
            process.holds = True
            self.kernel.renew(process.core.inherited_deadline_ns(self.kernel.deadline_ns, self.local_ns))
        self.kernel.apply(work.states)
        self.kernel.overlaid_states = work.is_overlaid
        self.world.kernel_changed(self)
        process.application.kernel_did(work)

    def _log_kernel(self, states: Mapping[Slot, SlotState]) -> None:
        if states != self.kernel.states:
            named = ((address, number, state.name.lower()) for (address, number), state in sorted(states.items()))
            shown = " ".join(f"{address}:{number}={state}" for address, number, state in named)
            self.world.trace.say(self.name, "kernel:", shown or "all closed")


def _restart_in(ready: Ready) -> RestartGranted | None:
    return next((event for event in ready.events if isinstance(event, RestartGranted)), None)
