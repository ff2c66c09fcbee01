"""Nodes that come and go: the leader admits them again after a pause that grows (`holddown`).

The losses are in the log, by its stamps, so a new leader goes on where the former one was.  A wall clock that is set
back must not hold anybody down for longer than meant: the leader also counts the hold on its own boot clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from daemon.cluster.core.admissions import HOLD_FIRST_MS, HOLD_QUIET_MS
from daemon.cluster.core.effects import HeldDown
from daemon.cluster.core.holddown import Flaps, HoldDown

NS_PER_MS = 1_000_000


def damped(hold_down_ms: int) -> HoldDown:
    """Of nodes, in milliseconds, with this as the longest hold."""
    return HoldDown(HOLD_FIRST_MS, hold_down_ms, HOLD_QUIET_MS)


@dataclass(frozen=True, slots=True)
class Held:
    told: HeldDown
    is_news: bool


class Damping:
    """One leader's account of whom it holds down, and since when."""

    def __init__(self, hold_down_ms: int) -> None:
        self._hold_down = damped(hold_down_ms)
        self._since_ns: dict[tuple[str, int], int] = {}
        """(node, stamp of its last loss) → when this leader first had to hold it down"""

    def held(self, name: str, flaps: Flaps, stamp_ms: int, now_ns: int) -> Held | None:
        """Whether `name`, which was lost like this, has to wait; None: it may be admitted."""
        left_ms = self._hold_down.left(flaps, stamp_ms)
        if left_ms == 0:
            return None
        key = (name, flaps.last)
        is_news = key not in self._since_ns
        if is_news:
            self._since_ns = {other: at for other, at in self._since_ns.items() if other[0] != name} | {key: now_ns}
        if now_ns - self._since_ns[key] >= self._hold_down.hold(flaps) * NS_PER_MS:
            return None
        return Held(HeldDown(name, left_ms, flaps.times, flaps.last - flaps.began), is_news)
