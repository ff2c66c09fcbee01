"""`vipcast panic`: a host that is to say nothing, until a person takes that back.

A file beside the log says so.  It is written by the command, with or without a daemon, and outlives restarts and
boots; the daemon reads it before anything else that it does to the kernel.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

FILE = "panic"
"""in the folder of the log"""
_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True)
class Panic:
    """Who silenced this host, and when."""

    author: str
    wall_s: int
    """seconds since 1970"""


class PanicFile:
    """Whether this host is silenced.  `is_on` takes a microsecond: it is asked before every step."""

    def __init__(self, state: Path) -> None:
        self.path = state / FILE

    def is_on(self) -> bool:
        """Also where the file cannot be looked at: then nobody can say that it is not there."""
        try:
            os.stat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True
        return True

    def read(self) -> Panic | None:
        """None where this host is not silenced; a file that says nothing readable silences all the same."""
        try:
            with self.path.open("rb") as file:
                return msgspec.json.decode(file.read(_BYTES_MAX), type=Panic)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError):
            return Panic("somebody", 0)

    def write(self, panic: Panic) -> None:
        """Durably: what is said in an emergency holds after a power failure.  Raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            os.write(descriptor, msgspec.json.encode(panic))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def remove(self) -> bool:
        """False: it was not there.  Raises OSError."""
        try:
            self.path.unlink()
        except FileNotFoundError:
            return False
        return True
