"""What was acknowledged is there after any end of the process, and a disk that lies is found."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.cluster.core.effects import HardState, Persist
from daemon.cluster.records import Admit, LogEntry, Lost, Noop, Request
from daemon.cluster.store import Store, StoreDamagedError, StoreError, StoreFullError, StoreInUseError
from daemon.cluster.store.database import put
from tests.unit.store.writer import apply, persist_of

ENTRIES = (
    LogEntry(1, 1, 5, Noop()),
    LogEntry(2, 1, 6, Admit("a1", 7, "boot")),
    LogEntry(3, 1, 7, Lost("a2")),
    LogEntry(4, 2, 8, Request("a1", 7, 1, b"\0\xff body")),
)


async def persisted(store: Store, *jobs: Persist) -> list[tuple[int, StoreError | None]]:
    """The answers to `jobs`, in the order in which they came."""
    answers: list[tuple[int, StoreError | None]] = []
    done = asyncio.Event()

    def answered(receipt: int, error: StoreError | None) -> None:
        answers.append((receipt, error))
        if len(answers) == len(jobs):
            done.set()

    for job in jobs:
        store.submit(job, answered)
    async with asyncio.timeout(20):
        await done.wait()
    return answers


async def test_an_empty_folder_gives_a_new_voter_with_an_id_of_its_own(tmp_path: Path) -> None:
    before = int(time.time())
    store = Store.open(tmp_path / "new" / "state")
    assert store.saved.hard_state == HardState()
    assert list(store.saved.entries) == []
    assert len(store.saved.store_id) == 32
    assert store.incarnation >= before
    store.close()
    other = Store.open(tmp_path / "other")
    assert other.saved.store_id != store.saved.store_id
    other.close()


async def test_what_was_acknowledged_is_read_back(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    identity, incarnation = store.saved.store_id, store.incarnation
    assert await persisted(store, Persist(1, HardState(3, "a2"), None, ENTRIES)) == [(1, None)]
    store.close()
    again = Store.open(tmp_path)
    assert again.saved.hard_state == HardState(3, "a2")
    assert tuple(again.saved.entries) == ENTRIES
    assert again.saved.store_id == identity
    assert again.incarnation > incarnation
    again.close()


async def test_incarnations_rise_also_when_the_clock_has_gone_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    for clock in (5_000_000_000.0, 1_000.0, 1_000.0):
        monkeypatch.setattr("daemon.cluster.store.writing.time.time", lambda clock=clock: clock)
        store = Store.open(tmp_path)
        seen.append(store.incarnation)
        store.close()
    assert seen == [5_000_000_000, 5_000_000_001, 5_000_000_002]


async def test_a_cut_comes_before_the_append(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    instead = LogEntry(3, 9, 1, Noop())
    jobs = (Persist(1, HardState(1), None, ENTRIES), Persist(2, HardState(9), 3, (instead,)))
    assert await persisted(store, *jobs) == [(1, None), (2, None)]
    store.close()
    again = Store.open(tmp_path)
    assert tuple(again.saved.entries) == (*ENTRIES[:2], instead)
    again.close()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1 << 30), count=st.integers(1, 30))
def test_any_sequence_is_read_back_as_the_list_that_it_describes(
    tmp_path_factory: pytest.TempPathFactory, seed: int, count: int
) -> None:
    folder = tmp_path_factory.mktemp("store")

    async def write() -> list[LogEntry]:
        store = Store.open(folder)
        log: list[LogEntry] = []
        jobs = []
        for receipt in range(1, count + 1):
            jobs.append(persist_of(receipt, len(log), seed))
            log = apply(log, jobs[-1])
        assert await persisted(store, *jobs) == [(job.receipt, None) for job in jobs]
        store.close()
        return log

    expected = asyncio.run(write())
    again = Store.open(folder)
    assert list(again.saved.entries) == expected
    again.close()


async def test_a_gap_is_refused_and_nothing_of_that_transaction_is_written(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    bad = Persist(2, HardState(8), None, (LogEntry(6, 1, 1, Noop()),))
    answers = await persisted(
        store, Persist(1, HardState(1), None, ENTRIES), bad, Persist(3, HardState(2), None, ())
    )
    assert [receipt for receipt, _ in answers] == [1, 2, 3]
    assert [error is None for _, error in answers] == [True, False, True]
    assert "log entry 6 cannot follow entry 4" in str(answers[1][1])
    store.close()
    again = Store.open(tmp_path)
    assert again.saved.hard_state == HardState(2)
    assert tuple(again.saved.entries) == ENTRIES
    again.close()


async def test_every_commit_is_synced_to_the_disk(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    assert store._connection.execute("PRAGMA synchronous").fetchone() == (2,), "FULL"
    assert store._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    store.close()


async def test_two_daemons_cannot_share_a_folder(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    with pytest.raises(StoreInUseError, match=r"another vipcastd \(process \d+\) uses this folder; stop it"):
        Store.open(tmp_path)
    store.close()
    Store.open(tmp_path).close()


async def test_a_full_disk_is_said_and_the_store_goes_on_when_there_is_room(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count={pages}")
    big = Persist(1, HardState(1), None, (LogEntry(1, 1, 1, Request("a1", 7, 1, bytes(100_000))),))
    ((_, error),) = await persisted(store, big)
    assert isinstance(error, StoreFullError)
    assert "make room" in str(error)
    store._connection.execute("PRAGMA max_page_count=1000000")
    assert await persisted(store, big) == [(1, None)]
    store.close()
    again = Store.open(tmp_path)
    assert len(again.saved.entries) == 1
    again.close()


def changed(sql: str, *parameters: object) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with sqlite3.connect(path) as connection:
            connection.execute(sql, parameters)
        connection.close()

    return change


def overwritten(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096:8192] = random.Random(1).randbytes(4096)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (changed("UPDATE log SET body = x'00' WHERE position = 2"), "log entry 2 has changed since it was written"),
        (changed("DELETE FROM log WHERE position = 2"), "log entry 2 is missing"),
        (changed("UPDATE meta SET value = x'ff' WHERE name = 'hard_state'"), "'hard_state' has changed"),
        (changed("UPDATE meta SET value = 'text' WHERE name = 'incarnation'"), "'incarnation' has changed"),
        (changed("UPDATE log SET body = (SELECT body FROM log WHERE position = 1)"), "log entry 2 has changed"),
        (overwritten, "damaged"),
        (lambda path: path.write_bytes(b"not a database at all, but long enough to be looked at" * 100), "damaged"),
    ],
)
async def test_a_damaged_file_is_never_taken_for_memory(
    tmp_path: Path, damage: Callable[[Path], None], said: str
) -> None:
    store = Store.open(tmp_path)
    await persisted(store, Persist(1, HardState(3, "a2"), None, ENTRIES))
    store.close()
    damage(tmp_path / "cluster.db")
    with pytest.raises(StoreDamagedError, match=said) as caught:
        Store.open(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "vipcast node reset" in caught.value.remedy


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file.*set paths.state"):
        Store.open(tmp_path / "file")
    with pytest.raises(StoreError, match=r"set paths.state"):
        Store.open(tmp_path / "file" / "below")


async def test_a_newer_format_is_left_alone(tmp_path: Path) -> None:
    Store.open(tmp_path).close()
    with sqlite3.connect(tmp_path / "cluster.db") as connection:
        put(connection, "format", b"3")
    connection.close()
    with pytest.raises(StoreError, match="written in format 3"):
        Store.open(tmp_path)


@pytest.mark.parametrize("seed", range(3))
def test_a_writer_killed_at_any_moment_keeps_all_that_it_acknowledged(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    incarnation = 0
    for _ in range(4):
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.unit.store.writer", str(tmp_path), str(seed)], stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        try:
            hello = child.stdout.readline().split()
            assert hello[0] == b"incarnation"
            assert int(hello[1]) > incarnation
            incarnation = int(hello[1])
            said = [child.stdout.readline() for _ in range(chance.randint(1, 60))]
            time.sleep(chance.random() * 0.01)  # anywhere between two acknowledgements
        finally:
            child.kill()
            said += child.stdout.read().splitlines()
            child.stdout.close()
            child.wait(10)
        acknowledged = max(int(line.split()[1]) for line in said if len(line.split()) == 2)
        store = Store.open(tmp_path)
        incarnation = store.incarnation
        term = store.saved.hard_state.term
        assert term >= acknowledged
        expected: list[LogEntry] = []
        for receipt in range(1, term + 1):
            expected = apply(expected, persist_of(receipt, len(expected), seed))
        assert list(store.saved.entries) == expected
        store.close()
