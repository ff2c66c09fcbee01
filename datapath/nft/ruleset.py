"""Our tables as nf_tables messages: pure functions from what is wanted to what has to be said to the kernel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from struct import Struct
from typing import Any

from datapath import mac
from datapath.engine import Address, SlotState
from datapath.hashing import ICMP_ERRORS, PORT_PROTOCOLS
from datapath.netlink import Message, raw_attribute
from datapath.nft import names
from datapath.nft.expressions import (
    Base,
    Cmp,
    Expression,
    Meta,
    compare,
    decide,
    load,
    load_meta,
    map_into,
    member,
    write_header,
)
from datapath.nft.expressions import verdict as decision
from datapath.nft.names import STATE_CHAINS, TABLE, Fate, Names, Part
from datapath.nft.protocol import (
    CHAIN,
    ELEMENT,
    ELEMENTS,
    OBJECT,
    OBJECT_COUNTER,
    PACKED_ELEMENTS,
    RULE,
    SET,
    VERDICT_DATA,
    Family,
    Msg,
    SetFlag,
    Verdict,
    create,
    message,
)
from datapath.nft.protocol import TABLE as TABLE_FIELDS
from datapath.nft.rules import LAYOUTS, SYN_TIMEOUT_MS, chains_of

FLOWS_MAX = 262_144
"""Flows that a moving slot may note, for each address."""

_ELEMENTS_PER_MESSAGE = 400
_HOOK_INGRESS = 0
_HOOK_ARP_IN = 0
_HOOK_ARP_OUT = 1
_POLICY_ACCEPT = 1
_ARP_OPERATION = 6
_ARP_SENDER_MAC = 8
_ARP_SENDER = 14
_ARP_TARGET = 24
_ARP_REQUEST = b"\0\x01"

# nft's own numbers of data types: the kernel stores them so that `nft list` can print a set's elements
_TYPE_ADDRESS = {4: 7, 6: 8}
_TYPE_ETHER = 9
_TYPE_PROTOCOL = 12
_TYPE_PORT = 13
_TYPE_ICMP = 14
_TYPE_MARK = 19
_TYPE_TIME = 43

_slot = Struct("=I")
_port = Struct("!Hxx")


# the tables


def drop_table(family: Family) -> list[Message]:
    """Remove the table, whether it is there or not: made first, a removal cannot fail."""
    body = TABLE_FIELDS.pack({"name": TABLE})
    return [
        message(Msg.NEWTABLE, family, body, f"make the table {TABLE}", 0x400),
        message(Msg.DELTABLE, family, body, f"remove the table {TABLE}"),
    ]


def netdev_table() -> list[Message]:
    """The table without addresses: nothing is lost to it, nothing accepted by it."""
    family = Family.NETDEV
    interval = SetFlag.INTERVAL | SetFlag.TIMEOUT
    messages = [
        create(Msg.NEWTABLE, family, TABLE_FIELDS.pack({"name": TABLE}), f"make the table {TABLE}"),
        _new_set(family, names.LEASE, _TYPE_TIME, 8, interval),
        _new_set(family, names.PORTED, _TYPE_PROTOCOL, 1),
        _new_set(family, names.ICMP_ERRORS, _TYPE_ICMP, 1),
        *_fill(family, names.PORTED, [{"key": {"value": bytes((p,))}} for p in sorted(PORT_PROTOCOLS)]),
        *_fill(family, names.ICMP_ERRORS, [{"key": {"value": bytes((t,))}} for t in sorted(ICMP_ERRORS)]),
    ]
    for version in (4, 6):
        length = LAYOUTS[version].address_length
        messages.append(_new_map(family, names.VIPS[version], _TYPE_ADDRESS[version], length))
    return messages


def arp_table() -> list[Message]:
    """The belt: the kernel itself never answers for a shared address, and never sends it with the interface's MAC.

    Our responder works on packet sockets, which this table does not see.
    """
    family = Family.ARP
    own_question = [
        load(Base.NETWORK, _ARP_OPERATION, 2, 0),
        compare(0, Cmp.EQ, _ARP_REQUEST),
        load(Base.NETWORK, _ARP_TARGET, 4, 0),
        member(0, names.ARP_ADDRESSES),
        decision(Verdict.DROP),
    ]
    own_sender = [
        load(Base.NETWORK, _ARP_SENDER, 4, 0),
        map_into(0, names.ARP_MACS, 2),
        write_header(2, _ARP_SENDER_MAC, 6),
    ]
    return [
        create(Msg.NEWTABLE, family, TABLE_FIELDS.pack({"name": TABLE}), f"make the ARP table {TABLE}"),
        _new_set(family, names.ARP_ADDRESSES, _TYPE_ADDRESS[4], 4),
        _new_set(family, names.ARP_MACS, _TYPE_ADDRESS[4], 4, SetFlag.MAP, data_type=_TYPE_ETHER, data_len=6),
        _base_chain(family, "in", _HOOK_ARP_IN),
        _base_chain(family, "out", _HOOK_ARP_OUT),
        _rule(family, "in", own_question),
        _rule(family, "out", own_sender),
    ]


# interfaces


def hook_interface(interface: str) -> list[Message]:
    """Look at what arrives at an interface; everything that is not for one of our addresses passes untouched."""
    chain = names.ingress(interface)
    messages = [_base_chain(Family.NETDEV, chain, _HOOK_INGRESS, interface)]
    for version, ethertype in ((4, b"\x08\x00"), (6, b"\x86\xdd")):
        layout = LAYOUTS[version]
        expressions = [
            load_meta(Meta.PROTOCOL, 4),
            compare(4, Cmp.EQ, ethertype),
            load(Base.NETWORK, layout.destination, layout.address_length, 0),
            decide(0, names.VIPS[version]),
        ]
        messages.append(_rule(Family.NETDEV, chain, expressions))
    return messages


def unhook_interface(interface: str) -> list[Message]:
    return _drop_chain(names.ingress(interface))


# addresses


def add_address(address: Address) -> list[Message]:
    """All that one address needs, with every slot closed; then packets for it are led there."""
    family = Family.NETDEV
    own = Names.of(address.ip)
    layout = LAYOUTS[address.ip.version]
    flow_length = layout.address_length + 8
    flow_type = (_TYPE_ADDRESS[layout.version] << 6 | _TYPE_PORT) << 6 | _TYPE_PORT
    chains = chains_of(address)
    messages = [_new_counter(own.counter(fate)) for fate in Fate]
    messages += [
        _new_map(family, own.slots, _TYPE_MARK, 4, counted=True),
        _new_set(family, own.keep, flow_type, flow_length, SetFlag.EVAL | SetFlag.TIMEOUT, size=FLOWS_MAX),
        _new_set(family, own.mine, flow_type, flow_length, SetFlag.EVAL | SetFlag.TIMEOUT, size=FLOWS_MAX),
    ]
    for part in chains:
        comment = {"userdata": names.describe(address)} if part is Part.ENTRY else {}
        body = CHAIN.pack({"table": TABLE, "name": own.chain(part), **comment})
        messages.append(create(Msg.NEWCHAIN, family, body, f"make the chain {own.chain(part)}"))
    for part, rules in chains.items():
        messages += [_rule(family, own.chain(part), rule) for rule in rules]
    to_entry = {"verdict": {"code": Verdict.GOTO, "chain": own.chain(Part.ENTRY)}}
    messages += _fill(family, names.VIPS[layout.version], [{"key": {"value": address.ip.packed}, "data": to_entry}])
    return messages


def remove_address(address: Address) -> list[Message]:
    """The inverse of `add_address`, in the order in which nothing is in use any more."""
    family = Family.NETDEV
    own = Names.of(address.ip)
    parts = list(chains_of(address))
    vip = {"key": {"value": address.ip.packed}}
    messages = _drain(family, names.VIPS[address.ip.version], [vip])
    for part in parts:
        body = RULE.pack({"table": TABLE, "chain": own.chain(part)})
        messages.append(message(Msg.DELRULE, family, body, f"empty the chain {own.chain(part)}"))
    for name in (own.slots, own.keep, own.mine):
        body = SET.pack({"table": TABLE, "name": name})
        messages.append(message(Msg.DELSET, family, body, f"remove the set {name}"))
    for part in parts:
        body = CHAIN.pack({"table": TABLE, "name": own.chain(part)})
        messages.append(message(Msg.DELCHAIN, family, body, f"remove the chain {own.chain(part)}"))
    for fate in Fate:
        body = OBJECT.pack({"table": TABLE, "name": own.counter(fate), "type": OBJECT_COUNTER})
        messages.append(message(Msg.DELOBJ, family, body, f"remove the counter {own.counter(fate)}"))
    return messages


def share_mac(address: Address) -> list[Message]:
    """Let the ARP belt know an address (IPv4; Neighbor Discovery needs no belt, see hosts' own set-up)."""
    if address.ip.version != 4:
        return []
    key = {"value": address.ip.packed}
    return [
        *_fill(Family.ARP, names.ARP_ADDRESSES, [{"key": key}]),
        *_fill(Family.ARP, names.ARP_MACS, [{"key": key, "data": {"value": mac.pack_mac(address.mac)}}]),
    ]


def unshare_mac(address: Address) -> list[Message]:
    if address.ip.version != 4:
        return []
    key = [{"key": {"value": address.ip.packed}}]
    return [*_drain(Family.ARP, names.ARP_ADDRESSES, key), *_drain(Family.ARP, names.ARP_MACS, key)]


# slots and flows


def set_slots(
    ip: IPv4Address | IPv6Address, before: Mapping[int, SlotState], after: Mapping[int, SlotState]
) -> list[Message]:
    """Move each slot whose state differs: an element cannot be changed, but replaced within a transaction."""
    closed = SlotState.CLOSED
    moved = sorted({number for number, _ in before.items() ^ after.items()})
    leaving = [number for number in moved if before.get(number, closed) != closed]
    entering = {number: STATE_CHAINS[after[number]] for number in moved if after.get(number, closed) != closed}
    return _replace(ip, leaving, entering)


def note_syns(ip: IPv4Address | IPv6Address, slots: Iterable[int]) -> list[Message]:
    """Slots that are open go on so, and each new SYN to them is noted (the first step of draining)."""
    chosen = dict.fromkeys(slots, Part.NOTING)
    return _replace(ip, list(chosen), chosen)


def reopen(ip: IPv4Address | IPv6Address, slots: Iterable[int]) -> list[Message]:
    """Take `note_syns` back."""
    chosen = dict.fromkeys(slots, Part.OPEN)
    return _replace(ip, list(chosen), chosen)


def _replace(ip: IPv4Address | IPv6Address, leaving: Sequence[int], entering: Mapping[int, Part]) -> list[Message]:
    own = Names.of(ip)
    by_part = {
        part: {"verdict": {"code": Verdict.GOTO, "chain": own.chain(part)}} for part in set(entering.values())
    }
    tails = {part: ELEMENT.pack({"data": data}) for part, data in by_part.items()}
    # thousands of slots differ in four bytes only: the rest of an element is packed once
    head = ELEMENT.pack({"key": {"value": bytes(4)}})[:-4]
    removals = [_list_element(head + _slot.pack(slot)) for slot in leaving]
    additions = [_list_element(head + _slot.pack(slot) + tails[part]) for slot, part in entering.items()]
    return [
        *_packed(Msg.DELSETELEM, own.slots, removals, "close slots"),
        *_packed(Msg.NEWSETELEM, own.slots, additions, "open slots"),
    ]


def keep_flows(ip: IPv4Address | IPv6Address, flows: Iterable[bytes]) -> list[Message]:
    """Flows (see `flow_key`) of local sockets stay here while their slot moves."""
    elements = [_list_element(ELEMENT.pack({"key": {"value": flow}})) for flow in flows]
    return _packed(Msg.NEWSETELEM, Names.of(ip).keep, elements, "keep the flows of local sockets")


def note_flows(ip: IPv4Address | IPv6Address, flows: Iterable[bytes]) -> list[Message]:
    """Half-open flows: their SYN was taken here, and may be repeated."""
    elements = [_list_element(ELEMENT.pack({"key": {"value": flow}, "timeout": SYN_TIMEOUT_MS})) for flow in flows]
    return _packed(Msg.NEWSETELEM, Names.of(ip).mine, elements, "note half-open flows")


def forget_flows(set_name: str, flows: Iterable[bytes]) -> list[Message]:
    elements = [_list_element(ELEMENT.pack({"key": {"value": flow}})) for flow in flows]
    return _packed(Msg.DELSETELEM, set_name, elements, "forget flows")


def flow_key(client: IPv4Address | IPv6Address, client_port: int, local_port: int) -> bytes:
    """A flow as keep and mine hold it; the same bytes as the key of sourceip-sourceport-destport."""
    return client.packed + _port.pack(client_port) + _port.pack(local_port)


# building blocks


def flush_set(family: Family, name: str) -> Message:
    """Remove all elements; an empty set is no error."""
    return message(Msg.DELSETELEM, family, ELEMENTS.pack({"table": TABLE, "set": name}), f"empty the set {name}")


def _new_set(
    family: Family,
    name: str,
    key_type: int,
    key_len: int,
    flags: SetFlag = SetFlag(0),  # noqa: B008 - an immutable number
    *,
    size: int = 0,
    **more: Any,
) -> Message:
    members: dict[str, Any] = {
        "table": TABLE,
        "name": name,
        "flags": flags,
        "key_type": key_type,
        "key_len": key_len,
    }
    if size:
        members["desc"] = {"size": size}
    body = SET.pack({**members, "id": 1, **more})
    return create(Msg.NEWSET, family, body, f"make the set {name}")


def _new_map(family: Family, name: str, key_type: int, key_len: int, *, counted: bool = False) -> Message:
    """A verdict map; `counted` gives every element a counter of its own."""
    more: dict[str, Any] = {"data_type": VERDICT_DATA, "data_len": 16}
    flags = SetFlag.MAP
    if counted:
        flags |= SetFlag.EXPR
        more["expression"] = ("counter", {})
    return _new_set(family, name, key_type, key_len, flags, **more)


def _new_counter(name: str) -> Message:
    body = OBJECT.pack({"table": TABLE, "name": name, "type": OBJECT_COUNTER, "data": {}})
    return create(Msg.NEWOBJ, Family.NETDEV, body, f"make the counter {name}")


def _base_chain(family: Family, name: str, hook: int, interface: str | None = None) -> Message:
    place: dict[str, Any] = {"hooknum": hook, "priority": 0}
    where = ""
    if interface is not None:
        place["dev"] = interface
        where = f" at the interface {interface}"
    members = {"table": TABLE, "name": name, "hook": place, "policy": _POLICY_ACCEPT, "type": "filter"}
    return create(Msg.NEWCHAIN, family, CHAIN.pack(members), f"make the chain {name}{where}")


def _drop_chain(name: str) -> list[Message]:
    family = Family.NETDEV
    return [
        message(Msg.DELRULE, family, RULE.pack({"table": TABLE, "chain": name}), f"empty the chain {name}"),
        message(Msg.DELCHAIN, family, CHAIN.pack({"table": TABLE, "name": name}), f"remove the chain {name}"),
    ]


def _rule(family: Family, chain: str, expressions: Sequence[Expression]) -> Message:
    body = RULE.pack({"table": TABLE, "chain": chain, "expressions": expressions})
    # NLM_F_CREATE | NLM_F_APPEND: rules stand in the order in which they are said
    return message(Msg.NEWRULE, family, body, f"add a rule to the chain {chain}", 0x400 | 0x800)


def _fill(family: Family, name: str, elements: list[dict[str, Any]]) -> list[Message]:
    body = ELEMENTS.pack({"table": TABLE, "set": name, "elements": elements})
    return [create(Msg.NEWSETELEM, family, body, f"fill the set {name}")]


def _drain(family: Family, name: str, elements: list[dict[str, Any]]) -> list[Message]:
    body = ELEMENTS.pack({"table": TABLE, "set": name, "elements": elements})
    return [message(Msg.DELSETELEM, family, body, f"take elements from the set {name}")]


def _list_element(packed: bytes) -> bytes:
    return raw_attribute(0x8001, packed)


def _packed(kind: Msg, set_name: str, elements: Sequence[bytes], what: str) -> list[Message]:
    """Elements that are packed already, as many messages as attributes of 16-bit length need."""
    head = PACKED_ELEMENTS.pack({"table": TABLE, "set": set_name})
    flags = 0x400 if kind is Msg.NEWSETELEM else 0
    return [
        message(
            kind,
            Family.NETDEV,
            head + raw_attribute(0x8003, b"".join(elements[at : at + _ELEMENTS_PER_MESSAGE])),
            f"{what} in the set {set_name}",
            flags,
        )
        for at in range(0, len(elements), _ELEMENTS_PER_MESSAGE)
    ]
