"""Messages that do not fit into one datagram: cut on one side, put together on the other.

Pure, and bounded: per sender at most PENDING_MAX unfinished messages and PENDING_BYTES_MAX bytes, none older than
AGE_MAX_NS; what exceeds them is dropped, oldest first, and its sender repeats it as it repeats any lost datagram.
The pieces come out of the seal, so they are authentic; a faulty sender is bounded all the same.

    piece = message number (4) ‖ index (2) ‖ count (2) ‖ part of the message
"""

from __future__ import annotations

import struct
from collections import OrderedDict

PIECE_BYTES_MAX = 1_200
"""payload of one datagram; with seal, UDP and IPv4 headers it stays below an Ethernet MTU of 1,500"""
MESSAGE_BYTES_MAX = 5 << 20
"""a proposal of messages.BODY_BYTES_MAX, and what surrounds it"""
AGE_MAX_NS = 2_000_000_000
PENDING_MAX = 8
PENDING_BYTES_MAX = 10 << 20

_HEADER = struct.Struct("!IHH")
_PART_BYTES_MAX = PIECE_BYTES_MAX - _HEADER.size
_NUMBERS = 1 << 32


class OversizedError(ValueError):
    """A message longer than MESSAGE_BYTES_MAX."""


class Splitter:
    """Cuts messages; their numbers tell the receiver which pieces belong together."""

    def __init__(self) -> None:
        self._number = 0

    def split(self, message: bytes) -> list[bytes]:
        """The pieces of `message`, in order.  Raises OversizedError."""
        if len(message) > MESSAGE_BYTES_MAX:
            raise OversizedError(f"a message of {len(message)} bytes; {MESSAGE_BYTES_MAX} is the most")
        number = self._number
        self._number = (number + 1) % _NUMBERS
        count = max(1, -(-len(message) // _PART_BYTES_MAX))
        return [
            _HEADER.pack(number, index, count) + message[index * _PART_BYTES_MAX : (index + 1) * _PART_BYTES_MAX]
            for index in range(count)
        ]


class _Pending:
    __slots__ = ("bytes_held", "count", "parts", "since_ns")

    def __init__(self, count: int, since_ns: int) -> None:
        self.count = count
        self.since_ns = since_ns
        self.parts: dict[int, bytes] = {}
        self.bytes_held = 0


class Joiner:
    """Puts the messages of one sender's session together."""

    def __init__(self) -> None:
        self._pending: OrderedDict[int, _Pending] = OrderedDict()
        self._bytes_held = 0
        self.dropped = 0
        """unfinished messages that were given up"""

    @property
    def bytes_held(self) -> int:
        return self._bytes_held

    def add(self, piece: bytes, now_ns: int) -> bytes | None:
        """The whole message if `piece` was its last missing part, else None.  Nonsense is dropped."""
        self._expire(now_ns)
        if len(piece) < _HEADER.size or len(piece) > PIECE_BYTES_MAX:
            return None
        number, index, count = _HEADER.unpack_from(piece)
        part = piece[_HEADER.size :]
        if index >= count or count > MESSAGE_BYTES_MAX // _PART_BYTES_MAX + 1:
            return None
        # All parts but the last are full: this bounds a message by its count, before any of it is held.
        if index < count - 1 and len(part) != _PART_BYTES_MAX:
            return None
        pending = self._pending.get(number)
        if pending is None:
            pending = self._pending[number] = _Pending(count, now_ns)
        elif pending.count != count:
            return None
        if index not in pending.parts:
            pending.parts[index] = part
            pending.bytes_held += len(part)
            self._bytes_held += len(part)
        if len(pending.parts) == count:
            self._forget(number)
            return b"".join(pending.parts[i] for i in range(count))
        while len(self._pending) > PENDING_MAX or self._bytes_held > PENDING_BYTES_MAX:
            self._drop_oldest()
        return None

    def _expire(self, now_ns: int) -> None:
        while self._pending:
            oldest = next(iter(self._pending.values()))
            if now_ns - oldest.since_ns <= AGE_MAX_NS:
                return
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        self._forget(next(iter(self._pending)))
        self.dropped += 1

    def _forget(self, number: int) -> None:
        self._bytes_held -= self._pending.pop(number).bytes_held
