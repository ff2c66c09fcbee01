"""Long work on the loop's thread, a millisecond at a time: between the slices everything else has its turn.

A host with fifty thousand connections lists, counts and ends them without a heartbeat that is late.  Jobs run one after
the other, for a second one often finds that the first has done its work; what a move waits for comes before the rest.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterator

from datapath.engine import DatapathError

log = logging.getLogger("vipcast.datapath")

Job = Iterator[None]
_ENDED = object()


class Slices:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._jobs: deque[Job] = deque()
        self._next: asyncio.Handle | None = None

    def begin(self, job: Job) -> None:
        """Its first slice is done soon, and not now.  A DatapathError ends it, and is logged."""
        self._jobs.append(job)
        self._arm()

    def begin_before_others(self, job: Job) -> None:
        """The same, and what is under way waits until it has ended."""
        self._jobs.appendleft(job)
        self._arm()

    def close(self) -> None:
        """Break off whatever is under way."""
        self._jobs.clear()
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _arm(self) -> None:
        if self._jobs and self._next is None:
            self._next = self._loop.call_soon(self._step)

    def _step(self) -> None:
        self._next = None
        job = self._jobs[0]
        try:
            is_over = next(job, _ENDED) is _ENDED
        except DatapathError as error:
            log.error("%s", error)
            is_over = True
        except BaseException:
            self._drop(job)
            self._arm()
            raise
        if is_over:
            self._drop(job)
        self._arm()

    def _drop(self, job: Job) -> None:
        """Unless everything was broken off within its slice."""
        if job in self._jobs:
            self._jobs.remove(job)
