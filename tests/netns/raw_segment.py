"""One Ethernet segment in namespaces of its own: a bridge and stations on it, for tests that speak frames.

Names are unique to the process and the segment, the bridge has a namespace of its own, and everything goes away in
`close`, whatever happened.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tests.netns import named

T = TypeVar("T")
_numbers = itertools.count()
_libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


def setns(descriptor: int) -> None:
    """Move the calling thread into a network namespace (setns(2), which Python 3.11 lacks)."""
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
    return done.stdout


def wait_for(what: str, ready: Callable[[], T], timeout_s: float = 20) -> T:
    """The first true answer of `ready`; an AssertionError that names `what` after `timeout_s`."""
    end = time.monotonic() + timeout_s
    while True:
        answer = ready()
        if answer:
            return answer
        assert time.monotonic() < end, f"waited {timeout_s} s in vain for {what}"
        time.sleep(0.005)


class Station:
    """A namespace with eth0 on the segment."""

    def __init__(self, segment: Segment, name: str, address: str, mac: str) -> None:
        self.name = name
        self.address = address
        self.mac = mac
        self.namespace = f"{segment.prefix}{name}"
        named.add(self.namespace)
        segment.namespaces.append(self.namespace)
        ip(
            *("-n", segment.switch, "link", "add", f"p-{name}", "type", "veth"),
            *("peer", "name", "eth0", "address", mac, "netns", self.namespace),
        )
        ip("-n", segment.switch, "link", "set", f"p-{name}", "master", "br0", "up")
        ip("-n", self.namespace, "link", "set", "lo", "up")
        ip("-n", self.namespace, "link", "set", "eth0", "up")
        ip("-n", self.namespace, "address", "add", f"{address}/24", "dev", "eth0")

    @contextmanager
    def inside(self) -> Iterator[None]:
        """The calling thread is in this namespace; sockets opened here stay there afterwards."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        there = os.open(f"/run/netns/{self.namespace}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            setns(there)
            yield
        finally:
            setns(home)
            os.close(home)
            os.close(there)

    def sysctl(self, name: str, value: int) -> None:
        with self.inside(), open(f"/proc/sys/net/{name}", "w") as file:
            file.write(str(value))

    def wire(self, protocol: int = 3) -> socket.socket:
        """A packet socket on eth0 (3 is ETH_P_ALL) that hears what comes in, with a time-out of a second."""
        with self.inside():
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
            sock.setsockopt(263, 23, 1)  # SOL_PACKET, PACKET_IGNORE_OUTGOING
            sock.bind(("eth0", protocol))
        sock.settimeout(1)
        return sock

    def start(self, *args: str, **options: object) -> subprocess.Popen[str]:
        """A process in this namespace; the caller ends it."""
        return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
            ["ip", "netns", "exec", self.namespace, *args],
            text=True,
            stdout=options.get("stdout", subprocess.PIPE),
            stderr=options.get("stderr", subprocess.PIPE),
        )

    def run(self, *args: str, timeout_s: float = 20) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["ip", "netns", "exec", self.namespace, *args],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )


class Segment:
    def __init__(self) -> None:
        self.prefix = f"vr{os.getpid()}-{next(_numbers)}-"
        self.switch = f"{self.prefix}sw"
        self.namespaces: list[str] = []
        named.add(self.switch)
        self.namespaces.append(self.switch)
        ip("-n", self.switch, "link", "add", "br0", "type", "bridge", "forward_delay", "0")
        ip("-n", self.switch, "link", "set", "br0", "up")

    def station(self, name: str, address: str, mac: str) -> Station:
        return Station(self, name, address, mac)

    def close(self) -> None:
        for namespace in reversed(self.namespaces):
            named.delete(namespace)


@contextmanager
def segment() -> Iterator[Segment]:
    made = Segment()
    try:
        yield made
    finally:
        made.close()
