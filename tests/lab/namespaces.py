"""Linux namespaces by system call: what Python 3.11's `os` does not have yet (unshare(2), setns(2), prctl(2))."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


def setns(descriptor: int, kind: int) -> None:
    """Move the calling thread into the namespace behind an open descriptor; raises OSError."""
    if _libc.setns(descriptor, kind) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")


@contextmanager
def inside_network(pid: int) -> Iterator[None]:
    """The calling thread is in the network namespace of `pid`; sockets opened here stay there afterwards.

    setns(2) moves one thread only, and CLONE_NEWNET is allowed to a process with several.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            setns(there, CLONE_NEWNET)
        finally:
            os.close(there)
        try:
            yield
        finally:
            setns(home, CLONE_NEWNET)
    finally:
        os.close(home)


def network_of(pid: int | str) -> int:
    """Inode number of the network namespace of a process: its identity on this machine."""
    return os.stat(f"/proc/{pid}/ns/net").st_ino


def processes_of(init: int) -> list[int]:
    """Every process of the PID namespace of which `init` is number 1, as numbers of our own namespace."""
    try:
        wanted = os.stat(f"/proc/{init}/ns/pid").st_ino
    except OSError:
        return []
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if os.stat(f"/proc/{entry}/ns/pid").st_ino == wanted:
                    found.append(int(entry))
            except OSError:
                continue  # it ended while we looked
    return found


def status_of(pid: int) -> tuple[str, int] | None:
    """State letter and parent of a process (proc_pid_stat(5)), None when it is gone.

    One that ends between open and read is ESRCH, which is no FileNotFoundError.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return fields[0].decode(), int(fields[1])


def child_of(parent: int) -> int | None:
    """The (only) child of a process, None while it has none."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            status = status_of(int(entry))
            if status is not None and status[1] == parent:
                return int(entry)
    return None
