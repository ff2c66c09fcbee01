"""Real programs through the shared address, beside a plain one: bytes by iperf3, short HTTP connections by ab, Apache.

One pair of host and client for each filter, with all slots on the host; the pairs have their second in turn.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.datapath.candidates import Filter, address, stand
from bench.datapath.hosts import CLIENTS_GATEWAY, PREFIXLEN, Host, Wire, run, wire
from datapath.mac import format_mac

FILTERS: tuple[Filter, ...] = ("none", "peer", "nft", "bpf", "raw")
SLOTS = 64
STREAM = ("-n", "600M", *(("-A", "0,1") if (os.cpu_count() or 1) > 1 else ()))
"""a third of a second; client and server on a core each, else where they are counts for more than any filter"""
STREAMS_EACH = 3
"""in the time of one round: single ones differ by a tenth"""
CONNECTIONS = 1500
AT_ONCE = 16
SHARED = address(0, SLOTS)
_READY_S = 10.0
_APACHE = """
ServerRoot {room}
PidFile {room}/apache.pid
DefaultRuntimeDir {room}
ServerName bench
Listen 80
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
ErrorLog {room}/error.log
DocumentRoot {room}/htdocs
KeepAlive Off
"""


@dataclass(frozen=True)
class Traffic:
    """`samples[filter][n]` of all filters were measured one after the other."""

    samples: dict[Filter, list[float]]

    def of(self, kind: Filter) -> float:
        return statistics.median(self.samples[kind])

    def ratio(self, kind: Filter) -> float:
        """Median of the rounds' ratios to the plain address."""
        return statistics.median(
            one / plain for one, plain in zip(self.samples[kind], self.samples["none"], strict=True)
        )


@dataclass(frozen=True)
class Pair:
    cable: Wire
    host: Host

    def client(self, *argv: str) -> str:
        return run("ip", "netns", "exec", self.cable.namespace, *argv)


def gigabits(rounds: int) -> Traffic:
    """Gbit/s of one TCP stream."""
    return _measure(rounds * STREAMS_EACH, _iperf_server, _stream)


def connections(rounds: int) -> Traffic:
    """HTTP requests a second, a connection each."""
    return _measure(rounds, _apache, _requests)


def _measure(rounds: int, serve: Callable[[Pair], list[str]], ask: Callable[[Pair], float]) -> Traffic:
    with tempfile.TemporaryDirectory() as room, ExitStack() as stack:
        Path(room).chmod(0o755)  # for Apache's workers
        pairs = {kind: stack.enter_context(_pair(kind, Path(room) / kind)) for kind in FILTERS}
        for pair in pairs.values():
            stack.enter_context(_running(["ip", "netns", "exec", pair.host.namespace, *serve(pair)]))
        for pair in pairs.values():
            _await(pair, ask)
        samples: dict[Filter, list[float]] = {kind: [] for kind in FILTERS}
        for number in range(rounds):
            first = number % len(FILTERS)
            for kind in (*FILTERS[first:], *FILTERS[:first]):
                samples[kind].append(ask(pairs[kind]))
    return Traffic(samples)


@contextmanager
def _pair(kind: Filter, room: Path) -> Iterator[Pair]:
    room.mkdir()
    with wire(room) as cable:
        host = cable.host(kind)
        stand(host, kind, [SHARED], range(SLOTS))
        mac = format_mac(host.mac) if kind == "none" else SHARED.mac
        for command in (
            ("addr", "add", f"{CLIENTS_GATEWAY}/{PREFIXLEN}", "dev", host.interface),
            ("neigh", "add", str(SHARED.ip), "lladdr", mac, "nud", "permanent", "dev", host.interface),
        ):
            run("ip", "-n", cable.namespace, *command)
        yield Pair(cable, host)


@contextmanager
def _running(argv: Sequence[str]) -> Iterator[None]:
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "TERM", "--", *argv], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


def _await(pair: Pair, ask: Callable[[Pair], float]) -> None:
    end = time.monotonic() + _READY_S
    while True:
        try:
            ask(pair)
            return
        except RuntimeError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def _iperf_server(_pair: Pair) -> list[str]:
    return ["iperf3", "-s"]


def _stream(pair: Pair) -> float:
    report = json.loads(pair.client("iperf3", "-c", str(SHARED.ip), *STREAM, "-J"))
    if "error" in report:
        raise RuntimeError(f"iperf3: {report['error']}")
    return float(report["end"]["streams"][0]["receiver"]["bits_per_second"]) / 1e9


def _apache(pair: Pair) -> list[str]:
    room = pair.host.run_dir
    (room / "htdocs").mkdir()
    (room / "htdocs" / "index.html").write_text("it works\n")
    for part in (room, room / "htdocs", *room.parents[:2]):
        part.chmod(0o755)
    (room / "apache.conf").write_text(_APACHE.format(room=room))
    return ["apache2", "-f", str(room / "apache.conf"), "-DFOREGROUND"]


def _requests(pair: Pair) -> float:
    said = pair.client("ab", "-q", "-n", str(CONNECTIONS), "-c", str(AT_ONCE), f"http://{SHARED.ip}/index.html")
    failed = re.search(r"Failed requests:\s+(\d+)", said)
    rate = re.search(r"Requests per second:\s+([\d.]+)", said)
    if rate is None or failed is None or failed[1] != "0":
        raise RuntimeError(f"ab: {said}")
    return float(rate[1])
