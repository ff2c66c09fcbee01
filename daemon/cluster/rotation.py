"""How one key of the cluster replaces another without a moment in which two nodes do not understand each other.

1. One node makes a key and *offers* it, sealed with the active key of each receiver, until he says in his probes that
   he has it.  Everybody writes it to his disk before he says so.
2. Who sees that all nodes which are there have it seals with it; who is sealed to with it follows at once.
3. The key before opens for OVERLAP_S more.  After that it is a way back for RETURN_S: a node that was away is given
   the new one and believed only then (`wayback`).  With a key that *revokes* there is none.

There is no coordinator: each node does what it sees to be due, so a rotation outlives whoever began it.  Of two keys
that were made at once the one that revokes wins, then the lower mark.  Pure: time is an argument, and what changes is
returned.
"""

from __future__ import annotations

from collections.abc import Collection

from daemon.cluster.handover import Offer
from daemon.cluster.keyring import KEY_BYTES, Keyring, RingKey


class Rotation:
    def __init__(self, ring: Keyring) -> None:
        self.ring = ring
        self._held: dict[str, tuple[bytes, ...]] = {}
        """peer → marks of its keys, the active one first, by its newest probe"""

    def heard(self, peer: str, marks: tuple[bytes, ...]) -> None:
        if marks:
            self._held[peer] = marks

    def forget(self, peer: str) -> None:
        self._held.pop(peer, None)

    def marks_of(self, peer: str) -> tuple[bytes, ...]:
        return self._held.get(peer, ())

    def seal_for(self, peer: str, now_s: int) -> bytes:
        """Mark of the key that `peer` seals with, if it is good here; empty: whatever is active here."""
        marks = self._held.get(peer, ())
        if not marks or self.ring.active.mark in marks or self.ring.opening(now_s).find(marks[0]) is None:
            return b""
        return marks[0]

    def begun(self, key: bytes, *, revokes: bool = False) -> Keyring:
        """The ring with a new key that is to follow, or as it is while a rotation is on its way."""
        ring = self.ring
        return ring if ring.pending is not None else ring.with_room().with_pending(RingKey(key, revokes=revokes))

    def offers(self, present: Collection[str]) -> list[tuple[str, Offer]]:
        """For each member that is there and lacks a key which it should have.

        Never for one who is not there: sealed with an old key, it would be for whoever listens.
        """
        wanted = (self.ring.pending or self.ring.active, self.ring.active)
        found = []
        for peer in sorted(present):
            marks = self._held.get(peer)
            if marks is None:
                continue
            missing = next((one for one in reversed(wanted) if one.mark not in marks), None)
            if missing is not None:
                found.append((peer, Offer(missing.key, revokes=missing.revokes)))
        return found

    def offered(self, offer: Offer, now_s: int, sealed_with: bytes) -> Keyring:
        """The ring after somebody's offer, which came under the key `sealed_with`; the same if it brings nothing."""
        ring = self.ring
        if len(offer.key) != KEY_BYTES:
            return ring
        key = RingKey(offer.key, revokes=offer.revokes)
        if offer.in_use:
            # what it replaces must be what we go by: an old key says nothing of the one that has replaced it
            return ring.replaced_by(key, now_s) if sealed_with == ring.active.mark else ring
        if ring.find(key.mark) is not None:
            return ring
        if ring.pending is not None:
            if _precedence(ring.pending) < _precedence(key):
                return ring
            ring = ring.without([ring.pending.mark])
        return ring.with_room().with_pending(key)

    def sealed_with(self, mark: bytes, now_s: int) -> Keyring:
        """A member seals with this key: if it was to follow, it follows now."""
        pending = self.ring.pending
        return self.ring.activated(now_s) if pending is not None and pending.mark == mark else self.ring

    def due(self, present: Collection[str], now_s: int) -> Keyring:
        """The ring as it should be now; `present` are the members that are heard."""
        ring = self.ring.bounded(now_s)
        pending = ring.pending
        if pending is not None and all(pending.mark in self._held.get(peer, ()) for peer in present):
            return ring.activated(now_s)
        return ring


def _precedence(key: RingKey) -> tuple[bool, bytes]:
    """The lowest wins: whoever wanted the former keys to be worth nothing was told that they will be."""
    return not key.revokes, key.mark
