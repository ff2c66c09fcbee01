"""The log in memory: entries from index 1 without gaps, terms that never fall.

What of it is on disk is `disk.Disk`'s business, what of it is committed the core's.  Snapshots will cut its
beginning: nobody outside relies on where it starts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from daemon.cluster.records import LogEntry, Request

ENTRY_BYTES_OVERHEAD = 64
"""index, term, stamp and names of an entry, encoded; generous"""


class Log:
    def __init__(self, entries: Sequence[LogEntry] = ()) -> None:
        """Raises ValueError where saved entries have gaps or falling terms: the store is damaged."""
        term = 0
        for index, entry in enumerate(entries, start=1):
            if entry.index != index or entry.term < term:
                raise ValueError(
                    f"the saved log is damaged: entry {entry.index} of term {entry.term} stands where index {index}"
                    f" of term {term} or later belongs; move the store away, the node then joins with an empty one"
                )
            term = entry.term
        self._entries = list(entries)

    @property
    def last_index(self) -> int:
        return len(self._entries)

    @property
    def last_term(self) -> int:
        return self._entries[-1].term if self._entries else 0

    @property
    def last_stamp_ms(self) -> int:
        return self._entries[-1].stamp_ms if self._entries else 0

    def term_at(self, index: int) -> int | None:
        """0 before the first entry, None beyond the last."""
        if index == 0:
            return 0
        return self._entries[index - 1].term if 0 < index <= len(self._entries) else None

    def append(self, entry: LogEntry) -> None:
        assert entry.index == self.last_index + 1
        assert entry.term >= self.last_term
        self._entries.append(entry)

    def truncate_from(self, index: int) -> list[LogEntry]:
        """Forget entries from `index` on, and return them."""
        gone = self._entries[index - 1 :]
        del self._entries[index - 1 :]
        return gone

    def entries(self, first: int, last: int) -> list[LogEntry]:
        """Entries `first` to `last`, both included."""
        return self._entries[first - 1 : last]

    def newest(self, count: int) -> list[LogEntry]:
        return self._entries[-count:]

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

    def _from(self, first: int) -> Iterator[LogEntry]:
        for position in range(first - 1, len(self._entries)):
            yield self._entries[position]

    def first_of_term_at(self, index: int) -> int:
        """The first index of the term that the entry at `index` has."""
        term = self._entries[index - 1].term
        while index > 1 and self._entries[index - 2].term == term:
            index -= 1
        return index

    def up_to_date(self, last_index: int, last_term: int) -> bool:
        """Whether a log that ends so has all that this one may have committed (Raft, 5.4.1)."""
        return (last_term, last_index) >= (self.last_term, self.last_index)


def size_of(entry: LogEntry) -> int:
    body = len(entry.command.body) if isinstance(entry.command, Request) else 0
    return body + ENTRY_BYTES_OVERHEAD
