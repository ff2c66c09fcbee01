"""What a daemon measures of itself while it works, since its start: counted where it happens, read by `/metrics`."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate

NS_PER_S = 1_000_000_000
BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""upper bounds of the buckets in seconds, from a plan of a few resources to an election's worth; one more is open"""


class Histogram:
    """How long something took, in buckets; what is exactly at a bound is in that bound's bucket."""

    def __init__(self, bounds_s: tuple[float, ...] = BOUNDS_S) -> None:
        self.bounds_s = bounds_s
        self.counts = [0] * (len(bounds_s) + 1)
        """one a bucket, not cumulative"""
        self.sum_ns = 0

    def note(self, took_ns: int) -> None:
        took_ns = max(0, took_ns)
        self.counts[bisect_left(self.bounds_s, took_ns / NS_PER_S)] += 1
        self.sum_ns += took_ns

    @property
    def sum_s(self) -> float:
        return self.sum_ns / NS_PER_S

    def cumulative(self) -> Iterable[tuple[str, int]]:
        """(upper bound in seconds as a label, how often it took no longer), as Prometheus counts."""
        bounds = [f"{bound:g}" for bound in self.bounds_s] + ["+Inf"]
        return zip(bounds, accumulate(self.counts), strict=True)


@dataclass(slots=True)
class OperationTally:
    """Operations of one kind that have ended alike."""

    count: int = 0
    sum_ms: int = 0


@dataclass(slots=True)
class Measures:
    """All of it; whoever does the work writes here."""

    commits: Histogram = field(default_factory=Histogram)
    """from a proposal of this node to the moment that it was applied here"""
    applications: Histogram = field(default_factory=Histogram)
    """what one entry of the log took: to apply it, and to plan anew"""
    operations: dict[tuple[str, str, str], OperationTally] = field(default_factory=dict)
    """(agent, operation, how it ended) → those of this host"""

    def operation_ended(self, agent: str, operation: str, status: str, elapsed_ms: int) -> None:
        tally = self.operations.setdefault((agent, operation, status), OperationTally())
        tally.count += 1
        tally.sum_ms += elapsed_ms
