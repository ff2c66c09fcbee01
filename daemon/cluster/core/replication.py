"""How a leader gets its log onto the others' disks (Raft, 5.3), by multicast where they keep up.

New entries leave at once, in one multicast for all who have everything before them.  A follower that misses some
refuses with the index that it wants, and is served alone; with a snapshot where that entry is gone (`sending`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from daemon.cluster.core.log import Log, size_of
from daemon.cluster.core.sending import Sendings
from daemon.cluster.messages import ENTRIES_BYTES_MAX, TRAVEL_NS_PER_BYTE, Append, AppendAnswer
from daemon.cluster.records import LogEntry


@dataclass(slots=True)
class Progress:
    """Invariant: 0 <= match < next."""

    match: int
    """the follower's disk holds our log up to here"""
    next: int
    """what is sent next; everything before it was sent or is on its disk"""
    resent_from: int = 0
    resent_until_ns: int = 0
    """until then it may still be on its way"""


class Replication:
    def __init__(
        self,
        log: Log,
        peers: Iterable[str],
        make_append: Callable[[int, int], Append],
        send: Callable[[str | None, Append], None],
        patience_ns: int,
        sendings: Sendings,
    ) -> None:
        """`make_append(first, count)` is an Append with `count` entries from `first` on."""
        self._log = log
        self._make_append = make_append
        self._send = send
        self._patience_ns = patience_ns
        self.sendings = sendings
        self.progress = {peer: Progress(match=0, next=log.last_index + 1) for peer in peers}
        self._front = log.last_index + 1
        """entries from here on were in no multicast yet"""
        self._announce = False

    def announce(self) -> None:
        """Multicast round and commit index with the next `flush`, entries or not."""
        self._announce = True

    def flush(self, now_ns: int) -> None:
        """Multicast what is new since the last call, in as many Appends as the byte limit asks for."""
        while self._front <= self._log.last_index:
            chunk = self._log.chunk(self._front, ENTRIES_BYTES_MAX)
            count = len(chunk)
            self._send(None, self._make_append(self._front, count))
            patience_ns = self._patience_for(chunk)
            for progress in self.progress.values():
                if progress.next == self._front:
                    if patience_ns > self._patience_ns:
                        progress.resent_from, progress.resent_until_ns = self._front, now_ns + patience_ns
                    progress.next = self._front + count
            self._front += count
            self._announce = False
        if self._announce:
            self._announce = False
            self._send(None, self._make_append(self._front, 0))

    def answered(self, peer: str, answer: AppendAnswer, now_ns: int) -> bool:
        """Take a follower's answer; True when its disk now holds more of our log."""
        progress = self.progress.get(peer)
        if progress is None:
            return False  # it is not on the roster
        if answer.want == 0 or answer.want > self._log.base.index:
            self.sendings.needless(peer)
        if answer.want:
            self._resend(peer, progress, answer.want, now_ns)
            return False
        if answer.match <= progress.match or answer.match > self._log.last_index:
            return False
        progress.match = answer.match
        progress.next = max(progress.next, progress.match + 1)
        if progress.next < self._front:  # catching up: the next piece
            self._send_entries(peer, progress, now_ns)
        return True

    def _resend(self, peer: str, progress: Progress, want: int, now_ns: int) -> None:
        """The same wish within `patience` is an answer to something that was sent before the resend.

        Of what is long a part may be there already, and the transport gets the rest (`repair`): sent anew each
        time it would crowd itself out.
        """
        if not 0 < want <= self._log.last_index:
            return
        if want == progress.resent_from and now_ns < progress.resent_until_ns:
            return
        patience_ns = (
            self._patience_for(self._log.chunk(want, ENTRIES_BYTES_MAX)) if want > self._log.base.index else 0
        )
        progress.resent_from, progress.resent_until_ns = want, now_ns + max(patience_ns, self._patience_ns)
        progress.next = want
        self._send_entries(peer, progress, now_ns)
        progress.next = max(progress.next, progress.match + 1)

    def _send_entries(self, peer: str, progress: Progress, now_ns: int) -> None:
        if progress.next <= self._log.base.index:
            self.sendings.wanted(peer, now_ns)
            return
        count = len(self._log.chunk(progress.next, ENTRIES_BYTES_MAX))
        self._send(peer, self._make_append(progress.next, count))
        progress.next += count

    def _patience_for(self, chunk: Sequence[LogEntry]) -> int:
        return max(self._patience_ns, TRAVEL_NS_PER_BYTE * sum(map(size_of, chunk)))

    def store_replaced(self, peer: str) -> None:
        """Its disk is another one: what the former held is gone."""
        self.sendings.needless(peer)
        if peer in self.progress:
            self.progress[peer] = Progress(match=0, next=self._log.last_index + 1)

    def sync(self, peers: Iterable[str]) -> None:
        """These are to have the log now."""
        wanted = set(peers)
        for gone in self.progress.keys() - wanted:
            del self.progress[gone]
            self.sendings.needless(gone)
        for new in wanted - self.progress.keys():
            self.progress[new] = Progress(match=0, next=self._log.last_index + 1)

    def matches(self) -> dict[str, int]:
        return {peer: progress.match for peer, progress in self.progress.items()}
