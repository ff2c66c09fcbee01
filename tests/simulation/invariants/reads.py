"""What a node says is never older than it claims (`Core.as_of_ns`)."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from tests.simulation.invariants.violation import ViolationError


@dataclass(slots=True)
class Reads:
    _times_ns: list[int] = field(default_factory=list)
    _committed: list[int] = field(default_factory=list)
    """how many entries somebody knew to be committed from the true time at the same place on"""

    def committed(self, true_ns: int, count: int) -> None:
        self._times_ns.append(true_ns)
        self._committed.append(count)

    def claims(self, name: str, applied: int, as_of_true_ns: int, now_ns: int) -> None:
        """`name` says: with `applied` entries I lack nothing that was committed before that time."""
        if as_of_true_ns > now_ns:
            raise ViolationError(f"{name} claims to know the future: {(as_of_true_ns - now_ns) / 1e6:.3f} ms of it")
        # one microsecond: both clocks count whole nanoseconds, and a local one is slower or faster
        known = bisect_right(self._times_ns, as_of_true_ns - 1000)
        least = self._committed[known - 1] if known else 0
        if applied < least:
            raise ViolationError(
                f"{name} claims to lack nothing from {(now_ns - as_of_true_ns) / 1e6:.3f} ms ago or before,"
                f" and has applied {applied} of {least} entries that were committed then"
            )
