"""A cluster on one event heap: one seed decides everything that happens.

A run has two parts.  First faults of every kind, with the invariants checked at every step (safety).  Then
everything is repaired, and the cluster must be whole again within a bound (liveness).
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import replace

from daemon.cluster.core import Core
from daemon.cluster.core.compaction import Interval
from daemon.cluster.core.effects import ProposalCommitted
from daemon.cluster.core.quorum import VOTERS_MAX
from daemon.cluster.core.snapshot import Snapshot, digest_of
from daemon.cluster.records import LogEntry, Lost, Member, Request, Roster
from daemon.cluster.timers import PROFILES, Timers
from tests.simulation.application import Application
from tests.simulation.cast import SHIPPED, Cast
from tests.simulation.clock import MILLION, Clock
from tests.simulation.counts import Counts
from tests.simulation.faults.fencing import Fences
from tests.simulation.faults.schedule import Faults
from tests.simulation.host import Host, Process
from tests.simulation.invariants import Invariants, ViolationError, leases, rosters
from tests.simulation.invariants.edits import Answer
from tests.simulation.network import NS_PER_MS, Network
from tests.simulation.trace import LINES_MAX, Trace

SLACK_MS = (40, 0, 0, 0, 0, 0, 100, 0)
"""some hosts ask for a longer lease, for they are not scheduled in time"""
ABSENCE_MS = (60_000, 300, 800)
"""a voter that is lost for so long gives its vote away: some soon, where there is somebody to take it"""
HOLD_DOWN_MS = (0, 50, 300)
"""the longest that whoever flaps is held down for: some, and not so long that nothing happens any more"""


class World:
    def __init__(
        self,
        seed: int,
        nodes: int = 4,
        profile: str | None = None,
        cast: Cast = SHIPPED,
        lines_max: int = LINES_MAX,
        edit_pause_ms: int = 200,
        spares: int = 0,
        witnesses: int = 0,
        names_few: bool = False,
        fences: bool = False,
    ) -> None:
        """`nodes` found the cluster; `spares` may join it later, and then nodes come and go (`faults.members`).

        `witnesses` join from the start.  `names_few`: heartbeats name as few peers as those of large clusters.
        `fences`: of two nodes each may cut the other's power (`faults.fencing`).
        """
        self.seed = seed
        self.cast = cast
        self._edit_pause_ms = edit_pause_ms
        self.rng = random.Random(seed)
        self._drain_rng = random.Random(f"drains {seed}")
        self.timers: Timers = replace(
            PROFILES[profile or self.rng.choice(("fast", "fast", "fast", "default"))],
            hold_down_ms=HOLD_DOWN_MS[seed % len(HOLD_DOWN_MS)],
        )
        if spares or witnesses or nodes > VOTERS_MAX:
            self.timers = replace(self.timers, absence_ms=ABSENCE_MS[seed // 2 % len(ABSENCE_MS)])
        self.interval = Interval(entries=self.rng.choice(cast.workload.snapshot_entries))
        self.names = [f"a{number + 1}" for number in range(nodes)]
        self.founders = list(self.names)
        self._names_few = names_few
        self.names += [f"b{number + 1}" for number in range(spares)]
        self.names += [f"w{number + 1}" for number in range(witnesses)]
        self.leaving: set[str] = set()
        """whom somebody was told to take off the roster, until they are gone"""
        self.now_ns = 0
        self.trace = Trace(lines_max)
        self.invariants = Invariants()
        self.counts = Counts()
        self.struck = 0.0
        """probability that SIGSTOP strikes just before a lease is written"""
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._events = 0
        self.network = Network(self.names, self.at, self.rng)
        self.network.deliver = lambda sender, receiver, message: self.hosts[receiver].receive(sender, message)
        self.hosts: dict[str, Host] = {name: Host(name, self, self._some_clock(), self.rng) for name in self.names}
        for number, host in enumerate(self.hosts.values(), seed):
            host.slack_ms = SLACK_MS[number % len(SLACK_MS)]
        for name in self.names[nodes:]:
            host = self.hosts[name]
            host.founds, host.witness = False, name.startswith("w")
            host.is_away = not host.witness
        self.fences = Fences(self) if fences else None
        self.faults = Faults(self, comes_and_goes=spares > 0)

    def _some_clock(self) -> Clock:
        return Clock(offset_ns=self.rng.randint(0, 10**13), ppm=self.some_ppm())

    def some_ppm(self) -> int:
        """As far apart as δ allows, most of the time: 1+δ = (1+ρ)/(1−ρ)."""
        rho = int(MILLION * self.timers.drift / (2 + self.timers.drift))
        return self.rng.choice((-rho, rho, self.rng.randint(-rho, rho)))

    # --- the heap

    def at(self, after_ns: int, happening: Callable[[], None]) -> None:
        self._events += 1
        heapq.heappush(self._heap, (self.now_ns + after_ns, self._events, happening))

    def a_number(self) -> int:
        """Of an edit that is made now."""
        return self._events

    def run_until(self, end_ns: int, stop: Callable[[], bool] = lambda: False) -> bool:
        """Go on to `end_ns`, or until `stop()` says so; tells whether it did."""
        while self._heap and self._heap[0][0] <= end_ns:
            self.now_ns, _, happening = heapq.heappop(self._heap)
            self.trace.now_ns = self.now_ns
            self.counts.steps += 1
            happening()
            if stop():
                return True
        self.now_ns = end_ns
        return stop()

    # --- what hosts ask

    def make_core(self, host: Host, incarnation: int) -> Core:
        core = self.cast.core(
            host.name,
            self.founders if host.founds else (),
            host.timers,
            incarnation,
            f"{host.name}-boot-{host.boots}",
            host.disk.saved(),
            host.local_ns,
            self.rng,
            self.interval,
            host.witness,
        )
        if self._names_few:
            core.replica.membership.echoes.name_few(1)
        return core

    def make_application(self, host: Host, incarnation: int) -> Application:
        founders = self.founders if host.founds else []
        return self.cast.workload.application(host.name, founders, incarnation, self.rng)

    @property
    def roster(self) -> Roster:
        """The newest that is committed, or the founding list."""
        committed = self.invariants.consensus.roster
        return committed or Roster(tuple(Member(name, "", rank < 7) for rank, name in enumerate(self.founders)))

    def dismissed(self, host: Host) -> None:
        """Its daemon has ended for good."""
        host.is_away = True
        self.leaving.discard(host.name)
        self.counts.dismissals += 1

    def strikes_before_write(self) -> bool:
        return self.struck > 0 and self.rng.random() < self.struck

    def deadline_as_written(self, until_ns: int, computed_ns: int, written_ns: int) -> int:
        return until_ns + (written_ns - computed_ns) if self.cast.relative_deadlines else until_ns

    # --- what hosts tell

    def applied(self, host: Host, process: Process, entries: list[LogEntry]) -> None:
        consensus = self.invariants.consensus
        new = len(consensus.committed)
        leases.lost_is_silent((entry for entry in entries if entry.index > new), self.hosts, self.now_ns)
        consensus.applied(host.name, process.applied, entries)
        if len(consensus.committed) > new:
            self.invariants.reads.committed(self.now_ns, len(consensus.committed))
        process.applied += len(entries)
        for entry in entries:
            answer = process.application.apply(entry)
            command = entry.command
            if answer is not None and isinstance(command, Request) and process.proposed(command):
                key = (command.origin, command.incarnation, command.ticket)
                self.invariants.edits.answered(key, answer, self.now_ns)
            if entry.index > new:
                if answer is Answer.ACCEPTED and (number := process.application.register()) is not None:
                    self.invariants.edits.accepted.append(number)
                self.trace.say(host.name, "commits", entry)
                self.counts.committed(entry)
                self._nobody_lost_is_concerned(process, entry)
            if process.core.snapshot_due(entry.index):
                self._take_snapshot(host, process, entry.index)

    def _nobody_lost_is_concerned(self, process: Process, entry: LogEntry) -> None:
        """Rules 23 and 27: what a lost node held, or was to take, goes to others by the very entry of its loss."""
        if isinstance(entry.command, Lost) and entry.command.node in process.application.concerned():
            raise ViolationError(f"{entry.command.node} is lost, and has slots after entry {entry.index}")

    def _take_snapshot(self, host: Host, process: Process, index: int) -> None:
        body = process.application.freeze()
        self.invariants.consensus.frozen(host.name, index, body)
        process.core.snapshot(index, body, digest_of(body), host.local_ns)
        self.counts.snapshots += 1

    def restored(self, host: Host, process: Process, snapshot: Snapshot) -> None:
        self.invariants.consensus.restored(host.name, process.applied, snapshot)
        process.application.thaw(snapshot.body)
        process.applied = snapshot.index
        self.trace.say(host.name, f"restores the snapshot of entry {snapshot.index}")

    def acknowledged(self, host: Host, process: Process, event: ProposalCommitted) -> None:
        body = process.edits.pop(event.ticket, None)
        if body is not None:
            self.invariants.consensus.acknowledge(host.name, body, event.index)
            self.counts.edits += 1

    def kernel_changed(self, host: Host) -> None:
        process = host.process
        if process is not None:
            leases.no_lease_of_a_lost_one(host, self.invariants.consensus.lost, self.now_ns)
            leases.no_flow_twice(host, self.hosts.values(), self.now_ns)

    def looked_at(self, host: Host) -> None:
        if host.leads(self.now_ns):
            leases.one_leads(self.hosts.values(), self.now_ns)

    # --- a run

    def run(self, faults_ms: int = 3000, repaired_ms: int = 3000) -> Counts:
        """Raises ViolationError."""
        for host in self.hosts.values():
            self.at(self.rng.randint(0, 5 * NS_PER_MS), self._start(host))
        self.faults.begin()
        if self.fences is not None:
            self.fences.begin()
        self._edit_now_and_then(faults_ms * NS_PER_MS)
        self._read_now_and_then()
        self.run_until(faults_ms * NS_PER_MS)
        self.faults.end()
        if self.fences is not None:
            self.fences.end()
        patience_ns = repaired_ms * NS_PER_MS * (1 if self.timers.heartbeat_ms <= 20 else 3)
        if not self.run_until(self.now_ns + patience_ns, self._looked_whole()):
            raise ViolationError(
                f"{patience_ns / 1e6:.0f} ms after the repair the cluster is not whole: {self.ailing()}"
            )
        for host in self.hosts.values():
            host.read()
        self.invariants.edits.check()
        return self.counts

    def _start(self, host: Host) -> Callable[[], None]:
        return lambda: host.start() if host.process is None else None

    def _edit_now_and_then(self, until_ns: int) -> None:
        if self.now_ns < until_ns:
            host = self.hosts[self.rng.choice(self.names)]
            number = self.a_number()
            host.edit_as(lambda process: process.application.draft(number, self.names, self.rng), number)
            host.drain(self.names, self._drain_rng)
            self.at(self.rng.randint(1, self._edit_pause_ms) * NS_PER_MS, lambda: self._edit_now_and_then(until_ns))

    def _read_now_and_then(self) -> None:
        self.hosts[self.rng.choice(self.names)].read()
        self.at(self.rng.randint(1, 30) * NS_PER_MS, self._read_now_and_then)

    # --- liveness

    def _looked_whole(self) -> Callable[[], bool]:
        """Looking costs more than a step: every few milliseconds is enough."""
        next_ns = 0

        def look() -> bool:
            nonlocal next_ns
            if self.now_ns < next_ns:
                return False
            next_ns = self.now_ns + 5 * NS_PER_MS
            return self.ailing() is None

        return look

    def ailing(self) -> str | None:
        """What keeps the cluster from being whole; None when nothing does."""
        leading = [host.name for host in self.hosts.values() if host.leads(self.now_ns)]
        if len(leading) != 1:
            return "nobody leads" if not leading else f"{leading} lead"
        committed = len(self.invariants.consensus.committed)
        for host in self.hosts.values():
            if host.is_away:
                continue
            process = host.process
            if process is None or process.paused:
                return f"{host.name} is not back yet"
            if process.applied != committed:
                return f"{host.name} has applied {process.applied} of {committed} entries"
            if not host.witness and not host.leased(self.now_ns):
                return f"{host.name} has no lease"
            if host.kernel.overlaid_deadline:
                return f"{host.name} serves without quorum"
            if process.edits:
                return f"{host.name} waits for {len(process.edits)} edits"
        if len({repr(host.process.application.digest()) for host in self.hosts.values() if host.process}) != 1:
            return "the same entries have made different states"
        some = next(host.process for host in self.hosts.values() if host.process is not None)
        explicit = self.invariants.consensus.roster is not None
        if (left := rosters.unfinished(self.roster, explicit, self.hosts, some.application)) is not None:
            return left
        for slot in some.application.slots():
            owners = [host.name for host in self.hosts.values() if len(host.accepts(slot, self.now_ns)) == 2]
            if len(owners) != 1:
                return f"slot {slot} is owned by {owners or 'nobody'}"
        return None
