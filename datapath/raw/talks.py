"""Conversations of UDP that slots which drain have heard, in the table that engine and forwarder share.

Each has a place: when it was last heard of (one word), and who it is.  The forwarder gives out places and writes the
times; the engine ends a conversation by writing 0 as its time, then has the forwarder acknowledge a table: what is 0
after that stays so while its slot drains.  A place is free again when nothing drains any more.
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from struct import Struct

import msgspec

from datapath.engine import CONVERSATIONS_MAX, Conversations, DatapathError
from datapath.raw.table import (
    TALK_BYTES,
    TALKS_AT,
    TALKS_MAX,
    TALKS_MISSED_AT,
    TALKS_START,
    Row,
    SharedTable,
)

_talk = Struct("=QIIB24s7x")
"""when (0: it has ended), where the address's counters begin, slot, bytes of the name, the name"""
_who = Struct("=IIB24s")
_WHO_AT = 8
_WORDS_EACH = TALK_BYTES // 8
_time = Struct("=Q")

assert _talk.size == TALK_BYTES


class Heard:
    """The forwarder's part."""

    def __init__(self, shared: SharedTable) -> None:
        self._shared = shared
        self._map = mmap.mmap(shared.descriptor, TALKS_MAX * TALK_BYTES, offset=TALKS_START)
        self._words = memoryview(self._map).cast("Q")
        self._places = {
            (entry.row, entry.name): place * _WORDS_EACH for place, entry in enumerate(_entries(shared))
        }
        """address and conversation → the word that has its time; what a former forwarder has heard counts"""

    def knows(self, row: int, name: bytes) -> bool:
        at = self._places.get((row, name))
        return at is not None and self._words[at] != 0

    def note(self, row: int, slot: int, name: bytes, now_ns: int) -> None:
        at = self._places.get((row, name))
        if at is None:
            at = self._give_place(row, slot, name)
        if at is not None:
            self._words[at] = now_ns

    def _give_place(self, row: int, slot: int, name: bytes) -> int | None:
        number = self._shared.words[TALKS_AT]
        if number >= TALKS_MAX:
            self._shared.words[TALKS_MISSED_AT] = 1
            return None
        _who.pack_into(self._map, number * TALK_BYTES + _WHO_AT, row, slot, len(name), name)
        self._shared.words[TALKS_AT] = number + 1
        at = self._places[row, name] = number * _WORDS_EACH
        return at

    def clear(self) -> None:
        """Nothing drains: places are free again."""
        if self._places or self._shared.words[TALKS_MISSED_AT]:
            self._places.clear()
            self._shared.words[TALKS_AT] = self._shared.words[TALKS_MISSED_AT] = 0


@dataclass(frozen=True, slots=True)
class _Entry:
    place: int
    when_ns: int
    row: int
    slot: int
    name: bytes


def _entries(shared: SharedTable) -> Iterator[_Entry]:
    count = min(shared.words[TALKS_AT], TALKS_MAX)
    data = os.pread(shared.descriptor, count * TALK_BYTES, TALKS_START)
    for place, (when_ns, row, slot, length, name) in enumerate(_talk.iter_unpack(data)):
        yield _Entry(place, when_ns, row, slot, name[:length])


def of_slots(shared: SharedTable, row: Row, slots: Collection[int]) -> list[_Entry]:
    """The engine's look at those that have not ended."""
    return [e for e in _entries(shared) if e.when_ns and e.row == row.counters and e.slot in slots]


def end(shared: SharedTable, entries: Collection[_Entry]) -> None:
    """Once the forwarder has acknowledged a table after this, they have."""
    for entry in entries:
        os.pwrite(shared.descriptor, _time.pack(0), TALKS_START + entry.place * TALK_BYTES)


def lately(entries: Collection[_Entry], idle_ns: int) -> list[_Entry]:
    now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return [entry for entry in entries if now_ns - entry.when_ns < idle_ns]


def conversations(entries: Collection[_Entry]) -> Conversations:
    return Conversations({entry.name: entry.slot for entry in entries})


def are_too_many(shared: SharedTable, count: int) -> bool:
    return shared.words[TALKS_MISSED_AT] != 0 or count > CONVERSATIONS_MAX


@dataclass(frozen=True, slots=True)
class Kept:
    """Conversations of slots that open, which their old owner keeps."""

    ip: bytes
    slots: frozenset[int]
    names: frozenset[bytes]


_decoder = msgspec.msgpack.Decoder(tuple[Kept, ...])


class KeptElsewhere:
    """A file beside the table, as refusals.Refusals: the engine writes it, the forwarder reads it with each table."""

    def __init__(self, table: Path) -> None:
        self.path = table.with_name(table.name + ".left")

    def write(self, kept: Collection[Kept]) -> None:
        """All of it anew, in one step.  DatapathError when it cannot be written."""
        fresh = self.path.with_name(f"{self.path.name}.{os.getpid()}.new")
        try:
            fresh.write_bytes(msgspec.msgpack.encode(tuple(kept)))
            fresh.rename(self.path)
        except OSError as error:
            raise DatapathError(f"cannot write {self.path}: {error.strerror}") from error

    def read(self) -> tuple[Kept, ...]:
        """Nothing where there is no file.  DatapathError when it has been damaged."""
        try:
            return _decoder.decode(self.path.read_bytes())
        except FileNotFoundError:
            return ()
        except (OSError, msgspec.MsgspecError) as error:
            raise DatapathError(f"cannot read {self.path}: {error}; remove it") from error

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
