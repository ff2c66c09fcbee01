"""How many new addresses the kernel is told of at once, so that nothing that the loop does waits for long.  Pure.

What a step takes is learnt from the steps before it: it grows while they are short, and shrinks at once when one was
too long.  Slots of one address are never told apart, and addresses that are here already are in every step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

STEP_NS_MAX = 15_000_000
"""a fifth of the shortest profile's lease, and less than its heartbeats are apart"""
ADDRESSES_AT_FIRST = 4
ADDRESSES_MIN = 4
"""a step costs something however few it has, so that more of them would hold the loop for longer altogether"""
ADDRESSES_MAX = 64


@dataclass(slots=True)
class Pace:
    at_once: int = ADDRESSES_AT_FIRST
    """ADDRESSES_MIN <= at_once <= ADDRESSES_MAX"""

    def split(self, names: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
        """(those of the next step, those that wait for further ones)."""
        return names[: self.at_once], names[self.at_once :]

    def took(self, count: int, duration_ns: int) -> None:
        """A step with so many new addresses took so much of the processor."""
        if not count:
            return
        if duration_ns > STEP_NS_MAX:
            self.at_once = max(ADDRESSES_MIN, min(count, self.at_once) * STEP_NS_MAX // duration_ns)
        elif 2 * duration_ns < STEP_NS_MAX and count >= self.at_once:
            self.at_once = min(ADDRESSES_MAX, 2 * self.at_once)
