"""A tap that the tests fill by hand, and the SYNs that they put there."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address

from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from datapath.engine import Address, HashKind
from datapath.frames import ETHERNET_HEADER
from datapath.hold.syns import syn_of

VIP = IPv4Address("192.168.110.120")
ADDRESS = Address("VIP", VIP, 24, "eth0", "21:37:6f:88:c2:a0", HashKind.SOURCEIP_SOURCEPORT, 1, 4)


class QueueOfATap:
    """What has arrived, until it is read."""

    def __init__(self) -> None:
        self.arrived: list[bytes] = []
        self.is_deaf = False
        self.is_closed = False

    def hear(self, addresses: Iterable[bytes]) -> None:
        self.is_deaf = False

    def deafen(self) -> None:
        self.is_deaf = True

    def read(self) -> list[bytes]:
        frames, self.arrived = self.arrived, []
        return frames

    def close(self) -> None:
        self.is_closed = True


def syn(port: int, address: Address = ADDRESS, to: int = 80) -> bytes:
    packet = IP(src="192.168.110.1", dst=str(address.ip)) / TCP(sport=port, dport=to, flags="S", seq=port)
    return bytes(Ether(src="02:00:00:00:00:01", dst=address.mac) / packet)


def name_of(frame: bytes) -> bytes:
    found = syn_of(frame[ETHERNET_HEADER:])
    assert found is not None
    return found[1]
