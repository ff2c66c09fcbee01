"""Runs command lines in this process, the way the console script does, and keeps what they print."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import msgspec

from daemon.cli.main import run
from daemon.cli.output import Output


@dataclass(frozen=True)
class Ran:
    code: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[str]:
        return self.stdout.splitlines()

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.stdout)


def vipcast(*words: str, environment: dict[str, str] | None = None) -> Ran:
    """One command line; nothing may ever look like a traceback."""
    stdout, stderr = io.StringIO(), io.StringIO()
    code = run(words, Output(stdout, stderr), environment or {})
    ran = Ran(code, stdout.getvalue(), stderr.getvalue())
    assert "Traceback" not in ran.stdout + ran.stderr, ran
    return ran
