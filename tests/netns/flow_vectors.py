"""Asks this machine's kernel which slot real packets have: the source of tests/vectors/flows.json.

Each vector becomes a frame on a cable and a rule in the nft program's own language, which loads the packet's fields,
hashes them and puts the result into a set.  Nothing of vipcast takes part.  (The order of ipt_CLUSTERIP cannot be said
in that language; tests/property/test_hashing.py has it by the formula of that module.)
"""

from __future__ import annotations

import json
import random
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.sctp import SCTP
from scapy.packet import Packet

from datapath.engine import Address, HashKind

VECTORS = Path(__file__).parents[1] / "vectors" / "flows.json"
PROTOCOLS = ("tcp", "udp", "sctp", "echo")
_LAYERS = {"tcp": TCP, "udp": UDP, "sctp": SCTP}
_NETWORKS = {4: "255.255.255.0", 6: "ffff:ffff:ffff:ff00::"}
_SETTLE_S = 0.5


@dataclass(frozen=True)
class Vector:
    """A packet of a client to an address; `slot` is the kernel's answer, -1 before it was asked."""

    protocol: str
    client: str
    port: int
    address: str
    service: int
    hash: str
    seed: int
    total: int
    slot: int = -1

    @property
    def version(self) -> int:
        return ip_address(self.client).version

    @property
    def packet(self) -> bytes:
        """From the IP header on."""
        ip: Packet = (IP if self.version == 4 else IPv6)(src=self.client, dst=self.address)
        if self.protocol == "echo":
            return bytes(ip / (ICMP(type=8) if self.version == 4 else ICMPv6EchoRequest()))
        return bytes(ip / _LAYERS[self.protocol](sport=self.port, dport=self.service))

    def frame(self, source: bytes, mac: bytes) -> bytes:
        return mac + source + (b"\x08\x00" if self.version == 4 else b"\x86\xdd") + self.packet

    def of(self, base: Address) -> Address:
        """An address that shares its packets out as this vector says."""
        kind = HashKind(self.hash)
        return replace(base, ip=ip_address(self.address), hash_kind=kind, seed=self.seed, slots=self.total)


def vectors(seed: int, of_each: int = 6) -> list[Vector]:
    """Clients of both families, every protocol and hash; ports and seeds at their edges, too."""
    dice = random.Random(seed)
    made = []
    for kind in HashKind:
        for protocol in PROTOCOLS:
            for _ in range(of_each):
                for version in (4, 6):
                    client: IPv4Address | IPv6Address = IPv4Address(dice.randrange(0x01000000, 0xDF000000))
                    if version == 6:
                        client = IPv6Address(0xFD << 120 | dice.getrandbits(120))
                    vector = Vector(
                        protocol=protocol,
                        client=str(client),
                        port=dice.choice((1, 255, 256, 65_535, dice.randrange(1024, 65_536))),
                        address="10.77.255.1" if version == 4 else "fd77::1",
                        service=dice.choice((53, 80, 443, 65_535)),
                        hash=kind.value,
                        seed=dice.choice((0, 1, 0x22376F88, 0xFFFF_FFFF, dice.getrandbits(32))),
                        total=dice.choice((2, 3, 5, 64, 500, 1000)),
                    )
                    made.append(vector)
    return made


def rule_of(number: int, vector: Vector) -> str:
    """In the language of the nft program."""
    source = "ip saddr" if vector.version == 4 else "ip6 saddr"
    key = {
        "sourceip": source,
        "sourceip-sourceport": f"{source} . th sport",
        "sourceip-sourceport-destport": f"{source} . th sport . th dport",
        "sourcenet": f"{source} & {_NETWORKS[vector.version]}",
    }[vector.hash]
    if vector.protocol == "echo" and vector.hash != "sourcenet":
        key = source
    return (
        f"ether saddr {_mac(number).hex(':')} meta mark set jhash {key} mod {vector.total} seed {vector.seed}"
        " update @answers { ether saddr . meta mark }"
    )


def kernel_slots(asked: Sequence[Vector]) -> list[Vector]:
    """The vectors with the kernel's answers; to be called inside a namespace of the caller's own."""
    for command in ("link add eth0 type veth peer name wire", "link set eth0 up", "link set wire up"):
        subprocess.run(["ip", *command.split()], check=True)
    rules = "\n".join(rule_of(number, vector) for number, vector in enumerate(asked))
    table = (
        "table netdev vectors {\n set answers { type ether_addr . mark; flags dynamic; size 65535; }\n"
        f" chain in {{ type filter hook ingress device eth0 priority 0;\n{rules}\n }}\n}}\n"
    )
    subprocess.run(["nft", "-f", "-"], input=table, text=True, check=True)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as wire:
        wire.bind(("wire", 0))
        for number, vector in enumerate(asked):
            wire.send(vector.frame(_mac(number), b"\x33\x33\0\0\0\1"))
    time.sleep(_SETTLE_S)
    listed = subprocess.run(
        ["nft", "-j", "list", "set", "netdev", "vectors", "answers"], capture_output=True, text=True, check=True
    )
    (found,) = (entry["set"]["elem"] for entry in json.loads(listed.stdout)["nftables"] if "set" in entry)
    answers = dict(element["concat"] for element in (entry.get("elem", entry) for entry in found))
    return [replace(vector, slot=answers[_mac(number).hex(":")]) for number, vector in enumerate(asked)]


def _mac(number: int) -> bytes:
    return b"\x02\0" + number.to_bytes(4, "big")


def read_flows() -> list[Vector]:
    return [Vector(**vector) for vector in json.loads(VECTORS.read_text())]
