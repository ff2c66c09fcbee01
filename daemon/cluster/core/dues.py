"""The earliest of many times, each of which mostly moves to later: when a leader has to look at losses again.

A leader is asked for it after every message, and each grant moves one node's time.  So the times lie on a heap as
they were when they were last looked at, and only what lies on top is looked at again.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable


class Dues:
    """Whatever moves a time to *earlier* needs new `Dues`."""

    def __init__(self, names: Iterable[str], due_ns: Callable[[str], int]) -> None:
        """`due_ns` says when it is due now."""
        self._due_ns = due_ns
        self._heap = [(due_ns(name), name) for name in names]
        heapq.heapify(self._heap)
        self._over: set[str] = set()
        """their time has passed, and may come anew"""

    def first_after(self, looked_ns: int) -> int | None:
        """The earliest after the last look, whatever was due by then; None where nothing is."""
        for name in [name for name in self._over if self._due_ns(name) > looked_ns]:
            self._over.discard(name)
            heapq.heappush(self._heap, (self._due_ns(name), name))
        while self._heap:
            noted_ns, name = self._heap[0]
            due_ns = self._due_ns(name)
            if due_ns != noted_ns:
                heapq.heapreplace(self._heap, (due_ns, name))
            elif due_ns <= looked_ns:
                heapq.heappop(self._heap)
                self._over.add(name)
            else:
                return due_ns
        return None
