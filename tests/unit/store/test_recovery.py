"""A survivor of three goes on alone: by its own store, under another term and another id."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from daemon.cluster.core import Core
from daemon.cluster.core.effects import HardState, Persist
from daemon.cluster.records import Admit, LogEntry, Member, Noop, Roster
from daemon.cluster.store import Store, StoreError, writing
from daemon.cluster.store.database import connect
from daemon.cluster.store.founding import found
from daemon.cluster.store.reading import read
from daemon.cluster.store.recovery import others, recover
from daemon.cluster.store.store import FILE
from daemon.cluster.timers import PROFILES
from tests.unit.store.test_founding import MS, run

THREE = ("a1", "a2", "a3")


def survivor(folder: Path) -> None:
    """The store of a1 of three, which followed in term 4 and has one entry that nobody has committed."""
    connection = connect(folder / FILE)
    saved = read(connection, folder / FILE)
    writing.begin_incarnation(connection, saved.store_id, folder / FILE)
    members = tuple(
        Member(name, f"disk of {name}" if name != "a1" else saved.store_id, votes=True) for name in THREE
    )
    commands = (Roster(members), Noop(THREE), Admit("a1", 1, "boot"), Admit("a2", 1, "boot"))
    entries = tuple(LogEntry(index, 4, 1000 + index, command) for index, command in enumerate(commands, 1))
    connection.execute("BEGIN IMMEDIATE")
    writing.persist(connection, Persist(1, HardState(4, "a2", votes=True), None, entries))
    writing.note_cluster_id(connection, "0" * 32)
    connection.execute("COMMIT")
    connection.close()


def test_the_survivor_leads_alone_with_all_that_it_had(tmp_path: Path) -> None:
    survivor(tmp_path)
    assert others(tmp_path, "a1", THREE) == ("a2", "a3")
    done = recover(tmp_path, "a1", THREE, "alice")
    assert done.lost == ("a2", "a3")
    store = Store.open(tmp_path)
    saved = store.saved
    core = Core("a1", THREE, PROFILES["fast"], store.incarnation, "boot", saved, 0, random.Random(1))
    committed = list(run_and_collect(core, 3000))
    store.close()
    status = core.status(3000 * MS)
    assert (status.leader, [peer.name for peer in status.peers]) == ("a1", ["a1"])
    assert status.term > 4
    assert [entry.index for entry in committed][:5] == [1, 2, 3, 4, done.index]
    told = committed[4].command
    assert isinstance(told, Roster)
    assert told.why == "alice recovers the cluster from a1 alone; members no more: a2, a3"
    assert told.removed == (("a2", "disk of a2"), ("a3", "disk of a3"))
    assert saved.cluster_id == done.cluster_id != "0" * 32


def run_and_collect(core: Core, until_ms: int) -> list[LogEntry]:
    """Let it live alone, with a disk that takes a moment; what it commits."""
    committed: list[LogEntry] = []
    for now_ms in range(1, until_ms):
        core.tick(now_ms * MS)
        while ready := core.ready():
            committed += ready.committed
            if ready.persist is not None:
                core.persisted(ready.persist.receipt, now_ms * MS)
    return committed


def test_without_it_the_survivor_never_leads(tmp_path: Path) -> None:
    survivor(tmp_path)
    store = Store.open(tmp_path)
    core = Core("a1", THREE, PROFILES["fast"], store.incarnation, "boot", store.saved, 0, random.Random(1))
    run(core, 3000)
    store.close()
    assert core.status(3000 * MS).leader is None


def test_a_second_time_changes_the_id_again_and_loses_nobody(tmp_path: Path) -> None:
    survivor(tmp_path)
    first = recover(tmp_path, "a1", THREE, "alice")
    second = recover(tmp_path, "a1", THREE, "alice")
    assert (second.index, second.lost) == (first.index + 1, ())


def test_there_must_be_a_memory_and_no_daemon_on_it(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no"):
        recover(tmp_path, "a1", THREE, "alice")
    found(tmp_path, "a1")
    store = Store.open(tmp_path)
    try:
        with pytest.raises(StoreError, match=r"another|in use|runs"):
            recover(tmp_path, "a1", THREE, "alice")
    finally:
        store.close()
