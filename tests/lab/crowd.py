"""Thousands of connections that stay, over a service that gives back what it is told."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.host import Host
from tests.lab.lab import Lab
from tests.lab.waiting import wait_until

PROGRAM = Path(__file__).with_name("crowdprogram.py")
PORT = 7
BOUND_S = 60.0


class Crowd:
    """Of one client process."""

    def __init__(self, host: Host, target: str, count: int) -> None:
        self._process = host.popen(
            *(sys.executable, "-I", "-S", str(PROGRAM), "connect", target, str(PORT), str(count)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.size = self._read()

    def silent(self) -> int:
        """Ask each connection once: how many did not answer."""
        assert self._process.wrapper.stdin is not None
        self._process.wrapper.stdin.write(b"\n")
        self._process.wrapper.stdin.flush()
        return self._read()

    def _read(self) -> int:
        assert self._process.wrapper.stdout is not None
        return int(self._process.wrapper.stdout.readline())

    def leave(self) -> None:
        assert self._process.wrapper.stdin is not None
        self._process.wrapper.stdin.close()
        self._process.wrapper.wait(BOUND_S)


@contextmanager
def crowd(lab: Lab, target: str, count: int) -> Iterator[Crowd]:
    """As many connections from the client host to `target`, served on every host."""
    services = []
    for host in (lab[name] for name in lab.names):
        ready = host.log("crowd")
        with ready.open("wb") as log:
            services.append(host.popen(sys.executable, "-I", "-S", str(PROGRAM), "serve", str(PORT), stdout=log))
        wait_until(ready.read_text, BOUND_S, f"the crowd's service on {host.name}")
    one = Crowd(lab.gw, target, count)
    try:
        yield one
    finally:
        one.leave()
        for service in services:
            service.end()
