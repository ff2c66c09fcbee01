"""How long the daemon's event loop is held while many shared addresses come to a host at once.

    python -m bench.addresses [COUNT …]      (root; each run in a network namespace of its own)

Told are, for each engine and number of addresses: how long it took until all were held, how long the loop was held at
a time at most, how late a renewal every 50 ms came at most, and what later steps take: another slot, a look at what
others have changed, the removal of all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

from daemon import realtime
from daemon.addresses import SharedAddresses
from daemon.executor.slots import AddressWant
from daemon.state.addresses import SlotDriven
from datapath.engine import Engine, SlotState
from datapath.select import choose

ENGINES = ("bpf", "nft", "raw")
COUNTS = (100, 400, 1_000)
RENEWAL_S = 0.05
SLOTS = 8
PER_INTERFACE = 400
"""what a packet filter holds"""


def driven(number: int) -> SlotDriven:
    interface = f"v{number // PER_INTERFACE}"
    parameters = {
        "ip": str(ip_address("10.64.0.0") + 256 * 256 * (number // PER_INTERFACE) + number % PER_INTERFACE + 1),
        "nic": interface,
        "cidr_netmask": "16",
        "clusterip_hash": "sourceip-sourceport",
    }
    return SlotDriven(f"VIP{number}", f"VIP{number}-clone", SLOTS, "", parameters)


class Lateness:
    """Of a timer that is due every millisecond: for how long nothing else could happen."""

    def __init__(self) -> None:
        self.worst_s = 0.0
        self._task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            self.worst_s = max(self.worst_s, time.perf_counter() - began - 0.001)

    def take_ms(self) -> float:
        worst, self.worst_s = self.worst_s, 0.0
        return 1e3 * worst


async def measure(engine: Engine, count: int) -> dict[str, float]:
    """In the network namespace of the caller."""
    engine.start()
    loop = asyncio.get_running_loop()
    addresses = SharedAddresses(engine, lambda responder: None, lambda responder: None)
    in_force = {f"VIP{number}": driven(number) for number in range(count)}
    first = AddressWant("", {0: SlotState.OPEN})
    everything = asyncio.Event()

    def hold() -> None:
        held, failures, _ = addresses.hold(in_force, dict.fromkeys(in_force, first))
        if failures:
            raise SystemExit(str(next(iter(failures.values()))))
        if len(held) == count:
            everything.set()

    renewal_ms = 0.0

    async def renew() -> None:
        nonlocal renewal_ms
        due = time.perf_counter()
        while True:
            addresses.renew(time.clock_gettime_ns(time.CLOCK_BOOTTIME) + 10**9)
            renewal_ms = max(renewal_ms, 1e3 * (time.perf_counter() - due))
            due += RENEWAL_S
            await asyncio.sleep(due - time.perf_counter())

    addresses.hold({"VIP0": in_force["VIP0"]}, {"VIP0": first})
    await asyncio.sleep(0.5)
    addresses.hold({"VIP0": in_force["VIP0"]}, {"VIP0": first})
    addresses.answered = lambda: None if everything.is_set() else hold()
    lateness = Lateness()
    renewing = asyncio.create_task(renew())
    await asyncio.sleep(0.1)
    lateness.take_ms()
    began = time.perf_counter()
    hold()
    await everything.wait()
    found = {"all_ms": 1e3 * (time.perf_counter() - began)}
    await asyncio.sleep(0.01)
    found["held_ms"] = lateness.take_ms()
    found["renewal_late_ms"] = renewal_ms

    def took_ms(what: Callable[[], object]) -> float:
        began = time.perf_counter()
        what()
        return 1e3 * (time.perf_counter() - began)

    moved = dict.fromkeys(in_force, first) | {"VIP1": AddressWant("", {0: SlotState.OPEN, 1: SlotState.OPEN})}
    found["slot_ms"] = took_ms(lambda: addresses.hold(in_force, moved))
    found["renew_ms"] = took_ms(lambda: addresses.renew(time.clock_gettime_ns(time.CLOCK_BOOTTIME) + 10**9))
    found["look_ms"] = took_ms(addresses.repair)
    found["remove_ms"] = took_ms(addresses.remove)
    renewing.cancel()
    await loop.shutdown_default_executor()
    return found


def alone(name: str, count: int) -> dict[str, float]:
    """One run, in a process and a network namespace of its own."""
    command = ["unshare", "-n", sys.executable, "-m", "bench.addresses", "--here", name, str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}, {count} addresses: {done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def here(name: str, count: int) -> None:
    interfaces = [f"v{number}" for number in range((count - 1) // PER_INTERFACE + 1)]
    lines = ["link set lo up"]
    for number, interface in enumerate(interfaces):
        lines += [
            f"link add {interface} type veth peer name p{number}",
            f"link set {interface} up",
            f"link set p{number} up",
            f"address add 10.{64 + number}.255.254/16 dev {interface}",
        ]
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)
    realtime.schedule_round_robin(0)  # as the daemon does
    realtime.quiet_collector()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as run_dir:  # as /run is
        print(json.dumps(asyncio.run(measure(choose(name, Path(run_dir)).engine, count))))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.addresses", description=__doc__)
    parser.add_argument("counts", nargs="*", type=int, default=COUNTS)
    parser.add_argument("--engine", action="append", choices=ENGINES)
    parser.add_argument("--here", metavar="ENGINE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        here(options.here, options.counts[0])
        return
    print(f"load average {os.getloadavg()[0]:.1f}")
    columns = ("all_ms", "held_ms", "renewal_late_ms", "slot_ms", "renew_ms", "look_ms", "remove_ms")
    print(f"{'engine':8}{'addresses':>10}" + "".join(f"{column:>17}" for column in columns))
    for name in options.engine or ENGINES:
        for count in options.counts:
            found = alone(name, count)
            print(f"{name:8}{count:10}" + "".join(f"{found[column]:17.1f}" for column in columns), flush=True)


if __name__ == "__main__":
    main()
