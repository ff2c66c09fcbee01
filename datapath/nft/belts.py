"""The belts: tables that keep the kernel itself from telling the segment anything but the shared MAC."""

from __future__ import annotations

from datapath import mac
from datapath.engine import Address
from datapath.hashing import ICMPV6
from datapath.neighbours import ADVERTISEMENT, SOLICITATION
from datapath.netlink import Message
from datapath.nft import names
from datapath.nft.blocks import TYPE_ADDRESS, TYPE_ETHER, base_chain, fill, new_rule, new_set, take_out
from datapath.nft.expressions import (
    Base,
    Cmp,
    Meta,
    compare,
    load,
    load_meta,
    map_into,
    member,
    write_header,
    write_icmpv6,
)
from datapath.nft.expressions import verdict as decision
from datapath.nft.names import TABLE
from datapath.nft.packets import LAYOUTS
from datapath.nft.protocol import TABLE as TABLE_FIELDS
from datapath.nft.protocol import Family, Msg, SetFlag, Verdict, create

_HOOK_ARP_IN = 0
_HOOK_ARP_OUT = 1
_HOOK_IP_OUT = 3
_ARP_OPERATION = 6
_ARP_SENDER_MAC = 8
_ARP_SENDER = 14
_ARP_TARGET = 24
_ARP_REQUEST = b"\0\x01"
_ND_TARGET = 8
_ND_OPTION = 24
_ND_SOURCE_LINK_LAYER = b"\x01\x01"


def arp_table() -> list[Message]:
    """The belt: the kernel itself never answers for a shared address, and never sends it with the interface's MAC.

    Our responder works on packet sockets, which this table does not see.
    """
    family = Family.ARP
    own_question = [
        load(Base.NETWORK, _ARP_OPERATION, 2, 0),
        compare(0, Cmp.EQ, _ARP_REQUEST),
        load(Base.NETWORK, _ARP_TARGET, 4, 0),
        member(0, names.SHARED_ADDRESSES),
        decision(Verdict.DROP),
    ]
    own_sender = [
        load(Base.NETWORK, _ARP_SENDER, 4, 0),
        map_into(0, names.SHARED_MACS, 2),
        write_header(2, _ARP_SENDER_MAC, 6),
    ]
    return [
        create(Msg.NEWTABLE, family, TABLE_FIELDS.pack({"name": TABLE}), f"make the ARP table {TABLE}"),
        *_belt_sets(family, 4),
        base_chain(family, "in", _HOOK_ARP_IN),
        base_chain(family, "out", _HOOK_ARP_OUT),
        new_rule(family, "in", own_question),
        new_rule(family, "out", own_sender),
    ]


def neighbour_table() -> list[Message]:
    """The same belt for Neighbour Discovery (RFC 4861), whose messages the kernel sends by its IPv6 output.

    It never says where a shared address is, and whoever makes it ask from one tells the shared MAC.
    """
    family = Family.IP6
    is_neighbour = (load_meta(Meta.L4PROTO, 8), compare(8, Cmp.EQ, bytes((ICMPV6,))), load(Base.TRANSPORT, 0, 1, 8))
    own_answer = [
        *is_neighbour,
        compare(8, Cmp.EQ, bytes((ADVERTISEMENT,))),
        load(Base.TRANSPORT, _ND_TARGET, 16, 0),
        member(0, names.SHARED_ADDRESSES),
        decision(Verdict.DROP),
    ]
    own_sender = [
        *is_neighbour,
        compare(8, Cmp.EQ, bytes((SOLICITATION,))),
        load(Base.TRANSPORT, _ND_OPTION, 2, 8),
        compare(8, Cmp.EQ, _ND_SOURCE_LINK_LAYER),
        load(Base.NETWORK, LAYOUTS[6].source, 16, 0),
        map_into(0, names.SHARED_MACS, 8),
        write_icmpv6(8, _ND_OPTION + 2, 6),
    ]
    return [
        create(Msg.NEWTABLE, family, TABLE_FIELDS.pack({"name": TABLE}), f"make the IPv6 table {TABLE}"),
        *_belt_sets(family, 6),
        base_chain(family, "out", _HOOK_IP_OUT),
        new_rule(family, "out", own_answer),
        new_rule(family, "out", own_sender),
    ]


def _belt_sets(family: Family, version: int) -> list[Message]:
    kind, length = TYPE_ADDRESS[version], LAYOUTS[version].address_length
    return [
        new_set(family, names.SHARED_ADDRESSES, kind, length),
        new_set(family, names.SHARED_MACS, kind, length, SetFlag.MAP, data_type=TYPE_ETHER, data_len=6),
    ]


def share_mac(address: Address) -> list[Message]:
    """Let the belt of its family know an address."""
    family, key = _belt_of(address), {"value": address.ip.packed}
    return [
        *fill(family, names.SHARED_ADDRESSES, [{"key": key}]),
        *fill(family, names.SHARED_MACS, [{"key": key, "data": {"value": mac.pack_mac(address.mac)}}]),
    ]


def unshare_mac(address: Address) -> list[Message]:
    family, key = _belt_of(address), [{"key": {"value": address.ip.packed}}]
    return [*take_out(family, names.SHARED_ADDRESSES, key), *take_out(family, names.SHARED_MACS, key)]


def _belt_of(address: Address) -> Family:
    return Family.ARP if address.ip.version == 4 else Family.IP6
