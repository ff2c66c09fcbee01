"""ns of CPU for a UDP frame of 60 octets, from the sender's call to the receiver's queue or to the drop."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Protocol

from bench.datapath import blast
from bench.datapath.candidates import Filter, address, clients, shared_frame_mac, stand
from bench.datapath.hosts import HOST_IP, Host, Wire, run, wire
from bench.packets import udp_frame
from datapath.engine import Address, HashKind

SLOTS = (4, 64, 1024)
ADDRESSES = (1, 10, 100, 1000)
SLOTS_OF_MANY = 64
FILTERS: tuple[Filter, ...] = ("peer", "nft", "bpf")
OTHER_HOSTS_MAC = bytes.fromhex("525400000001")
CLIENTS = 256
CORE = 0
ROUNDS_A_CALL = 10
DELIVERED = ("accept", "pass")


@dataclass(frozen=True)
class Lane:
    """One kind of packet to one host."""

    filter: str
    what: str
    """accept, drop, pass (not for a shared address), or send (a device that drops at once: the sender's part alone)"""
    slots: int
    addresses: int
    kind: HashKind = HashKind.SOURCEIP

    @property
    def peer(self) -> Lane:
        """The same without a filter: of a drop, a frame to another host's MAC."""
        return Lane("none", self.what, 0, self.addresses if self.what == "accept" else 1)


class Add(Protocol):
    def __call__(self, host: Host, lane: Lane, frames: Sequence[bytes], interface: str = "") -> None: ...


@dataclass(frozen=True)
class Packets:
    """`samples[lane][n]` and `samples[other][n]` were measured one after the other."""

    samples: dict[Lane, list[int]]

    def ns(self, lane: Lane) -> float:
        return statistics.median(self.samples[lane])

    def ratio(self, lane: Lane, to: Lane | None = None) -> float:
        """Median of the rounds' ratios to what it is without a filter."""
        peer = self.samples[lane.peer if to is None else to]
        return statistics.median(one / other for one, other in zip(self.samples[lane], peer, strict=True))

    def lanes(self, filter_: str, what: str) -> list[Lane]:
        return [lane for lane in self.samples if (lane.filter, lane.what) == (filter_, what)]


def measure(rounds: int) -> Packets:
    with tempfile.TemporaryDirectory() as room, wire(Path(room)) as cable:
        cable.process.call(blast.stay, CORE)
        lanes = _lanes(cable)
        names = list(lanes)
        cable.process.call(blast.rounds, names, 2)
        found: dict[Lane, list[int]] = {lane: [] for lane in lanes.values()}
        for _ in range(-(-rounds // ROUNDS_A_CALL)):
            for burst in cable.process.call(blast.rounds, names, ROUNDS_A_CALL):
                lane = lanes[burst.lane]
                wanted = blast.BURST + blast.WARM if lane.what in DELIVERED else 0
                assert burst.delivered == wanted, f"{lane}: {burst.delivered} of {wanted} arrived"
                found[lane].append(burst.cpu_ns)
    return Packets(found)


def _lanes(cable: Wire) -> dict[str, Lane]:
    made: dict[str, Lane] = {}

    def add(host: Host, lane: Lane, frames: Sequence[bytes], interface: str = "") -> None:
        cable.process.call(blast.open_lane, str(lane), interface or host.interface, host.namespace, frames)
        made[str(lane)] = lane

    many = [address(number, SLOTS_OF_MANY) for number in range(max(ADDRESSES))]
    everybody = clients(many[0], True, CLIENTS)
    plain = cable.host("plain")
    stand(plain, "none", many[:1])
    for count in ADDRESSES:
        bare = plain if count == 1 else cable.host(f"plain, {count} addresses")
        if count > 1:
            stand(bare, "none", many[:count])
        sources = [(client, many[at % count]) for at, client in enumerate(everybody * 2)]
        frames = [udp_frame(bare.mac, str(client), str(shared.ip)) for client, shared in sources]
        add(bare, Lane("none", "accept", 0, count), frames)
    add(plain, Lane("none", "drop", 0, 1), _to(OTHER_HOSTS_MAC, everybody, str(many[0].ip)))
    add(plain, Lane("none", "pass", 0, 1), _to(plain.mac, everybody, HOST_IP))
    run("ip", "-n", cable.namespace, "link", "add", "nowhere", "type", "ifb")
    run("ip", "-n", cable.namespace, "link", "set", "nowhere", "up")
    add(plain, Lane("none", "send", 0, 1), _to(plain.mac, everybody, HOST_IP), "nowhere")
    for kind in FILTERS:
        for slots in SLOTS:
            _add_host(cable, add, kind, [address(0, slots)])
        for count in ADDRESSES[1:]:
            _add_host(cable, add, kind, many[:count])
        if kind != "peer":
            by_port = replace(many[0], hash_kind=HashKind.SOURCEIP_SOURCEPORT)
            host = _add_host(cable, add, kind, [by_port])
            add(host, Lane(kind, "pass", SLOTS_OF_MANY, 1), _to(host.mac, everybody, HOST_IP))
    return made


def _add_host(cable: Wire, add: Add, kind: Filter, shared: Sequence[Address]) -> Host:
    first = shared[0]
    host = cable.host(f"{kind}, {first.slots} slots of {len(shared)} addresses by {first.hash_kind}")
    stand(host, kind, shared)
    for what in ("accept", "drop"):
        lane = Lane(kind, what, first.slots, len(shared), first.hash_kind)
        add(host, lane, shared_frames(shared, what == "accept"))
    return host


def _to(mac: bytes, sources: Sequence[IPv4Address], destination: str) -> list[bytes]:
    return [udp_frame(mac, str(source), destination) for source in sources]


def shared_frames(addresses: Sequence[Address], mine: bool) -> list[bytes]:
    """Over all addresses; few clients of each where there are many."""
    each = max(1, 2 * CLIENTS // len(addresses))
    return [
        udp_frame(shared_frame_mac(shared), str(client), str(shared.ip))
        for shared in addresses[: 2 * CLIENTS]
        for client in clients(shared, mine, each)
    ]
