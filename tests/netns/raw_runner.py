"""What vipcast-runner does for the raw engine, inside a process of a test: keep its forwarder running."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

from datapath.raw.engine import RawEngine
from tests.netns import actions

_ROOT = Path(__file__).resolve().parents[2]
_RETRY_S = 0.02
_runners: list[Runner] = []


class Runner:
    def __init__(self, argv: list[str]) -> None:
        self._argv = argv
        self._ended = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep_running, daemon=True)
        self._thread.start()

    def stumble(self, ended: threading.Event, rng: random.Random) -> None:
        """Stop the forwarder again and again for some time, as a machine does that has no processor for it."""
        while not ended.wait(rng.uniform(0.02, 0.12)):
            process = self._process
            if process is None or process.poll() is not None:
                continue
            process.send_signal(signal.SIGSTOP)
            ended.wait(rng.uniform(0.01, 0.06))
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        self._ended.set()
        self._thread.join(10)

    def _keep_running(self) -> None:
        while not self._ended.is_set():
            # the parent's death takes it along (setpriv(1)): a killed test leaves nothing behind
            process = self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *self._argv], cwd=_ROOT, stderr=subprocess.DEVNULL
            )
            while process.poll() is None and not self._ended.wait(_RETRY_S):
                pass
            process.terminate()
            process.wait(5)
            self._ended.wait(_RETRY_S)


def forwarder_is_well() -> int:
    """Asked of the engine's own process."""
    engine = actions._engines[-1]
    assert isinstance(engine, RawEngine)
    return int(engine.ailment() is None)


def serve(run_dir: str) -> None:
    table = str(Path(run_dir) / "raw.table")
    _runners.append(Runner([sys.executable, "-m", "datapath.raw.forwarder", "--table", table]))


_stumbling: list[tuple[threading.Event, threading.Thread]] = []


def stumble(seed: int) -> None:
    """The forwarder is stopped for 10 to 60 ms again and again, until `walk`."""
    ended = threading.Event()
    thread = threading.Thread(target=_runners[-1].stumble, args=(ended, random.Random(seed)), daemon=True)
    thread.start()
    _stumbling.append((ended, thread))


def walk() -> None:
    while _stumbling:
        ended, thread = _stumbling.pop()
        ended.set()
        thread.join(5)


def unserve() -> None:
    while _runners:
        _runners.pop().end()
