"""What our tables, chains, sets and counters are called in the kernel, and how a chain says whose it is."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_interface

from datapath import ports
from datapath.engine import Address, DatapathError, HashKind, HashOrder, MacMode, PortRule, SlotState

TABLE = "vipcast"
LEASE = "lease"
"""Interval set over the wall clock: the host accepts while [0, deadline) contains the time."""
VIPS = {4: "vips4", 6: "vips6"}
"""Verdict maps: destination address → the chain of that address."""
PORTED = "ported"
"""Protocols whose header begins with two ports."""
WHOLE_PORTED = "whole-ported"
"""The same of whole IPv4 packets: bytes 6 to 9 of the header, of which fragment bits and protocol count."""
ICMP_ERRORS = "icmp-errors"
EXTENSIONS = "extensions"
"""IPv6 headers that the kernel takes for extensions of the header (net/ipv6/exthdrs_core.c, ipv6_ext_hdr)."""
SHARED_ADDRESSES = "addresses"
"""Set of the belts, the tables of families arp and ip6: the shared addresses."""
SHARED_MACS = "macs"
"""Map of the belts: shared address → shared MAC."""

MALFORMED = {4: "malformed4"}
"""Interval sets of what a header may not begin with: first byte and length, the byte between them 0."""

FIXED_SETS = (PORTED, WHOLE_PORTED, ICMP_ERRORS, EXTENSIONS, *MALFORMED.values())
"""Sets whose elements never change."""

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
    TRUNCATED = "truncated"
    MALFORMED = "malformed"
    REFUSED_PORT = "refused-port"


class Part(enum.StrEnum):
    """The chains of an address, by what they do."""

    ENTRY = ""
    PORTS = "-ports"
    SOURCE = "-source"
    FRAGMENT = "-fragment"
    ICMP = "-icmp"
    QUOTE = "-quote"
    FAULT = "-fault"
    QUOTE_FAULT = "-quote-fault"
    BARRED = "-barred"
    OPEN = "-open"
    NOTING = "-noting"
    DRAINING = "-draining"
    OPENING = "-opening"
    KEEPING_UDP = "-keeping-udp"
    LEAVING_UDP = "-leaving-udp"


STATE_CHAINS = {
    SlotState.OPEN: Part.OPEN,
    SlotState.NOTING: Part.NOTING,
    SlotState.DRAINING: Part.DRAINING,
    SlotState.OPENING: Part.OPENING,
    SlotState.KEEPING_UDP: Part.KEEPING_UDP,
    SlotState.LEAVING_UDP: Part.LEAVING_UDP,
}
CHAIN_STATES = {part: state for state, part in STATE_CHAINS.items()}


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one address' objects; they can be told from the address alone."""

    prefix: str

    @classmethod
    def of(cls, ip: IPv4Address | IPv6Address) -> Names:
        return cls("vip-" + str(ip).replace(":", "-"))

    def chain(self, part: str) -> str:
        """Of a part, or of what `one_slot` calls."""
        return self.prefix + part

    def ports(self, protocol: int) -> str:
        """Verdict map over intervals of ports: those that are not shared."""
        return f"{self.prefix}-ports-{protocol}"

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

    @property
    def never(self) -> str:
        """Flows that were half open at the old owner of an opening slot: their SYNs are not ours."""
        return self.prefix + "-never"

    @property
    def never_syns(self) -> str:
        """The same of single SYNs, by their number as well: what the old owner took before it closed."""
        return self.prefix + "-never-syns"

    @property
    def heard(self) -> str:
        """Conversations of UDP that slots which drain have heard lately."""
        return self.prefix + "-heard"

    @property
    def left(self) -> str:
        """Conversations of UDP that the old owner of an opening slot keeps."""
        return self.prefix + "-left"


def one_slot(number: int) -> str:
    """The part of an address that gives everything to one slot."""
    return f"-one-{number}"


def ingress(interface: str) -> str:
    return "in-" + interface


def describe(address: Address) -> bytes:
    """The address as its chain's comment: nft shows it, and `state` reads it back."""
    text = (
        f"{address.ip}/{address.prefixlen} {address.interface} {address.mac} {address.mac_mode.value} "
        f"{address.hash_kind.value}{_order_of(address)} {address.seed} {address.slots} {address.resource}"
    )
    return _comment(text, f"the id {address.resource!r} is too long for the kernel's comment; shorten it")


def describe_ports(address: Address) -> bytes:
    """The rules for ports, as the comment of another chain: both would be too long for one."""
    return _comment(ports.spell(address.port_rules), f"the rules for ports of {address.resource} are too long")


def recognise_ports(userdata: bytes) -> tuple[PortRule, ...]:
    """The inverse of `describe_ports`; none for what is no such comment."""
    try:
        return ports.parse(_text_of(userdata))
    except ValueError:
        return ()


def _order_of(address: Address) -> str:
    return "" if address.hash_order is HashOrder.NETWORK else f"@{address.hash_order.value}"


def _comment(text: str, too_long: str) -> bytes:
    encoded = text.encode() + b"\0"
    if len(encoded) > _COMMENT_BYTES_MAX:
        raise DatapathError(too_long)
    return bytes((_COMMENT, len(encoded))) + encoded


def _text_of(userdata: bytes) -> str:
    """A comment's text; empty for anything else."""
    if len(userdata) < 3 or userdata[0] != _COMMENT:
        return ""
    return userdata[2:].rstrip(b"\0").decode(errors="replace")


def recognise(userdata: bytes) -> Address | None:
    """The inverse of `describe`, without rules for ports; None for a chain that describes no address of ours."""
    words = _text_of(userdata).split(" ", 7)
    try:
        where, interface, mac, mac_mode, hashing, seed, slots, resource = words
        kind, _, order = hashing.partition("@")
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
            hash_order=HashOrder(order) if order else HashOrder.NETWORK,
        )
    except ValueError:
        return None
