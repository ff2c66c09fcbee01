"""What the raw engine and its forwarder share: one file in the run directory, mapped by both.

    word 0   magic                       written by the engine
    word 1   generation                  "
    word 2   lease deadline, ns          "      CLOCK_BOOTTIME, one for the whole host
    word 3   retired                     "      not 0: this table has been given up, the forwarder ends
    word 4   boot and namespace          "      whose clock the deadline is of, and whose devices the table names
    word 512 generation acknowledged     written by the forwarder
    word 513 beat, ns                    "      when it last looked around, CLOCK_BOOTTIME
    word 514 SYNs logged                 "      of slots that note or open; the newest are in the log
    word 515 SYNs let in                 "      that were held
    word 516 conversations               "      of UDP, of slots that drain: so many places are taken
    word 517 conversations missed        "      for want of a place
    two halves                           written by the engine: addresses and slot states
    counters                             written by the forwarder, zeroed by the engine
    log of SYNs                          written by the forwarder, a ring
    conversations of UDP                 written by the forwarder; the engine ends one by zeroing its time (talks.py)

Every word is eight bytes, aligned, stored at once.  A table is written into the half that is *not* in force, then
the generation is stored, whose lowest bit names the half in force: so a reader never sees a half-written table, and
an engine that dies while writing leaves the former one in force.  Who reads copies the half and then looks whether
the generation is still the same (a seqlock); a checksum tells a copy that was overwritten meanwhile.  With a table
come the last ones that the forwarder has not acknowledged: one that was not given the processor for a while learns
what it has missed, and need not suspect the worst of each packet that waited with it.
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

from datapath.engine import DatapathError, HashKind, HashOrder, MacMode, PortRule

MAGIC = int.from_bytes(b"vipraw05", "little")
"""the last digits are the layout's version"""
MAGIC_AT, GENERATION_AT, DEADLINE_AT, RETIRED_AT, WHERE_AT = range(5)
ACKNOWLEDGED_AT, BEAT_AT, LOGGED_AT, LET_IN_AT, TALKS_AT, TALKS_MISSED_AT = range(512, 518)
WORDS_BYTES = 2 * 4096
HALF_BYTES = 256 << 10
COUNTERS_START = WORDS_BYTES + 2 * HALF_BYTES
COUNTERS_BYTES = 4 << 20
LOG_START = COUNTERS_START + COUNTERS_BYTES
LOG_ENTRIES = 65_536
LOG_ENTRY_BYTES = 40
TALKS_START = LOG_START + LOG_ENTRIES * LOG_ENTRY_BYTES
TALKS_MAX = 8_192
TALK_BYTES = 48
TABLE_BYTES = TALKS_START + TALKS_MAX * TALK_BYTES
READS_MAX = 1000
MISSED_MAX = 8
"""tables that come along with the one in force; a move takes six"""

VERDICTS = (
    *("accepted", "foreign", "expired", "draining", "opening", "stale", "truncated", "malformed", "refused-port"),
    "refused",
)
"""what can happen to a packet; the first two are counted a slot, all of them an address"""
ACCEPTED, FOREIGN, EXPIRED, DRAINING, OPENING, STALE, TRUNCATED, MALFORMED, PORT_REFUSED, REFUSED = range(
    len(VERDICTS)
)
SLOT_VERDICTS = 2
_WORDS_OF_ADDRESS = 2 * len(VERDICTS)
_WORDS_OF_SLOT = 2 * SLOT_VERDICTS

SLOTS_COUNTED = COUNTERS_BYTES // (8 * _WORDS_OF_SLOT)

LISTENING = 64
"""state of a slot that is closed and whose SYNs are kept; the others are SlotState's"""

_head = Struct("=II")
_logged = Struct("=IIB24s7x")
"""an entry of the log: where the address's counters begin, slot, bytes of the name, the name (datapath.hold.syns)"""
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
    """a SlotState a slot, or LISTENING"""
    hash_order: HashOrder = HashOrder.NETWORK
    port_rules: tuple[PortRule, ...] = ()


class Table(msgspec.Struct, array_like=True, frozen=True):
    device: str
    """the TUN"""
    rows: tuple[Row, ...]


EMPTY = Table(device="", rows=())


class _Half(msgspec.Struct, array_like=True, frozen=True):
    table: Table
    missed: tuple[Table, ...]
    """those before it that were not acknowledged when it was written, oldest first"""


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
                os.posix_fallocate(descriptor, 0, TABLE_BYTES)  # a full /run is told now, and not by a later write
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
                "is the run directory there, writable, and not full?"
            ) from error
        return table

    def publish(self, table: Table) -> int:
        """Put `table` in force; its generation.  DatapathError when it is too large, and nothing has changed."""
        payload = msgspec.msgpack.encode(_Half(table, self._missed()))
        if len(payload) + _head.size > HALF_BYTES:
            payload = msgspec.msgpack.encode(_Half(table, ()))
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
        generation, half = self._read()
        return generation, half.table

    def read_since(self, generation: int) -> tuple[int, list[Table], bool]:
        """What came after that generation: (the one in force, tables up to it, whether none of them is missing).

        DatapathError when the file has been damaged.
        """
        newest, half = self._read()
        tables = [*half.missed, half.table]
        unseen = newest - generation
        return newest, tables[-unseen:], generation >= 0 and unseen <= len(tables)

    def _missed(self) -> tuple[Table, ...]:
        """What the forwarder may not have seen yet, of the last tables; nothing of damaged ones."""
        generation = self.words[GENERATION_AT]
        unseen = min(generation - self.words[ACKNOWLEDGED_AT], MISSED_MAX)
        if unseen <= 0:
            return ()
        try:
            _, half = self._read()
        except DatapathError:
            return ()
        return (*half.missed, half.table)[-unseen:]

    def _read(self) -> tuple[int, _Half]:
        for _ in range(READS_MAX):
            generation = self.words[GENERATION_AT]
            at = _half_at(generation)
            length, checksum = _head.unpack(os.pread(self.descriptor, _head.size, at))
            payload = os.pread(self.descriptor, min(length, HALF_BYTES), at + _head.size)
            if self.words[GENERATION_AT] != generation:
                continue
            if len(payload) == length and zlib.crc32(payload) == checksum:
                try:
                    return generation, msgspec.msgpack.decode(payload, type=_Half)
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

    def log_syn(self, row: int, slot: int, name: bytes) -> None:
        """A SYN was taken, for the address whose counters begin at `row`: for the forwarder."""
        number = self.words[LOGGED_AT]
        entry = _logged.pack(row, slot, len(name), name)
        os.pwrite(self.descriptor, entry, LOG_START + number % LOG_ENTRIES * LOG_ENTRY_BYTES)
        self.words[LOGGED_AT] = number + 1

    def logged(self, since: int) -> list[tuple[int, int, bytes]]:
        """(where the address's counters begin, slot, name) of SYNs number `since` and up; DatapathError if too many."""
        until = self.words[LOGGED_AT]
        if not 0 <= until - since <= LOG_ENTRIES:
            raise DatapathError(f"{until - since} SYNs are more than were noted")
        data = os.pread(self.descriptor, LOG_ENTRIES * LOG_ENTRY_BYTES, LOG_START)
        data = data.ljust(LOG_ENTRIES * LOG_ENTRY_BYTES, b"\0")
        found = []
        for number in range(since, until):
            row, slot, length, name = _logged.unpack_from(data, number % LOG_ENTRIES * LOG_ENTRY_BYTES)
            found.append((row, slot, name[:length]))
        return found

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
