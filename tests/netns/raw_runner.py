"""What vipcast-runner does for the raw engine, inside a process of a test: keep its forwarder running."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_RETRY_S = 0.02
_runners: list[Runner] = []


class Runner:
    def __init__(self, argv: list[str]) -> None:
        self._argv = argv
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_running, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join(10)

    def _keep_running(self) -> None:
        while not self._ended.is_set():
            # the parent's death takes it along (setpriv(1)): a killed test leaves nothing behind
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *self._argv], cwd=_ROOT, stderr=subprocess.DEVNULL
            )
            while process.poll() is None and not self._ended.wait(_RETRY_S):
                pass
            process.terminate()
            process.wait(5)
            self._ended.wait(_RETRY_S)


def serve(run_dir: str) -> None:
    table = str(Path(run_dir) / "raw.table")
    _runners.append(Runner([sys.executable, "-m", "datapath.raw.forwarder", "--table", table]))


def unserve() -> None:
    while _runners:
        _runners.pop().end()
