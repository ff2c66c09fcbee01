"""A control server over a real State: a cluster whose log is a list, served on a real socket by a real event loop.

Only consensus is left out: a proposal is appended and applied at once.  Resources do not really run; `play` lets
each planned action succeed, which is what agents and kernels would report.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from daemon.cluster.clock import boot_ns
from daemon.cluster.core.effects import CoreStatus, PeerStatus, Role
from daemon.cluster.keyring import Keyring
from daemon.cluster.records import Admit, LogEntry, Lost, Member, Request, Roster
from daemon.cluster.rotation import Rotation
from daemon.cluster.timers import Timers
from daemon.control import keysdoc, statusdoc
from daemon.control.access import Access
from daemon.control.backend import AgentAnswer, Committed, Conflict, NoQuorum, NoSuchAgent, Outcome, Refused
from daemon.control.chronicle import Chronicle
from daemon.control.client import ControlClient
from daemon.control.events import EventHub
from daemon.control.metrics import MetricsFacts
from daemon.control.quorumdoc import QuorumFacts
from daemon.control.schema import (
    ConfigurationDocument,
    Event,
    FencingConfirmed,
    KeysDocument,
    LogLine,
    ReloadDocument,
    StatusDocument,
    TokenDocument,
)
from daemon.control.server import ControlServer
from daemon.enrolling import Enrolling
from daemon.executor.policy import QuorumProperties
from daemon.measures import Measures
from daemon.scheduler.view import Plan, View
from daemon.settings import Cluster, Datapath, Link, Node, Paths, Realtime, Settings
from daemon.state.commands import Result, Slots, StateCommand
from daemon.state.outcome import Outcome as Applied
from daemon.state.slots import Phase
from daemon.state.state import State
from tests.unit.control.agentdocuments import AGENTS

HOSTS = ("a1", "a2", "a3", "a4")
NOW_NS = 10_000_000_000
STAMP_MS = 1_700_000_000_000
ROUNDS_MAX = 64
_REPORTS = {Phase.OPEN: "opened", Phase.DRAINING: "drained", Phase.SPLIT: "closed", Phase.CLOSING: "closed"}


def settings_of(node: str, members: Sequence[str]) -> Settings:
    return Settings(
        file=Path("/nonexistent"),
        cluster=Cluster(name="demo", nodes=tuple(members)),
        node=Node(name=node),
        links=(Link(interface="eth0", group="239.255.42.1"),),
        timers=Timers(),
        datapath=Datapath(),
        paths=Paths(),
        realtime=Realtime(),
    )


@dataclass
class StateBackend:
    """The backend protocol over one State; `quorate` False refuses proposals like a minority does."""

    members: tuple[str, ...] = HOSTS
    hub: EventHub = field(default_factory=EventHub)
    state: State = field(init=False)
    entries: list[LogEntry] = field(default_factory=list)
    quorate: bool = True
    chronicle: Chronicle = field(default_factory=Chronicle)
    snapshots: list[tuple[int, bytes]] = field(default_factory=list)
    first_index: int = 1
    agents: dict[str, AgentAnswer] = field(default_factory=lambda: dict(AGENTS))
    leader_removes: bool = True
    """nodes that are told to leave go off the roster at once"""
    confirmed: list[tuple[str, str]] = field(default_factory=list)
    """(node, by) of those who are said to be without power"""
    measures: Measures = field(default_factory=Measures)
    failing: Exception | None = None
    """raised by `status`: a fault of the daemon"""

    def __post_init__(self) -> None:
        self.state = State(self.members)
        self.settings = settings_of(self.members[0], self.members)
        self.rotation = Rotation(Keyring.of(bytes(32)))
        self.enrolling = Enrolling(self.settings, self.core, boot_ns)
        for member in self.members:
            self.append(Admit(member, 1, f"boot-{member}"))

    def append(self, command: Admit | Lost | Request | Roster) -> Applied:
        entry = LogEntry(len(self.entries) + 1, 1, STAMP_MS + len(self.entries), command)
        self.entries.append(entry)
        outcome = self.state.apply(entry)
        line = self.chronicle.add(entry, outcome, self.state.configuration_epoch)
        self.hub.publish(Event("state", entry.index, {"text": line.text}))
        return outcome

    def request(self, command: StateCommand) -> Applied:
        return self.append(Request(self.members[0], 1, len(self.entries) + 1, msgspec.msgpack.encode(command)))

    def take_off(self) -> None:
        """What a leader does about nodes that have given everything away."""
        for name in sorted(self.state.retired):
            self.append(Lost(name))
            self.members = tuple(member for member in self.members if member != name)
            roster = tuple(Member(member, "", votes=True) for member in self.members)
            self.append(Roster(roster, why=f"{name} was removed"))

    def play(self) -> None:
        """Let every planned action succeed and every kernel obey, until nothing is left to do."""
        for _ in range(ROUNDS_MAX):
            if not self._play_actions() and not self._play_slots():
                return
        raise AssertionError("the cluster does not come to rest")

    def _play_actions(self) -> bool:
        actions = [a for member in self.members for a in self.state.plan.runnable(member)]
        for action in actions:
            exit_code = 7 if action.operation == "monitor" else 0
            self.request(
                Result(
                    action.node,
                    1,
                    action.instance,
                    action.operation,
                    action.interval_ms,
                    exit_code,
                    "done",
                    "",
                    5,
                    "",
                )
            )
        return bool(actions)

    def _play_slots(self) -> bool:
        before = len(self.entries)
        for member in self.members:
            for address, states in self.state.wishes(member).items():
                if member not in self.state.ready.get(address, ()):
                    self.request(Slots(member, 1, address, "ready", {}))
                held = {number: self.state.slots[address].get(number) for number in states}
                for phase, what in _REPORTS.items():
                    told = {
                        number: slot.generation
                        for number, slot in held.items()
                        if slot is not None
                        and slot.holder == member
                        and slot.phase is phase
                        and not (phase is Phase.OPEN and slot.opened)
                    }
                    if told:
                        self.request(Slots(member, 1, address, what, told))
        return len(self.entries) > before

    # ---- the protocol

    def core(self) -> CoreStatus:
        now_ns = NOW_NS
        peers = tuple(
            PeerStatus(
                name=name,
                rank=rank,
                last_heard_ns=now_ns - 12_000_000,
                live=True,
                fresh=True,
                incarnation=1,
                admitted=self.state.nodes[name].admitted,
                admitted_incarnation=self.state.nodes[name].incarnation or None,
                epoch=self.state.nodes[name].epoch,
                enforced_epoch=self.state.nodes[name].epoch,
            )
            for rank, name in enumerate(self.members)
        )
        return CoreStatus(
            name=self.members[0],
            incarnation=1,
            role=Role.LEADER,
            leader=self.members[0] if self.quorate else None,
            term=1,
            last_index=len(self.entries),
            commit=len(self.entries),
            applied=len(self.entries),
            quorate=self.quorate,
            lease_until_ns=now_ns + 310_000_000,
            outstanding_proposals=0,
            peers=peers,
        )

    def status(self) -> StatusDocument:
        if self.failing is not None:
            raise self.failing
        return statusdoc.build(
            settings=self.settings,
            state=self.state,
            core=self.core(),
            engine="nft",
            serving=(),
            counters=(),
            transport=None,
            as_of_ns=NOW_NS,
            now_ns=NOW_NS,
        )

    def quorum(self) -> QuorumFacts:
        return QuorumFacts(
            cluster="demo",
            core=self.core(),
            properties=QuorumProperties.of(self.state.configuration),
            heard_all=True,
            is_overlaid=False,
            view=self.state.view(),
        )

    def metrics(self) -> MetricsFacts:
        return MetricsFacts(self.status(), self.quorum(), self.measures, None, STAMP_MS)

    def configuration(self) -> ConfigurationDocument:
        body = self.state.configuration.model_dump_json().encode()
        return ConfigurationDocument(self.state.configuration_epoch, msgspec.Raw(body))

    async def propose(self, command: StateCommand, timeout_ms: int) -> Outcome:
        await asyncio.sleep(0)
        if not self.quorate:
            return NoQuorum("this partition has no quorum, so nothing can be changed")
        outcome = self.request(command)
        if outcome.accepted:
            self.play()
            if self.leader_removes:
                self.take_off()
            return Committed(len(self.entries), self.state.configuration_epoch)
        if outcome.conflict:
            return Conflict(self.state.configuration_epoch)
        return Refused(outcome.sentence, outcome.findings)

    async def agent(self, name: str) -> AgentAnswer:
        await asyncio.sleep(0)
        return self.agents.get(name, NoSuchAgent(f"agent '{name}' is not installed"))

    def confirm_fenced(self, node: str, author: str) -> FencingConfirmed | Refused:
        if len(self.members) != 2:
            return Refused(f"the cluster has {len(self.members)} voters")
        self.confirmed.append((node, author))
        return FencingConfirmed(node)

    def keys(self) -> KeysDocument:
        return KeysDocument(HOSTS[0], keysdoc.keys(self.rotation, frozenset(HOSTS[1:]), STAMP_MS // 1000))

    async def rotate_key(self, *, revokes: bool) -> KeysDocument | Refused:
        await asyncio.sleep(0)
        if not self.quorate:
            return Refused("this partition has no quorum, so no key is replaced here; see `vipcast status`")
        self.rotation.ring = self.rotation.begun(bytes([1]) * 32, revokes=revokes)
        return self.keys()

    async def reload(self) -> ReloadDocument | Refused:
        await asyncio.sleep(0)
        return ReloadDocument(HOSTS[0], "/etc/vipcast/vipcast.toml", (), ())

    def join_token(self, ttl_ms: int, uses: int, author: str) -> TokenDocument | Refused:
        return self.enrolling.print_token(ttl_ms, uses, author)

    def plan(self) -> Plan:
        return self.state.plan

    def view(self) -> View:
        return self.state.view()

    def cut(self, index: int) -> None:
        """Keep the state as of entry `index`, and forget the entries up to it."""
        state = State(HOSTS)
        for entry in self.entries[:index]:
            state.apply(entry)
        self.snapshots.append((index, state.freeze()))
        self.first_index = index + 1

    def log_first_index(self) -> int:
        return self.first_index

    def log_lines(self, since: int, limit: int) -> Sequence[LogLine]:
        return [self.chronicle.line(entry) for entry in self.log_entries(since, limit)]

    def snapshot_at(self, index: int) -> tuple[int, bytes] | None:
        kept = [snapshot for snapshot in self.snapshots if snapshot[0] <= index]
        if not kept and self.first_index == 1:
            return 0, State(HOSTS).freeze()
        return kept[-1] if kept else None

    def log_entries(self, since: int, limit: int) -> Sequence[LogEntry]:
        since = max(since, self.first_index)
        return self.entries[since - 1 : since - 1 + limit]


@dataclass
class Living:
    """A server that runs in a thread of its own, and how to reach it."""

    backend: StateBackend
    path: Path
    loop: asyncio.AbstractEventLoop
    server: ControlServer

    @property
    def client(self) -> ControlClient:
        return ControlClient(str(self.path), timeout_s=10)

    def stop(self) -> None:
        """The daemon ends."""
        asyncio.run_coroutine_threadsafe(self.server.stop(), self.loop).result(10)

    def on_loop(self, work: Callable[[], Any]) -> Any:
        """Run something where the daemon runs."""

        async def run() -> Any:
            return work()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(10)


def everybody() -> Access:
    """This test's own user may write."""
    return Access(frozenset((0, os.geteuid())), None, None)


@contextlib.contextmanager
def living(backend: StateBackend | None = None, access: Access | None = None) -> Iterator[Living]:
    """A server on a socket in a folder of its own; everything is gone afterwards."""
    backend = backend or StateBackend()
    with tempfile.TemporaryDirectory(prefix="vipcast-") as folder:
        path = Path(folder) / "control.sock"
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        server = ControlServer(backend, backend.hub, path, access or everybody())
        try:
            asyncio.run_coroutine_threadsafe(server.start(), loop).result(10)
            yield Living(backend, path, loop, server)
        finally:
            asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)
            loop.close()
