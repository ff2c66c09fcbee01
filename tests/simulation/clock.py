"""A host's boot clock: it drifts, and starts again from nothing at a reboot."""

from __future__ import annotations

from dataclasses import dataclass

MILLION = 1_000_000


@dataclass(slots=True)
class Clock:
    """local = offset + true·(1 + ppm/10⁶), in whole nanoseconds so that every run is the same everywhere."""

    offset_ns: int
    ppm: int

    def local(self, true_ns: int) -> int:
        return self.offset_ns + true_ns + true_ns * self.ppm // MILLION

    def true(self, local_ns: int) -> int:
        """The first true time at which this clock shows `local_ns` or more."""
        guess = (local_ns - self.offset_ns) * MILLION // (MILLION + self.ppm)
        while self.local(guess) < local_ns:
            guess += 1
        return guess
