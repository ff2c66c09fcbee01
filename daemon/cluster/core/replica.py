"""What every role of this node works on: its log, disk, promise, peers and the outbox of effects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from daemon.cluster.core.admissions import Admissions
from daemon.cluster.core.disk import Disk
from daemon.cluster.core.effects import Event, Ready, Saved, Send
from daemon.cluster.core.leases import OwnLease, Promise
from daemon.cluster.core.log import Log
from daemon.cluster.core.membership import Membership
from daemon.cluster.core.proposals import REMEMBERED_MAX, Remembered
from daemon.cluster.core.suffrage import Suffrage
from daemon.cluster.messages import Message
from daemon.cluster.records import LogEntry
from daemon.cluster.timers import Timers


class Randomness(Protocol):
    """`random.Random` is one; the simulation's comes from its seed."""

    def random(self) -> float: ...


class Replica:
    def __init__(
        self,
        name: str,
        members: Sequence[str],
        timers: Timers,
        incarnation: int,
        kernel_boot_id: str,
        saved: Saved,
        now_ns: int,
        random: Randomness,
    ) -> None:
        self.name = name
        self.timers = timers
        self.incarnation = incarnation
        self.kernel_boot_id = kernel_boot_id
        self.random = random
        self.voters = frozenset(members)
        self.wall_ms = 0
        self.log = Log(saved.entries)
        self.disk = Disk(saved, self.log, retry_ns=timers.commit_bound_ns)
        self.admissions = Admissions(saved.entries)
        self.remembered = Remembered(self.log.newest(REMEMBERED_MAX))
        self.membership = Membership(name, members, incarnation, kernel_boot_id, timers)
        self.suffrage = Suffrage(name, saved.store_id, self.log, self.disk, self.admissions, self.membership)
        self.promise = Promise(now_ns, timers.promise_ns)
        self.own_lease = OwnLease()
        self.enforced_epoch = 0
        """of this node's admission, that its kernel holds (rule 19)"""
        self.commit = 0
        self.leader: str | None = None
        self.doubt_until_ns = now_ns
        """this process was not scheduled for a while: until then it doubts itself and not its peers"""
        self.ready = Ready()

    # --- effects

    def send(self, to: str | None, message: Message) -> None:
        self.ready.sends.append(Send(to, message))

    def send_when_stable(self, to: str | None, message: Message) -> None:
        """After the fsync of what memory holds now (rule 7)."""
        self.disk.hold(Send(to, message))

    def report(self, event: Event) -> None:
        self.ready.events.append(event)

    # --- term, vote, log: memory changes here, the disk follows

    @property
    def term(self) -> int:
        return self.disk.hard_state.term

    @property
    def voted_for(self) -> str | None:
        return self.disk.hard_state.voted_for

    def append(self, entry: LogEntry) -> None:
        self.log.append(entry)
        self.admissions.appended(entry)
        self.remembered.appended(entry)

    def truncate_from(self, index: int) -> None:
        assert index > self.commit, "a committed entry would be deleted"
        gone = self.log.truncate_from(index)
        self.disk.truncated_from(index)
        self.admissions.truncated(self.log.entries(self.commit + 1, self.log.last_index))
        self.remembered.truncated(gone)

    def is_admitted(self) -> bool:
        """Whether the newest log, tail included, admits this process, and its kernel holds that (rules 12, 19)."""
        admissions = self.admissions
        return admissions.admitted(admissions.tail, self.name, self.incarnation, self.enforced_epoch)
