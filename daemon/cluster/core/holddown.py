"""Flap damping: what comes and goes is held down for longer each time, and forgiven when it has been quiet.

Arithmetic alone, for nodes (`leader`) and for links alike.  Times and durations are integers of one unit, the
caller's (milliseconds for nodes: the log's stamps); the clock may be any that hardly ever runs backwards.

The first time costs nothing: a crash is no flapping.  From the second on it is `first`, twice that, four times …,
`most` at the longest.  Each `quiet` that passes after the end of a hold takes one time off the count.
"""

from __future__ import annotations

from dataclasses import dataclass

TIMES_MAX = 64
"""counted at most: one that flapped all night is forgiven after about an hour"""


@dataclass(frozen=True, slots=True)
class Flaps:
    """How something has come and gone lately.  Immutable, so that it can stand in a snapshot."""

    times: int = 0
    """how often it went, less what is forgiven"""
    began: int = 0
    """when it went for the first time of this series"""
    last: int = 0
    """when it went for the last time"""


NEVER = Flaps()


@dataclass(frozen=True, slots=True)
class HoldDown:
    first: int
    most: int
    """0: nothing is ever held down"""
    quiet: int

    def gone(self, flaps: Flaps, at: int) -> Flaps:
        """It went again at `at`."""
        times = self.counted(flaps, at)
        began = flaps.began if times else at
        return Flaps(min(times + 1, TIMES_MAX), began, at)

    def counted(self, flaps: Flaps, now: int) -> int:
        """How often it went, as far as that still counts at `now`."""
        quiet = now - flaps.last - self.hold(flaps)
        return max(0, flaps.times - max(0, quiet) // self.quiet)

    def hold(self, flaps: Flaps) -> int:
        """How long it is held down after the last time."""
        if flaps.times < 2:
            return 0
        return min(self.first << (flaps.times - 2), self.most)

    def left(self, flaps: Flaps, now: int) -> int:
        """How long it is still held down; never more than the whole hold, whatever has become of the clock."""
        hold = self.hold(flaps)
        return max(0, min(hold, flaps.last + hold - now))
