"""Snapshots on disk: whole or not there, bounded, and read back as they were written."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
import pytest

from daemon.cluster.core.effects import HardState, Persist, SnapshotPart
from daemon.cluster.core.snapshot import Snapshot, digest_of, head_of, snapshot_of
from daemon.cluster.core.standing import RestartLease, Standing
from daemon.cluster.records import LogEntry, Member, Request, Roster
from daemon.cluster.store import Store, StoreDamagedError
from daemon.cluster.store.database import SCHEMA, checksum, put
from tests.unit.store.test_store import ENTRIES, changed, persisted

ROSTER = Roster((Member("a1", "s1", True), Member("a2", "", False)), (("a3", "s3"),), why="a2 joins as a learner")


def snapshot_at(index: int, body: bytes = b"the state") -> Snapshot:
    head = head_of(
        index=index,
        term=2,
        stamp_ms=9,
        standings={"a2": Standing(True, 7, "boot", 2, RestartLease(6, 900)), "a1": Standing(False, 1, "b", 3)},
        recorded={"a1": "s1"},
        roster=ROSTER,
        remembered=(),
    )
    return snapshot_of(head, body, digest_of(body))


def bytes_in(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def entries(first: int, last: int, body_bytes: int = 10) -> tuple[LogEntry, ...]:
    return tuple(LogEntry(i, 2, i, Request("a1", 1, i, bytes(body_bytes))) for i in range(first, last + 1))


def parts_of(snapshot: Snapshot, part_bytes: int) -> list[SnapshotPart]:
    body = snapshot.body
    starts = range(0, max(1, len(body)), part_bytes)
    return [
        SnapshotPart(
            snapshot.index,
            number,
            body[start : start + part_bytes],
            snapshot.encoded_head if start + part_bytes >= len(body) else None,
        )
        for number, start in enumerate(starts)
    ]


async def test_a_snapshot_written_in_parts_is_read_back_and_what_is_before_the_older_one_is_gone(
    tmp_path: Path,
) -> None:
    store = Store.open(tmp_path)
    older, newer = snapshot_at(4), snapshot_at(8, bytes(range(256)) * 10)
    (whole,) = parts_of(older, 1 << 20)
    jobs = [
        Persist(1, HardState(2), None, ENTRIES, whole),
        Persist(2, HardState(2), None, entries(5, 9)),
        *(
            Persist(3 + part.number, HardState(2), None, (), part, forget_to=4 if part.encoded_head else 0)
            for part in parts_of(newer, 1_000)
        ),
    ]
    assert all(error is None for _, error in await persisted(store, *jobs))
    store.close()
    again = Store.open(tmp_path)
    assert list(again.saved.snapshots) == [older, newer]
    assert again.saved.snapshots[0].head.roster == ROSTER
    assert [entry.index for entry in again.saved.entries] == [5, 6, 7, 8, 9]
    again.close()


async def test_a_snapshot_that_was_broken_off_is_not_there_and_leaves_nothing_behind(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    first = parts_of(snapshot_at(4, bytes(3_000)), 1_000)[0]
    await persisted(store, Persist(1, HardState(2), None, ENTRIES, first))
    store.close()
    again = Store.open(tmp_path)
    assert list(again.saved.snapshots) == []
    assert again.saved.entries == list(ENTRIES)
    assert again._connection.execute("SELECT count(*) FROM parts").fetchone() == (0,)
    again.close()


async def test_one_from_a_leader_replaces_the_log_in_the_transaction_of_its_last_part(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    await persisted(store, Persist(1, HardState(2), None, ENTRIES))
    leaders = snapshot_at(40)
    (part,) = parts_of(leaders, 1_000)
    replacing = Persist(2, HardState(3), 1, entries(41, 42), part, forget_to=40)
    assert await persisted(store, replacing, Persist(3, HardState(3), None, entries(43, 43))) == [
        (2, None),
        (3, None),
    ]
    store.close()
    again = Store.open(tmp_path)
    assert list(again.saved.snapshots) == [leaders]
    assert [entry.index for entry in again.saved.entries] == [41, 42, 43]
    again.close()


async def test_entries_that_do_not_follow_the_snapshot_are_refused(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    (part,) = parts_of(snapshot_at(40), 1_000)
    ((_, error),) = await persisted(store, Persist(1, HardState(3), 1, entries(42, 42), part, forget_to=40))
    assert "log entry 42 cannot follow entry 40" in str(error)
    store.close()
    again = Store.open(tmp_path)
    assert (list(again.saved.snapshots), list(again.saved.entries)) == ([], [])
    again.close()


async def test_the_file_stays_bounded_over_many_thousand_entries(tmp_path: Path) -> None:
    """Each round appends 400 entries of 200 bytes and takes a snapshot of 100 kB; two are kept."""
    store = Store.open(tmp_path)
    sizes = []
    previous = 0
    for number in range(1, 25):
        last = number * 400
        body = number.to_bytes(4, "big") * 25_000
        (part,) = parts_of(snapshot_at(last, body), 1 << 20)
        append = Persist(2 * number, HardState(2), None, entries(last - 399, last, 200))
        snapshot = Persist(2 * number + 1, HardState(2), None, (), part, forget_to=previous)
        assert all(error is None for _, error in await persisted(store, append, snapshot))
        previous = last
        sizes.append(bytes_in(tmp_path))
    store.close()
    assert max(sizes[12:]) < 1.15 * max(sizes[:12]), "what was deleted is used again"
    assert max(sizes) < 6_000_000
    again = Store.open(tmp_path)
    assert len(again.saved.entries) == 400
    again.close()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (changed("UPDATE parts SET body = x'00' WHERE number = 1"), "part 1 of the snapshot of entry 4"),
        (changed("DELETE FROM parts WHERE number = 1"), "part 1 of the snapshot of entry 4"),
        (changed("DELETE FROM parts WHERE number = 2"), "snapshot of entry 4 is not whole"),
        (changed("UPDATE snapshots SET head = x'00'"), "snapshot of entry 4 has changed"),
        (changed("UPDATE snapshots SET position = 3"), "snapshot of entry 3 has changed"),
        (changed("DELETE FROM log WHERE position = 4"), "log entry 4 is missing"),
        (changed("DELETE FROM log"), "log entry 5 is missing"),
        (changed("DELETE FROM log WHERE position < 3"), "log entry 5 is missing"),
    ],
)
async def test_damage_is_named_and_the_way_back_too(tmp_path: Path, damage: object, said: str) -> None:
    store = Store.open(tmp_path)
    parts = parts_of(snapshot_at(4, bytes(3_000)), 1_000)
    log = (*ENTRIES, *entries(5, 6))
    await persisted(
        store, *(Persist(n, HardState(2), None, log if n == 1 else (), p) for n, p in enumerate(parts, 1))
    )
    store.close()
    assert callable(damage)
    damage(tmp_path / "cluster.db")
    with pytest.raises(StoreDamagedError, match=said) as caught:
        Store.open(tmp_path)
    assert "vipcast node reset" in str(caught.value)


async def test_entries_lost_at_the_end_are_missed(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    await persisted(store, Persist(1, HardState(2), None, ENTRIES))
    store.close()
    changed("DELETE FROM log WHERE position = 4")(tmp_path / "cluster.db")
    with pytest.raises(StoreDamagedError, match="log entry 4 is missing"):
        Store.open(tmp_path)


async def test_terms_that_fall_are_damage(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    await persisted(store, Persist(1, HardState(2), None, (*ENTRIES, LogEntry(5, 1, 9, Request("a1", 7, 2, b"")))))
    store.close()
    with pytest.raises(StoreDamagedError, match="log entry 5 is of term 1"):
        Store.open(tmp_path)


def test_a_store_of_format_1_is_taken_over_without_loss(tmp_path: Path) -> None:
    """As the version before wrote it: no tables for snapshots, no record of the end."""
    with sqlite3.connect(tmp_path / "cluster.db") as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript("".join(SCHEMA.partition("CREATE TABLE IF NOT EXISTS snapshots")[:1]))
        put(connection, "format", b"1")
        put(connection, "store_id", b"0123456789abcdef")
        put(connection, "incarnation", b"17")
        put(connection, "hard_state", msgspec.msgpack.encode(HardState(5, "a2", votes=True)))
        for entry in ENTRIES:
            body = msgspec.msgpack.encode(entry)
            connection.execute(
                "INSERT INTO log VALUES (?, ?, ?)", (entry.index, body, checksum(b"%d" % entry.index, body))
            )
    connection.close()
    for _ in range(2):
        store = Store.open(tmp_path)
        assert store.saved.store_id == "0123456789abcdef"
        assert store.saved.hard_state == HardState(5, "a2", votes=True)
        assert list(store.saved.entries) == list(ENTRIES)
        assert store.incarnation > 17
        store.close()
    changed("DELETE FROM log WHERE position = 4")(tmp_path / "cluster.db")
    with pytest.raises(StoreDamagedError, match="log entry 4 is missing"):
        Store.open(tmp_path)
