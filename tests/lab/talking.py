"""Clients that hold conversations of UDP with a shared address, and hosts that answer them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab.clients import Client
from tests.lab.host import Host
from tests.lab.waiting import wait_until

PROGRAM = Path(__file__).with_name("talkprogram.py")
END_S = 10.0
LISTENING_S = 20.0


@dataclass(frozen=True, slots=True)
class Said:
    """One datagram."""

    when_s: float
    """time(2)"""
    answers: list[str]
    """names of the hosts that answered"""


@contextmanager
def datagrams_served(hosts: Sequence[Host], address: str, port: int) -> Iterator[None]:
    """On each of the hosts; every one listens when the block begins."""
    services = [
        host.popen(sys.executable, "-I", "-S", str(PROGRAM), "serve", host.name, address, str(port))
        for host in hosts
    ]
    try:
        for host in hosts:
            _await_listener(host, f"{address}:{port}")
        yield
    finally:
        for service in services:
            service.kill()


def _await_listener(host: Host, where: str) -> None:
    def listens() -> bool:
        return where in host.run("ss", "-Hlun").stdout

    wait_until(listens, LISTENING_S, f"a listener for {where} on {host.name}")


class Talks:
    """From the construction to `end`; nobody speaks at first."""

    def __init__(self, host: Host, target: str, port: int, clients: Sequence[Client]) -> None:
        sources = [f"{client.address}:{client.port}" for client in clients]
        self._process = host.popen(
            *(sys.executable, "-I", "-S", str(PROGRAM), "talk", target, str(port), *sources),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def speak(self, numbers: Iterable[int]) -> float:
        """Exactly these clients do from now on (time(2))."""
        feed = self._process.wrapper.stdin
        assert feed is not None
        feed.write((" ".join(map(str, numbers)) + "\n").encode())
        feed.flush()
        time.sleep(0.1)
        return time.time()

    def end(self) -> list[list[Said]]:
        out, _ = self._process.wrapper.communicate(timeout=END_S)
        return [[Said(*one) for one in talk] for talk in json.loads(out)]
