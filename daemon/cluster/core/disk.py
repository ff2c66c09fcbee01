"""What of hard state, log and snapshots is on disk, what is on its way, and which messages wait for it.

One transaction is under way at a time; what changes meanwhile goes into the next, so that a slow disk makes
transactions bigger and not queues longer.  Term and vote change in memory at the decision and messages that reveal
them are held here until the fsync is over (LEASES.md, rule 7): otherwise a power cut lets a voter vote twice.

A snapshot goes to disk in parts, one a transaction, along with whatever else there is to write; it counts from the
transaction of its last part on.  One that came from a leader replaces the log on disk in that same transaction: until
then the disk keeps the log that it has, and nothing of the new one is confirmed to anybody.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from daemon.cluster.core.effects import HardState, Persist, Saved, Send, SnapshotPart
from daemon.cluster.core.log import Log
from daemon.cluster.core.snapshot import Snapshot

HELD_MAX = 64
"""votes and calls for votes that wait for an fsync; the oldest are dropped, for messages may be lost anyhow"""


PART_BYTES = 256 << 10
"""of a snapshot in one transaction: a millisecond or two"""


@dataclass(slots=True)
class _Writing:
    """A snapshot that is not on disk as a whole yet."""

    snapshot: Snapshot
    forget_to: int
    replaces_log: bool
    parts_done: int = 0

    def next_part(self) -> SnapshotPart:
        body, first = self.snapshot.body, self.parts_done * PART_BYTES
        last = first + PART_BYTES >= len(body)
        data = body[first : first + PART_BYTES]
        return SnapshotPart(
            self.snapshot.index, self.parts_done, data, self.snapshot.encoded_head if last else None
        )


class Disk:
    def __init__(self, saved: Saved, log: Log, retry_ns: int) -> None:
        self.log = log
        self.hard_state = _with_its_right(saved)
        self.stable_index = log.last_index
        """up to here the disk holds what the log in memory holds"""
        self._disk_last = log.last_index
        """highest index that the disk may hold, right or wrong"""
        self._hard_state_stable = self.hard_state
        self._receipt = 0
        self._receipt_done = 0
        self._under_way: Persist | None = None
        self._under_way_valid = 0
        """up to here what is being written will still be what the log in memory holds"""
        self._held: list[tuple[int, Send]] = []
        self._retry_ns = retry_ns
        self.retry_at_ns: int | None = None
        """set while the disk refuses: no attempt before then"""
        self._writing: _Writing | None = None

    # --- what has changed in memory

    def set_hard_state(self, term: int, voted_for: str | None) -> None:
        assert term >= self.hard_state.term
        self.hard_state = replace(self.hard_state, term=term, voted_for=voted_for)

    def give_vote(self) -> None:
        """This store has earned its vote (`suffrage`); it counts from the fsync on."""
        self.hard_state = replace(self.hard_state, votes=True)

    def count_by(self, terms: tuple[int, int, int, int]) -> None:
        """What the next process of this store has to wait for at its start (`changeover`)."""
        self.hard_state = replace(self.hard_state, terms=terms)

    @property
    def may_vote(self) -> bool:
        """Whether the right to vote is on disk."""
        return self._hard_state_stable.votes is True

    def truncated_from(self, index: int) -> None:
        self.stable_index = min(self.stable_index, index - 1)
        self._under_way_valid = min(self._under_way_valid, index - 1)

    @property
    def writes_snapshot(self) -> bool:
        return self._writing is not None

    def write_snapshot(self, snapshot: Snapshot, forget_to: int) -> None:
        """One of our own; once it is there, entries up to `forget_to` and snapshots before that may go."""
        assert self._writing is None
        self._writing = _Writing(snapshot, forget_to, replaces_log=False)

    def replace_log(self, snapshot: Snapshot) -> None:
        """Snapshot and log in memory are others now, the log behind the snapshot: nothing on disk is of any use."""
        self._writing = _Writing(snapshot, snapshot.index, replaces_log=True)
        self.stable_index = self._under_way_valid = 0

    @property
    def refusing(self) -> bool:
        return self.retry_at_ns is not None

    @property
    def hard_state_is_stable(self) -> bool:
        return self.hard_state == self._hard_state_stable

    @property
    def _dirty(self) -> bool:
        """Whether something is neither on disk nor under way."""
        if self._under_way is None:
            same_end = self.stable_index == self.log.last_index == self._disk_last
            return not self.hard_state_is_stable or not same_end
        return self.hard_state != self._under_way.hard_state or self._under_way_valid < self.log.last_index

    def hold(self, send: Send) -> None:
        """Send this once everything that memory holds now is on disk."""
        if self._dirty:
            needed = self._receipt + 1
        elif self._under_way is not None:
            needed = self._under_way.receipt
        else:
            needed = 0
        self._held.append((needed, send))
        del self._held[:-HELD_MAX]

    # --- the one transaction under way

    def next_transaction(self) -> Persist | None:
        if self._under_way is not None or self.refusing or not (self._dirty or self._writing):
            return None
        self._receipt += 1
        writing = self._writing
        part = writing.next_part() if writing is not None else None
        completes = part is not None and part.encoded_head is not None
        if writing is not None and writing.replaces_log:
            self._under_way = self._replacing(writing, part, completes)
            self._under_way_valid = self.log.last_index if completes else 0
            return self._under_way
        first = self.stable_index + 1
        self._under_way = Persist(
            receipt=self._receipt,
            hard_state=self.hard_state,
            truncate_from=first if self._disk_last >= first else None,
            entries=tuple(self.log.after(self.stable_index)),
            part=part,
            forget_to=writing.forget_to if writing is not None and completes else 0,
        )
        self._under_way_valid = self.log.last_index
        return self._under_way

    def _replacing(self, writing: _Writing, part: SnapshotPart | None, completes: bool) -> Persist:
        """Nothing of the log before the last part, then all of it at once."""
        return Persist(
            receipt=self._receipt,
            hard_state=self.hard_state,
            truncate_from=1 if completes else None,
            entries=tuple(self.log.after(writing.snapshot.index)) if completes else (),
            part=part,
            forget_to=writing.forget_to if completes else 0,
        )

    def done(self, receipt: int) -> bool:
        """The transaction is on disk; False for a receipt that is not the one under way."""
        written = self._under_way
        if written is None or written.receipt != receipt:
            return False
        self._under_way = None
        self._receipt_done = receipt
        self._hard_state_stable = written.hard_state
        self.stable_index = self._under_way_valid
        self._disk_last = written.entries[-1].index if written.entries else self._end_without_entries(written)
        self._part_done(written.part)
        self.log.forget_to(written.forget_to)  # memory keeps what the disk keeps
        return True

    def _end_without_entries(self, written: Persist) -> int:
        if written.truncate_from is None:
            return self._disk_last
        return max(written.truncate_from - 1, written.forget_to)

    def _part_done(self, part: SnapshotPart | None) -> None:
        """Unless another snapshot has taken the place of the one that it is of."""
        writing = self._writing
        if part is None or writing is None or part.index != writing.snapshot.index:
            return
        writing.parts_done += 1
        if part.encoded_head is not None:
            self._writing = None

    def failed(self, receipt: int, now_ns: int) -> bool:
        """Nothing of the transaction was written; all of it is tried again later."""
        if self._under_way is None or self._under_way.receipt != receipt:
            return False
        self._under_way = None
        self.retry_at_ns = now_ns + self._retry_ns
        return True

    def retry_if_due(self, now_ns: int) -> None:
        if self.retry_at_ns is not None and now_ns >= self.retry_at_ns:
            self.retry_at_ns = None

    def released(self) -> list[Send]:
        """Messages whose fsync is over."""
        if not self._held:
            return []
        clean = not self._dirty and self._under_way is None
        free = [send for needed, send in self._held if clean or needed <= self._receipt_done]
        self._held = [held for held in self._held if not clean and held[0] > self._receipt_done]
        return free


def _with_its_right(saved: Saved) -> HardState:
    """A store of a version that did not ask has its vote if it has lived; an empty one has to earn it."""
    hard_state = saved.hard_state
    if hard_state.votes is not None:
        return hard_state
    return replace(hard_state, votes=hard_state.term > 0 or bool(saved.entries or saved.snapshots))
