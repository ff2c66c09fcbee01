"""Who may use a state folder: one process at a time, by a lock that ends with it, however it ends (flock(2))."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from daemon.cluster.store.errors import StoreError, StoreInUseError, said


def lock(folder: Path) -> int:
    """The descriptor that holds the lock: closing it lets go.  Raises StoreError, StoreInUseError."""
    path = folder / "lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(path, said(error), "give the daemon's user write access, or set paths.state") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise StoreInUseError(
            folder,
            f"another vipcastd (process {owner}) uses this folder",
            "stop it, or give this one its own paths.state",
        ) from None
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except OSError:
        pass  # a full disk: the lock is held all the same, only its owner's number is not to be read
    return descriptor
