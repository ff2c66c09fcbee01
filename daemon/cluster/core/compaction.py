"""When a snapshot is taken, and which ones are kept.

Every node takes them at the same positions of the log: after so many entries, or bytes of them, since the last one.
Of those only committed entries are counted, and a snapshot begins the count anew, so that a node which has restored
one goes on like all others.  Hence a snapshot that one leader has begun to send can be finished by another.

The two newest are kept, on disk and in memory, and the log behind the older one: a follower that lags by less than
one interval needs no snapshot, one that gets the older is not interrupted when the next is taken, and what happened
since can be looked up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from daemon.cluster.core.log import size_of
from daemon.cluster.core.proposals import Remembered
from daemon.cluster.core.snapshot import Head, Snapshot, head_of
from daemon.cluster.core.standing import Standing
from daemon.cluster.records import LogEntry, Roster

KEPT_MAX = 2
REMEMBERED_IN_SNAPSHOT = 512
"""proposals that are repeated are repeated soon; whatever is older the state itself recognizes"""


@dataclass(frozen=True, slots=True)
class Interval:
    """Between two snapshots: whichever is reached first."""

    entries: int = 4_096
    bytes: int = 8 << 20


class Compaction:
    def __init__(self, kept: Sequence[Snapshot], interval: Interval) -> None:
        self.kept: tuple[Snapshot, ...] = tuple(kept)[-KEPT_MAX:]
        """by index"""
        self.roster: Roster | None = self.newest.head.roster if self.newest is not None else None
        """the newest that is committed"""
        self._interval = interval
        self._entries = self._bytes = 0
        """committed since the last position"""
        self._due: Head | None = None
        """of the newest position that was passed, until the state has come to it, too"""

    @property
    def newest(self) -> Snapshot | None:
        return self.kept[-1] if self.kept else None

    def by_mark(self, mark: bytes) -> Snapshot | None:
        return next((snapshot for snapshot in self.kept if snapshot.mark == mark), None)

    def committed(
        self,
        entry: LogEntry,
        standings: Mapping[str, Standing],
        recorded: Mapping[str, str],
        remembered: Remembered,
    ) -> None:
        """Count the next committed entry; the rest is what the log up to it has made of nodes and proposals."""
        if isinstance(entry.command, Roster):
            self.roster = entry.command
        self._entries += 1
        self._bytes += size_of(entry)
        if self._entries < self._interval.entries and self._bytes < self._interval.bytes:
            return
        self._entries = self._bytes = 0
        self._due = head_of(
            index=entry.index,
            term=entry.term,
            stamp_ms=entry.stamp_ms,
            standings=standings,
            recorded=recorded,
            roster=self.roster,
            remembered=remembered.up_to(entry.index, REMEMBERED_IN_SNAPSHOT),
        )

    def due_at(self, index: int) -> bool:
        """Whether the state as of this entry is wanted."""
        return self._due is not None and self._due.index == index

    def pass_over(self) -> None:
        """The position that is due is left out; the next one will come."""
        self._due = None

    def head(self) -> Head:
        """Of the snapshot that is due."""
        assert self._due is not None
        return self._due

    def taken(self, snapshot: Snapshot) -> int:
        """Keep it; returns up to which entry the log may be forgotten then: 0 for the first."""
        self._due = None
        older = self.newest
        self.kept = (*self.kept, snapshot)[-KEPT_MAX:]
        return older.index if older is not None else 0

    def restored(self, snapshot: Snapshot) -> None:
        """It has come from a leader: the log begins behind it."""
        self.kept = (snapshot,)
        self.roster = snapshot.head.roster
        self._entries = self._bytes = 0
        self._due = None
