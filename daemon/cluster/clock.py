"""The one clock of leases: CLOCK_BOOTTIME, which counts on while the host is suspended (clock_gettime(2))."""

from __future__ import annotations

import time
from pathlib import Path


def boot_ns() -> int:
    """Nanoseconds since this kernel booted."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def wall_ms() -> int:
    """Milliseconds since 1970: for stamps that people read, never for a lease."""
    return time.time_ns() // 1_000_000


def kernel_boot_id() -> str:
    """Tells one boot of this host's kernel from the next (random(4))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
