"""What the sets of the table `vipcast-out` (rules.py) hold: which address, with which MAC, on which interface."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from datapath.engine import Address
from datapath.mac import pack_mac
from datapath.netlink import NLM_F_CREATE, Message, raw_attribute
from datapath.nft.protocol import ELEMENT, PACKED_ELEMENTS, Msg, message
from datapath.wayout.rules import (
    ADDRESS_BYTES,
    ADDRESSES,
    IFNAME_BYTES,
    MACS,
    NAME,
    RIGHT,
    UNJUDGED,
    VERSION,
    Family,
)

ELEMENTS_PER_MESSAGE = 400


@dataclass(frozen=True, slots=True)
class Shared:
    """An address on an interface, as far as it matters here."""

    ip: IPv4Address | IPv6Address
    interface: str
    mac: str

    @classmethod
    def of(cls, address: Address) -> Shared:
        return cls(address.ip, address.interface, address.mac)


Element = tuple[bytes, bytes]
"""key and data; without data: of a set"""
Contents = dict[tuple[Family, str], frozenset[Element]]
"""what each of the sets and maps holds that name the shared addresses"""


def contents(addresses: Iterable[Shared]) -> Contents:
    """What names these.

    An address may stand there twice, while its MAC changes: both are right then, and the later one is told to others.
    """
    macs = [(shared.ip.packed, pack_mac(shared.mac)) for shared in addresses]
    found: Contents = {}
    for family, version in VERSION.items():
        length = ADDRESS_BYTES[version]
        own = [(ip, mac) for ip, mac in macs if len(ip) == length]
        found[family, ADDRESSES] = frozenset((ip, b"") for ip, _ in own)
        found[Family.NETDEV, MACS[version]] = frozenset(dict(own).items())
        found[Family.NETDEV, RIGHT[version]] = frozenset((ip + mac + b"\0\0", b"") for ip, mac in own)
    return found


def unjudged(addresses: Iterable[Shared]) -> Contents:
    """By which interfaces these come past an engine that looks at frames to the shared MAC alone (`rules.guard`)."""
    keys = [one.ip.packed + one.interface.encode().ljust(IFNAME_BYTES, b"\0") for one in addresses]
    return {
        (family, UNJUDGED): frozenset(
            (key, b"") for key in keys if len(key) == ADDRESS_BYTES[version] + IFNAME_BYTES
        )
        for family, version in VERSION.items()
    }


def exchange(held: Contents, wanted: Contents) -> list[Message]:
    """From what the sets hold to what they should."""
    messages = []
    for place, elements in wanted.items():
        had = held.get(place, frozenset())
        messages += _tell(Msg.DELSETELEM, place, had - elements)
        messages += _tell(Msg.NEWSETELEM, place, elements - had)
    return messages


def _tell(kind: Msg, place: tuple[Family, str], elements: frozenset[Element]) -> list[Message]:
    family, of_set = place
    packed = [raw_attribute(0x8001, _packed(*element)) for element in sorted(elements)]
    head = PACKED_ELEMENTS.pack({"table": NAME, "set": of_set})
    flags = NLM_F_CREATE if kind is Msg.NEWSETELEM else 0
    return [
        message(
            kind,
            family,
            head + raw_attribute(0x8003, b"".join(packed[at : at + ELEMENTS_PER_MESSAGE])),
            f"name the shared addresses in the set {of_set}",
            flags,
        )
        for at in range(0, len(packed), ELEMENTS_PER_MESSAGE)
    ]


def _packed(key: bytes, data: bytes) -> bytes:
    return ELEMENT.pack({"key": {"value": key}, "data": {"value": data}} if data else {"key": {"value": key}})
