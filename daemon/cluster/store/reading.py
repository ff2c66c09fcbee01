"""Everything that the core needs, read back: each row against its checksum, the whole against its ends."""

from __future__ import annotations

import secrets
import sqlite3
from pathlib import Path

import msgspec

from daemon.cluster.core.effects import HardState, Saved
from daemon.cluster.core.snapshot import Snapshot, digest_of
from daemon.cluster.core.snapshot import read as read_snapshot
from daemon.cluster.records import LogEntry
from daemon.cluster.store.database import checksum
from daemon.cluster.store.errors import damaged
from daemon.cluster.store.writing import entry_name, head_name, part_name


def read(connection: sqlite3.Connection, path: Path) -> Saved:
    """Raises StoreDamagedError, which names what is damaged."""
    meta = _records(connection, path)
    snapshots = _snapshots(connection, path)
    entries = _entries(connection, path, after=snapshots[0].index if snapshots else 0)
    _check_end(path, meta, snapshots, entries)
    store_id = meta.get("store_id", b"").decode("ascii", "replace")
    cluster_id = meta.get("cluster_id", b"").decode("ascii", "replace")
    return Saved(store_id or secrets.token_hex(16), _hard_state(path, meta), entries, snapshots, cluster_id)


def _records(connection: sqlite3.Connection, path: Path) -> dict[str, bytes]:
    meta: dict[str, bytes] = {}
    for name, value, stored in connection.execute("SELECT name, value, sum FROM meta"):
        if not isinstance(value, bytes) or stored != checksum(name.encode(), value):
            raise damaged(path, f"the record {name!r} has changed since it was written")
        meta[name] = value
    return meta


def _hard_state(path: Path, meta: dict[str, bytes]) -> HardState:
    if "hard_state" not in meta:
        return HardState()
    try:
        return msgspec.msgpack.decode(meta["hard_state"], type=HardState)
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"the hard state cannot be read: {error}") from None


def _entries(connection: sqlite3.Connection, path: Path, after: int) -> list[LogEntry]:
    """The log: from its first entry, or from the one after the older snapshot."""
    entries: list[LogEntry] = []
    expected = 0
    for position, body, stored in connection.execute("SELECT position, body, sum FROM log ORDER BY position"):
        if not expected:
            expected = 1 if position == 1 else after + 1
        if position != expected:
            raise damaged(path, f"log entry {expected} is missing")
        if not isinstance(body, bytes) or stored != checksum(entry_name(position), body):
            raise damaged(path, f"log entry {position} has changed since it was written")
        try:
            entry = msgspec.msgpack.decode(body, type=LogEntry)
        except (ValueError, RecursionError) as error:
            raise damaged(path, f"log entry {position} cannot be read: {error}") from None
        if entry.index != position:
            raise damaged(path, f"log entry {position} says that it is entry {entry.index}")
        if entries and entry.term < entries[-1].term:
            raise damaged(path, f"log entry {position} is of term {entry.term}, the one before of a later one")
        entries.append(entry)
        expected += 1
    return entries


def _check_end(path: Path, meta: dict[str, bytes], snapshots: list[Snapshot], entries: list[LogEntry]) -> None:
    """Whether entries are missing at the end, where no later one gives that away (format 1 had no such record)."""
    last = entries[-1].index if entries else snapshots[0].index if snapshots else 0
    end = int(meta.get("log_end", b"0"))
    if last < max(end, snapshots[-1].index if snapshots else 0):
        raise damaged(path, f"log entry {last + 1} is missing")


def _snapshots(connection: sqlite3.Connection, path: Path) -> list[Snapshot]:
    rows = connection.execute("SELECT position, head, sum FROM snapshots ORDER BY position").fetchall()
    snapshots: list[Snapshot] = []
    for position, head, stored in rows:
        if not isinstance(head, bytes) or stored != checksum(head_name(position), head):
            raise damaged(path, f"the snapshot of entry {position} has changed since it was written")
        body = _body(connection, path, position)
        try:
            snapshot = read_snapshot(head, body, digest_of(body))
        except ValueError as error:
            raise damaged(path, f"the snapshot of entry {position} is not whole: {error}") from None
        if snapshot.index != position:
            raise damaged(path, f"the snapshot of entry {position} says that it is of entry {snapshot.index}")
        snapshots.append(snapshot)
    return snapshots


def _body(connection: sqlite3.Connection, path: Path, index: int) -> bytes:
    parts: list[bytes] = []
    rows = connection.execute("SELECT number, body, sum FROM parts WHERE snapshot = ? ORDER BY number", (index,))
    for number, data, stored in rows:
        if (
            number != len(parts)
            or not isinstance(data, bytes)
            or stored != checksum(part_name(index, number), data)
        ):
            raise damaged(path, f"part {len(parts)} of the snapshot of entry {index} has changed or is missing")
        parts.append(data)
    return b"".join(parts)
