"""What every role of this node works on: its log, disk, promise, peers and the outbox of effects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from daemon.cluster.core.admissions import Admissions
from daemon.cluster.core.changeover import Changeover, counted_by
from daemon.cluster.core.compaction import Compaction, Interval
from daemon.cluster.core.disk import Disk
from daemon.cluster.core.effects import Event, Ready, Saved, Send, TimersChanged
from daemon.cluster.core.fencing import Fencing
from daemon.cluster.core.freshness import Freshness
from daemon.cluster.core.leases import OwnLease, Promise
from daemon.cluster.core.log import Base, Log
from daemon.cluster.core.membership import Membership
from daemon.cluster.core.proposals import Remembered
from daemon.cluster.core.quorum import Electorate
from daemon.cluster.core.rosters import Rosters
from daemon.cluster.core.snapshot import Snapshot
from daemon.cluster.core.suffrage import Suffrage
from daemon.cluster.messages import Message
from daemon.cluster.records import LogEntry, Roster
from daemon.cluster.timers import Timers


class Randomness(Protocol):
    """`random.Random` is one; the simulation's comes from its seed."""

    def random(self) -> float: ...


class Replica:
    def __init__(
        self,
        name: str,
        founders: Sequence[str],
        timers: Timers,
        incarnation: int,
        kernel_boot_id: str,
        saved: Saved,
        now_ns: int,
        random: Randomness,
        interval: Interval,
        witness: bool,
    ) -> None:
        self.name = name
        self.timers = timers
        self.incarnation = incarnation
        self.kernel_boot_id = kernel_boot_id
        self.random = random
        self.wall_ms = 0
        self.compaction = Compaction(saved.snapshots, interval)
        newest = self.compaction.newest
        self.commit = newest.index if newest is not None else 0
        self.log = Log(saved.entries, _base_of(saved))
        self.disk = Disk(counted_by(saved, timers), self.log, retry_ns=timers.commit_bound_ns)
        uncommitted = self.log.after(self.commit)
        self.admissions = Admissions(uncommitted, newest.head if newest is not None else None)
        self.remembered = Remembered(newest.head.remembered if newest is not None else (), uncommitted)
        self.rosters = Rosters(founders, newest.head if newest is not None else None, uncommitted)
        self.membership = Membership(
            name, self.rosters.names, incarnation, kernel_boot_id, timers, joins=not founders, witness=witness
        )
        self.suffrage = Suffrage(
            name, saved.store_id, self.log, self.disk, self.admissions, self.membership, self.rosters
        )
        self.fencing = Fencing(name, kernel_boot_id, self.admissions, self.membership, self.rosters)
        self.promise = Promise(now_ns, timers.promise_ns)
        self.changeover = Changeover(self.disk, timers, now_ns)
        self.promise.bind_until(self.changeover.over_ns)
        self.own_lease = OwnLease()
        self.freshness = Freshness()
        self.enforced_epoch = 0
        """of this node's admission, that its kernel holds (rule 19)"""
        self.retiring: frozenset[str] = frozenset()
        """nodes that are to leave the cluster and have given everything away"""
        self.tie_breaker = ""
        """who is wished to have the extra vote"""
        self.cluster_id = ""
        """what the cluster is called where the log has no id of it"""
        self.leader: str | None = None
        self.doubt_until_ns = now_ns
        """this process was not scheduled for a while: until then it doubts itself and not its peers"""
        self.ready = Ready(restore=newest)
        if self.changeover.over_ns > now_ns:
            self.report(TimersChanged(self.changeover.over_ns - now_ns))

    # --- effects

    def send(self, to: str | None, message: Message) -> None:
        self.ready.sends.append(Send(to, message))

    def send_when_stable(self, to: str | None, message: Message) -> None:
        """After the fsync of what memory holds now (rule 7)."""
        self.disk.hold(Send(to, message))

    def report(self, event: Event) -> None:
        self.ready.events.append(event)

    @property
    def electorate(self) -> Electorate:
        """Who votes, by the newest roster in the log."""
        return self.rosters.electorate

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
        self.rosters.appended(entry)
        self.fencing.appended(entry)
        if isinstance(entry.command, Roster):
            self.membership.sync(self.rosters.names)

    def truncate_from(self, index: int) -> None:
        assert index > self.commit, "a committed entry would be deleted"
        gone = self.log.truncate_from(index)
        self.disk.truncated_from(index)
        uncommitted = self.log.entries(self.commit + 1, self.log.last_index)
        self.admissions.truncated(uncommitted)
        self.rosters.truncated(uncommitted)
        self.fencing.roster_changed()
        self.membership.sync(self.rosters.names)
        self.remembered.truncated(gone)

    def restore(self, snapshot: Snapshot) -> None:
        """What this node has is not enough, or not right: the snapshot takes the place of its log and its state."""
        assert snapshot.index > self.commit, "the state would go back"
        head = snapshot.head
        self.log.begin_after(Base(head.index, head.term, head.stamp_ms))
        self.disk.replace_log(snapshot)
        self.admissions.restored(head)
        self.rosters.restored(head)
        self.fencing.roster_changed()
        self.membership.sync(self.rosters.names)
        self.remembered.restored(head.remembered)
        self.compaction.restored(snapshot)
        self.commit = head.index
        self.ready.restore = snapshot
        self.ready.committed.clear()  # it has them already

    def is_admitted(self) -> bool:
        """Whether the newest log, tail included, admits this process, and its kernel holds that (rules 12, 19)."""
        admissions = self.admissions
        return admissions.admitted(admissions.tail, self.name, self.incarnation, self.enforced_epoch)


def _base_of(saved: Saved) -> Base:
    """What a saved log follows.  Raises ValueError where it is not all there."""
    if not saved.snapshots or (saved.entries and saved.entries[0].index == 1):
        base = Base()
    else:
        head = saved.snapshots[0].head
        base = Base(head.index, head.term, head.stamp_ms)
    newest = saved.snapshots[-1] if saved.snapshots else None
    if newest is not None and base.index + len(saved.entries) < newest.index:
        raise ValueError(
            f"the saved log ends with entry {base.index + len(saved.entries)}, before the snapshot of entry"
            f" {newest.index}; `vipcast node reset` moves the store away, the node then joins with an empty one"
        )
    return base
