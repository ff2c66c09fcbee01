"""What clients say by UDP, and what says something about it: packets for slots that are on the move."""

from __future__ import annotations

import random
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

from datapath.engine import Address
from tests.property.damage import VIP4, VIP6


def talk(dice: random.Random, shared: Address, packets: list[bytes]) -> Iterator[bytes]:
    """Datagrams of few clients, ICMP errors about some to them, and packets of all shapes."""
    for _ in range(700):
        port = dice.randrange(1024, 1224).to_bytes(2, "big")
        own = dice.choice((53, 80)).to_bytes(2, "big")
        said, ours = port + own + b"\0\x0c\0\0word", own + port + b"\0\x0c\0\0"
        if dice.randrange(4) == 0:
            yield dice.choice(packets)
        elif shared is VIP4:
            client, here = IPv4Address("10.80.0.7").packed, VIP4.ip.packed
            about = b"\x45\0\0\x20\0\0\0\0\x40\x11\0\0" + here + client + ours
            error = b"\x45\0\0\x38\0\0\0\0\x40\x01\0\0" + client + here + b"\3\3" + bytes(6) + about
            plain = b"\x45\0\0\x20\0\0\0\0\x40\x11\0\0" + client + here + said
            yield dice.choice((error, plain, plain, plain))
        else:
            client, here = IPv6Address("fd77::80:7").packed, VIP6.ip.packed
            about = b"\x60\0\0\0\0\x0c\x11\x40" + here + client + ours
            error = b"\x60\0\0\0\0\x38\x3a\x40" + client + here + b"\1\4" + bytes(6) + about
            plain = b"\x60\0\0\0\0\x0c\x11\x40" + client + here + said
            behind_options = b"\x60\0\0\0\0\x14\x3c\x40" + client + here + b"\x11\0\1\4\0\0\0\0" + said
            yield dice.choice((error, plain, plain, behind_options))
