"""One survivor made a cluster by itself, where too many of the others are gone for good.

What no majority can decide any more, a person decides: an entry is put behind the survivor's log, as if all had agreed
to it, by which it is the only member.  Two things keep the others from undoing that, should they come back after all:
the term is a new one, and so is the cluster's id (`daemon.cluster.identity`), under which nobody hears them.  They
join anew.

Whatever this node had in its log counts as committed from then on; what only the others had is lost.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from daemon.cluster import identity
from daemon.cluster.core.effects import HardState, Persist, Saved
from daemon.cluster.records import LogEntry, Member, Roster
from daemon.cluster.store import writing
from daemon.cluster.store.database import connect
from daemon.cluster.store.errors import StoreError, translated
from daemon.cluster.store.lock import lock as lock_folder
from daemon.cluster.store.reading import read
from daemon.cluster.store.store import FILE


@dataclass(frozen=True, slots=True)
class Recovered:
    index: int
    """of the entry that says so"""
    lost: tuple[str, ...]
    """who belonged to the cluster and does no more"""
    cluster_id: str


def others(folder: Path, node: str, founders: tuple[str, ...]) -> tuple[str, ...]:
    """Who belongs to the cluster beside this node, by its log.  Raises StoreError, StoreInUseError."""
    return tuple(member.name for member in _roster(_open(folder)[1], founders).members if member.name != node)


def recover(folder: Path, node: str, founders: tuple[str, ...], author: str) -> Recovered:
    """Make `node` the only member of its cluster.  Raises StoreError, and StoreInUseError while a daemon runs.

    `founders` are those of the settings, which count where the log has no roster yet.
    """
    connection, saved, descriptor, path = _connection(folder)
    try:
        before = _roster(saved, founders)
        gone = tuple(member for member in before.members if member.name != node)
        lost = tuple(member.name for member in gone)
        index, stamp_ms, term = _end(saved)
        cluster_id = identity.id_of(secrets.token_bytes(identity.ID_BYTES))
        why = f"{author} recovers the cluster from {node} alone; members no more: {', '.join(lost) or 'nobody'}"
        removed = (*before.removed, *((member.name, member.store_id) for member in gone if member.store_id))
        roster = Roster((Member(node, saved.store_id, votes=True),), removed, why=why, cluster_id=cluster_id)
        term = max(term, saved.hard_state.term) + 1
        entry = LogEntry(index + 1, term, max(stamp_ms, time.time_ns() // 1_000_000), roster)
        connection.execute("BEGIN IMMEDIATE")
        writing.persist(connection, Persist(1, HardState(term, node, votes=True), None, (entry,)))
        writing.note_cluster_id(connection, cluster_id)
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise translated(path, error) from None
    finally:
        connection.close()
        os.close(descriptor)
    return Recovered(entry.index, lost, cluster_id)


def _open(folder: Path) -> tuple[Path, Saved]:
    connection, saved, descriptor, path = _connection(folder)
    connection.close()
    os.close(descriptor)
    return path, saved


def _connection(folder: Path) -> tuple[sqlite3.Connection, Saved, int, Path]:
    """The store with its memory, and the lock that keeps daemons away."""
    path = folder / FILE
    if not path.exists():
        raise StoreError(folder, f"there is no {FILE} here", "recover on a host that has the cluster's memory")
    descriptor = lock_folder(folder)
    try:
        connection = connect(path)
        try:
            saved = read(connection, path)
            if saved.is_blank:
                raise StoreError(path, "it has no memory of a cluster", "recover on a host that has one")
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        os.close(descriptor)
        raise translated(path, error) from None
    except BaseException:
        os.close(descriptor)
        raise
    return connection, saved, descriptor, path


def _roster(saved: Saved, founders: tuple[str, ...]) -> Roster:
    """The newest, committed or not."""
    for entry in reversed(saved.entries):
        if isinstance(entry.command, Roster):
            return entry.command
    heads = [snapshot.head.roster for snapshot in saved.snapshots if snapshot.head.roster is not None]
    return heads[-1] if heads else Roster(tuple(Member(name, "", votes=True) for name in founders))


def _end(saved: Saved) -> tuple[int, int, int]:
    """Index, stamp and term of the end of the log."""
    if saved.entries:
        return saved.entries[-1].index, saved.entries[-1].stamp_ms, saved.entries[-1].term
    head = saved.snapshots[-1].head
    return head.index, head.stamp_ms, head.term
