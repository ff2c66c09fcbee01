"""How one key of the cluster replaces another without a moment in which two nodes do not understand each other.

1. One node makes a key and *offers* it, sealed with the active key of each receiver, until he says in his probes that
   he has it.  Everybody writes it to his disk before he says so.
2. Who sees that all nodes which are there have it seals with it; who is sealed to with it follows at once.
3. The key before opens for GRACE_S more, so that a node which was away is understood, and is offered the new one;
   it is forgotten earlier once every node of the cluster seals with the new one.

There is no coordinator: each node does what it sees to be due, so a rotation outlives whoever began it.  Of two keys
that were made at once the lower mark wins.  Pure: time is an argument, and what changes is returned.
"""

from __future__ import annotations

from collections.abc import Collection

from daemon.cluster.keyring import KEY_BYTES, KEYS_MAX, Keyring, mark_of

GRACE_S = 7 * 24 * 3600
"""a node that was away for longer needs the key file"""


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

    def seal_for(self, peer: str) -> bytes:
        """Mark of the key that `peer` seals with, if we have it; empty: whatever is active here."""
        marks = self._held.get(peer, ())
        return marks[0] if marks and self.ring.active.mark not in marks and self.ring.find(marks[0]) else b""

    def begun(self, key: bytes) -> Keyring:
        """The ring with a new key that is to follow, or as it is while a rotation is on its way."""
        return self.ring if self.ring.pending is not None else _with_room(self.ring).with_pending(key)

    def offers(self, members: Collection[str]) -> list[tuple[str, bytes]]:
        """(peer, key) for each member that lacks one which it should have."""
        wanted = (self.ring.pending or self.ring.active, self.ring.active)
        found = []
        for peer in sorted(members):
            marks = self._held.get(peer)
            if marks is None:
                continue
            missing = next((one for one in reversed(wanted) if one.mark not in marks), None)
            if missing is not None:
                found.append((peer, missing.key))
        return found

    def offered(self, key: bytes) -> Keyring:
        """The ring after somebody's offer; the same if it brings nothing."""
        ring = self.ring
        if len(key) < KEY_BYTES or ring.find(mark_of(key[:KEY_BYTES])) is not None:
            return ring
        key = key[:KEY_BYTES]
        if ring.pending is not None:
            if ring.pending.mark < mark_of(key):
                return ring
            ring = ring.without([ring.pending.mark])
        return _with_room(ring).with_pending(key)

    def sealed_with(self, mark: bytes, now_s: int) -> Keyring:
        """A member seals with this key: if it was to follow, it follows now."""
        pending = self.ring.pending
        return self.ring.activated(now_s + GRACE_S) if pending is not None and pending.mark == mark else self.ring

    def due(self, members: Collection[str], present: Collection[str], now_s: int) -> Keyring:
        """The ring as it should be now; `present` are the members that are heard."""
        ring = self.ring
        pending = ring.pending
        if pending is not None and all(pending.mark in self._held.get(peer, ()) for peer in present):
            return ring.activated(now_s + GRACE_S)
        if pending is None and ring.retired() and all(self._seals_with_ours(peer) for peer in members):
            return ring.without(ring.retired())
        return ring.without(ring.expired(now_s)) if ring.expired(now_s) else ring

    def _seals_with_ours(self, peer: str) -> bool:
        return self._held.get(peer, (b"",))[0] == self.ring.active.mark


def _with_room(ring: Keyring) -> Keyring:
    """Where it is full, without the key that was active longest ago."""
    retired = ring.retired()
    return ring.without(retired[-1:]) if len(ring.keys) >= KEYS_MAX else ring
