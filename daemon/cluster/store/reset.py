"""A state folder begun anew: what is in it is moved aside, never deleted.

The folder itself stays, with its owner, its rights and its lock: it may be a mount point or made by systemd
(StateDirectory=).
"""

from __future__ import annotations

import os
from pathlib import Path

from daemon.cluster.store.errors import StoreError, said
from daemon.cluster.store.lock import lock

DATABASE = "cluster.db"
FILES = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", f"{DATABASE}-journal")
"""the file that all others belong to first: what is left of them alone, SQLite deletes (sqlite.org/wal.html)"""


def move_aside(folder: Path, stamp: str) -> Path:
    """Move the node's memory into a folder below its own, which is named after `stamp`, and returns it.

    Raises StoreInUseError while a daemon uses the folder, StoreError where there is nothing or it cannot be moved.
    """
    if not (folder / DATABASE).exists():
        raise StoreError(
            folder, f"there is no {DATABASE} here", "nothing has to be done: the node has no memory yet"
        )
    descriptor = lock(folder)
    try:
        aside = folder / f"reset-{stamp}"
        aside.mkdir(mode=0o700)
        for name in FILES:
            if (folder / name).exists():
                (folder / name).rename(aside / name)
        for changed in (aside, folder):
            _sync(changed)
    except OSError as error:
        raise StoreError(folder, said(error), "give this user write access to it, or make room") from None
    finally:
        os.close(descriptor)
    return aside


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
