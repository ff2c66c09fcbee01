"""Ordinary load on every core: what a host does beside the cluster."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

BURN = "while True:\n    sum(range(10000))"


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many endless loops, with ordinary priority, until the end of the `with`; they die with this process."""
    burners = [
        subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", sys.executable, "-I", "-S", "-c", BURN])
        for _ in range(processes)
    ]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
        for burner in burners:
            burner.wait()


def every_core() -> int:
    return os.cpu_count() or 1
