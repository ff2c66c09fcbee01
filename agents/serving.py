"""Helper processes of our own that must keep running (the raw engine's forwarder): started again when they end.

They are the runner's children and die with it (prctl(2), PR_SET_PDEATHSIG); they survive the core, whose successor
asks for the same ones and is told that they run.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from agents.ocf import PATH
from agents.protocol import Served

log = logging.getLogger("vipcast.runner")

SERVED_MAX = 64
BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 5.0
STEADY_AFTER_S = 10.0
"""a process that ran for this long begins again with the shortest pause"""
STOP_WITHIN_S = 2.0

FORWARDER = ("-m", "datapath.raw.forwarder", "--table")
LIBRARY = Path(__file__).parents[1]
"""where our programs are, on no shared Python path"""

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def is_helper_of_ours(argv: list[str]) -> bool:
    """Whether this is a program that an engine asks for (datapath.engine.NeedsHelper), whatever it works on."""
    return tuple(argv[:-1]) == (sys.executable, *FORWARDER)


class ServedProcess:
    """Keeps `argv` running until `stop`."""

    def __init__(self, name: str, argv: list[str], report: Callable[[Served], None]) -> None:
        self.name = name
        self.argv = argv
        self.state = Served(name=name, pid=0, running=False, reason="starting")
        self._report = report
        self._child: subprocess.Popen[bytes] | None = None
        self._task = asyncio.get_running_loop().create_task(self._keep(), name=f"serve {name}")

    async def stop(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _keep(self) -> None:
        pause_s = BACKOFF_FIRST_S
        while True:
            began = time.monotonic()
            reason = await self._once()
            if time.monotonic() - began >= STEADY_AFTER_S:
                pause_s = BACKOFF_FIRST_S
            self._tell(0, False, f"{reason}; started again in {pause_s:.1f} s")
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, BACKOFF_MAX_S)

    async def _once(self) -> str:
        """Run it to its end; why it ended."""
        try:
            child = _start(self.argv)
        except (OSError, subprocess.SubprocessError) as error:
            return f"cannot be started: {error}"
        exited = _exit_of(child.pid)
        self._tell(child.pid, True, "")
        try:
            await exited.wait()
        finally:
            if not exited.is_set():
                with contextlib.suppress(ProcessLookupError):
                    child.terminate()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(exited.wait(), STOP_WITHIN_S)
                if not exited.is_set():
                    child.kill()
            child.wait()
        code = child.returncode
        return f"ended with exit code {code}" if code >= 0 else f"ended by {signal.Signals(-code).name}"

    def _tell(self, pid: int, running: bool, reason: str) -> None:
        self.state = Served(name=self.name, pid=pid, running=running, reason=reason)
        if reason:
            log.warning("%s %s", self.name, reason)
        else:
            log.info("%s runs as process %d", self.name, pid)
        self._report(self.state)


def _start(argv: list[str]) -> subprocess.Popen[bytes]:
    parent = os.getpid()

    def die_with_the_runner() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died between the fork and the prctl
            os._exit(1)

    # PLW1509: safe, the runner has one thread; and the death signal must be asked for by the child itself.
    return subprocess.Popen(
        argv,
        env={"PATH": PATH, "LC_ALL": "C", "PYTHONPATH": str(LIBRARY)},
        cwd="/",
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=die_with_the_runner,  # noqa: PLW1509
    )


def _exit_of(pid: int) -> asyncio.Event:
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    descriptor = os.pidfd_open(pid)

    def ended() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        event.set()

    loop.add_reader(descriptor, ended)
    return event
