"""The file: how it is opened, which tables it has, and how an older format becomes the present one.

Format 1 had hard state and log.  Format 2 adds snapshots, and a record of where the log ends, so that entries that
are missing at its end are missed, too.  The record of the cluster's id came later: a store without it is of the
same format, and gets one when the log has it.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from pathlib import Path

from daemon.cluster.store.errors import StoreError, damaged

FORMAT = 2
UPGRADED = frozenset({1})
"""older formats that are brought up to date when they are opened"""
JOURNAL_BYTES_MAX = 16 << 20
"""what the write-ahead log keeps after it was bigger for a moment"""

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL, sum INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS log (
    position INTEGER PRIMARY KEY, body BLOB NOT NULL, sum INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS snapshots (
    position INTEGER PRIMARY KEY, head BLOB NOT NULL, sum INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS parts (
    snapshot INTEGER NOT NULL, number INTEGER NOT NULL, body BLOB NOT NULL, sum INTEGER NOT NULL,
    UNIQUE (snapshot, number)
);
"""


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, or make it.  Raises StoreError, sqlite3.Error; a newer format is left alone."""
    new = not path.exists()
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
    try:
        os.chmod(path, 0o600)
        mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode != "wal":
            raise StoreError(path, f"SQLite cannot keep a write-ahead log here (mode {mode})", "use a local disk")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA journal_size_limit={JOURNAL_BYTES_MAX}")
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise damaged(path, str(verdict))
        refuse_unknown_format(connection, path)
        connection.executescript(SCHEMA)
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


def format_of(connection: sqlite3.Connection, path: Path) -> int:
    """As which the file was written last; the present one where it is new."""
    if connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'meta'").fetchone()[0] == 0:
        return FORMAT
    row = connection.execute("SELECT value, sum FROM meta WHERE name = 'format'").fetchone()
    if row is None:
        return FORMAT
    if not isinstance(row[0], bytes) or row[1] != checksum(b"format", row[0]):
        raise damaged(path, "the record 'format' has changed since it was written")
    return int(row[0])


def refuse_unknown_format(connection: sqlite3.Connection, path: Path) -> None:
    """Raises StoreError for a file that another version has written in its own way."""
    version = format_of(connection, path)
    if version != FORMAT and version not in UPGRADED:
        raise StoreError(
            path,
            f"written in format {version}, this program knows {FORMAT}",
            "start the newer program"
            if version > FORMAT
            else "start the program that has written it, or run `vipcast node reset`",
        )


def put(connection: sqlite3.Connection, name: str, value: bytes) -> None:
    """Write a record."""
    connection.execute(
        "INSERT INTO meta (name, value, sum) VALUES (?, ?, ?)"
        " ON CONFLICT (name) DO UPDATE SET value = excluded.value, sum = excluded.sum",
        (name, value, checksum(name.encode(), value)),
    )


def checksum(name: bytes, value: bytes) -> int:
    """CRC-32 over the row's name and value: a row that was swapped with another is found, too."""
    return zlib.crc32(value, zlib.crc32(name))
