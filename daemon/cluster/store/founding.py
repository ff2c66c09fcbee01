"""The store of a cluster's first node: its log begins with the roster that says so.

That a node may found a cluster by itself is written here, once, and not in its settings: with a disk that is lost
the right to do so is lost, too.  Otherwise the first node of a cluster, come back with an empty disk and hearing
nobody for a moment, would found a second cluster of the same name and key beside the first.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

from daemon.cluster.core.effects import HardState, Persist
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
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(folder, said(error), "make the directory, or set paths.state to another") from None
    lock = lock_folder(folder)
    path = folder / FILE
    try:
        connection = connect(path)
        try:
            _write_roster(connection, path, node)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise translated(path, error) from None
    finally:
        os.close(lock)


def is_unused(folder: Path) -> bool:
    """Whether there is a store that was founded here, and no daemon has ever led the cluster with it."""
    path = folder / FILE
    if not path.exists():
        return False
    lock = lock_folder(folder)
    try:
        connection = connect(path)
        try:
            saved = read(connection, path)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise translated(path, error) from None
    finally:
        os.close(lock)
    return saved.hard_state.term == TERM and [type(entry.command) for entry in saved.entries] == [Roster]


def _write_roster(connection: sqlite3.Connection, path: Path, node: str) -> None:
    saved = read(connection, path)
    if saved.hard_state.term or saved.entries or saved.snapshots:
        raise StoreError(
            path, "this host has the memory of a cluster already", "move it aside with `vipcast node reset`"
        )
    writing.begin_incarnation(connection, saved.store_id, path)
    roster = Roster((Member(node, saved.store_id, votes=True),), why=f"{node} founds the cluster")
    entry = LogEntry(1, TERM, time.time_ns() // 1_000_000, roster)
    connection.execute("BEGIN IMMEDIATE")
    writing.persist(connection, Persist(1, HardState(TERM, node, votes=True), None, (entry,)))
    connection.execute("COMMIT")
