"""Clients whose connections last: each asks again and again over the one that it has."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab.clients import Client
from tests.lab.host import Host

PROGRAM = Path(__file__).with_name("lastingprogram.py")
END_S = 30.0


@dataclass(frozen=True, slots=True)
class Lasted:
    """What became of one connection."""

    client: Client
    answers: int
    longest_ms: float
    """the longest wait for an answer"""
    error: str
    """empty: it is there still"""


class LastingConnections:
    """From the construction to `end`."""

    def __init__(self, host: Host, target: str, clients: Sequence[Client], interval_ms: int = 5) -> None:
        sources = [f"{client.address}:{client.port}" for client in clients]
        self._process = host.popen(
            *(sys.executable, "-I", "-S", str(PROGRAM), target, "80", str(interval_ms), *sources),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def end(self) -> list[Lasted]:
        """Stop asking; what became of each connection."""
        out, _ = self._process.wrapper.communicate(timeout=END_S)
        rows = [json.loads(line) for line in out.decode().splitlines()]
        return [Lasted(Client(row[0], row[1]), row[2], row[3], row[4]) for row in rows]
