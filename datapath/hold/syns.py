"""How the hosts of a move name a SYN, and the bounds of what they tell each other.  Pure."""

from __future__ import annotations

from struct import Struct

from datapath.engine import Address, DatapathError, Taken
from datapath.hashing import Unhashable, slot_of_flow, upper_layer

TAKEN_MAX = 16_384
"""SYNs and half-open connections of one move; a longer list is not told, and the slots move without it"""

_TCP = 6
_SYN = 0x02
_FIN_SYN_RST_ACK = 0x17
_SEQUENCE_BYTES = 4
_ports = Struct("!HH")
_word = Struct("!H")


def syn_of(packet: bytes) -> tuple[bytes, bytes] | None:
    """(destination, name) of an IP packet that begins a connection; None for any other.

    The name is the client's address, its port, our port and the initial sequence number.
    """
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= 20:
        at = (packet[0] & 0x0F) * 4
        if packet[9] != _TCP or packet[6] & 0x3F or packet[7]:
            return None
        source, destination = packet[12:16], packet[16:20]
    else:
        upper = upper_layer(packet) if version == 6 else None
        if upper is None or upper.protocol != _TCP or upper.is_fragment:
            return None
        at, source, destination = upper.at, packet[8:24], packet[24:40]
    if len(packet) < at + 14 or packet[at + 13] & _FIN_SYN_RST_ACK != _SYN:
        return None
    return destination, source + packet[at : at + 8]


def flow_of(syn: bytes) -> bytes:
    """Which connection a SYN begins: its name without the number."""
    return syn[:-_SEQUENCE_BYTES]


def slot_of(name: bytes, address: Address) -> int | Unhashable:
    """The slot of a SYN or a flow, by its name; a port may be refused meanwhile."""
    length = address.ip.max_prefixlen // 8
    client_port, local_port = _ports.unpack_from(name, length)
    return slot_of_flow(address, name[:length], client_port, local_port)


def check(taken: Taken, address: Address) -> None:
    """DatapathError when another host tells of SYNs that cannot have come to this address, or of too many."""
    length = len(address.ip.packed)
    lengths = {len(syn) - 8 for syn in taken.syns} | {len(flow) - 4 for flow in taken.flows}
    if lengths - {length}:
        raise DatapathError(f"the old owner of {address.resource} tells of clients of another family")
    if len(taken.syns) + len(taken.flows) > TAKEN_MAX:
        raise DatapathError(f"the old owner of {address.resource} tells of more than {TAKEN_MAX} SYNs")


def has(taken: Taken, syn: bytes) -> bool:
    """Whether the SYN is one of those that were taken, or belongs to a connection that was half open already."""
    return syn in taken.syns or flow_of(syn) in taken.flows


def checksummed(packet: bytes) -> bytes:
    """The same TCP packet, as a tap keeps it (no extension headers), with its checksum computed (RFC 9293, 3.1)."""
    if packet[0] >> 4 == 4:
        at, end = (packet[0] & 0x0F) * 4, packet[2] << 8 | packet[3]
        ends = packet[12:20]
    else:
        at, end = 40, 40 + (packet[4] << 8 | packet[5])
        ends = packet[8:40]
    segment = packet[at:end]
    summed = ends + bytes((0, _TCP)) + len(segment).to_bytes(2, "big") + segment[:16] + b"\0\0" + segment[18:]
    summed += b"\0" * (len(summed) % 2)
    total = sum(word for (word,) in _word.iter_unpack(summed))
    total = (total & 0xFFFF) + (total >> 16)
    checksum: int = ~(total + (total >> 16)) & 0xFFFF
    return packet[: at + 16] + checksum.to_bytes(2, "big") + packet[at + 18 :]
