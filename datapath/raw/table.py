"""What the raw engine and its forwarder share: one file in the run directory, mapped by both.

    word 0   magic                       written by the engine
    word 1   generation                  "
    word 2   lease deadline, ns          "      CLOCK_BOOTTIME, one for the whole host
    word 3   retired                     "      not 0: this table has been given up, the forwarder ends
    word 4   boot and namespace          "      whose clock the deadline is of, and whose devices the table names
    word 512 generation acknowledged     written by the forwarder
    word 513 beat, ns                    "      when it last looked around, CLOCK_BOOTTIME
    two halves                           written by the engine: addresses and slot states
    counters                             written by the forwarder, zeroed by the engine

Every word is eight bytes, aligned, stored at once.  A table is written into the half that is *not* in force, then
the generation is stored, whose lowest bit names the half in force: so a reader never sees a half-written table, and
an engine that dies while writing leaves the former one in force.  Who reads copies the half and then looks whether
the generation is still the same (a seqlock); a checksum tells a copy that was overwritten meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import stat
import zlib
from collections.abc import Sequence
from pathlib import Path
from struct import Struct

import msgspec

from datapath.engine import DatapathError, HashKind, MacMode

MAGIC = int.from_bytes(b"vipraw01", "little")
"""the last digits are the layout's version"""
MAGIC_AT, GENERATION_AT, DEADLINE_AT, RETIRED_AT, WHERE_AT = range(5)
ACKNOWLEDGED_AT, BEAT_AT = 512, 513
WORDS_BYTES = 2 * 4096
HALF_BYTES = 256 << 10
COUNTERS_START = WORDS_BYTES + 2 * HALF_BYTES
COUNTERS_BYTES = 4 << 20
TABLE_BYTES = COUNTERS_START + COUNTERS_BYTES
READS_MAX = 1000

VERDICTS = ("accepted", "foreign", "expired", "draining", "opening", "stale", "unparsable", "refused")
"""what can happen to a packet; the first two are counted a slot, all of them an address"""
ACCEPTED, FOREIGN, EXPIRED, DRAINING, OPENING, STALE, UNPARSABLE, REFUSED = range(len(VERDICTS))
SLOT_VERDICTS = 2
_WORDS_OF_ADDRESS = 2 * len(VERDICTS)
_WORDS_OF_SLOT = 2 * SLOT_VERDICTS

SLOTS_COUNTED = COUNTERS_BYTES // (8 * _WORDS_OF_SLOT)

_head = Struct("=II")
_flock = Struct("hhqqi4x")


class Row(msgspec.Struct, array_like=True, frozen=True):
    """One address as the forwarder needs it."""

    resource: str
    ip: bytes
    prefixlen: int
    interface: str
    mac: bytes
    hash_kind: HashKind
    seed: int
    slots: int
    mac_mode: MacMode
    counters: int
    """number of the word, from the start of the counters, where this address's begin"""
    states: bytes
    """a SlotState a slot"""


class Table(msgspec.Struct, array_like=True, frozen=True):
    device: str
    """the TUN"""
    rows: tuple[Row, ...]


EMPTY = Table(device="", rows=())


def counter_words(slots: int) -> int:
    """How many words the counters of an address with so many slots take: its own, then each slot's."""
    return _WORDS_OF_ADDRESS + slots * _WORDS_OF_SLOT


def address_counter(row: Row, verdict: int) -> int:
    """The word of an address's packets under a verdict; the next word has the bytes."""
    return row.counters + 2 * verdict


def slot_counter(row: Row, slot: int, verdict: int) -> int:
    """The word of a slot's packets, ACCEPTED or FOREIGN; the next word has the bytes."""
    return row.counters + _WORDS_OF_ADDRESS + slot * _WORDS_OF_SLOT + 2 * verdict


def allocate_counters(slots: int, taken: Sequence[Row]) -> int:
    """A free place for the counters of a new address, first fit.  DatapathError when there is none."""
    need = counter_words(slots)
    at = 0
    for row in sorted(taken, key=lambda row: row.counters):
        if row.counters - at >= need:
            break
        at = max(at, row.counters + counter_words(row.slots))
    if (at + need) * 8 > COUNTERS_BYTES:
        raise DatapathError(
            f"the raw engine cannot count {slots} more slots (about {SLOTS_COUNTED} in all); "
            "use fewer slots (clone-max) or the nft engine"
        )
    return at


class SharedTable:
    """The file, opened: the words mapped, the rest read and written by position.

    The engine maps two pages only: it locks its memory, and the table is large.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor
        self._map = mmap.mmap(descriptor, WORDS_BYTES)
        self.words = memoryview(self._map).cast("Q")

    @classmethod
    def open(cls, path: Path) -> SharedTable:
        """An existing table.  DatapathError when there is none or it is not one of this version."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            raise DatapathError(
                f"cannot open the raw engine's table {path}: {error.strerror}; vipcastd makes it when it starts "
                "with the raw engine"
            ) from error
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size != TABLE_BYTES:
                raise DatapathError(f"{path} is not a table of this version of the raw engine; remove it")
            table = cls(path, descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        if table.words[MAGIC_AT] != MAGIC:
            table.close()
            raise DatapathError(f"{path} is not a table of this version of the raw engine; remove it")
        if table.words[WHERE_AT] != _where():
            table.close()
            raise DatapathError(f"{path} is of another boot or network namespace; vipcastd makes a new one")
        return table

    @classmethod
    def create(cls, path: Path) -> SharedTable:
        """A new, empty table in the place of whatever was there, mode 0600, whole before it can be seen."""
        fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
        try:
            with contextlib.suppress(FileNotFoundError):
                fresh.unlink()
            descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                os.ftruncate(descriptor, TABLE_BYTES)
                table = cls(path, descriptor)
            except BaseException:
                os.close(descriptor)
                raise
            table.publish(EMPTY)
            table.words[WHERE_AT] = _where()
            table.words[MAGIC_AT] = MAGIC
            fresh.rename(path)
        except OSError as error:
            raise DatapathError(
                f"cannot make the raw engine's table {path}: {error.strerror}; "
                "is the run directory there, and writable?"
            ) from error
        return table

    def publish(self, table: Table) -> int:
        """Put `table` in force; its generation.  DatapathError when it is too large, and nothing has changed."""
        payload = msgspec.msgpack.encode(table)
        if len(payload) + _head.size > HALF_BYTES:
            raise DatapathError(
                f"{len(table.rows)} addresses with {sum(row.slots for row in table.rows)} slots are more than the "
                f"raw engine's table holds ({HALF_BYTES} bytes); use fewer slots (clone-max) or the nft engine"
            )
        generation = self.words[GENERATION_AT] + 1
        os.pwrite(self.descriptor, _head.pack(len(payload), zlib.crc32(payload)) + payload, _half_at(generation))
        self.words[GENERATION_AT] = generation
        return generation

    def read(self) -> tuple[int, Table]:
        """The table in force and its generation.  DatapathError when the file has been damaged."""
        for _ in range(READS_MAX):
            generation = self.words[GENERATION_AT]
            at = _half_at(generation)
            length, checksum = _head.unpack(os.pread(self.descriptor, _head.size, at))
            payload = os.pread(self.descriptor, min(length, HALF_BYTES), at + _head.size)
            if self.words[GENERATION_AT] != generation:
                continue
            if len(payload) == length and zlib.crc32(payload) == checksum:
                try:
                    return generation, msgspec.msgpack.decode(payload, type=Table)
                except msgspec.MsgspecError as error:
                    raise DatapathError(f"the table {self.path} cannot be read: {error}; remove it") from error
        raise DatapathError(f"the table {self.path} is damaged; remove it and restart vipcastd")

    def read_counters(self, row: Row) -> memoryview:
        """A copy of one address's counters; `slot_counter` and `address_counter` less row.counters index it."""
        size = counter_words(row.slots) * 8
        data = os.pread(self.descriptor, size, COUNTERS_START + row.counters * 8)
        return memoryview(data.ljust(size, b"\0")).cast("Q")

    def clear_counters(self, row: Row) -> None:
        os.pwrite(self.descriptor, bytes(counter_words(row.slots) * 8), COUNTERS_START + row.counters * 8)

    def map_counters(self) -> memoryview:
        """All counters, mapped for writing: for the forwarder."""
        return memoryview(mmap.mmap(self.descriptor, COUNTERS_BYTES, offset=COUNTERS_START)).cast("Q")

    @property
    def replaced(self) -> bool:
        """Whether this table has been given up: by a word in it, or because the file has another in its place."""
        return self.words[RETIRED_AT] != 0 or os.fstat(self.descriptor).st_nlink == 0

    def claim(self) -> bool:
        """Become its one forwarder, until the process ends; False when another is.  The kernel keeps the lock."""
        try:
            fcntl.lockf(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, ACKNOWLEDGED_AT * 8)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                return False
            raise DatapathError(f"cannot lock the table {self.path}: {error.strerror}") from error
        return True

    def claimed(self) -> bool:
        """Whether a forwarder lives: it holds the lock, running or stopped."""
        question = _flock.pack(fcntl.F_WRLCK, os.SEEK_SET, ACKNOWLEDGED_AT * 8, 1, 0)
        answer = fcntl.fcntl(self.descriptor, fcntl.F_GETLK, question)
        return int(_flock.unpack(answer)[0]) != fcntl.F_UNLCK

    def close(self) -> None:
        self.words.release()
        self._map.close()
        os.close(self.descriptor)


def _where() -> int:
    """This boot and network namespace, in eight bytes: a lease of another clock must never count here."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
    return zlib.crc32(boot) << 32 | os.stat("/proc/thread-self/ns/net").st_ino & 0xFFFF_FFFF


def _half_at(generation: int) -> int:
    return WORDS_BYTES + (generation & 1) * HALF_BYTES


class Bell:
    """A FIFO beside the table: the engine rings when the table has changed, the forwarder sleeps on it."""

    def __init__(self, table: Path) -> None:
        self.path = table.with_name(table.name + ".bell")

    def make(self) -> None:
        """DatapathError when it cannot be made."""
        try:
            if not self.path.is_fifo():
                with contextlib.suppress(FileNotFoundError):
                    self.path.unlink()
                os.mkfifo(self.path, 0o600)
        except OSError as error:
            raise DatapathError(f"cannot make {self.path}: {error.strerror}") from error

    def ring(self) -> None:
        """Wake the forwarder; nothing happens when there is none, or when it has not yet heard the last one."""
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return
        try:
            with contextlib.suppress(OSError):
                os.write(descriptor, b"!")
        finally:
            os.close(descriptor)

    def listen(self) -> int:
        """A descriptor that is readable once rung.  Open for writing too: it never reports an end of file."""
        try:
            return os.open(self.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise DatapathError(f"cannot open {self.path}: {error.strerror}; vipcastd makes it") from error

    def remove(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
