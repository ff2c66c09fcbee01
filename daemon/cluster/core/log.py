"""The log in memory: entries without gaps, terms that never fall; its beginning is cut where a snapshot stands for it.

What of it is on disk is `disk.Disk`'s business, what of it is committed the core's.  Nobody outside relies on where
it starts: entries up to `base.index` are gone, of the last of them term and stamp are known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from daemon.cluster.records import LogEntry, Request

ENTRY_BYTES_OVERHEAD = 64
"""index, term, stamp and names of an entry, encoded; generous"""


@dataclass(frozen=True, slots=True)
class Base:
    """The last entry that is gone."""

    index: int = 0
    term: int = 0
    stamp_ms: int = 0


class Log:
    def __init__(self, entries: Sequence[LogEntry] = (), base: Base = Base()) -> None:
        """Raises ValueError where saved entries have gaps or falling terms: the store is damaged."""
        term = base.term
        for index, entry in enumerate(entries, start=base.index + 1):
            if entry.index != index or entry.term < term:
                raise ValueError(
                    f"the saved log is damaged: entry {entry.index} of term {entry.term} stands where index {index}"
                    f" of term {term} or later belongs; move the store away, the node then joins with an empty one"
                )
            term = entry.term
        self.base = base
        self._entries = list(entries)

    @property
    def first_index(self) -> int:
        """Of the first entry that is there, or would be."""
        return self.base.index + 1

    @property
    def last_index(self) -> int:
        return self.base.index + len(self._entries)

    @property
    def last_term(self) -> int:
        return self._entries[-1].term if self._entries else self.base.term

    @property
    def last_stamp_ms(self) -> int:
        return self._entries[-1].stamp_ms if self._entries else self.base.stamp_ms

    def term_at(self, index: int) -> int | None:
        """The base's at the base (0 before the very first entry); None where nothing is known of that entry."""
        if index == self.base.index:
            return self.base.term
        return self._entries[self._at(index)].term if self.base.index < index <= self.last_index else None

    def append(self, entry: LogEntry) -> None:
        assert entry.index == self.last_index + 1
        assert entry.term >= self.last_term
        self._entries.append(entry)

    def truncate_from(self, index: int) -> list[LogEntry]:
        """Forget entries from `index` on, and return them."""
        assert index > self.base.index, "what a snapshot stands for would be deleted"
        gone = self._entries[self._at(index) :]
        del self._entries[self._at(index) :]
        return gone

    def forget_to(self, index: int) -> None:
        """Forget entries up to `index`, that one included: a snapshot stands for them."""
        if index <= self.base.index:
            return
        last = self._entries[self._at(index)]
        del self._entries[: self._at(index) + 1]
        self.base = Base(last.index, last.term, last.stamp_ms)

    def begin_after(self, base: Base) -> None:
        """Forget all entries: the log goes on after a snapshot that ends with `base`."""
        self.base = base
        self._entries.clear()

    def entries(self, first: int, last: int) -> list[LogEntry]:
        """Entries `first` to `last`, both included; `first` must not be gone."""
        assert first > self.base.index, f"entry {first} is gone, the log begins after {self.base.index}"
        return self._entries[self._at(first) : self._at(last) + 1]

    def after(self, index: int) -> list[LogEntry]:
        """All entries that there are after `index`."""
        return self._entries[max(0, self._at(index) + 1) :]

    def chunk(self, first: int, bytes_max: int) -> list[LogEntry]:
        """As many entries from `first` on as fit, at least one where there is one."""
        taken: list[LogEntry] = []
        size = 0
        for entry in self._from(first):
            size += size_of(entry)
            if taken and size > bytes_max:
                break
            taken.append(entry)
        return taken

    def _at(self, index: int) -> int:
        """Position of the entry with that index."""
        return index - self.base.index - 1

    def _from(self, first: int) -> Iterator[LogEntry]:
        for position in range(self._at(first), len(self._entries)):
            yield self._entries[position]

    def first_of_term_at(self, index: int) -> int:
        """The first index of the term that the entry at `index` has, as far as the log goes back."""
        term = self.term_at(index)
        while index > self.first_index and self._entries[self._at(index - 1)].term == term:
            index -= 1
        return index

    def up_to_date(self, last_index: int, last_term: int) -> bool:
        """Whether a log that ends so has all that this one may have committed (Raft, 5.4.1)."""
        return (last_term, last_index) >= (self.last_term, self.last_index)


def size_of(entry: LogEntry) -> int:
    body = len(entry.command.body) if isinstance(entry.command, Request) else 0
    return body + ENTRY_BYTES_OVERHEAD
