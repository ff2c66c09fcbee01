"""Messages out of pieces and the reverse; what is missing is asked for, and what others lack is there still.

Pure: time is an argument.  Bounded by what a joiner holds (`chunks`) for each sender that the transport knows.
"""

from __future__ import annotations

from collections.abc import Iterator

from daemon.cluster import repair
from daemon.cluster.chunks import Joiner, Splitter


class Assembly:
    def __init__(self) -> None:
        self._splitter = Splitter()
        self._sent = repair.Sent()
        self._joiners: dict[str, tuple[int, Joiner]] = {}
        """sender → incarnation, and what has come of its messages"""
        self._given_up = 0

    @property
    def incomplete(self) -> int:
        """Messages that were given up because some of their pieces did not come."""
        return self._given_up + sum(joiner.dropped for _, joiner in self._joiners.values())

    @property
    def is_waiting(self) -> bool:
        """Whether some message is here in part."""
        return any(joiner.has_pending for _, joiner in self._joiners.values())

    def split(self, encoded: bytes, to: str | None, now_ns: int) -> list[bytes]:
        """The pieces of a message that is sent now to one node, or to all; kept for a while.  Raises OversizedError."""
        pieces = self._splitter.split(encoded)
        self._sent.keep(pieces, to, now_ns)
        return pieces

    def add(self, sender: str, incarnation: int, piece: bytes, now_ns: int) -> bytes | None:
        """The message that this piece makes whole, if it does."""
        known, joiner = self._joiners.get(sender, (-1, None))
        if joiner is None or known != incarnation:
            self._given_up += joiner.dropped if joiner else 0
            joiner = Joiner()
            self._joiners[sender] = (incarnation, joiner)
        return joiner.add(piece, now_ns)

    def wants(self, now_ns: int) -> Iterator[tuple[str, bytes]]:
        """Whom to ask now for what was lost of a message that is here in part, and how."""
        for sender, (_, joiner) in self._joiners.items():
            if (want := joiner.wants(now_ns)) is not None:
                yield sender, repair.encode(want)

    def wanted(self, peer: str, content: bytes, now_ns: int) -> list[bytes] | None:
        """The pieces that a peer asks for, as far as they are still there; None for what is no question."""
        want = repair.decode(content)
        return None if want is None else list(self._sent.wanted(peer, want, now_ns))

    def forget(self, sender: str) -> None:
        self._joiners.pop(sender, None)
