"""Two hosts between whom slots move, under datagrams: executor, messages and log as they ship, the rest of chance.

One seed decides everything.  Kernels, clocks of one machine, a network that loses, repeats and delays, processes that
are started again: simulated here.  What an engine promises (`datapath.engine.Reconciles`) is written out in `Kernel`.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import msgspec

from daemon.cluster.records import Admit, Command, LogEntry, Request
from daemon.executor import Executor
from daemon.executor.executor import Effects
from daemon.executor.holds import Deed, HoldDuty, Spoken, Task
from daemon.state.commands import Drain, Slots, StateCommand
from daemon.state.outcome import Outcome
from daemon.state.slots import Phase
from daemon.state.state import State
from datapath.engine import NOTES, Conversations, SlotState, Taken
from tests.unit.executor.cluster import INCARNATION, Cluster, shared

MS = 1_000_000
SLOTS = 2
UDP_TIMEOUT_MS = 2_000
DRAIN_TIMEOUT_MS = 6_000
SKEW_MS = 2
"""a datagram comes to one host so much later than to the other, at most"""
UNDRAIN_MS, END_MS = 8_000, 16_500
GENTLE = NOTES | {SlotState.OPENING, SlotState.LEAVING_UDP}
STEPS_MAX = 400_000


def slot_of(name: bytes) -> int:
    return name[3] % SLOTS


class Kernel:
    """Slot states, and the conversations that an engine notes."""

    def __init__(self, most: int) -> None:
        self.states: dict[int, SlotState] = {}
        self.heard: dict[bytes, int] = {}
        self.left: set[bytes] = set()
        self._most = most

    def apply(self, states: Mapping[int, SlotState]) -> None:
        fresh = {n for n, state in states.items() if state in GENTLE and self.states.get(n) not in GENTLE}
        self.heard = {name: when for name, when in self.heard.items() if slot_of(name) not in fresh}
        self.left = {name for name in self.left if slot_of(name) not in fresh}
        self.states = dict(states)

    def takes(self, name: bytes, now_ns: int) -> bool:
        state = self.states.get(slot_of(name), SlotState.CLOSED)
        if state is SlotState.KEEPING_UDP or (state is SlotState.DRAINING and name in self.heard):
            self.heard[name] = now_ns
            return True
        if state is SlotState.OPENING:
            return name not in self.left
        return state in (SlotState.OPEN, SlotState.NOTING)

    def conversations(self, slots: Collection[int], idle_ns: int, now_ns: int) -> Conversations:
        own = {name: when for name, when in self.heard.items() if slot_of(name) in slots}
        kept = {name for name, when in own.items() if now_ns - when < idle_ns}
        too_many = len(kept) > self._most
        if too_many:
            kept = set()
        for name in own.keys() - kept:
            if self.states.get(slot_of(name)) is SlotState.DRAINING:
                del self.heard[name]
        return Conversations({name: slot_of(name) for name in kept}, too_many)

    def leave(self, slots: Collection[int], names: Collection[bytes]) -> None:
        self.left = {name for name in self.left if slot_of(name) not in slots} | set(names)


class Log(Cluster):
    """Keeps the entries, for states that apply them later."""

    def __init__(self) -> None:
        self.entries: list[LogEntry] = []
        parameters = {"udp_timeout": f"{UDP_TIMEOUT_MS}ms", "drain_timeout": f"{DRAIN_TIMEOUT_MS}ms"}
        super().__init__(shared(SLOTS, **parameters), ("a1", "a2"))

    def append(self, command: Command) -> Outcome:
        entry = LogEntry(self.state.index + 1, 1, 1_000 * self.state.index, command)
        self.entries.append(entry)
        return self.state.apply(entry)


@dataclass
class Said:
    """A datagram."""

    name: bytes
    sent_ns: int
    arrives: int = 0
    """at so many hosts: the network may lose it on its way to either"""
    taken_by: list[str] = field(default_factory=list)


class Host:
    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.incarnation = INCARNATION
        self.kernel = Kernel(world.most)
        self.state = State(("a1", "a2"))
        self.executor = self._new_executor()
        self._armed_ns = 0
        self._tickets = 1_000

    def _new_executor(self) -> Executor:
        executor = Executor(self.name, self.incarnation, 60_000, HoldDuty(self.name, self.incarnation))
        executor.lease(1 << 62)
        return executor

    def restart(self) -> None:
        """Another process; some engines cannot open what the former one has noted."""
        self.incarnation += 1
        if self.world.dice.random() < 0.3:
            self.kernel.heard, self.kernel.left = {}, set()
            self.kernel.states = {}
            self.world.closings.append(self.world.now_ns)
        self.executor = self._new_executor()
        self.world.append(Admit(self.name, self.incarnation, "boot"))

    def learn(self, entry: LogEntry) -> None:
        if entry.index != self.state.index + 1:
            return
        entered = self.state.enter(entry)
        if entered.outcome.splits:
            self._carry_out(self.executor.hasten(self.state, self.world.now_ns))
        self.state.conclude(entered)
        if isinstance(entry.command, Request) and entry.command.origin == self.name:
            self.executor.proposal_ended(msgspec.msgpack.decode(entry.command.body, type=StateCommand))
        self.pump()

    def hear(self, sender: str, message: Spoken) -> None:
        self.executor.heard(sender, message, self.state, self.world.now_ns)
        self.pump()

    def pump(self) -> None:
        world, executor = self.world, self.executor
        for _ in range(30):
            effects = executor.take(self.state, world.now_ns)
            self._carry_out(effects)
            if not (effects.holding or effects.count_flows):
                break
        due_ns = executor.deadline_ns(self.state, world.now_ns)
        if due_ns is not None and not world.now_ns < self._armed_ns <= due_ns:
            self._armed_ns = max(due_ns, world.now_ns + MS // 10)
            world.at(self._armed_ns, self._tick)

    def _carry_out(self, effects: Effects) -> None:
        world, executor = self.world, self.executor
        if (kernel := effects.kernel) is not None:
            world.later(world.dice.uniform(0, 3), lambda: self._apply(executor, kernel))
        for count in effects.count_flows:
            executor.counted(self.state, count, {}, world.now_ns)
        for task in effects.holding:
            executor.held(task, self._answer(task))
        for word in effects.words:
            world.send(self.name, word.to, word.message)
        for command in effects.proposals:
            self._tickets += 1
            body = msgspec.msgpack.encode(command)
            world.propose(Request(self.name, self.incarnation, self._tickets, body))

    def _tick(self) -> None:
        if self._armed_ns == self.world.now_ns:
            self.pump()

    def _apply(self, executor: Executor, wanted: Mapping[str, object]) -> None:
        if executor is not self.executor:
            return
        want = wanted.get("VIP")
        states: Mapping[int, SlotState] = {} if want is None else want.states  # type: ignore[attr-defined]
        if any(state.drains and number not in states for number, state in self.kernel.states.items()):
            self.world.closings.append(self.world.now_ns)
        self.kernel.apply(states)
        executor.kernel_did(self.state, wanted, {})  # type: ignore[arg-type]
        self.pump()

    def _answer(self, task: Task) -> Taken | Conversations | bool | None:
        now_ns = self.world.now_ns
        if self.world.dice.random() < self.world.failing:
            return None
        if task.deed is Deed.CONVERSATIONS:
            return self.kernel.conversations(task.slots, task.idle_ns, now_ns)
        if task.deed is Deed.LEAVE:
            self.kernel.leave(task.slots, task.names)
        return Taken() if task.deed is Deed.TELL else True


class World:
    def __init__(self, seed: int, *, faults: bool) -> None:
        self.dice = random.Random(seed)
        self.now_ns = 10**9
        self.loss = self.dice.choice((0.0, 0.1, 0.4)) if faults else 0.0
        self.failing = self.dice.choice((0.0, 0.1)) if faults else 0.0
        self.most = self.dice.choice((100, 100, 3)) if faults else 100
        self.datagram_loss = 0.05 if faults else 0.0
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self.log = Log()
        self.said: list[Said] = []
        self.closings: list[int] = []
        """when slots were closed that drained, or a kernel was found empty"""
        self.log.probed("VIP")
        self.log.ready("a1", "a2")
        self.hosts = {name: Host(self, name) for name in ("a1", "a2")}
        for host in self.hosts.values():
            for entry in self.log.entries:
                host.state.apply(entry)
            host.pump()
        self.run_until(50)
        self._plan(faults)

    # ---- time

    def at(self, when_ns: int, happen: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (when_ns, self._count, happen))

    def later(self, delay_ms: float, happen: Callable[[], None]) -> None:
        self.at(self.now_ns + int(delay_ms * MS), happen)

    def run_until(self, ms: int) -> None:
        end_ns = 10**9 + ms * MS
        for _ in range(STEPS_MAX):
            if not self._events or self._events[0][0] > end_ns:
                self.now_ns = end_ns
                return
            self.now_ns, _, happen = heapq.heappop(self._events)
            happen()
        raise AssertionError("the world does not come to rest")

    # ---- log and network

    def append(self, command: Command) -> None:
        self.log.append(command)
        entry = self.log.entries[-1]
        for host in self.hosts.values():
            self._deliver(host, entry)

    def _deliver(self, host: Host, entry: LogEntry) -> None:
        def learn() -> None:
            for missed in self.log.entries[host.state.index : entry.index]:
                host.learn(missed)

        self.later(self.dice.uniform(SKEW_MS + 1, 8), learn)

    def propose(self, request: Request) -> None:
        self.later(self.dice.uniform(1, 4), lambda: self.append(request))

    def order(self, command: Slots | Drain) -> None:
        self.log._tickets += 1
        self.append(Request("a1", 0, self.log._tickets, msgspec.msgpack.encode(command)))

    def send(self, sender: str, to: str, message: Spoken) -> None:
        for _ in range(2 if self.dice.random() < 0.05 else 1):
            if self.dice.random() >= self.loss:
                slow = self.dice.random() < 0.1
                delay_ms = self.dice.uniform(0.05, 60 if slow else 3)
                self.later(delay_ms, lambda: self.hosts[to].hear(sender, message))

    # ---- what happens

    def _plan(self, faults: bool) -> None:
        self.at(10**9 + 100 * MS, lambda: self.order(Drain("a1", None, None, True, "test")))
        self.at(10**9 + UNDRAIN_MS * MS, lambda: self.order(Drain("a1", None, None, False, "test")))
        for number in range(10):
            name = bytes((10, 0, 0, number, 80, number, 0, 53))
            pace_ms = self.dice.choice((50, 300, 600, 1_500, 3_500, 5_000))
            self._speak(name, pace_ms)
        if faults:
            for _ in range(self.dice.choice((0, 0, 1, 2))):
                host = self.hosts[self.dice.choice(("a1", "a2"))]
                self.at(10**9 + self.dice.randrange(90, 6_000) * MS, host.restart)

    def _speak(self, name: bytes, pace_ms: int) -> None:
        said = Said(name, self.now_ns)
        self.said.append(said)
        for host in self.hosts.values():
            if self.dice.random() >= self.datagram_loss:
                said.arrives += 1
                self.later(self.dice.uniform(0, SKEW_MS), lambda host=host: self._arrive(host, said))
        self.later(pace_ms * self.dice.uniform(0.5, 1.2), lambda: self._speak(name, pace_ms))

    def _arrive(self, host: Host, said: Said) -> None:
        if host.kernel.takes(said.name, self.now_ns):
            said.taken_by.append(host.name)

    def phases(self) -> set[Phase]:
        return {slot.phase for slot in self.log.state.slots["VIP"].values()}
