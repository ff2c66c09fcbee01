"""kill -9 at any byte: what was acknowledged is there, and a torn file is a shorter past or damage, never a lie."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from daemon.cluster.store import Store, StoreDamagedError
from tests.unit.store.snapshotting import model_after

CUTS = 40
"""of each file"""


def killed_writer(folder: Path, seed: int) -> int:
    """Let a writer begin in `folder`, and kill it; returns the newest receipt that it has acknowledged."""
    chance = random.Random(seed)
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.unit.store.snapshotting", str(folder), str(seed)], stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == b"begins\n"
        said = [child.stdout.readline() for _ in range(chance.randint(1, 150))]
        time.sleep(chance.random() * 0.01)  # anywhere between two acknowledgements
    finally:
        child.kill()
        said += child.stdout.read().splitlines()
        child.stdout.close()
        child.wait(10)
    return max(int(line.split()[1]) for line in said if len(line.split()) == 2)


def assert_true(folder: Path, seed: int) -> int:
    """What is in `folder` is what some receipt has left there; which one."""
    store = Store.open(folder)
    saved = store.saved
    store.close()
    model = model_after(seed, saved.hard_state.term)
    assert list(saved.entries) == model.entries
    assert list(saved.snapshots) == model.snapshots
    return saved.hard_state.term


@pytest.mark.parametrize("seed", range(5))
def test_a_writer_of_snapshots_killed_at_any_moment_keeps_all_that_it_acknowledged(
    tmp_path: Path, seed: int
) -> None:
    acknowledged = killed_writer(tmp_path, seed)
    assert assert_true(tmp_path, seed) >= acknowledged


@pytest.mark.parametrize("seed", [101])
def test_a_write_ahead_log_that_ends_anywhere_gives_a_shorter_past(tmp_path: Path, seed: int) -> None:
    """Ends in the middle of a transaction, of a page, of a checksum: what is before it counts, and nothing else."""
    killed_writer(tmp_path / "killed", seed)
    size = (tmp_path / "killed" / "cluster.db-wal").stat().st_size
    chance = random.Random(seed)
    pasts = set()
    for number in range(CUTS):
        folder = tmp_path / str(number)
        shutil.copytree(tmp_path / "killed", folder)
        with (folder / "cluster.db-wal").open("r+b") as wal:
            wal.truncate(chance.randint(0, size))
        try:
            pasts.add(assert_true(folder, seed))
        except StoreDamagedError:
            pytest.fail("a write-ahead log is only ever added to: its beginning is sound")
        shutil.rmtree(folder)
    assert len(pasts) > 5


@pytest.mark.parametrize("seed", [103])
def test_a_file_that_ends_anywhere_or_has_changed_bytes_is_said_to_be_damaged_or_is_sound(
    tmp_path: Path, seed: int
) -> None:
    killed_writer(tmp_path / "killed", seed)
    Store.open(tmp_path / "killed").close()  # everything is in the one file now
    data = (tmp_path / "killed" / "cluster.db").read_bytes()
    chance = random.Random(seed)
    damaged = 0
    for number in range(CUTS):
        folder = tmp_path / str(number)
        folder.mkdir()
        torn = bytearray(data)
        if number % 2:
            del torn[chance.randint(1, len(data) - 1) :]
        else:
            at = chance.randint(0, len(data) - 1)
            torn[at : at + 16] = chance.randbytes(len(torn[at : at + 16]))
        (folder / "cluster.db").write_bytes(torn)
        try:
            assert_true(folder, seed)
        except StoreDamagedError as error:
            damaged += "vipcast node reset" in error.remedy
        shutil.rmtree(folder)
    assert damaged > CUTS // 3
