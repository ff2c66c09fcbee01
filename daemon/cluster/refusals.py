"""Counts what was refused, and says which refusals are worth a line in the log.

A flood must not become a flood of log lines, nor of memory: one line a minute per reason and source, and a bounded
number of sources is remembered.  Pure: the time is an argument.
"""

from __future__ import annotations

from collections import Counter, OrderedDict

QUIET_NS = 60 * 1_000_000_000
"""between two lines about the same reason and source"""
SOURCES_MAX = 256
LINES_PER_QUIET_MAX = 20
"""over all sources: an attacker chooses his source address freely"""


class Refusals:
    """`note` counts; it returns the line to log, or None while the same was said a short time ago."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._said: OrderedDict[tuple[str, str], _Silence] = OrderedDict()
        self._period_ns = -QUIET_NS
        self._lines = 0

    def note(self, reason: str, source: str, now_ns: int, detail: str = "") -> str | None:
        """Count one refusal of a datagram from `source` (an address)."""
        self.counts[reason] += 1
        silence = self._said.get((reason, source))
        if silence is not None and now_ns - silence.since_ns < QUIET_NS:
            silence.swallowed += 1
            return None
        if now_ns - self._period_ns >= QUIET_NS:
            self._period_ns = now_ns
            self._lines = 0
        if self._lines >= LINES_PER_QUIET_MAX:
            return None
        self._lines += 1
        swallowed = silence.swallowed if silence is not None else 0
        self._said[reason, source] = _Silence(now_ns)
        self._said.move_to_end((reason, source))
        if len(self._said) > SOURCES_MAX:
            self._said.popitem(last=False)
        more = f" ({swallowed} more of these since the last line)" if swallowed else ""
        return f"refused a datagram from {source}: {reason}{f': {detail}' if detail else ''}{more}"


class _Silence:
    __slots__ = ("since_ns", "swallowed")

    def __init__(self, since_ns: int) -> None:
        self.since_ns = since_ns
        self.swallowed = 0
