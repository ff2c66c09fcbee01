"""One host of the laboratory: its namespaces, its disk, its commands, and what can happen to it."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from tests.lab.namespaces import network_of, processes_of, status_of
from tests.lab.process import Completed, HostProcess
from tests.lab.waiting import wait_until

REPOSITORY = Path(__file__).resolve().parents[2]
BIN = REPOSITORY / ".venv" / "bin"
PROGRAM = Path(__file__).with_name("hostinit.py")
COMMAND_TIMEOUT_S = 30.0
GUARD_END_S = 10.0


def environment() -> dict[str, str]:
    """What every process of a host finds; vipcastd refuses to run in the network VIPCAST_LAB_FORBIDDEN_NETNS."""
    return {
        "PATH": f"{BIN}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "TERM": os.environ.get("TERM", "dumb"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "VIPCAST_LAB": "1",
        "VIPCAST_LAB_FORBIDDEN_NETNS": str(network_of("self")),
    }


class Host:
    """A host.  `boot` makes its namespaces, `kill` ends them; its /etc and /var are there at the next boot.

    Its network cable is the laboratory's affair (`Lab.plug`), its addresses are set by `Lab.boot`.
    """

    image: Path | None = None
    """what `make install DESTDIR=` has made, for a host whose process 1 is systemd (`tests.systemd`)"""

    def __init__(self, name: str, directory: Path, pipe: int, logs: Path) -> None:
        self.name = name
        self.directory = directory
        """its disk, on the machine's file system"""
        self.logs = logs
        self._pipe = pipe
        self._guard: subprocess.Popen[bytes] | None = None
        self._processes: list[HostProcess] = []
        self.init = 0
        """number of its process 1, outside; 0 while it is down"""
        self.ended = 0
        """how it ended, the last time (`tests.lab.hostinit`)"""

    # -- power -------------------------------------------------------------------------------------

    def boot(self, remove: Path | None = None) -> None:
        """Make the host's namespaces; `remove` is deleted by its guard after the end of the laboratory.

        Raises RuntimeError with the kernel's reason where that is refused.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        errors = self.logs / f"{self.name}.boot.log"
        with errors.open("ab") as log:
            self._guard = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", str(PROGRAM), self.name, str(self.directory), str(uuid.uuid4())),
                    *(str(remove or ""), str(self.image or ""), str(REPOSITORY)),
                    *((str(self.directory),) if self.image else ()),
                ],
                stdin=self._pipe,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                cwd="/",
            )
        assert self._guard.stdout is not None
        with self._guard.stdout as said:
            line = said.readline()
        if not line:
            self._guard.wait(5)
            raise RuntimeError(
                f"the lab host {self.name} could not be made (root? overlayfs?): {errors.read_text().strip()}"
            )
        self.init = int(line)

    def kill(self) -> None:
        """Power off: SIGKILL to process 1, and with it everything that ran here; its interfaces vanish."""
        if self.init:
            os.kill(self.init, signal.SIGKILL)
        self.await_end()

    def await_end(self) -> None:
        """Wait (bounded) until the kernel has ended every process of the host."""
        if self._guard is None:
            return
        for process in self._processes:
            process.awaken_wrapper()
        self.ended = self._guard.wait(GUARD_END_S)
        for process in self._processes:
            process.wait(5)
        self._processes.clear()
        self._guard = None
        self.init = 0

    @property
    def up(self) -> bool:
        return self.init != 0 and self._guard is not None and self._guard.poll() is None

    def processes(self) -> list[int]:
        """Its processes and its guard, by their numbers outside."""
        guard = [self._guard.pid] if self._guard is not None else []
        return [*guard, *(process.wrapper.pid for process in self._processes), *processes_of(self.init)]

    @property
    def network(self) -> int:
        """Identity of its network namespace."""
        return network_of(self.init)

    def stop(self) -> None:
        """SIGSTOP to every process of the host: its kernel (network, rules) goes on, its programs do not."""

        def running() -> list[int]:
            states = ((pid, status_of(pid)) for pid in processes_of(self.init))
            return [pid for pid, status in states if status is not None and status[0] not in "TtZX"]

        def all_stopped() -> bool:
            for pid in running():
                _signal(pid, signal.SIGSTOP)
            return not running()

        wait_until(all_stopped, 5, f"every process of {self.name} stopped", interval_s=0.002)

    def cont(self) -> None:
        """SIGCONT to every process of the host, and to the nsenters outside, which stopped with their child."""
        for pid in processes_of(self.init):
            _signal(pid, signal.SIGCONT)
        for process in self._processes:
            process.awaken_wrapper()

    # -- commands ----------------------------------------------------------------------------------

    def environment(self) -> dict[str, str]:
        """What a program that is started here finds."""
        return environment()

    def popen(
        self,
        *args: str,
        stdin: int | IO[bytes] | None = subprocess.DEVNULL,
        stdout: int | IO[bytes] | None = subprocess.DEVNULL,
        stderr: int | IO[bytes] | None = subprocess.DEVNULL,
        variables: Mapping[str, str] | None = None,
    ) -> HostProcess:
        """Start a program here and return at once."""
        if not self.up:
            raise RuntimeError(f"{self.name} is down: boot it before `{shlex.join(args)}`")
        self._processes = [process for process in self._processes if process.running]
        process = HostProcess(
            self.init,
            args,
            environment={**self.environment(), **(variables or {})},
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
        )
        self._processes.append(process)
        return process

    def run(
        self,
        *args: str,
        input: str | None = None,
        timeout_s: float = COMMAND_TIMEOUT_S,
        variables: Mapping[str, str] | None = None,
    ) -> Completed:
        """Run a program here to its end; its failure is in the answer (`.check()` raises it).

        Raises TimeoutError when it takes longer than `timeout_s` seconds; it is killed then.
        """
        process = self.popen(
            *args,
            stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            variables=variables,
        )
        try:
            out, err = process.wrapper.communicate(None if input is None else input.encode(), timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            raise TimeoutError(f"{self.name}# {shlex.join(args)}: no end within {timeout_s:g} s") from None
        return Completed(self.name, tuple(args), process.wrapper.returncode, out.decode(), err.decode())

    def shell(self, script: str, timeout_s: float = COMMAND_TIMEOUT_S) -> Completed:
        """Run a line as an administrator types it."""
        return self.run("bash", "-c", script, timeout_s=timeout_s)

    def vipcast(self, line: str, timeout_s: float = COMMAND_TIMEOUT_S) -> Completed:
        """Run `vipcast LINE`, the line split as a shell splits it."""
        return self.run("vipcast", *shlex.split(line), timeout_s=timeout_s)

    # -- files -------------------------------------------------------------------------------------

    def path(self, path: str) -> Path:
        """A path of the host, seen from outside."""
        return Path(f"/proc/{self.init}/root") / path.lstrip("/")

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file of the host, its folders included."""
        self.write_bytes(path, text.encode(), mode)

    def write_bytes(self, path: str, content: bytes, mode: int) -> None:
        target = self.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(content)

    def read(self, path: str) -> str:
        return self.path(path).read_text(encoding="utf-8")

    def log(self, name: str) -> Path:
        """Where the output of a long-running program of this host goes."""
        return self.logs / f"{self.name}.{name}.log"


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
