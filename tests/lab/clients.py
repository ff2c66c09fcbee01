"""Many clients of one address: real TCP connections from chosen addresses and ports, in the client host."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from tests.lab.host import Host
from tests.lab.waiting import wait_until

PROGRAM = Path(__file__).with_name("clientprogram.py")
ATTEMPT_TIMEOUT_MS = 250
"""below the first retransmission of a SYN (1 s), so that an attempt fails or succeeds by its own first packets"""


class Client(NamedTuple):
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """One connection, from the first SYN to the last byte or the time-out; wall clock, nanoseconds."""

    stream: str
    client: Client
    started_ns: int
    ended_ns: int
    outcome: str
    """ok, timeout, refused, reset, empty, or an error's name"""
    answer: str
    """body of the HTTP response"""

    @property
    def ok(self) -> bool:
        return self.outcome == "ok"


@dataclass(frozen=True, slots=True)
class Stream:
    """Attempts from `clients` in turn, one every `interval_ms`, whatever became of those before."""

    name: str
    clients: Sequence[Client]
    interval_ms: float = 5
    timeout_ms: int = ATTEMPT_TIMEOUT_MS


def client_range(count: int, first_port: int = 20000, second_octet: int = 64) -> Iterator[Client]:
    """`count` different addresses of 10.64.0.0/16 (which the laboratory routes to gw), each with a port."""
    for number in range(count):
        yield Client(f"10.{second_octet}.{1 + number // 250}.{1 + number % 250}", first_port + number % 30000)


def client_range6(count: int, first_port: int = 20000) -> Iterator[Client]:
    """`count` different addresses of fd64::/64 (tests.lab.ipv6 routes it to gw), each with a port."""
    for number in range(count):
        yield Client(f"fd64::{1 + number // 250:x}:{1 + number % 250:x}", first_port + number % 30000)


class Traffic:
    """A context manager: the client process.  Attempts arrive in `attempts` while it runs."""

    def __init__(self, host: Host, target: str, port: int = 80, path: str = "/") -> None:
        self._host = host
        self._request = {"target": target, "port": port, "path": path}
        self.attempts: list[Attempt] = []
        self._done = 0

    def __enter__(self) -> Self:
        log = self._host.log("clients").open("ab")
        with log:
            self._process = self._host.popen(
                *(sys.executable, "-I", "-S", str(PROGRAM)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._reader.join(5)
        assert self._process.wrapper.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.wrapper.stdin.close()
        assert self._process.wrapper.stdout is not None
        self._process.wrapper.stdout.close()

    def once(self, clients: Sequence[Client], timeout_ms: int = 2000, parallel: int = 32) -> list[Attempt]:
        """Each client makes one connection; the answer has them all, in the order in which they ended."""
        before, done = len(self.attempts), self._done
        self._send({"job": "once", "timeout_ms": timeout_ms, "parallel": parallel, "clients": clients})
        bound_s = 10 + timeout_ms / 1000 * (1 + len(clients) / parallel)
        wait_until(lambda: self._done > done or not self._process.running, bound_s, f"{len(clients)} connections")
        return self.attempts[before:]

    def start(self, *streams: Stream) -> None:
        """Begin to attempt; until `halt`."""
        for stream in streams:
            self._send(
                {
                    "job": "pace",
                    "stream": stream.name,
                    "interval_ms": stream.interval_ms,
                    "timeout_ms": stream.timeout_ms,
                    "clients": stream.clients,
                }
            )

    def halt(self, drain_s: float = 0.5) -> list[Attempt]:
        """Stop attempting; attempts that are still open end by their own time-outs within `drain_s`."""
        done = self._done
        self._send({"job": "halt"})
        wait_until(lambda: self._done > done or not self._process.running, 5, "the end of the traffic")
        seen = -1

        def quiet() -> bool:
            nonlocal seen
            before, seen = seen, len(self.attempts)
            return before == seen

        wait_until(quiet, drain_s + 5, "the end of the last attempts", interval_s=drain_s)
        return list(self.attempts)

    def _send(self, job: dict[str, object]) -> None:
        stdin = self._process.wrapper.stdin
        assert stdin is not None
        stdin.write(json.dumps({**self._request, **job}).encode() + b"\n")
        stdin.flush()

    def _read(self) -> None:
        stdout = self._process.wrapper.stdout
        assert stdout is not None
        with contextlib.suppress(ValueError):  # closed while reading
            for line in stdout:
                fields = json.loads(line)
                if fields == ["done"]:
                    self._done += 1
                else:
                    stream, address, port, started, ended, outcome, answer = fields
                    self.attempts.append(Attempt(stream, Client(address, port), started, ended, outcome, answer))


@dataclass(frozen=True, slots=True)
class Gap:
    """What clients saw of a failure: from the first attempt that failed to the first after it that succeeded."""

    began_ns: int
    ended_ns: int
    failed: int

    @property
    def ms(self) -> float:
        return (self.ended_ns - self.began_ns) / 1e6


def gap_of(attempts: Sequence[Attempt]) -> Gap | None:
    """The gap in one stream's attempts, by the times at which they were started; None where none failed.

    Ends with the first success after which no attempt failed any more.  Raises ValueError when that never came.
    """
    ordered = sorted(attempts, key=lambda attempt: attempt.started_ns)
    failures = [attempt for attempt in ordered if not attempt.ok]
    if not failures:
        return None
    after = [attempt for attempt in ordered if attempt.started_ns > failures[-1].started_ns]
    if not after:
        raise ValueError("no attempt succeeded after the last one that failed: the gap has no end")
    return Gap(failures[0].started_ns, after[0].started_ns, len(failures))
