"""What can be wrong with the disk, each with the file and the remedy."""

from __future__ import annotations

import sqlite3
from pathlib import Path


class StoreError(Exception):
    """The disk refused or lied; `remedy` says what to do about `path`."""

    def __init__(self, path: Path, reason: str, remedy: str) -> None:
        super().__init__(f"{path}: {reason}; {remedy}")
        self.path = path
        self.reason = reason
        self.remedy = remedy


class StoreInUseError(StoreError):
    """Another process has this folder."""


class StoreDamagedError(StoreError):
    """What is on the disk is not what was written."""


class StoreFullError(StoreError):
    """No room left; it can be tried again."""


def damaged(path: Path, reason: str) -> StoreDamagedError:
    return StoreDamagedError(
        path,
        f"damaged: {reason}",
        "check the disk (dmesg), then run `vipcast node reset` here, one node at a time: this node joins again as a"
        " learner and gets everything from the others",
    )


def translated(path: Path, error: Exception) -> StoreError:
    """SQLite's refusal in our terms (sqlite.org/rescode.html)."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else None
    if primary == sqlite3.SQLITE_FULL:
        return StoreFullError(path, "no room left on the disk", "make room; the daemon tries again by itself")
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return damaged(path, str(error))
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return StoreError(path, str(error), "give the daemon's user write access to it")
    if primary == sqlite3.SQLITE_IOERR:
        return StoreError(path, f"the disk failed: {error}", "check the disk (dmesg) and replace it")
    return StoreError(path, str(error), "see the log of the daemon")


def said(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
