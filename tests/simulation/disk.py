"""A host's disk: what was synced survives; what was under way at a crash is there as a whole or not at all.

That is what SQLite promises of a transaction whose last write is torn, and what `tests/unit/store/test_crashes.py`
shows of the real store, at every length of the write-ahead log and with changed bytes.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from daemon.cluster.core import HardState, Persist, Saved
from daemon.cluster.core.effects import SnapshotPart
from daemon.cluster.core.snapshot import Snapshot, digest_of, read
from daemon.cluster.records import LogEntry

NS_PER_MS = 1_000_000


@dataclass(slots=True)
class Disk:
    rng: random.Random
    hard_state: HardState = field(default_factory=HardState)
    entries: list[LogEntry] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    incarnation: int = 0
    number: int = 1
    """which of its disks the host has now"""
    lies: bool = False
    """it says that it has synced what a power cut takes away again; no host is asked to bear that"""
    takes_ns: int | None = None
    """of a scene: how long every transaction takes"""
    slow: bool = False
    full: bool = False
    _under_way: Persist | None = None
    _parts: dict[int, list[bytes]] = field(default_factory=dict)
    """index → of a snapshot that is not there as a whole yet"""
    _bought: int = 1
    _first: tuple[HardState, list[LogEntry], list[Snapshot]] | None = None
    """what is on the first disk, while it is lost"""
    _synced: tuple[HardState, tuple[LogEntry, ...]] = (HardState(), ())
    """of a disk that lies: what it has really"""

    def next_incarnation(self) -> int:
        self.incarnation += 1
        return self.incarnation

    @property
    def store_id(self) -> str:
        return f"store-{self.number}"

    def lose(self) -> None:
        """Another, empty disk.  The incarnation rises all the same: the store takes the wall clock's seconds."""
        assert self._under_way is None
        if self.number == 1:
            self._first = (self.hard_state, self.entries, self.snapshots)
        self.hard_state, self.entries, self.snapshots = HardState(), [], []
        self._bought += 1
        self.number = self._bought

    @property
    def is_used(self) -> bool:
        return self.incarnation > 0

    @property
    def can_be_put_back(self) -> bool:
        """Whether the first one, which is the voter, is the lost one."""
        return self.number != 1

    def put_back(self) -> None:
        """The first disk is found again, with all that was on it."""
        assert self._under_way is None
        assert self._first is not None
        self.number, (self.hard_state, self.entries, self.snapshots) = 1, self._first

    def saved(self) -> Saved:
        return Saved(self.store_id, self.hard_state, tuple(self.entries), tuple(self.snapshots))

    def write(
        self, persist: Persist, at: Callable[[int, Callable[[], None]], None], done: Callable[[bool], None]
    ) -> None:
        """Start a transaction; `done(True)` after its fsync, `done(False)` where the disk is full."""
        assert self._under_way is None, "the core started a second transaction"
        self._under_way = persist
        at(self._duration_ns(), lambda: self._finish(persist, done))

    def _duration_ns(self) -> int:
        if self.takes_ns is not None:
            return self.takes_ns
        if self.slow:
            return self.rng.randint(50, 900) * NS_PER_MS
        if self.rng.random() < 0.03:
            return self.rng.randint(5, 40) * NS_PER_MS
        return self.rng.randint(200_000, 2 * NS_PER_MS)

    def _finish(self, persist: Persist, done: Callable[[bool], None]) -> None:
        if self._under_way is not persist:
            return  # the process died meanwhile
        self._under_way = None
        if not self.full:
            self._commit(persist)
        done(not self.full)

    def _commit(self, persist: Persist) -> None:
        self.hard_state = persist.hard_state
        if persist.truncate_from is not None:
            self.entries = [entry for entry in self.entries if entry.index < persist.truncate_from]
        last = self._last_index()
        if persist.truncate_from == 1 and persist.forget_to:
            last = persist.forget_to
        for entry in persist.entries:
            assert entry.index == last + 1, "the core leaves a gap on disk"
            self.entries.append(entry)
            last = entry.index
        if persist.part is not None:
            self._keep(persist.part)
        self.entries = [entry for entry in self.entries if entry.index > persist.forget_to]
        self.snapshots = [snapshot for snapshot in self.snapshots if snapshot.index >= persist.forget_to]

    def _last_index(self) -> int:
        if self.entries:
            return self.entries[-1].index
        return self.snapshots[-1].index if self.snapshots else 0

    def _keep(self, part: SnapshotPart) -> None:
        parts = self._parts.setdefault(part.index, [])
        del parts[part.number :]
        assert len(parts) == part.number, "the core leaves a gap in a snapshot"
        parts.append(part.data)
        if part.encoded_head is not None:
            body = b"".join(self._parts.pop(part.index))
            self.snapshots.append(read(part.encoded_head, body, digest_of(body)))

    def cut_power(self) -> None:
        """Just before `process_died`: nothing of the transaction under way has reached the disk."""
        self._under_way = None
        if self.lies:
            self.hard_state, self.entries = self._synced[0], list(self._synced[1])

    def process_died(self) -> None:
        """The transaction under way has reached the disk, or it has not; nobody was told."""
        persist, self._under_way = self._under_way, None
        if persist is not None and not self.full and self.rng.random() < 0.5:
            self._commit(persist)
        self._parts.clear()

    def really_sync(self) -> None:
        """Of a disk that lies: now its cache has reached the platter."""
        self._synced = (self.hard_state, tuple(self.entries))
