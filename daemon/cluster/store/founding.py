"""The store of a cluster's first node: its log begins with the roster that says so.

It is here that the cluster gets its id, too (`daemon.cluster.identity`).

That a node may found a cluster by itself is written here, once, and not in its settings: with a disk that is lost
the right to do so is lost, too.  Otherwise the first node of a cluster, come back with an empty disk and hearing
nobody for a moment, would found a second cluster of the same name and key beside the first.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from daemon.cluster import identity
from daemon.cluster.core.effects import HardState, Persist, Saved
from daemon.cluster.records import LogEntry, Member, Roster
from daemon.cluster.store import writing
from daemon.cluster.store.database import connect
from daemon.cluster.store.errors import StoreError, said, translated
from daemon.cluster.store.lock import lock as lock_folder
from daemon.cluster.store.reading import read
from daemon.cluster.store.store import FILE

TERM = 1
"""as if this node had been elected by itself once"""


def found(folder: Path, node: str) -> None:
    """Make the store of a cluster that consists of `node`.  Raises StoreError; a store that has lived is left alone."""
    _make(folder, lambda connection, path: _write_roster(connection, path, node))


def prepare(folder: Path, cluster_id: str) -> None:
    """Make the empty store of a host that is to join the cluster with this id, and no other.

    Raises StoreError; a store that has lived is left alone.
    """

    def write(connection: sqlite3.Connection, path: Path) -> None:
        _refuse_memory(read(connection, path), path)
        writing.note_cluster_id(connection, cluster_id)

    _make(folder, write)


def cluster_id_of(folder: Path) -> str:
    """Which cluster the store here belongs to, also while a daemon uses it; "": there is none, or it does not know.

    Raises StoreError.
    """
    path = folder / FILE
    if not path.exists():
        return ""
    try:
        connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=5)
        try:
            row = connection.execute("SELECT value FROM meta WHERE name = 'cluster_id'").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise translated(path, error) from None
    return row[0].decode("ascii", "replace") if row and isinstance(row[0], bytes) else ""


def _make(folder: Path, write: Callable[[sqlite3.Connection, Path], None]) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(folder, said(error), "make the directory, or set paths.state to another") from None
    lock = lock_folder(folder)
    path = folder / FILE
    try:
        connection = connect(path)
        try:
            write(connection, path)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise translated(path, error) from None
    finally:
        os.close(lock)


def is_unused(folder: Path) -> bool:
    """Whether there is a store that was founded here, and no daemon has ever led the cluster with it."""
    saved = _read(folder)
    if saved is None:
        return False
    return saved.hard_state.term == TERM and [type(entry.command) for entry in saved.entries] == [Roster]


def is_prepared(folder: Path) -> bool:
    """Whether there is a store that knows which cluster it is for, and nothing else: `prepare` may make it anew."""
    saved = _read(folder)
    return saved is not None and saved.is_blank and saved.cluster_id != ""


def _read(folder: Path) -> Saved | None:
    """What the store has, which no daemon may use now; None: there is none.  Raises StoreError."""
    path = folder / FILE
    if not path.exists():
        return None
    lock = lock_folder(folder)
    try:
        connection = connect(path)
        try:
            return read(connection, path)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise translated(path, error) from None
    finally:
        os.close(lock)


def _write_roster(connection: sqlite3.Connection, path: Path, node: str) -> None:
    saved = read(connection, path)
    _refuse_memory(saved, path)
    writing.begin_incarnation(connection, saved.store_id, path)
    cluster_id = identity.id_of(secrets.token_bytes(identity.ID_BYTES))
    writing.note_cluster_id(connection, cluster_id)
    member = Member(node, saved.store_id, votes=True)
    roster = Roster((member,), why=f"{node} founds the cluster", cluster_id=cluster_id)
    entry = LogEntry(1, TERM, time.time_ns() // 1_000_000, roster)
    connection.execute("BEGIN IMMEDIATE")
    writing.persist(connection, Persist(1, HardState(TERM, node, votes=True), None, (entry,)))
    connection.execute("COMMIT")


def _refuse_memory(saved: Saved, path: Path) -> None:
    if not saved.is_blank:
        raise StoreError(
            path, "this host has the memory of a cluster already", "move it aside with `vipcast node reset`"
        )
