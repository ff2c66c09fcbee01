"""Who answered which packet of a client, read off captures on all hosts.

A host's answer names the segment that it answers: TCP's time stamp option (RFC 7323) returns in TSecr the TSval of
the segment that was accepted last, so a retransmission, which has a later TSval, is another packet.  An RST carries
no stamp and is sent at once, so it answers the segment that reached that host last.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tests.lab.capture import ACK, RST, SYN, Captured, Tcp
from tests.lab.clients import Client


class Packet(NamedTuple):
    """A client's packet, as its answers name it."""

    client: Client
    stamp: int | None
    """TSval; None: an RST for a packet that the capture did not see"""


def answerers(segments: Iterable[tuple[Captured, Tcp]], address: str) -> dict[Packet, set[str]]:
    """Every packet to `address` that was answered, with the hosts that did; `segments` in order of time."""
    last_stamp: dict[tuple[str, Client], int] = {}
    answered: defaultdict[Packet, set[str]] = defaultdict(set)
    for captured, tcp in segments:
        if not captured.outgoing and tcp.destination == address:
            if tcp.stamp is not None:
                last_stamp[captured.host, Client(tcp.source, tcp.source_port)] = tcp.stamp
        elif captured.outgoing and tcp.source == address:
            client = Client(tcp.destination, tcp.destination_port)
            unstamped = tcp.echo is None or tcp.flags & RST
            stamp = last_stamp.get((captured.host, client)) if unstamped else tcp.echo
            answered[Packet(client, stamp)].add(captured.host)
    return dict(answered)


def answered_twice(segments: Iterable[tuple[Captured, Tcp]], address: str) -> dict[Packet, set[str]]:
    """Packets that more than one host answered: there must never be one."""
    return {packet: hosts for packet, hosts in answerers(segments, address).items() if len(hosts) > 1}


def resets(segments: Iterable[tuple[Captured, Tcp]], address: str) -> int:
    """RSTs that any host sent from the address."""
    return sum(1 for captured, tcp in segments if captured.outgoing and tcp.source == address and tcp.flags & RST)


def accepted_by(segments: Iterable[tuple[Captured, Tcp]], address: str) -> Counter[str]:
    """How many connections each host took: SYN-ACKs to different clients."""
    taken = {
        (captured.host, tcp.destination, tcp.destination_port)
        for captured, tcp in segments
        if captured.outgoing and tcp.source == address and tcp.flags & (SYN | ACK) == SYN | ACK
    }
    return Counter(host for host, _, _ in taken)


def last_accepted_ns(
    segments: Sequence[tuple[Captured, Tcp]], address: str, host: str, before_ns: int
) -> int | None:
    """When the newest packet that a host answered had arrived there, up to a moment; None: it answered none.

    Arrivals count and not answers: those may be late, or retransmitted, long after the address fell silent.
    """
    arrived: dict[Packet, int] = {}
    for captured, tcp in segments:
        if captured.host == host and not captured.outgoing and tcp.destination == address:
            arrived.setdefault(Packet(Client(tcp.source, tcp.source_port), tcp.stamp), captured.time_ns)
    here = [entry for entry in segments if entry[0].host == host and entry[0].time_ns < before_ns]
    times = [arrived[packet] for packet in answerers(here, address) if packet in arrived]
    return max(times, default=None)
