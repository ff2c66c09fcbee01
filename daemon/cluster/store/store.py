"""The store: one thread owns the database, so that an fsync never delays a heartbeat.

`submit` hands work over, and the answer comes back on the event loop, after the commit.  What was answered survives a
kill and a power cut.  Each row carries a checksum: a disk that lies is found when the log is read, and nothing is led
or voted on with a damaged memory.  A transaction that fails leaves the disk as it was; the answer names why, and the
store stays usable.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from daemon.cluster.core.effects import Persist, Saved
from daemon.cluster.store import writing
from daemon.cluster.store.database import connect
from daemon.cluster.store.errors import StoreError, said, translated
from daemon.cluster.store.lock import lock as lock_folder
from daemon.cluster.store.reading import read
from daemon.cluster.store.writing import begin_incarnation, note_cluster_id

log = logging.getLogger(__name__)

FILE = "cluster.db"
BATCH_MAX = 64
"""transactions that share one fsync"""

Callback = Callable[[int, "StoreError | None"], None]
"""receipt, and why nothing was written (None: it is on disk)"""


@dataclass(frozen=True, slots=True)
class _Job:
    write: Callable[[sqlite3.Connection], None]
    receipt: int
    callback: Callback
    loop: asyncio.AbstractEventLoop


class Store:
    """Open with `Store.open`; `submit` from the event loop; `close` waits for what was submitted."""

    def __init__(
        self, path: Path, lock: int, connection: sqlite3.Connection, *, saved: Saved, incarnation: int
    ) -> None:
        self.path = path
        self.saved = saved
        """as it was on disk when the store was opened"""
        self.incarnation = incarnation
        """of this process: higher than that of every earlier one, and on disk already"""
        self._lock = lock
        self._connection = connection
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="store", daemon=True)
        self._thread.start()
        self.thread = self._thread.native_id or 0
        """the kernel's number of the thread that every vote and commit waits for"""

    @classmethod
    def open(cls, folder: Path) -> Store:
        """Lock the folder, read everything back, and begin a new incarnation.  Blocks; call it before the loop.

        Raises StoreError: StoreInUseError, StoreDamagedError, StoreFullError, or another with file and remedy.
        """
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(folder, said(error), "make the directory, or set paths.state to another") from None
        lock = lock_folder(folder)
        path = folder / FILE
        connection: sqlite3.Connection | None = None
        try:
            connection = connect(path)
            saved = read(connection, path)
            incarnation = begin_incarnation(connection, saved.store_id, path)
        except BaseException as error:
            if connection is not None:
                connection.close()
            os.close(lock)
            if isinstance(error, sqlite3.Error):
                raise translated(path, error) from None
            raise
        return cls(path, lock, connection, saved=saved, incarnation=incarnation)

    def submit(self, persist: Persist, callback: Callback) -> None:
        """Write `persist` in one transaction; `callback(receipt, error)` is called on the running event loop."""

        def write(connection: sqlite3.Connection) -> None:
            writing.persist(connection, persist)

        self._jobs.put(_Job(write, persist.receipt, callback, asyncio.get_running_loop()))

    def keep_cluster_id(self, cluster_id: str, callback: Callback) -> None:
        """Write down which cluster this store belongs to; `callback(0, error)`, as for `submit`."""

        def write(connection: sqlite3.Connection) -> None:
            note_cluster_id(connection, cluster_id)

        self._jobs.put(_Job(write, 0, callback, asyncio.get_running_loop()))

    def close(self) -> None:
        """Finish what was submitted, then let go of the folder.  Callbacks still reach a loop that runs on."""
        if self._thread.is_alive():
            self._jobs.put(None)
            self._thread.join()
        self._connection.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    # ---- the store's own thread

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            batch = [job]
            stop = False
            while len(batch) < BATCH_MAX:
                try:
                    more = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    stop = True
                    break
                batch.append(more)
            self._write(batch)
            if stop:
                return

    def _write(self, batch: list[_Job]) -> None:
        """All with one fsync; if that fails, each on its own, so that each gets its own answer."""
        if len(batch) > 1 and self._attempt(batch) is None:
            self._answer(batch, None)
            return
        for job in batch:
            self._answer([job], self._attempt([job]))

    def _attempt(self, batch: list[_Job]) -> StoreError | None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for job in batch:
                job.write(self._connection)
            self._connection.execute("COMMIT")
        except (sqlite3.Error, ValueError) as error:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            return translated(self.path, error)
        return None

    def _answer(self, batch: list[_Job], error: StoreError | None) -> None:
        for job in batch:
            try:
                job.loop.call_soon_threadsafe(job.callback, job.receipt, error)
            except RuntimeError:
                log.debug("receipt %d came after the event loop had ended", job.receipt)
