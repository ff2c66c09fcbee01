"""Packets per second that an engine accepts and drops on one core, beside the same host without vipcast.

The frames (60 octets, UDP) are put on the host's cable behind the switch, so that nothing but the host is measured.
With nft, sender and receiver share one core: the kernel takes a packet in within the call that sends it.  The raw
engine works in a process of its own; that gets the other core, and the sender outruns it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.report import Figure, Report, heading
from tests.lab import Lab, wait_until
from tests.lab.control import Status
from tests.lab.host import Host
from tests.lab.service import ADDRESS, share_address

BLASTER = Path(__file__).with_name("blaster.py")
SECONDS = 2.0
PORT = 9
SHARED_MAC = bytes.fromhex("21376f88c2a0")
CLIENTS = 512
RECEIVER = """
import socket, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
sock.bind(("0.0.0.0", 9))
print("bound", flush=True)
time.sleep(3600)
"""


def measure(report: Report, runs: int) -> None:
    heading(
        "Packets per second of one core, 60-octet UDP", ["sender and receiver on that core; raw: receiver alone"]
    )
    bare_accept, bare_drop = _bare(report, runs)
    for engine in ("nft", "raw"):
        with Lab(hosts=2, engine=engine) as lab:
            lab.start_daemons()
            lab.await_cluster()
            address = share_address(lab, slots=2)
            host = lab["a1"]
            _receive(host)
            own = {slot for slot, holder in address.holders.items() if holder == "a1"}
            clients = address.clients_by_slot(CLIENTS)
            for kind, slots, reference in (
                ("accepted", own, bare_accept),
                ("dropped", set(clients) - own, bare_drop),
            ):
                frames = [
                    udp_frame(SHARED_MAC, client.address, ADDRESS) for slot in slots for client in clients[slot]
                ]
                count = _delivered if kind == "accepted" else _foreign
                samples = [_rate(lab, host, frames, count) for _ in range(runs)]
                report.add(Figure(f"{kind}, {engine}", "pkt/s", tuple(samples), reference, "no vipcast"))


def _bare(report: Report, runs: int) -> tuple[float, float]:
    """The same host without vipcast: its own MAC and address, then another host's MAC."""
    with Lab(hosts=1) as lab:
        host = lab["a1"]
        _receive(host)
        own_mac = bytes.fromhex(lab.mac("a1").replace(":", ""))
        clients = [f"10.64.1.{number}" for number in range(1, 251)]
        target = lab.address("a1")
        accept = [udp_frame(own_mac, client, target) for client in clients]
        foreign = [udp_frame(bytes.fromhex("525400000001"), client, target) for client in clients]
        accepted = Figure(
            "accepted, no vipcast", "pkt/s", tuple(_rate(lab, host, accept, _delivered) for _ in range(runs))
        )
        dropped = Figure(
            "dropped (foreign MAC), no vipcast", "pkt/s", tuple(_sent(lab, foreign) for _ in range(runs))
        )
    report.add(accepted)
    report.add(dropped)
    return accepted.median, dropped.median


def udp_frame(mac: bytes, source: str, destination: str) -> bytes:
    """A whole frame; no UDP checksum."""
    header = bytearray.fromhex("4500002e000040004011000000000000")[:12]
    header[2:4] = (46).to_bytes(2, "big")
    ip = bytes(header) + socket.inet_aton(source) + socket.inet_aton(destination)
    total = sum(int.from_bytes(ip[at : at + 2], "big") for at in range(0, 20, 2))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    ip = ip[:10] + (~total & 0xFFFF).to_bytes(2, "big") + ip[12:]
    udp = (20000).to_bytes(2, "big") + PORT.to_bytes(2, "big") + (26).to_bytes(2, "big") + b"\0\0"
    return mac + bytes.fromhex("525400aabbcc") + b"\x08\x00" + ip + udp + bytes(18)


def _receive(host: Host) -> None:
    """A UDP socket that nobody reads: packets come as far as its full queue, and are counted there."""
    process = host.popen(sys.executable, "-c", RECEIVER, stdout=subprocess.PIPE)
    assert process.wrapper.stdout is not None
    process.wrapper.stdout.readline()


def _rate(lab: Lab, host: Host, frames: Sequence[bytes], count: Callable[[Host], int]) -> float:
    before = count(host)
    start = time.monotonic()
    _sent(lab, frames)
    elapsed = time.monotonic() - start
    return max(0, count(host) - before) / min(elapsed, SECONDS)


def _sent(lab: Lab, frames: Sequence[bytes]) -> float:
    """Send for SECONDS from the switch's end of a1's cable; returns frames per second."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(BLASTER), str(lab.switch.machine.init), "a1", _core(), str(SECONDS)],
        input="\n".join(frame.hex() for frame in frames),
        capture_output=True,
        text=True,
        timeout=SECONDS + 30,
        check=True,
    )
    sent, seconds = done.stdout.split()
    return int(sent) / float(seconds)


def _core() -> str:
    return str(min(os.sched_getaffinity(0)))


def _delivered(host: Host) -> int:
    """UDP datagrams that reached a socket, whether there was room in it or not (/proc/net/snmp)."""
    text = host.path("/proc/1/net/snmp").read_text()
    names, values = (line.split()[1:] for line in text.splitlines() if line.startswith("Udp:"))
    counts = dict(zip(names, map(int, values), strict=True))
    return counts["InDatagrams"] + counts["InErrors"]


def _foreign(host: Host) -> int:
    """What the engine counts as dropped."""
    last = -1

    def steady() -> bool:
        nonlocal last
        before, last = last, _dropped_now(host)
        return before == last

    wait_until(steady, 10, "steady counters", interval_s=0.3)
    return last


def _dropped_now(host: Host) -> int:
    status = Status.of(host)
    if status is None:
        raise AssertionError(f"{host.name} does not answer")
    counters = status.document["datapath"]["counters"]
    return sum(int(counter["packets"]) for counter in counters if counter["verdict"] != "accepted")
