"""A host's boot clock: it drifts, now faster and now slower, and starts again from nothing at a reboot."""

from __future__ import annotations

from dataclasses import dataclass, field

MILLION = 1_000_000
RATES_MAX = 64


@dataclass(slots=True)
class Clock:
    """local = offset + true·(1 + ppm/10⁶), in whole nanoseconds so that every run is the same everywhere."""

    offset_ns: int
    ppm: int
    _former: list[tuple[int, int, int]] = field(default_factory=list)
    """(local time at which it ended, offset, ppm), oldest first"""

    def local(self, true_ns: int) -> int:
        return self.offset_ns + true_ns + true_ns * self.ppm // MILLION

    def true(self, local_ns: int) -> int:
        """The first true time at which this clock shows `local_ns` or more, if its rate stays what it is."""
        guess = (local_ns - self.offset_ns) * MILLION // (MILLION + self.ppm)
        while self.local(guess) < local_ns:
            guess += 1
        return guess

    def run_at(self, ppm: int, true_ns: int) -> None:
        """From now on at another rate; what it shows does not jump."""
        local_ns = self.local(true_ns)
        self._former.append((local_ns, self.offset_ns, self.ppm))
        del self._former[:-RATES_MAX]
        self.ppm = ppm
        self.offset_ns += local_ns - self.local(true_ns)

    def restart(self, true_ns: int, shows_ns: int) -> None:
        """A reboot: times from before mean nothing any more."""
        self._former.clear()
        self.offset_ns += shows_ns - self.local(true_ns)

    def true_then(self, local_ns: int) -> int:
        """When this clock showed a time that has passed, whatever its rate was then."""
        for ended_ns, offset_ns, ppm in self._former:
            if local_ns < ended_ns:
                return Clock(offset_ns, ppm).true(local_ns)
        return self.true(local_ns)
