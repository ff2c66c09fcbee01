"""What our tables, chains, sets and counters are called in the kernel, and how a chain says whose it is."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_interface

from datapath.engine import Address, DatapathError, HashKind, MacMode, SlotState
from datapath.nft.protocol import Family

TABLE = "vipcast"
LEASE = "lease"
"""Interval set over the wall clock: the host accepts while [0, deadline) contains the time."""
VIPS = {4: "vips4", 6: "vips6"}
"""Verdict maps: destination address → the chain of that address."""
PORTED = "ported"
"""Protocols whose header begins with two ports."""
ICMP_ERRORS = "icmp-errors"
ARP_ADDRESSES = "addresses"
"""Set of the ARP table: the shared addresses."""
ARP_MACS = "macs"
"""Map of the ARP table: shared address → shared MAC."""

FIXED_SETS = {
    Family.NETDEV: (PORTED, ICMP_ERRORS, *VIPS.values()),
    Family.ARP: (ARP_ADDRESSES, ARP_MACS),
}
"""Sets whose elements only we change, and only with whole addresses."""

_COMMENT = 0
"""NFTNL_UDATA_*_COMMENT: nft prints this piece of user data as `comment "…"`."""
_COMMENT_BYTES_MAX = 250


class Fate(enum.StrEnum):
    """What became of a packet: the counters of an address."""

    ACCEPTED = "accepted"
    FOREIGN = "foreign"
    EXPIRED = "expired"
    DRAINING = "draining"
    OPENING = "opening"
    UNPARSABLE = "unparsable"


class Part(enum.StrEnum):
    """The chains of an address, by what they do."""

    ENTRY = ""
    JUDGE = "-judge"
    PORTS = "-ports"
    SOURCE = "-source"
    ICMP = "-icmp"
    QUOTE = "-quote"
    OPEN = "-open"
    NOTING = "-noting"
    DRAINING = "-draining"
    OPENING = "-opening"


STATE_CHAINS = {SlotState.OPEN: Part.OPEN, SlotState.DRAINING: Part.DRAINING, SlotState.OPENING: Part.OPENING}
CHAIN_STATES = {part: state for state, part in STATE_CHAINS.items()} | {Part.NOTING: SlotState.OPEN}


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one address' objects; they can be told from the address alone."""

    prefix: str

    @classmethod
    def of(cls, ip: IPv4Address | IPv6Address) -> Names:
        return cls("vip-" + str(ip).replace(":", "-"))

    def chain(self, part: Part) -> str:
        return self.prefix + part

    def counter(self, fate: Fate) -> str:
        return f"{self.prefix}-{fate}"

    @property
    def slots(self) -> str:
        """Verdict map: slot → the chain of its state; a slot that is not in it is closed."""
        return self.prefix + "-slots"

    @property
    def keep(self) -> str:
        """Flows of local sockets while their slot moves: those of its beginning, and what became of noted SYNs."""
        return self.prefix + "-keep"

    @property
    def mine(self) -> str:
        """Flows whose SYN this host has taken, a minute ago at most, while their slot moves."""
        return self.prefix + "-mine"


def ingress(interface: str) -> str:
    return "in-" + interface


def describe(address: Address) -> bytes:
    """The address as its chain's comment: nft shows it, and `state` reads it back."""
    text = (
        f"{address.ip}/{address.prefixlen} {address.interface} {address.mac} {address.mac_mode.value} "
        f"{address.hash_kind.value} {address.seed} {address.slots} {address.resource}"
    )
    encoded = text.encode() + b"\0"
    if len(encoded) > _COMMENT_BYTES_MAX:
        raise DatapathError(f"the id {address.resource!r} is too long for the kernel's comment; shorten it")
    return bytes((_COMMENT, len(encoded))) + encoded


def recognise(userdata: bytes) -> Address | None:
    """The inverse of `describe`; None for a chain that does not describe an address of ours."""
    if len(userdata) < 3 or userdata[0] != _COMMENT:
        return None
    words = userdata[2:].rstrip(b"\0").decode(errors="replace").split(" ", 7)
    try:
        where, interface, mac, mac_mode, kind, seed, slots, resource = words
        network = ip_interface(where)
        return Address(
            resource=resource,
            ip=network.ip,
            prefixlen=network.network.prefixlen,
            interface=interface,
            mac=mac,
            hash_kind=HashKind(kind),
            seed=int(seed),
            slots=int(slots),
            mac_mode=MacMode(mac_mode),
        )
    except ValueError:
        return None
