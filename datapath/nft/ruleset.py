"""Our tables as nf_tables messages: pure functions from what is wanted to what has to be said to the kernel."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from datapath import mac
from datapath.engine import Address, DatapathError
from datapath.hashing import ICMP_ERRORS, PORT_PROTOCOLS
from datapath.netlink import Message
from datapath.nft import names
from datapath.nft.blocks import (
    TYPE_ADDRESS,
    TYPE_ICMP,
    TYPE_MARK,
    TYPE_PORT,
    TYPE_PROTOCOL,
    TYPE_TIME,
    base_chain,
    drop_chain,
    fill,
    interval_elements,
    new_chain,
    new_counter,
    new_map,
    new_rule,
    new_set,
    take_out,
)
from datapath.nft.faults import malformed_beginnings
from datapath.nft.names import TABLE, Fate, Names, Part
from datapath.nft.packets import LAYOUTS
from datapath.nft.protocol import (
    CHAIN,
    ELEMENT_INTERVAL_END,
    OBJECT,
    OBJECT_COUNTER,
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
from datapath.nft.rules import chains_of, looks_at_ports, of_this_segment, whole_with_ports
from datapath.nft.templates import Templates
from datapath.ports import PORT_MAX, intervals

FLOWS_MAX = 262_144
"""Flows that a moving slot may note, for each address."""

HEARD_MAX = 8_192
"""Conversations of UDP that are noted for each address: what there is no room for tells that there are too many."""

ADDRESSES_MAX = 4096
"""Of each family."""
_HOOK_INGRESS = 0
_IPV6_EXTENSIONS = (0, 43, 44, 51, 59, 60)


# the tables


def drop_table(family: Family) -> list[Message]:
    """Remove the table, whether it is there or not: made first, a removal cannot fail."""
    body = TABLE_FIELDS.pack({"name": TABLE})
    return [
        message(Msg.NEWTABLE, family, body, f"make the table {TABLE}", 0x400),
        message(Msg.DELTABLE, family, body, f"remove the table {TABLE}"),
    ]


def drop_tables() -> list[Message]:
    """Remove all that is ours."""
    return [message for family in Family for message in drop_table(family)]


def netdev_table() -> list[Message]:
    """The table without addresses: nothing is lost to it, nothing accepted by it."""
    family = Family.NETDEV
    interval = SetFlag.INTERVAL | SetFlag.TIMEOUT
    messages = [
        create(Msg.NEWTABLE, family, TABLE_FIELDS.pack({"name": TABLE}), f"make the table {TABLE}"),
        new_set(family, names.LEASE, TYPE_TIME, 8, interval),
        new_set(family, names.PORTED, TYPE_PROTOCOL, 1),
        new_set(family, names.WHOLE_PORTED, TYPE_MARK, 4, size=len(PORT_PROTOCOLS)),
        new_set(family, names.ICMP_ERRORS, TYPE_ICMP, 1),
        new_set(family, names.EXTENSIONS, TYPE_PROTOCOL, 1),
        *fill(family, names.PORTED, [{"key": {"value": bytes((p,))}} for p in sorted(PORT_PROTOCOLS)]),
        *fill(
            family, names.WHOLE_PORTED, [{"key": {"value": whole_with_ports(p)}} for p in sorted(PORT_PROTOCOLS)]
        ),
        *fill(family, names.EXTENSIONS, [{"key": {"value": bytes((p,))}} for p in _IPV6_EXTENSIONS]),
        *fill(family, names.ICMP_ERRORS, [{"key": {"value": bytes((t,))}} for t in sorted(ICMP_ERRORS)]),
        new_set(family, names.MALFORMED[4], TYPE_MARK, 4, SetFlag.INTERVAL),
        *fill(family, names.MALFORMED[4], interval_elements(malformed_beginnings())),
    ]
    for version in (4, 6):
        length = LAYOUTS[version].address_length
        messages.append(new_map(family, names.VIPS[version], TYPE_ADDRESS[version], length, ADDRESSES_MAX))
    return messages


# interfaces


def hook_interface(interface: str) -> list[Message]:
    """Look at what arrives at an interface; everything that is not for one of our addresses passes untouched."""
    chain = names.ingress(interface)
    base = base_chain(Family.NETDEV, chain, _HOOK_INGRESS, interface)
    return [base, *(new_rule(Family.NETDEV, chain, rule) for rule in of_this_segment())]


def unhook_interface(interface: str) -> list[Message]:
    return drop_chain(names.ingress(interface))


# addresses


def add_address(address: Address) -> list[Message]:
    """All that one address needs, with every slot closed; then packets for it are led there."""
    own = Names.of(address.ip)
    said: dict[str, bytes] = {Part.ENTRY: names.describe(address)}
    if address.port_rules:
        said[Part.PORTS] = names.describe_ports(address)
    to_entry = {"verdict": {"code": Verdict.GOTO, "chain": own.chain(Part.ENTRY)}}
    vip = {"key": {"value": address.ip.packed}, "data": to_entry}
    return [
        *(new_chain(own.chain(part), {"userdata": comment}) for part, comment in said.items()),
        *_BEGINNINGS.messages(address),
        *fill(Family.NETDEV, names.VIPS[address.ip.version], [vip]),
    ]


def _begin(address: Address) -> list[Message]:
    """What an address needs besides the chains that describe it: counters, sets, chains, rules."""
    family = Family.NETDEV
    own = Names.of(address.ip)
    layout = LAYOUTS[address.ip.version]
    flow_length = layout.address_length + 8
    flow_type = (TYPE_ADDRESS[layout.version] << 6 | TYPE_PORT) << 6 | TYPE_PORT
    flows = [(name, flow_type, flow_length) for name in (own.keep, own.mine, own.never, own.left)]
    chains = chains_of(address)
    described = {Part.ENTRY, Part.PORTS} if address.port_rules else {Part.ENTRY}
    return [
        *(new_counter(own.counter(fate)) for fate in Fate),
        new_map(family, own.slots, TYPE_MARK, 4, address.slots, counted=True),
        *(
            new_set(family, name, key_type, key_length, SetFlag.EVAL | SetFlag.TIMEOUT, size=FLOWS_MAX)
            for name, key_type, key_length in (
                *flows,
                (own.never_syns, flow_type << 6 | TYPE_MARK, flow_length + 4),
            )
        ),
        new_set(family, own.heard, flow_type, flow_length, SetFlag.EVAL | SetFlag.TIMEOUT, size=HEARD_MAX),
        *(new_chain(own.chain(part)) for part in chains if part not in described),
        *_port_maps(address),
        *(new_rule(family, own.chain(part), rule) for part, rules in chains.items() for rule in rules),
    ]


def chain_names(address: Address) -> list[str]:
    """The parts that `chains_of` has, without their rules."""
    parts: list[str] = [part for part in Part if part not in (Part.PORTS, Part.BARRED)]
    if looks_at_ports(address):
        parts.append(Part.PORTS)
    special = {
        Part.BARRED if interval.slot is None else names.one_slot(interval.slot)
        for protocol in PORT_PROTOCOLS
        for interval in intervals(address.port_rules, protocol)
    }
    return [*parts, *sorted(special)]


def elements_naming(
    addresses: Collection[Address],
) -> dict[tuple[Family, str], frozenset[tuple[bytes, bytes | str]]]:
    """What leads to these addresses, and what names them in the belts: set or map → key, and data or chain."""
    found: dict[tuple[Family, str], frozenset[tuple[bytes, bytes | str]]] = {}
    for version, belt in ((4, Family.ARP), (6, Family.IP6)):
        own = [address for address in addresses if address.ip.version == version]
        ways = frozenset((one.ip.packed, Names.of(one.ip).chain(Part.ENTRY)) for one in own)
        found[Family.NETDEV, names.VIPS[version]] = ways
        found[belt, names.SHARED_ADDRESSES] = frozenset((one.ip.packed, b"") for one in own)
        found[belt, names.SHARED_MACS] = frozenset((one.ip.packed, mac.pack_mac(one.mac)) for one in own)
    return found


def _port_maps(address: Address) -> list[Message]:
    """For each protocol with ports that are not shared: interval → the chain of what becomes of them."""
    family, own = Family.NETDEV, Names.of(address.ip)
    messages = []
    for protocol in sorted(PORT_PROTOCOLS):
        elements: list[dict[str, Any]] = []
        for interval in intervals(address.port_rules, protocol):
            part = Part.BARRED if interval.slot is None else names.one_slot(interval.slot)
            to_chain = {"verdict": {"code": Verdict.GOTO, "chain": own.chain(part)}}
            elements.append({"key": {"value": interval.first.to_bytes(2, "big")}, "data": to_chain})
            if interval.last < PORT_MAX:
                end = (interval.last + 1).to_bytes(2, "big")
                elements.append({"key": {"value": end}, "flags": ELEMENT_INTERVAL_END})
        if elements:
            flags = SetFlag.MAP | SetFlag.INTERVAL
            more = {"data_type": VERDICT_DATA, "data_len": 16}
            messages.append(new_set(family, own.ports(protocol), TYPE_PORT, 2, flags, **more))
            messages += fill(family, own.ports(protocol), elements)
    return messages


def check_room(addresses: Collection[Address]) -> None:
    """DatapathError when there are more of a family than the maps were made for."""
    for version in LAYOUTS:
        count = sum(address.ip.version == version for address in addresses)
        if count > ADDRESSES_MAX:
            raise DatapathError(
                f"{count} shared addresses of IPv{version} are wanted, and the nft engine takes {ADDRESSES_MAX}; "
                "remove some or take the engine bpf"
            )


def remove_address(address: Address) -> list[Message]:
    """The inverse of `add_address`, in the order in which nothing is in use any more."""
    vip = {"key": {"value": address.ip.packed}}
    return [*take_out(Family.NETDEV, names.VIPS[address.ip.version], [vip]), *_ENDS.messages(address)]


def _end(address: Address) -> list[Message]:
    """The inverse of `_begin`, and the removal of the chains that describe the address."""
    family = Family.NETDEV
    own = Names.of(address.ip)
    messages = []
    parts = list(chains_of(address))
    for part in parts:
        body = RULE.pack({"table": TABLE, "chain": own.chain(part)})
        messages.append(message(Msg.DELRULE, family, body, f"empty the chain {own.chain(part)}"))
    port_maps = [
        own.ports(protocol) for protocol in sorted(PORT_PROTOCOLS) if intervals(address.port_rules, protocol)
    ]
    for name in (own.slots, own.keep, own.mine, own.never, own.never_syns, own.heard, own.left, *port_maps):
        body = SET.pack({"table": TABLE, "name": name})
        messages.append(message(Msg.DELSET, family, body, f"remove the set {name}"))
    for part in parts:
        body = CHAIN.pack({"table": TABLE, "name": own.chain(part)})
        messages.append(message(Msg.DELCHAIN, family, body, f"remove the chain {own.chain(part)}"))
    for fate in Fate:
        body = OBJECT.pack({"table": TABLE, "name": own.counter(fate), "type": OBJECT_COUNTER})
        messages.append(message(Msg.DELOBJ, family, body, f"remove the counter {own.counter(fate)}"))
    return messages


_BEGINNINGS, _ENDS = Templates(_begin), Templates(_end)
