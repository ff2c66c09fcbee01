"""A program that is loaded before it is needed: the kernel's verifier takes some 80 ms, a lease is short."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable

from datapath.bpf.program import Program
from datapath.engine import DatapathError


class Spare:
    """At most one program with empty tables, loaded beside the caller's loop: of the least size, or as it is asked for.

    What cannot be loaded is not there: the caller then loads one itself, and is told why that does not work.
    """

    def __init__(self) -> None:
        self._loading: threading.Thread | None = None
        self._program: Program | None = None

    def prepare(self, load: Callable[[], Program] = Program.load) -> None:
        """Begin to load one, unless there is one already."""
        if self._program is None and self._loading is None:
            loading = threading.Thread(target=self._load, args=(load,), name="bpf-spare", daemon=True)
            with contextlib.suppress(RuntimeError):  # no memory for a thread
                loading.start()
                self._loading = loading

    def take(self) -> Program | None:
        """The one that there is, now the caller's; waits for one that is on its way."""
        if self._loading is not None:
            self._loading.join()
            self._loading = None
        taken, self._program = self._program, None
        return taken

    def close(self) -> None:
        program = self.take()
        if program is not None:
            program.close()

    def _load(self, load: Callable[[], Program]) -> None:
        with contextlib.suppress(OSError):
            # 0 is this thread: the core's priority is for heartbeats and leases (sched_setscheduler(2))
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        with contextlib.suppress(DatapathError):
            self._program = load()
