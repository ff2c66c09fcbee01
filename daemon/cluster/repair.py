"""What of a long message was lost on its way is sent again, and not the whole of it.

A message of n datagrams arrives whole with probability (1 - loss)ⁿ: of 64 KiB at 5 % loss one in twenty-five, of
4 MiB at 1 % none ever.  So a receiver that has a part of one, and hears no more of it, names the pieces that it
lacks (`chunks.Joiner.wants`), and the sender, who keeps what it has sent lately, sends those.  Of a message that
was lost as a whole nobody here knows: its sender repeats it, as it repeats any lost datagram.

Pure, and bounded: SENT_BYTES_MAX and SENT_AGE_MAX_NS of what was sent, and one answer to a peer every
ANSWER_INTERVAL_NS, of at most chunks.WANTED_MAX pieces, whatever it asks for.

    want = message number (4) ‖ index of a piece (2), once or more often
"""

from __future__ import annotations

import struct
from collections import OrderedDict

from daemon.cluster.chunks import WANTED_MAX, Want, number_of

SENT_BYTES_MAX = 16 << 20
SENT_AGE_MAX_NS = 4_000_000_000
ANSWER_INTERVAL_NS = 4_000_000
ASKERS_MAX = 256

_NUMBER = struct.Struct("!I")
_INDEX_BYTES = 2


def encode(want: Want) -> bytes:
    return _NUMBER.pack(want.number) + struct.pack(f"!{len(want.indices)}H", *want.indices)


def decode(content: bytes) -> Want | None:
    """None: it is no want."""
    count, rest = divmod(len(content) - _NUMBER.size, _INDEX_BYTES)
    if rest or not 0 < count <= WANTED_MAX:
        return None
    (number,) = _NUMBER.unpack_from(content)
    return Want(number, struct.unpack_from(f"!{count}H", content, _NUMBER.size))


class Sent:
    """The newest messages of several pieces that this node has sent, to whomever."""

    def __init__(self) -> None:
        self._messages: OrderedDict[int, tuple[int, str | None, list[bytes]]] = OrderedDict()
        """number → when, for whom (None: all), pieces"""
        self._bytes_held = 0
        self._answered_ns: OrderedDict[str, int] = OrderedDict()

    @property
    def bytes_held(self) -> int:
        return self._bytes_held

    def keep(self, pieces: list[bytes], to: str | None, now_ns: int) -> None:
        """A message for one node, or for all (None).  One of one piece is not kept: a part of it is all of it."""
        self._expire(now_ns)
        if len(pieces) < 2:
            return
        self._messages[number_of(pieces[0])] = now_ns, to, pieces
        self._bytes_held += sum(map(len, pieces))
        while self._bytes_held > SENT_BYTES_MAX:
            self._drop_oldest()

    def wanted(self, peer: str, want: Want, now_ns: int) -> list[bytes]:
        """The pieces to send again, to `peer` alone; none of what was for somebody else."""
        self._expire(now_ns)
        if now_ns - self._answered_ns.get(peer, now_ns - ANSWER_INTERVAL_NS) < ANSWER_INTERVAL_NS:
            return []
        _, to, pieces = self._messages.get(want.number, (0, None, []))
        if to not in (None, peer):
            return []
        self._answered_ns[peer] = now_ns
        self._answered_ns.move_to_end(peer)
        if len(self._answered_ns) > ASKERS_MAX:
            self._answered_ns.popitem(last=False)
        return [pieces[index] for index in sorted(set(want.indices)) if index < len(pieces)]

    def _expire(self, now_ns: int) -> None:
        while self._messages and now_ns - next(iter(self._messages.values()))[0] > SENT_AGE_MAX_NS:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        _, (_, _, pieces) = self._messages.popitem(last=False)
        self._bytes_held -= sum(map(len, pieces))
