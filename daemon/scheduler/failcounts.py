"""Fail counts as a view has them, found by host and by the name that counts."""

from __future__ import annotations

from collections.abc import Mapping

from daemon.model.configuration import INFINITY

Recorded = tuple[int, int]
"""(fail count, time of the last failure in ms)"""


class FailCounts:
    """Counts are kept for `web` and for `web:0`; instances of an anonymous clone share what any of them has."""

    def __init__(self, counts: Mapping[tuple[str, str], int], last_ms: Mapping[tuple[str, str], int]) -> None:
        self._counts, self._last_ms = counts, last_ms
        self.hosts = frozenset(host for (_, host), count in counts.items() if count)
        """where anything has failed"""
        self._shared: dict[tuple[str, str], Recorded] = {}
        for (name, host), count in counts.items():
            base = name.partition(":")[0]
            so_far, last = self._shared.get((base, host), (0, 0))
            self._shared[base, host] = (so_far + count, last)
        for (name, host), stamp_ms in last_ms.items():
            base = name.partition(":")[0]
            so_far, last = self._shared.get((base, host), (0, 0))
            self._shared[base, host] = (so_far, max(last, stamp_ms))

    def of(self, name: str, host: str) -> Recorded:
        """What is counted under exactly this name."""
        return min(INFINITY, self._counts.get((name, host), 0)), self._last_ms.get((name, host), 0)

    def of_all(self, base: str, host: str) -> Recorded:
        """What is counted under a primitive's id, and under the numbers of its instances."""
        count, last = self._shared.get((base, host), (0, 0))
        return min(INFINITY, count), last
