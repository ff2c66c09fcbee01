"""A Python process inside a network namespace that runs functions for a test and returns what they return.

`Inside` starts it (`ip netns exec NAME python -m tests.netns.inside`) and calls module-level functions in it by
pickle over its pipes; state between calls is what those functions keep in their module.
"""

from __future__ import annotations

import os
import pickle
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
_length = struct.Struct("!I")
_ROOT = Path(__file__).resolve().parents[2]


class Inside:
    """The calling side."""

    def __init__(self, namespace: str, without: Sequence[str] = ()) -> None:
        """As root, `without` these capabilities (setpriv(1) names them)."""
        lacks = ",".join(f"-{capability}" for capability in without)
        drops = ["setpriv", f"--bounding-set={lacks}", f"--inh-caps={lacks}", "--"] if without else []
        self._process = subprocess.Popen(
            ["ip", "netns", "exec", namespace, *drops, sys.executable, "-m", "tests.netns.inside"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=_ROOT,
        )
        self._pending = 0

    @property
    def is_idle(self) -> bool:
        """Nothing was sent whose result has not been received."""
        return self._pending == 0

    @property
    def pid(self) -> int:
        return self._process.pid

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it there; what it raises is raised here."""
        self.send(function, *args, **kwargs)
        return self.receive()  # type: ignore[no-any-return]

    def send(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> None:
        """Start it without waiting; `receive` brings the result."""
        assert self._process.stdin is not None
        self._pending += 1
        _write(self._process.stdin, (function, args, kwargs))

    def receive(self) -> object:
        assert self._process.stdout is not None
        ok, value = _read(self._process.stdout)
        self._pending -= 1
        if not ok:
            raise value
        return value

    def stop(self) -> None:
        """SIGSTOP, and wait until it has stopped."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT)

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(10)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def _write(stream: BinaryIO, value: object) -> None:
    packed = pickle.dumps(value)
    stream.write(_length.pack(len(packed)) + packed)
    stream.flush()


def _read(stream: BinaryIO) -> tuple[bool, object] | object:
    head = stream.read(_length.size)
    if len(head) < _length.size:
        raise EOFError("the process in the namespace has ended")
    (length,) = _length.unpack(head)
    return pickle.loads(stream.read(length))


def _serve() -> None:
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what somebody prints must not get between the answers
    while True:
        try:
            function, args, kwargs = _read(requests)  # type: ignore[misc]
        except EOFError:
            return
        try:
            answer = (True, function(*args, **kwargs))
        except Exception as problem:
            answer = (False, problem)
        try:
            _write(answers, answer)
        except (TypeError, AttributeError, pickle.PicklingError) as problem:
            _write(answers, (False, RuntimeError(f"{answer!r} cannot be sent back: {problem}")))


if __name__ == "__main__":
    _serve()
