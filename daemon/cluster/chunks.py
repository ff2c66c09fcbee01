"""Messages that do not fit into one datagram: cut on one side, put together on the other.

Pure, and bounded: per sender at most PENDING_MAX unfinished messages and PENDING_BYTES_MAX bytes, none older than
AGE_MAX_NS without a new piece; what exceeds them is dropped, oldest first, and its sender repeats it as it repeats any
lost datagram.  Before that the pieces that are missing are asked for (`repair`).
The pieces come out of the seal, so they are authentic; a faulty sender is bounded all the same.

    piece = message number (4) ‖ index (2) ‖ count (2) ‖ part of the message
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from dataclasses import dataclass
from itertools import islice

PIECE_BYTES_MAX = 1_200
"""payload of one datagram; with seal, UDP and IPv4 headers it stays below an Ethernet MTU of 1,500"""
MESSAGE_BYTES_MAX = 5 << 20
"""a proposal of messages.BODY_BYTES_MAX, and what surrounds it"""
AGE_MAX_NS = 2_000_000_000
PENDING_MAX = 8
PENDING_BYTES_MAX = 10 << 20
WANTED_MAX = 128
"""pieces that are asked for at once: what then arrives is far below any receive buffer"""
QUIET_NS = 10_000_000
"""without a new piece: what is missing is lost rather than late"""
QUIET_MAX_NS = 160_000_000
"""the pause is doubled up to this while asking brings nothing: the sender may have forgotten the message"""

_HEADER = struct.Struct("!IHH")
_PART_BYTES_MAX = PIECE_BYTES_MAX - _HEADER.size
_NUMBERS = 1 << 32


class OversizedError(ValueError):
    """A message longer than MESSAGE_BYTES_MAX."""


def number_of(piece: bytes) -> int:
    """Of the message that a piece from `Splitter.split` belongs to."""
    number: int = _HEADER.unpack_from(piece)[0]
    return number


@dataclass(frozen=True, slots=True)
class Want:
    """Pieces of a message that have not arrived."""

    number: int
    indices: tuple[int, ...]


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
    __slots__ = ("ask_at_ns", "bytes_held", "count", "moved_ns", "parts", "quiet_ns")

    def __init__(self, count: int) -> None:
        self.count = count
        self.parts: dict[int, bytes] = {}
        self.bytes_held = 0

    def add(self, index: int, part: bytes, now_ns: int) -> None:
        self.parts[index] = part
        self.bytes_held += len(part)
        self.moved_ns = now_ns
        self.quiet_ns = QUIET_NS
        self.ask_at_ns = now_ns + QUIET_NS

    def asked(self, now_ns: int) -> None:
        self.quiet_ns = min(2 * self.quiet_ns, QUIET_MAX_NS)
        self.ask_at_ns = now_ns + self.quiet_ns

    def missing(self) -> tuple[int, ...]:
        """The lowest of them."""
        return tuple(islice((index for index in range(self.count) if index not in self.parts), WANTED_MAX))


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
            pending = self._pending[number] = _Pending(count)
        elif pending.count != count:
            return None
        if index not in pending.parts:
            pending.add(index, part, now_ns)
            self._bytes_held += len(part)
        if len(pending.parts) == count:
            self._forget(number)
            return b"".join(pending.parts[i] for i in range(count))
        while len(self._pending) > PENDING_MAX or self._bytes_held > PENDING_BYTES_MAX:
            self._drop_oldest()
        return None

    @property
    def has_pending(self) -> bool:
        return bool(self._pending)

    def wants(self, now_ns: int) -> Want | None:
        """What to ask the sender for now: of the oldest message that has got no further lately."""
        self._expire(now_ns)
        for number, pending in self._pending.items():
            if now_ns >= pending.ask_at_ns:
                pending.asked(now_ns)
                return Want(number, pending.missing())
        return None

    def _expire(self, now_ns: int) -> None:
        for number in [n for n, pending in self._pending.items() if now_ns - pending.moved_ns > AGE_MAX_NS]:
            self._drop(number)

    def _drop_oldest(self) -> None:
        self._drop(next(iter(self._pending)))

    def _drop(self, number: int) -> None:
        self._forget(number)
        self.dropped += 1

    def _forget(self, number: int) -> None:
        self._bytes_held -= self._pending.pop(number).bytes_held
