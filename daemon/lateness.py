"""How late this process is: what its timers asked for, and when it was scheduled.

Measured at every timer of the node, without a thread or a timer of its own.  Two views of the same: a histogram since
the start, as metrics want it, and the last minutes, for people.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

NS_PER_MS = 1_000_000
BOUNDS_MS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
"""upper bounds of the histogram's buckets; whatever is later is in one more"""
SLICE_NS = 10_000 * NS_PER_MS
SLICES = 30
"""the last minutes are this many slices: five minutes"""


def p99_ms(counts: Sequence[int], most_ms: float) -> float:
    """Upper bound of the bucket in which the 99th percentile lies; the longest one for the open bucket."""
    total = sum(counts)
    seen = 0
    for bound_ms, count in zip(BOUNDS_MS, counts, strict=False):
        seen += count
        if seen * 100 >= total * 99:
            return min(bound_ms, most_ms)
    return most_ms


@dataclass(slots=True)
class _Slice:
    began_ns: int
    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_MS) + 1))
    most_ns: int = 0


@dataclass(frozen=True, slots=True)
class Recent:
    """The last minutes."""

    samples: int
    p99_ms: float
    """the bucket's upper bound"""
    max_ms: float


class Lateness:
    """Times are of this host's boot clock, in nanoseconds."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_MS) + 1)
        """since the start, one a bucket, not cumulative"""
        self.sum_ns = 0
        self.max_ns = 0
        self._slices: deque[_Slice] = deque(maxlen=SLICES)

    def note(self, late_ns: int, now_ns: int) -> None:
        """A timer came this late; early ones count as in time."""
        late_ns = max(0, late_ns)
        bucket = bisect_left(BOUNDS_MS, late_ns / NS_PER_MS)
        self.counts[bucket] += 1
        self.sum_ns += late_ns
        self.max_ns = max(self.max_ns, late_ns)
        if not self._slices or now_ns - self._slices[-1].began_ns >= SLICE_NS:
            self._slices.append(_Slice(now_ns))
        newest = self._slices[-1]
        newest.counts[bucket] += 1
        newest.most_ns = max(newest.most_ns, late_ns)

    def recent(self, now_ns: int) -> Recent:
        living = [piece for piece in self._slices if now_ns - piece.began_ns < SLICES * SLICE_NS]
        counts = [sum(piece.counts[bucket] for piece in living) for bucket in range(len(BOUNDS_MS) + 1)]
        most_ms = max((piece.most_ns for piece in living), default=0) / NS_PER_MS
        return Recent(sum(counts), p99_ms(counts, most_ms), most_ms)
