"""What old owners have told of SYNs that they took: a file that the engine writes and the forwarder reads.

It is written before the table in which the slots open, and read with it: so a slot never opens without it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from datapath.engine import DatapathError, Taken


@dataclass(frozen=True, slots=True)
class Told:
    """One list, of slots of one address."""

    ip: bytes
    slots: frozenset[int]
    taken: Taken
    when_ns: int
    """CLOCK_BOOTTIME"""


_decoder = msgspec.msgpack.Decoder(tuple[Told, ...])


class Refusals:
    """The file beside the table."""

    def __init__(self, table: Path) -> None:
        self.path = table.with_name(table.name + ".refused")

    def write(self, told: Sequence[Told]) -> None:
        """All of it anew, in one step.  DatapathError when it cannot be written."""
        fresh = self.path.with_name(f"{self.path.name}.{os.getpid()}.new")
        try:
            fresh.write_bytes(msgspec.msgpack.encode(tuple(told)))
            fresh.rename(self.path)
        except OSError as error:
            raise DatapathError(f"cannot write {self.path}: {error.strerror}") from error

    def read(self) -> tuple[Told, ...]:
        """Nothing where there is no file.  DatapathError when it has been damaged."""
        try:
            return _decoder.decode(self.path.read_bytes())
        except FileNotFoundError:
            return ()
        except (OSError, msgspec.MsgspecError) as error:
            raise DatapathError(f"cannot read {self.path}: {error}; remove it") from error

    def remove(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
