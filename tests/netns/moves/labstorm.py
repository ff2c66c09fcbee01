"""A storm of SYNs from the client of a laboratory, by storm.py as a program there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.lab import Lab
from tests.lab.lab import CLIENTS
from tests.lab.service import ADDRESS
from tests.netns.moves import storm

SHARED_MAC = "21:37:6f:88:c2:a0"
"""of tests.lab.service.ADDRESS"""
PORT = 80
PROGRAM = Path(storm.__file__)
PATIENCE_S = 60.0


class LabStorm:
    """A context manager: it blows within its `with`; `verdict` is there afterwards."""

    def __init__(self, lab: Lab, rate: int) -> None:
        self.verdict: dict[str, Any] = {}
        self._process = lab.gw.popen(
            *(sys.executable, str(PROGRAM), str(rate), SHARED_MAC, ADDRESS, str(PORT), CLIENTS.split(".")[1]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ).wrapper

    def __enter__(self) -> LabStorm:
        assert self._process.stdout is not None
        assert self._process.stdout.readline(), "the storm did not begin"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._process.kill()
            return
        output, _ = self._process.communicate(b"", timeout=PATIENCE_S)
        self.verdict = json.loads(output)
