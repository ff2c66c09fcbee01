"""Whether a counter was seen before: a sliding bitmap, as in RFC 6479 and RFC 4303 §3.4.3."""

from __future__ import annotations

WINDOW = 2048
"""Counters that may arrive out of order; older ones count as seen.  One counter runs over all links of a sender."""

_MASK = (1 << WINDOW) - 1


class ReplayWindow:
    """Accepts each counter once, and none that is WINDOW or more behind the newest."""

    __slots__ = ("_newest", "_seen")

    def __init__(self) -> None:
        self._newest = -1
        # bit k: counter newest-k was seen; bit 0 is set as soon as there is a newest
        self._seen = 0

    @property
    def newest(self) -> int:
        """The highest counter accepted, -1 before the first."""
        return self._newest

    def is_fresh(self, counter: int) -> bool:
        """Whether `accept` would take it.  Ask before the costly decryption, accept after it."""
        if counter > self._newest:
            return True
        behind = self._newest - counter
        return behind < WINDOW and not (self._seen >> behind) & 1

    def accept(self, counter: int) -> bool:
        """Note `counter`; False, and no change, if it was seen or is too old."""
        if not self.is_fresh(counter):
            return False
        ahead = counter - self._newest
        if ahead > 0:
            self._seen = ((self._seen << ahead) & _MASK) | 1 if ahead < WINDOW else 1
            self._newest = counter
        else:
            self._seen |= 1 << -ahead
        return True

    def refuse_until(self, counter: int) -> None:
        """Treat every counter up to and including this one as seen."""
        if counter > self._newest:
            self._newest = counter
            self._seen = _MASK
            return
        behind = self._newest - counter
        if behind < WINDOW:
            self._seen |= _MASK & ~((1 << behind) - 1)
