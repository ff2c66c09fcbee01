"""Steps of the wall clock and times of suspension, told by the kernel as they happen, for leases that clocks decide.

What suspending the host (to memory or disk) does to each engine's clock:

- bpf compares CLOCK_BOOTTIME, and raw reads it for each packet: it counts on while the host sleeps, so a lease that
  ended meanwhile has ended when the first packet comes.
- nft compares the wall clock, which is set from the hardware's when the host wakes, before any device does
  (timekeeping_resume), so the same holds.  Its element's time-out runs on jiffies, which stand still: by that alone a
  lease would go on for the rest of it, and does so only where the hardware has no clock.
- A virtual machine that its hypervisor pauses does not know of it: all of its clocks stand still.

`ClockWatch` hears of both by a timer that is cancelled whenever the wall clock is set, which waking does as well
(timerfd_create(2), TFD_TIMER_CANCEL_ON_SET).  It says what has happened; whoever has a lease then writes it anew.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

_TFD_TIMER_ABSTIME = 1
_TFD_TIMER_CANCEL_ON_SET = 2
_FAR_S = (1 << 62) // 1_000_000_000
_READINGS = 8
_EXPIRATIONS_BYTES = 8
NOTICEABLE_NS = 1_000_000
"""a step that is smaller is what an interruption between two readings may look like"""


class _Time(ctypes.Structure):
    """struct timespec"""

    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Timer(ctypes.Structure):
    """struct itimerspec"""

    _fields_ = (("interval", _Time), ("value", _Time))


@dataclass(frozen=True, slots=True)
class Clocks:
    """How far apart the kernel's clocks are, in ns."""

    wall_minus_boot: int
    boot_minus_monotonic: int
    """for how long this host has slept since it booted"""


@dataclass(frozen=True, slots=True)
class ClockChange:
    stepped_ns: int
    """the wall clock was set forward by this, backward where negative; beyond what sleeping accounts for"""
    slept_ns: int

    def __str__(self) -> str:
        told = []
        if self.slept_ns:
            told.append(f"this host was suspended for {self.slept_ns / 1e9:.3f} s")
        if self.stepped_ns:
            told.append(f"the wall clock was stepped by {self.stepped_ns / 1e9:+.3f} s")
        return " and ".join(told) or "the wall clock was set, and shows the time that it showed"


def read_clocks() -> Clocks:
    """By the quickest of some readings: who is interrupted between two clocks compares different moments."""
    found = []
    for _ in range(_READINGS):
        monotonic = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        boot = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        wall = time.clock_gettime_ns(time.CLOCK_REALTIME)
        took = time.clock_gettime_ns(time.CLOCK_MONOTONIC) - monotonic
        found.append((took, Clocks(wall - boot, boot - monotonic)))
    return min(found, key=lambda reading: reading[0])[1]


def difference(before: Clocks, now: Clocks) -> ClockChange:
    return ClockChange(
        _noticeable(now.wall_minus_boot - before.wall_minus_boot),
        max(0, _noticeable(now.boot_minus_monotonic - before.boot_minus_monotonic)),
    )


def _noticeable(step_ns: int) -> int:
    return step_ns if abs(step_ns) >= NOTICEABLE_NS else 0


class ClockWatch:
    """On the running loop from `start` to `close`; `changed` is called there."""

    def __init__(self, changed: Callable[[ClockChange], None]) -> None:
        self._changed = changed
        self._descriptor = -1
        self._before = read_clocks()

    def start(self) -> None:
        """Raises OSError where the kernel has no such timers."""
        self._descriptor = _make()
        _arm(self._descriptor)
        self._before = read_clocks()
        asyncio.get_running_loop().add_reader(self._descriptor, self._read)

    def close(self) -> None:
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _read(self) -> None:
        try:
            os.read(self._descriptor, _EXPIRATIONS_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ECANCELED:
                raise
        _arm(self._descriptor)
        self.look()

    def look(self) -> None:
        """Say what has happened to the clocks since the last time."""
        before, self._before = self._before, read_clocks()
        self._changed(difference(before, self._before))


_libc = ctypes.CDLL(None, use_errno=True)


def _make() -> int:
    descriptor = int(_libc.timerfd_create(time.CLOCK_REALTIME, os.O_NONBLOCK | os.O_CLOEXEC))
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), f"timerfd_create: {os.strerror(ctypes.get_errno())}")
    return descriptor


def _arm(descriptor: int) -> None:
    """Never to ring: what is waited for is that the clock is set."""
    never = _Timer(_Time(0, 0), _Time(_FAR_S, 0))
    flags = _TFD_TIMER_ABSTIME | _TFD_TIMER_CANCEL_ON_SET
    if (
        _libc.timerfd_settime(descriptor, flags, ctypes.byref(never), None) < 0
        and ctypes.get_errno() != errno.ECANCELED
    ):
        raise OSError(ctypes.get_errno(), f"timerfd_settime: {os.strerror(ctypes.get_errno())}")
