"""A voter's writer that is killed at any moment: it says on standard output which receipts are on disk.

python -m tests.unit.store.writer FOLDER SEED: begins behind what the folder holds and never ends by itself.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

from daemon.cluster.core.effects import HardState, Persist
from daemon.cluster.records import LogEntry, Request
from daemon.cluster.store import Store, StoreError


def persist_of(receipt: int, last: int, seed: int) -> Persist:
    """The same for the same arguments, so that a reader can tell what must be there."""
    chance = random.Random(f"{seed} {receipt}")
    cut = chance.randint(max(1, last - 3), last) if last and chance.random() < 0.2 else None
    first = cut if cut is not None else last + 1
    entries = tuple(
        LogEntry(
            first + n, receipt, 1_000 + receipt, Request("a1", 7, receipt, chance.randbytes(chance.randint(0, 600)))
        )
        for n in range(chance.randint(0, 4))
    )
    return Persist(receipt, HardState(receipt, f"a{receipt % 3}"), cut, entries)


def apply(log: list[LogEntry], persist: Persist) -> list[LogEntry]:
    kept = log if persist.truncate_from is None else log[: persist.truncate_from - 1]
    return [*kept, *persist.entries]


async def write(folder: Path, seed: int) -> None:
    store = Store.open(folder)
    print("incarnation", store.incarnation, store.saved.store_id, flush=True)
    log = list(store.saved.entries)
    receipt = store.saved.hard_state.term

    def answered(done: int, error: StoreError | None) -> None:
        assert error is None, error
        os.write(1, b"acknowledged %d\n" % done)
        room.release()

    room = asyncio.Semaphore(4)
    while True:
        await room.acquire()
        receipt += 1
        persist = persist_of(receipt, len(log), seed)
        log = apply(log, persist)
        store.submit(persist, answered)


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1]), int(sys.argv[2])))
