"""How the hosts of a move name a conversation of UDP, and what of a packet belongs to one.  Pure.

A conversation is what one port of a client says to one port of ours: whole datagrams, and ICMP errors about ours.
A fragment does not show whose it is; it belongs to none, as what is cut off before its ports.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from datapath.engine import CONVERSATIONS_MAX, Address, DatapathError
from datapath.hashing import ICMP, ICMP_HEADER, Unhashable, look, slot_of_flow, upper_layer

UDP = 17
_PORTS_BYTES = 4
_NO_OPTIONS = 0x45


@dataclass(frozen=True, slots=True)
class Utterance:
    """A packet of a conversation."""

    name: bytes
    """the client's address, its port, our port, as in the packet"""
    is_quote: bool
    """an ICMP error about a datagram of ours: nobody has said anything"""


def read_utterance(packet: bytes) -> Utterance | None:
    """None for everything that is no UDP, or does not show its ports."""
    seen = look(packet)
    if isinstance(seen, Unhashable) or seen.protocol != UDP or len(seen.ports) < _PORTS_BYTES:
        return None
    name = seen.client + seen.ports
    if packet[0] >> 4 == 6:
        upper = upper_layer(packet)
        return Utterance(name, is_quote=upper is None or upper.protocol != UDP)
    if packet[9] != ICMP:
        return Utterance(name, is_quote=False)
    # no packet of ours has options
    quote_at = (packet[0] & 0x0F) * 4 + ICMP_HEADER
    return Utterance(name, is_quote=True) if packet[quote_at] == _NO_OPTIONS else None


def slot_of(name: bytes, address: Address) -> int | Unhashable:
    """The slot of a conversation; a port may be refused meanwhile."""
    length = len(name) - _PORTS_BYTES
    port, own_port = (int.from_bytes(name[at : at + 2], "big") for at in (length, length + 2))
    return slot_of_flow(address, name[:length], port, own_port, UDP)


def check(names: Collection[bytes], address: Address) -> None:
    """DatapathError when another host tells of conversations that cannot be of this address, or of too many."""
    length = len(address.ip.packed) + _PORTS_BYTES
    if any(len(name) != length for name in names):
        raise DatapathError(f"the old owner of {address.resource} tells of UDP clients of another family")
    if len(names) > CONVERSATIONS_MAX:
        raise DatapathError(
            f"the old owner of {address.resource} keeps more than {CONVERSATIONS_MAX} conversations"
        )
