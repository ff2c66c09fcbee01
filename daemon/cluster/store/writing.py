"""What a transaction writes."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from daemon.cluster.core.effects import Persist, SnapshotPart
from daemon.cluster.records import LogEntry
from daemon.cluster.store.database import FORMAT, checksum, put
from daemon.cluster.store.errors import damaged


def begin_incarnation(connection: sqlite3.Connection, store_id: str, path: Path) -> int:
    """One more than the last, and at least the wall clock's seconds, so that a lost disk repeats none.

    In the same transaction the file becomes one of the present format, and what a snapshot that was broken off has
    left behind goes.
    """
    row = connection.execute("SELECT value FROM meta WHERE name = 'incarnation'").fetchone()
    try:
        last = int(row[0]) if row else 0
    except ValueError:
        raise damaged(path, "the incarnation is no number") from None
    incarnation = max(last + 1, int(time.time()))
    connection.execute("BEGIN IMMEDIATE")
    put(connection, "format", b"%d" % FORMAT)
    put(connection, "store_id", store_id.encode())
    put(connection, "incarnation", b"%d" % incarnation)
    _note_end(connection)
    connection.execute("DELETE FROM parts WHERE snapshot NOT IN (SELECT position FROM snapshots)")
    connection.execute("COMMIT")
    return incarnation


def note_cluster_id(connection: sqlite3.Connection, cluster_id: str) -> None:
    """Which cluster the store belongs to (`daemon.cluster.identity`)."""
    put(connection, "cluster_id", cluster_id.encode())


def persist(connection: sqlite3.Connection, job: Persist) -> None:
    """Hard state, then cut, append, part, forget.  Raises ValueError for a log that would have a gap."""
    put(connection, "hard_state", msgspec.msgpack.encode(job.hard_state))
    if job.truncate_from is not None:
        connection.execute("DELETE FROM log WHERE position >= ?", (job.truncate_from,))
    replaced = job.truncate_from == 1 and job.forget_to
    _append(connection, job.entries, job.forget_to if replaced else end_of_log(connection))
    if job.part is not None:
        _put_part(connection, job.part)
    if job.forget_to:
        connection.execute("DELETE FROM log WHERE position <= ?", (job.forget_to,))
        connection.execute("DELETE FROM snapshots WHERE position < ?", (job.forget_to,))
        connection.execute("DELETE FROM parts WHERE snapshot < ?", (job.forget_to,))
    if job.truncate_from is not None or job.entries or job.forget_to:
        _note_end(connection)


def _put_part(connection: sqlite3.Connection, part: SnapshotPart) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO parts (snapshot, number, body, sum) VALUES (?, ?, ?, ?)",
        (part.index, part.number, part.data, checksum(part_name(part.index, part.number), part.data)),
    )
    if part.encoded_head is not None:
        connection.execute(
            "INSERT OR REPLACE INTO snapshots (position, head, sum) VALUES (?, ?, ?)",
            (part.index, part.encoded_head, checksum(head_name(part.index), part.encoded_head)),
        )


def _append(connection: sqlite3.Connection, entries: tuple[LogEntry, ...], last: int) -> None:
    for entry in entries:
        if entry.index != last + 1:
            raise ValueError(f"log entry {entry.index} cannot follow entry {last}")
        last = entry.index
    connection.executemany("INSERT INTO log (position, body, sum) VALUES (?, ?, ?)", _rows(entries))


def _rows(entries: Iterable[LogEntry]) -> Iterable[tuple[int, bytes, int]]:
    for entry in entries:
        body = msgspec.msgpack.encode(entry)
        yield entry.index, body, checksum(entry_name(entry.index), body)


def end_of_log(connection: sqlite3.Connection) -> int:
    """Index of the last entry; of the newest snapshot, where nothing follows it yet."""
    last = connection.execute("SELECT max(position) FROM log").fetchone()[0]
    if last is None:
        last = connection.execute("SELECT max(position) FROM snapshots").fetchone()[0]
    return last or 0


def _note_end(connection: sqlite3.Connection) -> None:
    put(connection, "log_end", b"%d" % end_of_log(connection))


def entry_name(index: int) -> bytes:
    return b"%d" % index


def head_name(index: int) -> bytes:
    return b"snapshot %d" % index


def part_name(index: int, number: int) -> bytes:
    return b"part %d of %d" % (number, index)
