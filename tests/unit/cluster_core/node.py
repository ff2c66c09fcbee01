"""One core on a bench: its clock, its disk and every message that it gets are in the test's hands."""

from __future__ import annotations

from typing import TypeVar

from daemon.cluster.core import Core, HardState, Role, Saved
from daemon.cluster.core.effects import Event, Send
from daemon.cluster.messages import (
    Append,
    AppendAnswer,
    Heartbeat,
    Message,
    PreVote,
    PreVoteAnswer,
    Vote,
    VoteAnswer,
)
from daemon.cluster.records import Admit, Command, LogEntry, Request
from daemon.cluster.timers import PROFILES

MS = 1_000_000
MEMBERS = ("a1", "a2", "a3", "a4")
TIMERS = PROFILES["default"]
INCARNATION = 5
FOUNDER = Saved("store", HardState(votes=True))
"""of a new cluster, before its first election"""

Kind = TypeVar("Kind")


class NoChance:
    def random(self) -> float:
        return 0.5


def request(body: bytes, ticket: int = 1) -> Request:
    return Request("a9", 1, ticket, body)


def entries(*terms: int, first: int = 1) -> tuple[LogEntry, ...]:
    """A log with entries of these terms."""
    return tuple(LogEntry(i, term, 0, request(b"%d/%d" % (i, term), i)) for i, term in enumerate(terms, first))


class Node:
    def __init__(
        self, name: str = "a1", saved: Saved | None = None, kind: type[Core] = Core, waited: bool = True
    ) -> None:
        """`waited`: it has waited out the promise of the process before it, and hears everybody."""
        self.name = name
        self.now_ns = 10**12
        self.core = kind(
            name, MEMBERS, TIMERS, INCARNATION, f"{name}-boot", saved or FOUNDER, self.now_ns, NoChance()
        )
        self.disk_works = True
        self.outbox: list[Send] = []
        self.events: list[Event] = []
        self.committed: list[LogEntry] = []
        self.restored: list[int] = []
        self.receipts: list[int] = []
        self.lease_until_ns: int | None = None
        self.incarnations = dict.fromkeys(MEMBERS, 1)
        self.epochs = dict.fromkeys(MEMBERS, 0)
        self.boots = {peer: f"{peer}-boot" for peer in MEMBERS}
        self._sequences = dict.fromkeys(MEMBERS, 0)
        self._own_sequence = 0
        self.tick()
        if waited:
            self.hear_all()
            self.pass_ms(TIMERS.promise_ns // MS - 1)
            self.hear_all()

    # --- inputs

    def tick(self) -> None:
        self.core.tick(self.now_ns)
        self.drain()

    def pass_ms(self, ms: float) -> None:
        """Time passes, and ticks come when they are wanted."""
        end_ns = self.now_ns + int(ms * MS)
        while (due_ns := self.core.deadline_ns()) <= end_ns:
            self.now_ns = max(self.now_ns, due_ns)
            self.tick()
        self.now_ns = end_ns

    def receive(self, sender: str, message: Message) -> None:
        self.core.receive(sender, message, self.now_ns)
        self.drain()

    def heartbeat(self, peer: str, **changes: object) -> Heartbeat:
        """The next heartbeat of `peer`, which has heard our newest one."""
        self._sequences[peer] += 1
        fields: dict[str, object] = {
            "incarnation": self.incarnations[peer],
            "kernel_boot_id": self.boots[peer],
            "sequence": self._sequences[peer],
            "term": 0,
            "epoch": self.epochs[peer],
            "heard": {self.name: (INCARNATION, self._own_sequence)},
        }
        return Heartbeat(**(fields | changes))  # type: ignore[arg-type]

    def hear(self, *peers: str) -> None:
        for peer in peers:
            self.receive(peer, self.heartbeat(peer))

    def hear_all(self) -> None:
        self.hear(*(peer for peer in MEMBERS if peer != self.name))

    # --- effects

    def drain(self) -> None:
        while ready := self.core.ready():
            self.outbox += ready.sends
            for send in ready.sends:
                if isinstance(send.message, Heartbeat):
                    self._own_sequence = send.message.sequence
            self.events += ready.events
            if ready.restore is not None:
                self.restored.append(ready.restore.index)
            self.committed += ready.committed
            if ready.lease_until_ns is not None:
                self.lease_until_ns = ready.lease_until_ns
            if ready.persist is not None:
                self.receipts.append(ready.persist.receipt)
                if self.disk_works:
                    self.sync()

    def sync(self) -> None:
        """The fsync that is under way ends."""
        self.core.persisted(self.receipts[-1], self.now_ns)
        self.drain()

    def take(self, kind: type[Kind]) -> list[Kind]:
        """Messages of a kind that were sent since the last call."""
        messages: list[object] = [send.message for send in self.outbox]
        taken = [message for message in messages if isinstance(message, kind)]
        self.outbox = [send for send in self.outbox if not isinstance(send.message, kind)]
        return taken

    @property
    def role(self) -> Role:
        return self.core.status(self.now_ns).role

    @property
    def leads(self) -> bool:
        return self.role is Role.LEADER

    @property
    def term(self) -> int:
        return self.core.status(self.now_ns).term

    # --- scenes

    def win(self) -> None:
        """Stand and be elected by everybody."""
        self.pass_ms(2)
        assert self.take(PreVote)
        for peer in MEMBERS[1:]:
            self.receive(peer, PreVoteAnswer(self.term + 1, True, 0))
        [vote] = self.take(Vote)
        for peer in MEMBERS[1:]:
            self.receive(peer, VoteAnswer(vote.term, True))
        assert self.role is Role.LEADER

    def answer(self, *peers: str, match: int | None = None) -> None:
        """These peers have the newest Append on disk."""
        append = [send.message for send in self.outbox if isinstance(send.message, Append)][-1]
        held = self.core.status(self.now_ns).last_index if match is None else match
        for peer in peers:
            self.receive(peer, AppendAnswer(self.term, append.round, held, 0))

    def lead(self) -> None:
        """Lead, with everybody admitted, and enforced everywhere."""
        self.win()
        self.answer("a2", "a3", "a4")
        self.answer("a2", "a3", "a4")
        for entry in self.committed:
            if isinstance(entry.command, Admit):
                self.epochs[entry.command.node] = entry.index
        self.core.enforced(self.epochs[self.name], self.now_ns)
        self.drain()

    def follow(self, leader: str, term: int, log: tuple[LogEntry, ...] = (), commit: int = 0) -> None:
        self.receive(leader, Append(term, 1, 0, 0, list(log), commit, True))

    def tail(self) -> list[Command]:
        log = self.core.replica.log
        return [entry.command for entry in log.entries(1, log.last_index)]
