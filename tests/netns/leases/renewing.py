"""What the engine's process does: renew on and on, and let the deadlines be read by others (see tests.netns.inside)."""

from __future__ import annotations

import mmap
import os
import time
from struct import Struct

from tests.netns import actions

_page = Struct("=QQ")
"""the newest deadline that was decided on (CLOCK_BOOTTIME, ns); whether to go on"""
PAGE_BYTES = 4096


class Page:
    """Memory that both processes see, so that nothing has to be asked of one that is stopped."""

    def __init__(self, path: str) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(descriptor, PAGE_BYTES)
        self._memory = mmap.mmap(descriptor, PAGE_BYTES)
        os.close(descriptor)

    @property
    def deadline_ns(self) -> int:
        return int(_page.unpack_from(self._memory)[0])

    @deadline_ns.setter
    def deadline_ns(self, deadline_ns: int) -> None:
        self._memory[:8] = deadline_ns.to_bytes(8, "little")

    @property
    def goes_on(self) -> bool:
        return bool(_page.unpack_from(self._memory)[1])

    @goes_on.setter
    def goes_on(self, goes_on: bool) -> None:
        self._memory[8:16] = int(goes_on).to_bytes(8, "little")


def renew_while_told(path: str, lease_ms: int, every_ms: int) -> None:
    """Each deadline is told before it is written: none in the kernel is later than what is told."""
    page = Page(path)
    while page.goes_on:
        deadline_ns = actions.boottime_ns() + lease_ms * actions.NS_PER_MS
        page.deadline_ns = deadline_ns
        actions.renew_until(deadline_ns)
        time.sleep(every_ms / 1000)


def end_now() -> int:
    """A deadline in the past; when it was in force (CLOCK_BOOTTIME, ns)."""
    actions.renew_until(actions.boottime_ns() - actions.NS_PER_MS)
    return actions.boottime_ns()
