"""A voter that writes entries, cuts them, takes snapshots in parts and restores a leader's, until it is killed.

python -m tests.unit.store.snapshotting FOLDER SEED: begins with an empty folder, never ends by itself, and says on
standard output which receipts are on disk.  What a receipt writes follows from seed and receipt alone.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from dataclasses import dataclass, field
from pathlib import Path

from daemon.cluster.core.effects import HardState, Persist, SnapshotPart
from daemon.cluster.core.snapshot import Snapshot, digest_of, head_of, snapshot_of
from daemon.cluster.records import LogEntry, Request
from daemon.cluster.store import Store, StoreError

PARTS = 3


@dataclass(slots=True)
class Model:
    """What must be on disk after each receipt."""

    seed: int
    receipt: int = 0
    last: int = 0
    """index of the last entry, or of the snapshot that the log begins after"""
    entries: list[LogEntry] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    _writing: Snapshot | None = None
    _parts_done: int = 0

    def next(self) -> Persist:
        """The next job, carried out in this model."""
        self.receipt += 1
        chance = random.Random(f"{self.seed} {self.receipt}")
        hard_state = HardState(self.receipt, f"a{self.receipt % 3}")
        if self._writing is None and chance.random() < 0.05:
            return self._restore(hard_state, chance)
        newest = self.snapshots[-1].index if self.snapshots else 0
        if self._writing is None and chance.random() < 0.3 and self.last > newest:
            self._writing, self._parts_done = self._snapshot(self.last, chance), 0
        least = max(newest, self._writing.index if self._writing is not None else 0) + 1
        cut = chance.randint(least, self.last) if self.last >= least and chance.random() < 0.2 else None
        if cut is not None:
            self.entries = [entry for entry in self.entries if entry.index < cut]
            self.last = cut - 1
        added = self._add(chance.randint(0, 4), chance)
        part, forget_to = self._next_part()
        return Persist(self.receipt, hard_state, cut, added, part, forget_to)

    def _add(self, count: int, chance: random.Random) -> tuple[LogEntry, ...]:
        added = tuple(
            LogEntry(
                self.last + n, self.receipt, self.receipt, Request("a1", 7, self.receipt, chance.randbytes(200))
            )
            for n in range(1, count + 1)
        )
        self.entries += added
        self.last += count
        return added

    def _snapshot(self, index: int, chance: random.Random) -> Snapshot:
        body = chance.randbytes(chance.randint(0, 9_000))
        head = head_of(
            index=index, term=self.receipt, stamp_ms=1, standings={}, recorded={}, roster=None, remembered=()
        )
        return snapshot_of(head, body, digest_of(body))

    def _next_part(self) -> tuple[SnapshotPart | None, int]:
        writing = self._writing
        if writing is None:
            return None, 0
        size = -(-len(writing.body) // PARTS)
        number, self._parts_done = self._parts_done, self._parts_done + 1
        data = writing.body[number * size : (number + 1) * size]
        if self._parts_done < PARTS:
            return SnapshotPart(writing.index, number, data), 0
        forget_to = self.snapshots[-1].index if self.snapshots else 0
        self.snapshots = [*self.snapshots[-1:], writing]
        self.entries = [entry for entry in self.entries if entry.index > forget_to]
        self._writing = None
        return SnapshotPart(writing.index, number, data, writing.encoded_head), forget_to

    def _restore(self, hard_state: HardState, chance: random.Random) -> Persist:
        snapshot = self._snapshot(self.last + chance.randint(1, 50), chance)
        self.entries, self.snapshots, self.last = [], [snapshot], snapshot.index
        added = self._add(chance.randint(0, 3), chance)
        part = SnapshotPart(snapshot.index, 0, snapshot.body, snapshot.encoded_head)
        return Persist(self.receipt, hard_state, 1, added, part, snapshot.index)


def model_after(seed: int, receipt: int) -> Model:
    model = Model(seed)
    while model.receipt < receipt:
        model.next()
    return model


async def write(folder: Path, seed: int) -> None:
    store = Store.open(folder)
    model = Model(seed)
    room = asyncio.Semaphore(4)

    def answered(done: int, error: StoreError | None) -> None:
        assert error is None, error
        os.write(1, b"acknowledged %d\n" % done)
        room.release()

    print("begins", flush=True)
    while True:
        await room.acquire()
        store.submit(model.next(), answered)


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1]), int(sys.argv[2])))
