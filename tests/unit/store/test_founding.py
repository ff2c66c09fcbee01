"""The first node of a cluster: founded once, by its store and not by its settings."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from daemon.cluster.core import Core
from daemon.cluster.records import Member, Roster
from daemon.cluster.store import Store, StoreError
from daemon.cluster.store.founding import found, is_unused
from daemon.cluster.timers import PROFILES

MS = 1_000_000


def core_of(store: Store) -> Core:
    return Core("a1", (), PROFILES["fast"], store.incarnation, "boot", store.saved, 0, random.Random(1))


def run(core: Core, until_ms: int) -> None:
    """Let it live alone, with a disk that takes a moment."""
    for now_ms in range(1, until_ms):
        core.tick(now_ms * MS)
        while ready := core.ready():
            if ready.persist is not None:
                core.persisted(ready.persist.receipt, now_ms * MS)


def test_a_store_that_was_founded_makes_its_node_a_cluster_of_one(tmp_path: Path) -> None:
    found(tmp_path, "a1")
    store = Store.open(tmp_path)
    core = core_of(store)
    run(core, 500)
    store.close()
    assert core.status(500 * MS).leader == "a1"
    member = Member("a1", store.saved.store_id, True)
    assert core.roster == Roster((member,), why="a1 founds the cluster", cluster_id=store.saved.cluster_id)


def test_the_same_node_with_an_empty_store_waits_to_be_taken_in(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    core = core_of(store)
    run(core, 5000)
    store.close()
    assert core.status(5000 * MS).leader is None
    assert core.status(5000 * MS).term == 0


def test_a_store_that_has_lived_is_not_founded_again(tmp_path: Path) -> None:
    found(tmp_path, "a1")
    with pytest.raises(StoreError, match=r"memory of a cluster already.*vipcast node reset"):
        found(tmp_path, "a1")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file/state"):
        found(tmp_path / "file" / "state", "a1")


def test_a_store_is_unused_until_its_node_has_led(tmp_path: Path) -> None:
    assert not is_unused(tmp_path)
    found(tmp_path, "a1")
    assert is_unused(tmp_path)
    store = Store.open(tmp_path)
    core = core_of(store)
    core.tick(1000 * MS)
    persist = core.ready().persist
    assert persist is not None
    loop = asyncio.new_event_loop()

    async def written() -> None:
        done = loop.create_future()
        store.submit(persist, lambda receipt, error: done.set_result(error))
        assert await done is None

    loop.run_until_complete(written())
    loop.close()
    store.close()
    assert not is_unused(tmp_path)
