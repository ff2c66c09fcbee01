"""What the kernel keeps for an engine's tables: a control group of its own tells what a process has had allocated."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_V1 = Path("/sys/fs/cgroup/memory")
_V2 = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Group:
    place: Path

    def enter(self, pid: int) -> None:
        (self.place / "cgroup.procs").write_text(str(pid))

    def kernel_bytes(self) -> int:
        """Kernel memory that is charged to the group."""
        told = self.place / "memory.kmem.usage_in_bytes"
        if told.exists():
            return int(told.read_text())
        stat = dict(line.split() for line in (self.place / "memory.stat").read_text().splitlines())
        return int(stat["kernel"])


@contextmanager
def group(name: str) -> Iterator[Group | None]:
    """Gone afterwards, when its processes are.  None where there are no control groups for memory."""
    root = _V1 if (_V1 / "memory.kmem.usage_in_bytes").exists() else _V2
    place = root / f"vipcast-bench-{os.getpid()}-{name}"
    try:
        place.mkdir()
    except OSError:
        yield None
        return
    try:
        if not any((place / file).exists() for file in ("memory.kmem.usage_in_bytes", "memory.stat")):
            yield None
            return
        yield Group(place)
    finally:
        leave = root / "cgroup.procs"
        for pid in (place / "cgroup.procs").read_text().split():
            leave.write_text(pid)
        place.rmdir()
