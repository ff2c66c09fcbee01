"""A leader's snapshots on their way to followers that lack entries which the log has no more.

Pieces of one datagram each, at most SNAPSHOT_WINDOW of them unanswered, BURST_PIECES at a time and a pause after
each burst, however many followers there are: rounds, heartbeats and grants go out between two bursts.  The receiver
says what it has; so a piece is sent again once later ones have arrived, and after a silence everything that is
missing.  What the receiver holds of a snapshot from another leader is not sent again.
"""

from __future__ import annotations

from collections.abc import Callable

from daemon.cluster.core.compaction import Compaction
from daemon.cluster.core.snapshot import Snapshot
from daemon.cluster.messages import SNAPSHOT_PIECE_BYTES, SNAPSHOT_WINDOW, SnapshotAnswer, SnapshotPiece

BURST_PIECES = 16
BURST_PAUSE_NS = 2_000_000
OVERTAKEN = 4
"""a piece is lost when this many that were sent later have arrived: datagrams overtake each other now and then"""


class _Sending:
    """To one follower."""

    def __init__(self, snapshot: Snapshot, now_ns: int) -> None:
        self.snapshot = snapshot
        self.pieces = 0
        """the receiver has all before this one"""
        self.ahead = 0
        """and these, as SnapshotAnswer has them"""
        self.wanted_ns = now_ns
        self.moved_ns = now_ns
        """when something was heard of it, or what is missing was given up as lost"""
        self._doubted = False
        """nothing was heard for long: what it had may be gone"""
        self._serials: dict[int, int] = {}
        """piece → when it was sent, in the order of sending; forgotten where it counts as lost"""
        self._serial = 0

    @property
    def count(self) -> int:
        return -(-self.snapshot.size_bytes // SNAPSHOT_PIECE_BYTES)

    def holds(self, number: int) -> bool:
        """Whether the receiver said that it has this piece."""
        return number < self.pieces or (number > self.pieces and self.ahead >> (number - self.pieces - 1) & 1 == 1)

    def answered(self, answer: SnapshotAnswer, now_ns: int) -> None:
        if answer.pieces < self.pieces and not self._doubted:
            return  # overtaken by a newer one
        self.has(answer, now_ns)
        arrived = [serial for number, serial in self._serials.items() if self.holds(number)]
        newest = max(arrived, default=0)
        self._serials = {
            number: serial
            for number, serial in self._serials.items()
            if not self.holds(number) and serial + OVERTAKEN >= newest
        }

    def has(self, answer: SnapshotAnswer, now_ns: int) -> None:
        self.pieces, self.ahead = max(0, min(answer.pieces, self.count)), answer.ahead
        self.wanted_ns = self.moved_ns = now_ns
        self._doubted = False

    def doubt(self, now_ns: int) -> None:
        """A silence: what is on its way counts as lost, and whatever the receiver says next is believed.

        Whoever had said that it has the whole, and wants it all the same, has started again before it was on its disk.
        """
        if self.pieces == self.count and self.wanted_ns > self.moved_ns:
            self.pieces = self.ahead = 0
        self._doubted = True
        self.moved_ns = now_ns
        self._serials.clear()

    def sendable(self) -> list[int]:
        """Pieces of the window that are neither there nor on their way, lowest first."""
        end = min(self.pieces + SNAPSHOT_WINDOW, self.count)
        return [n for n in range(self.pieces, end) if n not in self._serials and not self.holds(n)]

    def sent(self, number: int) -> None:
        self._serial += 1
        self._serials[number] = self._serial


class Sendings:
    """Of one leadership."""

    def __init__(
        self, compaction: Compaction, term: int, send: Callable[[str, SnapshotPiece], None], patience_ns: int
    ) -> None:
        self._compaction = compaction
        self._term = term
        self._send = send
        self._patience_ns = patience_ns
        self._to: dict[str, _Sending] = {}
        self._next_burst_ns = 0

    def wanted(self, peer: str, now_ns: int) -> None:
        """`peer` lacks entries that are gone; it says so again with each of its answers, until it has them."""
        if (sending := self._to.get(peer)) is not None:
            sending.wanted_ns = now_ns
        elif (newest := self._compaction.newest) is not None:
            self._to[peer] = _Sending(newest, now_ns)
            self._next_burst_ns = max(self._next_burst_ns, now_ns)

    def needless(self, peer: str) -> None:
        """It has what it needs, or its disk is another one."""
        self._to.pop(peer, None)

    def answered(self, peer: str, answer: SnapshotAnswer, now_ns: int) -> None:
        sending = self._to.get(peer)
        if sending is None:
            return
        if answer.mark == sending.snapshot.mark:
            sending.answered(answer, now_ns)
        elif (other := self._compaction.by_mark(answer.mark)) is not None:
            self._to[peer] = sending = _Sending(other, now_ns)  # it has begun with this one: go on with it
            sending.has(answer, now_ns)
        self.tick(now_ns)

    def tick(self, now_ns: int) -> None:
        """Send what may be sent now."""
        for peer, sending in list(self._to.items()):
            if now_ns - sending.wanted_ns > 8 * self._patience_ns:
                del self._to[peer]  # it is silent; it will ask again
            elif now_ns - sending.moved_ns > self._patience_ns:
                sending.doubt(now_ns)
        if now_ns >= self._next_burst_ns:
            self._burst(now_ns)

    def _burst(self, now_ns: int) -> None:
        """One follower's turn; the next one's comes with the next burst."""
        for peer, sending in list(self._to.items()):
            numbers = sending.sendable()[:BURST_PIECES]
            if not numbers:
                continue
            for number in numbers:
                sending.sent(number)
                self._send(peer, self._piece(sending.snapshot, number, asks=number == numbers[-1]))
            self._to[peer] = self._to.pop(peer)  # to the end of the queue
            self._next_burst_ns = now_ns + BURST_PAUSE_NS
            return

    def _piece(self, snapshot: Snapshot, number: int, asks: bool) -> SnapshotPiece:
        first = number * SNAPSHOT_PIECE_BYTES
        also = next((other.mark for other in self._compaction.kept if other is not snapshot), b"")
        return SnapshotPiece(
            term=self._term,
            index=snapshot.index,
            mark=snapshot.mark,
            also=also,
            size=snapshot.size_bytes,
            head_size=len(snapshot.encoded_head),
            number=number,
            data=snapshot.cut(first, first + SNAPSHOT_PIECE_BYTES),
            asks=asks,
        )

    def deadline_ns(self) -> int | None:
        """When `tick` has something to do."""
        if not self._to:
            return None
        if any(sending.sendable() for sending in self._to.values()):
            return self._next_burst_ns
        return min(sending.moved_ns for sending in self._to.values()) + self._patience_ns + 1
