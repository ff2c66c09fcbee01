"""Invariant 6: the same seed gives the same run, event by event, in any process."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from tests.simulation.plot import world_of
world = world_of(int(sys.argv[1]), lines_max=1_000_000)
counts = world.run()
print(world.trace.text(1_000_000))
print(counts, world.now_ns)
"""


def events_of(seed: int, hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", PROGRAM, str(seed)]
    return subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("seed", [3, 4, 9, 27])
def test_two_processes_with_different_hashes_have_the_same_events(seed: int) -> None:
    first, second = events_of(seed, "1"), events_of(seed, "4711")
    assert len(first.splitlines()) > 200
    assert hashlib.sha256(first.encode()).digest() == hashlib.sha256(second.encode()).digest()
