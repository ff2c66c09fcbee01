"""What a voter must never forget, on disk: hard state and log, in SQLite (WAL, synchronous=FULL).

One thread owns the database, so that an fsync never delays a heartbeat; `submit` hands work over and the answer
comes back on the event loop, after the commit.  What was answered survives a kill and a power cut.  Each row
carries a checksum: a disk that lies is found when the log is read, and nothing is led or voted on with a damaged
memory.

A transaction that fails leaves the disk as it was; the answer names why, and the store stays usable.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import queue
import secrets
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from daemon.cluster.core.effects import HardState, Persist, Saved
from daemon.cluster.records import LogEntry

log = logging.getLogger(__name__)

FORMAT = 1
BATCH_MAX = 64
"""transactions that share one fsync"""

Callback = Callable[[int, "StoreError | None"], None]
"""receipt, and why nothing was written (None: it is on disk)"""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL, sum INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS log (
    position INTEGER PRIMARY KEY, body BLOB NOT NULL, sum INTEGER NOT NULL
);
"""


class StoreError(Exception):
    """The disk refused or lied; `remedy` says what to do about `path`."""

    def __init__(self, path: Path, reason: str, remedy: str) -> None:
        super().__init__(f"{path}: {reason}; {remedy}")
        self.path = path
        self.reason = reason
        self.remedy = remedy


class StoreInUseError(StoreError):
    """Another process has this folder."""


class StoreDamagedError(StoreError):
    """What is on the disk is not what was written."""


class StoreFullError(StoreError):
    """No room left; it can be tried again."""


@dataclass(frozen=True, slots=True)
class _Job:
    persist: Persist
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

    @classmethod
    def open(cls, folder: Path) -> Store:
        """Lock the folder, read everything back, and begin a new incarnation.  Blocks; call it before the loop.

        Raises StoreError: StoreInUseError, StoreDamagedError, StoreFullError, or another with file and remedy.
        """
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(folder, _said(error), "make the directory, or set paths.state to another") from None
        lock = _lock(folder)
        path = folder / "cluster.db"
        connection: sqlite3.Connection | None = None
        try:
            connection = _connect(path)
            saved = _read(connection, path)
            incarnation = _begin_incarnation(connection, saved.store_id, path)
        except BaseException as error:
            if connection is not None:
                connection.close()
            os.close(lock)
            if isinstance(error, sqlite3.Error):
                raise _translated(path, error) from None
            raise
        return cls(path, lock, connection, saved=saved, incarnation=incarnation)

    def submit(self, persist: Persist, callback: Callback) -> None:
        """Write `persist` in one transaction; `callback(receipt, error)` is called on the running event loop."""
        self._jobs.put(_Job(persist, callback, asyncio.get_running_loop()))

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
                _persist(self._connection, job.persist)
            self._connection.execute("COMMIT")
        except (sqlite3.Error, ValueError) as error:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            return _translated(self.path, error)
        return None

    def _answer(self, batch: list[_Job], error: StoreError | None) -> None:
        for job in batch:
            try:
                job.loop.call_soon_threadsafe(job.callback, job.persist.receipt, error)
            except RuntimeError:
                log.debug("receipt %d came after the event loop had ended", job.persist.receipt)


def _lock(folder: Path) -> int:
    """An exclusive lock that ends with this process, however it ends (flock(2))."""
    path = folder / "lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(path, _said(error), "give the daemon's user write access, or set paths.state") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise StoreInUseError(
            folder,
            f"another vipcastd (process {owner}) uses this folder",
            "stop it, or give this one its own paths.state",
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _connect(path: Path) -> sqlite3.Connection:
    new = not path.exists()
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
    try:
        os.chmod(path, 0o600)
        mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode != "wal":
            raise StoreError(path, f"SQLite cannot keep a write-ahead log here (mode {mode})", "use a local disk")
        connection.execute("PRAGMA synchronous=FULL")
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise _damaged(path, str(verdict))
        connection.executescript(_SCHEMA)
        if new:
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)  # SQLite syncs the files; that they are in the folder is ours to see to
            finally:
                os.close(folder)
    except BaseException:
        connection.close()
        raise
    return connection


def _read(connection: sqlite3.Connection, path: Path) -> Saved:
    """Everything that the core needs, each row checked against its checksum.  Raises StoreDamagedError."""
    meta: dict[str, bytes] = {}
    for name, value, stored in connection.execute("SELECT name, value, sum FROM meta"):
        if not isinstance(value, bytes) or stored != _sum(name.encode(), value):
            raise _damaged(path, f"the record {name!r} has changed since it was written")
        meta[name] = value
    if (version := int(meta.get("format", b"%d" % FORMAT))) != FORMAT:
        raise StoreError(
            path, f"written in format {version}, this program knows {FORMAT}", "start the newer program"
        )
    entries: list[LogEntry] = []
    for position, body, stored in connection.execute("SELECT position, body, sum FROM log ORDER BY position"):
        if position != len(entries) + 1:
            raise _damaged(path, f"log entry {len(entries) + 1} is missing")
        if not isinstance(body, bytes) or stored != _sum(b"%d" % position, body):
            raise _damaged(path, f"log entry {position} has changed since it was written")
        try:
            entry = msgspec.msgpack.decode(body, type=LogEntry)
        except msgspec.MsgspecError as error:
            raise _damaged(path, f"log entry {position} cannot be read: {error}") from None
        if entry.index != position:
            raise _damaged(path, f"log entry {position} says that it is entry {entry.index}")
        entries.append(entry)
    store_id = meta.get("store_id", b"").decode("ascii", "replace")
    try:
        hard_state = (
            msgspec.msgpack.decode(meta["hard_state"], type=HardState) if "hard_state" in meta else HardState()
        )
    except msgspec.MsgspecError as error:
        raise _damaged(path, f"the hard state cannot be read: {error}") from None
    return Saved(store_id or secrets.token_hex(16), hard_state, entries)


def _begin_incarnation(connection: sqlite3.Connection, store_id: str, path: Path) -> int:
    """One more than the last, and at least the wall clock's seconds, so that a lost disk repeats none."""
    row = connection.execute("SELECT value FROM meta WHERE name = 'incarnation'").fetchone()
    try:
        last = int(row[0]) if row else 0
    except ValueError:
        raise _damaged(path, "the incarnation is no number") from None
    incarnation = max(last + 1, int(time.time()))
    connection.execute("BEGIN IMMEDIATE")
    _put(connection, "format", b"%d" % FORMAT)
    _put(connection, "store_id", store_id.encode())
    _put(connection, "incarnation", b"%d" % incarnation)
    connection.execute("COMMIT")
    return incarnation


def _persist(connection: sqlite3.Connection, persist: Persist) -> None:
    """Hard state, then cut, then append.  Raises ValueError for a log that would have a gap."""
    _put(connection, "hard_state", msgspec.msgpack.encode(persist.hard_state))
    if persist.truncate_from is not None:
        connection.execute("DELETE FROM log WHERE position >= ?", (persist.truncate_from,))
    if not persist.entries:
        return
    last = connection.execute("SELECT max(position) FROM log").fetchone()[0] or 0
    for entry in persist.entries:
        if entry.index != last + 1:
            raise ValueError(f"log entry {entry.index} cannot follow entry {last}")
        last = entry.index
    connection.executemany(
        "INSERT INTO log (position, body, sum) VALUES (?, ?, ?)",
        ((entry.index, body, _sum(b"%d" % entry.index, body)) for entry, body in _encoded(persist.entries)),
    )


def _encoded(entries: tuple[LogEntry, ...]) -> list[tuple[LogEntry, bytes]]:
    return [(entry, msgspec.msgpack.encode(entry)) for entry in entries]


def _put(connection: sqlite3.Connection, name: str, value: bytes) -> None:
    connection.execute(
        "INSERT INTO meta (name, value, sum) VALUES (?, ?, ?)"
        " ON CONFLICT (name) DO UPDATE SET value = excluded.value, sum = excluded.sum",
        (name, value, _sum(name.encode(), value)),
    )


def _sum(name: bytes, value: bytes) -> int:
    """CRC-32 over the row's name and value: a row that was swapped with another is found, too."""
    return zlib.crc32(value, zlib.crc32(name))


def _damaged(path: Path, reason: str) -> StoreDamagedError:
    return StoreDamagedError(
        path,
        f"damaged: {reason}",
        f"check the disk, then move {path.parent} away, one node at a time: it joins again as a learner"
        " and gets the log from the others",
    )


def _translated(path: Path, error: Exception) -> StoreError:
    """SQLite's refusal in our terms (sqlite.org/rescode.html)."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else None
    if primary == sqlite3.SQLITE_FULL:
        return StoreFullError(path, "no room left on the disk", "make room; the daemon tries again by itself")
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return _damaged(path, str(error))
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return StoreError(path, str(error), "give the daemon's user write access to it")
    if primary == sqlite3.SQLITE_IOERR:
        return StoreError(path, f"the disk failed: {error}", "check the disk (dmesg) and replace it")
    return StoreError(path, str(error), "see the log of the daemon")


def _said(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
