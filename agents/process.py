"""One run of one agent: its own session, bounded time, bounded output.

It ends when the agent's process ends, not when its pipes close: an agent that starts a daemon often leaves the
daemon its standard output.  The exit is learnt from a pidfd (pidfd_open(2)) and reaped here, so a signal can never
reach a stranger who was given the same number.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agents.protocol import OUTPUT_BYTES_MAX

KILL_AFTER_S = 5.0
"""between SIGTERM and SIGKILL"""
READ_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended."""

    exit_code: int | None
    """None where a signal ended it"""
    signal: int | None
    timed_out: bool
    output: str
    error_output: str
    duration_ms: int


class Tail:
    """The last OUTPUT_BYTES_MAX bytes of a stream."""

    def __init__(self, bytes_max: int = OUTPUT_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._held = bytearray()
        self.dropped_bytes = 0

    def add(self, data: bytes) -> None:
        self._held += data
        if (excess := len(self._held) - self._bytes_max) > 0:
            del self._held[:excess]
            self.dropped_bytes += excess

    def text(self) -> str:
        return self._held.decode("utf-8", "replace")


class _Pipe:
    """Collects one output stream while the process runs."""

    def __init__(self) -> None:
        self.tail = Tail()
        self.read_end, self.write_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.read_end, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self.read_end, self._readable)

    def _readable(self) -> None:
        """One read a turn: a process that floods its output does not starve the others."""
        if not self._read():
            self._loop.remove_reader(self.read_end)

    def _read(self) -> bool:
        """False at the stream's end."""
        try:
            data = os.read(self.read_end, READ_BYTES)
        except BlockingIOError:
            return True
        self.tail.add(data)
        return bool(data)

    def close_write_end(self) -> None:
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    def finish(self) -> str:
        """Take what is in the pipe (64 KiB at most, pipe(7)) and let go of it."""
        self._loop.remove_reader(self.read_end)
        self._read()
        self.close_write_end()
        os.close(self.read_end)
        return self.tail.text()


async def run(argv: Sequence[str], environment: Mapping[str, str], timeout_s: float, told: bytes = b"") -> Ended:
    """Run `argv` to its end, with `told` to read.  Raises OSError where it cannot be started.

    After `timeout_s` the whole process group gets SIGTERM, and SIGKILL after KILL_AFTER_S more; the same happens
    when the awaiting task is cancelled.
    """
    began = time.monotonic()
    out, err = _Pipe(), _Pipe()
    heard = _to_read(told)
    try:
        # S603: an argument vector of ours, no shell.  A new session has no terminal and is its own process group.
        child = subprocess.Popen(  # noqa: ASYNC220 - posix_spawn or vfork: about a millisecond
            argv,
            env=dict(environment),
            cwd="/",
            stdin=heard,
            stdout=out.write_end,
            stderr=err.write_end,
            start_new_session=True,
            umask=0o022,
        )
    except OSError:
        out.finish()
        err.finish()
        raise
    finally:
        if heard >= 0:
            os.close(heard)
    out.close_write_end()
    err.close_write_end()
    try:
        exited = _exit_of(child.pid)
    except OSError:  # no descriptors left: what cannot be watched must not run
        _signal_group(child.pid, signal.SIGKILL)
        child.wait()
        out.finish()
        err.finish()
        raise
    timed_out = False
    try:
        try:
            await asyncio.wait_for(asyncio.shield(exited), timeout_s)
        except TimeoutError:
            timed_out = True
            await _end(child.pid, exited)
    except asyncio.CancelledError:
        await asyncio.shield(_end(child.pid, exited))
        raise
    finally:
        if timed_out or not exited.done():
            _signal_group(child.pid, signal.SIGKILL)  # what ignored SIGTERM, before the number can be reused
        if exited.done():
            child.wait()
        output, error_output = out.finish(), err.finish()
    code = child.returncode
    return Ended(
        exit_code=code if code >= 0 else None,
        signal=-code if code < 0 else None,
        timed_out=timed_out,
        output=output,
        error_output=error_output,
        duration_ms=int((time.monotonic() - began) * 1000),
    )


def _to_read(told: bytes) -> int:
    """Standard input that nobody has to feed (memfd_create(2)); nothing to read is /dev/null."""
    if not told:
        return subprocess.DEVNULL
    descriptor = os.memfd_create("stdin", os.MFD_CLOEXEC)
    os.write(descriptor, told)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _exit_of(pid: int) -> asyncio.Future[None]:
    """Done when the process has ended; it is not reaped yet."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    descriptor = os.pidfd_open(pid)

    def ended() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        if not done.done():
            done.set_result(None)

    loop.add_reader(descriptor, ended)
    return done


async def _end(pid: int, exited: asyncio.Future[None]) -> None:
    """SIGTERM to the group, SIGKILL if it has not ended soon after."""
    _signal_group(pid, signal.SIGTERM)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(exited), KILL_AFTER_S)
        return
    _signal_group(pid, signal.SIGKILL)
    await exited


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
