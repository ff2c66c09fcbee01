"""Processes in a lab host, started from outside by nsenter(1)."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from tests.lab.namespaces import child_of, status_of
from tests.lab.waiting import wait_until


@dataclass(frozen=True, slots=True)
class Completed:
    """How a command ended: what `subprocess.CompletedProcess` has, and `check`, which shows what was said."""

    host: str
    args: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str

    def check(self) -> Completed:
        """This, or an AssertionError with the command's whole output when it failed."""
        if self.returncode != 0:
            raise AssertionError(
                f"{self.host}# {' '.join(self.args)}: exit status {self.returncode}\n{self.stdout}{self.stderr}"
            )
        return self


class HostProcess:
    """A process of a host.

    Its parent is an nsenter outside, which dies with the thread that started it here, and the process with that
    (prctl(2), PR_SET_PDEATHSIG): a stopped nsenter would otherwise never reap its child, and a PID namespace
    does not end before every one of its processes is reaped.

    What the process starts in the background lives on until the host dies.
    """

    def __init__(
        self,
        init: int,
        args: Sequence[str],
        *,
        environment: Mapping[str, str],
        stdin: int | IO[bytes] | None,
        stdout: int | IO[bytes] | None,
        stderr: int | IO[bytes] | None,
    ) -> None:
        self.args = tuple(args)
        self.wrapper = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "KILL", "--"),
                *("nsenter", "--target", str(init), "--mount", "--uts", "--ipc", "--net", "--pid"),
                *("--wdns=/root", "setpriv", "--pdeathsig", "KILL", "--"),
                *args,
            ],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=dict(environment),
            start_new_session=True,
        )
        self._pid: int | None = None

    @property
    def pid(self) -> int:
        """Its number outside of the host, where `os.kill` and /proc of the laboratory know it."""
        if self._pid is None:
            found = wait_until(
                lambda: child_of(self.wrapper.pid) or (-1 if self.wrapper.poll() is not None else None),
                5,
                f"start of {self.args[0]}",
            )
            assert found is not None
            self._pid = found
        return self._pid

    @property
    def running(self) -> bool:
        return self.wrapper.poll() is None

    @property
    def returncode(self) -> int | None:
        return self.wrapper.poll()

    def send(self, number: signal.Signals) -> None:
        """Send to the process itself; nothing when it has ended."""
        if self.running and self.pid > 0:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def stop(self) -> None:
        """SIGSTOP to this one process, done when the kernel shows it stopped."""
        self.send(signal.SIGSTOP)
        wait_until(lambda: (status_of(self.pid) or ("T", 0))[0] in "TX", 5, f"{self.args[0]} stopped")

    def cont(self) -> None:
        """SIGCONT, also to the nsenter, which stops itself when its child does."""
        self.send(signal.SIGCONT)
        self.awaken_wrapper()

    def awaken_wrapper(self) -> None:
        if self.running:
            self.wrapper.send_signal(signal.SIGCONT)

    def wait(self, timeout_s: float) -> int:
        """Exit status, as a shell counts it; raises subprocess.TimeoutExpired."""
        return self.wrapper.wait(timeout_s)

    def end(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = 5) -> int:
        """Ask it to end, kill it when it does not, and return its exit status."""
        self.send(number)
        try:
            return self.wrapper.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.send(signal.SIGKILL)
            self.awaken_wrapper()
            return self.wrapper.wait(timeout_s)

    def kill(self) -> None:
        """SIGKILL to the wrapper too: the kernel then kills the process, running or stopped."""
        if self.running:
            self.wrapper.kill()
            self.wrapper.wait(5)
