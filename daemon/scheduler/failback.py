"""What a node that is back may be given of an address's slots, and when: failback policy, weights, slow start.

A clone of an address says by meta attributes how its slots come back to a node that was away:

failback      `now` (default): its share moves to it at once.  A time (`5min`): once it has been back for so long.
              `manual`: when an administrator says so.
failback-at   seconds since 1970: nodes that were back by then count as released, whatever `failback` says.  It is
              what `vipcast resource failback` writes.
slow-start    a time over which a node's share grows, in tenths, from the moment that it is given something.

A node's share follows its weight: its attribute `slot-weight`, 1 where it has none, 0 for nothing.  None of this
keeps a slot without an owner: what the others may not take goes to a node that has to wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from daemon.model.values import BadValue, parse_duration_ms
from daemon.model.weights import WEIGHT, WEIGHT_MAX
from daemon.scheduler.units import Host

MANUAL, NOW = "manual", "now"
STEPS = 10
"""a slow start has so many steps: each moves some slots, and none between them"""


@dataclass(frozen=True, slots=True)
class Policy:
    hold_ms: int | None
    """how long a node has to be back; None: until it is released by hand"""
    released_ms: int
    """who was back by then does not wait"""
    slow_start_ms: int

    @classmethod
    def of(cls, meta: Mapping[str, str]) -> Policy:
        """What cannot be read counts as the default; it was refused when it was written."""
        word = meta.get("failback", NOW).strip().lower()
        hold = None if word == MANUAL else 0 if word == NOW else _span(word)
        released = meta.get("failback-at", "0").strip()
        released_ms = int(released) * 1_000 if released.isdecimal() and len(released) < 16 else 0
        return cls(hold, released_ms, _span(meta.get("slow-start", "0")))

    def begins_ms(self, host: Host) -> int | None:
        """When the host may be given its share; None: not by time alone."""
        since = host.view.since_ms
        if since <= self.released_ms:
            return since
        return None if self.hold_ms is None else since + self.hold_ms

    def steps(self, host: Host, now_ms: int) -> int:
        """How many tenths of its weight count now; 0: it has to wait."""
        begins = self.begins_ms(host)
        if begins is None or now_ms < begins:
            return 0
        if self.slow_start_ms == 0 or host.view.since_ms == 0:
            return STEPS
        return min(STEPS, 1 + (now_ms - begins) * STEPS // self.slow_start_ms)

    def next_change_ms(self, host: Host, now_ms: int) -> int | None:
        """When time alone will change what the host may be given."""
        begins = self.begins_ms(host)
        if begins is None:
            return None
        if now_ms < begins:
            return begins
        done = self.steps(host, now_ms)
        return None if done >= STEPS else begins + -(-done * self.slow_start_ms // STEPS)


def weight_of(host: Host) -> int:
    """The host's configured weight, within its limits; what is none counts as 1."""
    text = host.attributes.get(WEIGHT)
    if text is None or not text.strip().isdecimal() or len(text.strip()) > 9:
        return max(0, host.view.weight)
    return min(WEIGHT_MAX, int(text))


def _span(text: str) -> int:
    try:
        return parse_duration_ms(text)
    except BadValue:
        return 0
