"""Which cluster a store belongs to: born with it, prepared for it, or learned; and stores of before."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from daemon.belonging import Belonging
from daemon.cluster import identity
from daemon.cluster.core.effects import HardState, Persist
from daemon.cluster.store import Store, StoreError
from daemon.cluster.store.founding import cluster_id_of, found, is_prepared, is_unused, prepare

OURS, THEIRS = "0a" * 16, "0b" * 16


def opened(folder: Path) -> str:
    store = Store.open(folder)
    store.close()
    return store.saved.cluster_id


def test_two_clusters_that_are_founded_have_two_ids(tmp_path: Path) -> None:
    for name in ("one", "two"):
        found(tmp_path / name, "a1")
    first, second = (cluster_id_of(tmp_path / name) for name in ("one", "two"))
    assert identity.is_id(first)
    assert first != second
    assert opened(tmp_path / "one") == first
    assert is_unused(tmp_path / "one")


def test_a_store_that_is_prepared_belongs_to_that_cluster_and_has_lived_through_nothing(tmp_path: Path) -> None:
    prepare(tmp_path, THEIRS)
    prepare(tmp_path, OURS)
    assert is_prepared(tmp_path)
    assert not is_unused(tmp_path)
    store = Store.open(tmp_path)
    assert cluster_id_of(tmp_path) == OURS, "told while the daemon has it, too"
    store.close()
    assert store.saved.is_blank
    assert store.saved.cluster_id == OURS


def test_a_memory_is_not_prepared_for_another_cluster(tmp_path: Path) -> None:
    found(tmp_path, "a1")
    with pytest.raises(StoreError, match="vipcast node reset"):
        prepare(tmp_path, THEIRS)
    assert cluster_id_of(tmp_path) != THEIRS


async def test_a_store_of_before_has_no_id_and_keeps_the_one_that_it_learns(tmp_path: Path) -> None:
    assert cluster_id_of(tmp_path) == ""
    store = Store.open(tmp_path)
    answered: asyncio.Queue[StoreError | None] = asyncio.Queue()
    store.submit(Persist(1, HardState(3), None, ()), lambda _, error: answered.put_nowait(error))
    assert await answered.get() is None
    belonging = Belonging(
        store.saved.cluster_id,
        "",
        lambda learned: store.keep_cluster_id(learned, lambda _, error: answered.put_nowait(error)),
    )
    assert not belonging.learned("")
    assert belonging.learned(OURS)
    assert await answered.get() is None
    store.close()
    assert opened(tmp_path) == cluster_id_of(tmp_path) == OURS
    assert not is_prepared(tmp_path)


def test_what_was_learned_stays_whatever_the_log_says_later(caplog: pytest.LogCaptureFixture) -> None:
    kept: list[str] = []
    belonging = Belonging(OURS, "fresh", kept.append)
    with caplog.at_level(logging.CRITICAL):
        for _ in range(3):
            assert not belonging.learned(THEIRS)
    assert (belonging.cluster_id, belonging.mark, kept) == (OURS, identity.mark_of(OURS), [])
    (line,) = caplog.messages
    assert "vipcast node reset" in line


def test_a_leader_names_a_nameless_cluster_unless_somebody_who_is_heard_knows_a_name() -> None:
    assert Belonging("", "fresh", print).proposal(hears_named=False) == "fresh"
    assert Belonging("", "fresh", print).proposal(hears_named=True) == ""
    assert Belonging(OURS, "fresh", print).proposal(hears_named=True) == OURS
