"""A snapshot on its way to this node, piece by piece, from one leader or several.

Pieces come out of the seal and from the leader of the current term; memory is bounded all the same, by
BODY_BYTES_MAX for the whole and by the window for what comes out of order.  Nothing of a snapshot is used before
its head has the mark and its body the digest that the head names.
"""

from __future__ import annotations

import hashlib

from daemon.cluster.core.snapshot import BODY_BYTES_MAX, HEAD_BYTES_MAX, MARK_BYTES, Snapshot, mark_of, read
from daemon.cluster.messages import SNAPSHOT_PIECE_BYTES, SNAPSHOT_WINDOW, SnapshotAnswer, SnapshotPiece

ANSWER_EVERY = 8
"""pieces; and whenever the sender asks"""


def unsoundness(piece: SnapshotPiece) -> str | None:
    """What is wrong with it, whatever it belongs to."""
    if len(piece.mark) != MARK_BYTES or piece.index < 1:
        return "it names no snapshot"
    if not 0 < piece.head_size <= min(HEAD_BYTES_MAX, piece.size) or piece.size - piece.head_size > BODY_BYTES_MAX:
        return f"a snapshot of {piece.size} bytes, {piece.head_size} of them its head, is not taken"
    first = piece.number * SNAPSHOT_PIECE_BYTES
    if not 0 <= first < piece.size or len(piece.data) != min(SNAPSHOT_PIECE_BYTES, piece.size - first):
        return "it lies outside its snapshot"
    return None


class Reception:
    def __init__(self, first: SnapshotPiece) -> None:
        """`first` is any sound piece; it is not taken yet."""
        self.index = first.index
        self.mark = first.mark
        self.size = first.size
        self._head_size = first.head_size
        self._held = bytearray()
        self._pieces = 0
        """all before this one are in `_held`"""
        self._ahead: dict[int, bytes] = {}
        self._digest = hashlib.sha256()
        """of what is held of the body: at the end there is nothing left to compute that takes long"""
        self._unanswered = 0

    @property
    def held_bytes(self) -> int:
        return len(self._held)

    @property
    def is_complete(self) -> bool:
        return len(self._held) == self.size

    def belongs(self, piece: SnapshotPiece) -> bool:
        return (piece.mark, piece.index, piece.size, piece.head_size) == (
            self.mark,
            self.index,
            self.size,
            self._head_size,
        )

    def add(self, piece: SnapshotPiece) -> bool:
        """Take a sound piece that belongs here; tells whether its sender should hear what is here now."""
        number = piece.number
        if self._pieces <= number < self._pieces + SNAPSHOT_WINDOW and number not in self._ahead:
            self._unanswered += 1
            self._ahead[number] = piece.data
            while (data := self._ahead.pop(self._pieces, None)) is not None:
                self._append(data)
        if not (piece.asks or self.is_complete or self._unanswered >= ANSWER_EVERY):
            return False
        self._unanswered = 0
        return True

    def _append(self, data: bytes) -> None:
        of_head = max(0, self._head_size - len(self._held))
        self._held += data
        self._digest.update(data[of_head:])
        self._pieces += 1

    def answer(self, term: int) -> SnapshotAnswer:
        ahead = sum(1 << (number - self._pieces - 1) for number in self._ahead)
        return SnapshotAnswer(term, self.mark, self._pieces, ahead)

    def snapshot(self) -> Snapshot:
        """The whole, once it is complete.  Raises ValueError where it is not what its mark says."""
        encoded_head = bytes(self._held[: self._head_size])
        if mark_of(encoded_head) != self.mark:
            raise ValueError("its head is not the one that it was announced with")
        snapshot = read(encoded_head, bytes(self._held[self._head_size :]), self._digest.digest())
        if snapshot.index != self.index:
            raise ValueError(f"it ends at entry {snapshot.index} and was announced as {self.index}")
        return snapshot
