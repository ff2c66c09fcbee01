"""The rules of one address: from a packet to its slot, from the slot to what its state allows.

    interface ─ family ─ destination ─► entry ─ lease ─┐                      no lease: drop
        (other VLANs' frames and Neighbour Discovery go on untouched)
      ┌──────────────────────────────────────────────────────────┘
      ├─ TCP, UDP, SCTP ──► ports ──┐
      ├─ ICMP ─┬─ error ──► quote ──┤ hash ─► slots map ─┬─► open
      │        └─ other ─┐          │                    ├─► draining, keeping UDP
      └─ fragment, other ┴► source ─┘    no slot: drop   └─► opening, leaving UDP
         (IPv6 fragments that begin with extension headers: fragment, which is the same as source)

The lease stands before everything, so that the counter of an open slot counts what was accepted.
A hash never leaves its rule's registers: no mark of anybody's is touched.  What a map does not know ends its rule,
so each chain's last rules say what that means: `foreign` where the packet could be hashed, else `fault` tells why.
Ports that are not shared (`port_rules`) leave `ports` and `quote` for a chain of their own: one slot's, or `barred`.
The same decisions, in Python, are in datapath.hashing; tests/netns holds the two against each other.
"""

from __future__ import annotations

from datapath.engine import Address, HashKind, HashOrder
from datapath.hashing import ND_HOP_LIMIT, ND_TYPES, NETWORK_BYTES, PORT_PROTOCOLS, PORTS_IN_KEY
from datapath.nft.expressions import (
    Base,
    Cmp,
    Expression,
    Meta,
    compare,
    decide,
    drop_counted,
    goto,
    host_to_network,
    jenkins,
    load,
    load_extension,
    load_meta,
    load_value,
    mask,
    member,
    verdict,
)
from datapath.nft.faults import fault, quote_fault
from datapath.nft.names import EXTENSIONS, PORTED, VIPS, WHOLE_PORTED, Fate, Names, Part, one_slot
from datapath.nft.packets import (
    ICMP_HEADER,
    IPV6_FRAGMENT,
    KEY,
    LAYOUTS,
    SCRATCH,
    SLOT,
    Layout,
    Rule,
    is_icmp_error,
    is_ipv6_fragment,
    is_unfragmented_ipv4,
    is_version6,
    protocol_is,
    quote_is_no_later_fragment,
    slot_mark,
)
from datapath.nft.protocol import Verdict
from datapath.nft.states import accept, draining, keeping_udp, leaving_udp, noting, opening, without_lease
from datapath.ports import intervals

_ETHERTYPE = 12


def chains_of(address: Address) -> dict[str, list[Rule]]:
    """All chains of an address with their rules, by `Part` or `one_slot`."""
    layout = LAYOUTS[address.ip.version]
    names = Names.of(address.ip)
    by_ports = looks_at_ports(address)
    chains: dict[str, list[Rule]] = {
        Part.ENTRY: [
            *_not_judged(layout),
            [*without_lease(), *drop_counted(names.counter(Fate.EXPIRED))],
            *(_judge(layout, names, by_ports) if by_ports else _judge_by_source(address, layout, names)),
        ],
        # the kernel knows a protocol only where the header's lengths are sound
        Part.SOURCE: _by_source(address, layout, names, load_meta(Meta.L4PROTO, SCRATCH)),
        Part.FRAGMENT: _by_source(address, layout, names),
        Part.ICMP: _icmp(layout, names),
        Part.QUOTE: _quote(address, layout, names),
        Part.FAULT: fault(layout, names),
        Part.QUOTE_FAULT: quote_fault(layout, names),
        Part.OPEN: [accept(names)],
        Part.NOTING: noting(layout, names),
        Part.DRAINING: draining(layout, names),
        Part.OPENING: opening(layout, names),
        Part.KEEPING_UDP: keeping_udp(layout, names),
        Part.LEAVING_UDP: leaving_udp(layout, names),
    }
    if by_ports:
        chains[Part.PORTS] = _by_ports(address, layout, names)
    for protocol in PORT_PROTOCOLS:
        for interval in intervals(address.port_rules, protocol):
            if interval.slot is None:
                chains[Part.BARRED] = [drop_counted(names.counter(Fate.REFUSED_PORT))]
            else:
                chains[one_slot(interval.slot)] = [
                    [load_value(slot_mark.pack(interval.slot), SLOT), decide(SLOT, names.slots)],
                    drop_counted(names.counter(Fate.FOREIGN)),
                ]
    return chains


def looks_at_ports(address: Address) -> bool:
    return bool(PORTS_IN_KEY[address.hash_kind] or address.port_rules)


def of_this_segment() -> list[Rule]:
    """Rules of an interface: from frames to the addresses.

    A tagged frame belongs to its VLAN's interface and goes on untouched; id 0 is only a priority (IEEE 802.1Q).  Frames
    without a tag, which are nearly all, leave by the first rules.
    """
    ethertype = load(Base.LINK, _ETHERTYPE, 2, SCRATCH)
    untagged, with_priority = [], []
    for version, layout in LAYOUTS.items():
        is_untagged = (ethertype, compare(SCRATCH, Cmp.EQ, layout.ethertype))
        untagged += [[*is_untagged, *to_address(version)], [*is_untagged, verdict(Verdict.ACCEPT)]]
        with_priority.append(
            [
                *(load_meta(Meta.PROTOCOL, SCRATCH), compare(SCRATCH, Cmp.EQ, layout.ethertype)),
                *(ethertype, compare(SCRATCH, Cmp.NEQ, layout.ethertype)),
                load(Base.LINK, _ETHERTYPE + 2, 2, SCRATCH),
                *(mask(SCRATCH, b"\x0f\xff"), compare(SCRATCH, Cmp.EQ, b"\0\0")),
                *to_address(version),
            ]
        )
    return [*untagged, *with_priority]


def to_address(version: int) -> Rule:
    """To what is said of the destination address; what is not shared ends the rule."""
    layout = LAYOUTS[version]
    return load(Base.NETWORK, layout.destination, layout.address_length, KEY), decide(KEY, VIPS[version])


def _not_judged(layout: Layout) -> list[Rule]:
    """What goes on untouched: Neighbour Discovery, told as datapath.hashing does it."""
    if layout.version == 4:
        return []
    kind = load(Base.NETWORK, 40, 1, SCRATCH)
    return [
        [
            load(Base.NETWORK, layout.protocol, 2, SCRATCH),
            compare(SCRATCH, Cmp.EQ, bytes((layout.icmp, ND_HOP_LIMIT))),
            kind,
            compare(SCRATCH, Cmp.GTE, bytes((ND_TYPES.start,))),
            compare(SCRATCH, Cmp.LTE, bytes((ND_TYPES.stop - 1,))),
            *is_version6(),
            verdict(Verdict.RETURN),
        ],
    ]


def _continues_headers() -> Rule:
    """Of a fragment: what was taken apart begins with a further extension header.

    The kernel then knows no protocol of the later pieces (ipv6_find_hdr), though they are as sound as the first.
    """
    return *is_version6(), load_extension(IPV6_FRAGMENT, 0, 1, SCRATCH), member(SCRATCH, EXTENSIONS)


def _judge(layout: Layout, names: Names, by_ports: bool) -> list[Rule]:
    """Which of the four ways to a key this packet takes."""
    to_ports = goto(names.chain(Part.PORTS))
    to_icmp = goto(names.chain(Part.ICMP))
    rules: list[Rule] = []
    if layout.version == 4:
        if by_ports:
            rules.append([*_is_whole_ipv4_with_ports(), to_ports])
        rules.append([*protocol_is(layout.icmp), *is_unfragmented_ipv4(), to_icmp])
    else:
        if by_ports:
            # the usual packet has no extension headers: spare it the walk for a fragment header
            direct = (load(Base.NETWORK, layout.protocol, 1, SCRATCH), member(SCRATCH, PORTED))
            rules.append([*direct, to_ports])
        rules.append([*is_ipv6_fragment(), *_continues_headers(), goto(names.chain(Part.FRAGMENT))])
        rules.append([*is_ipv6_fragment(), goto(names.chain(Part.SOURCE))])
        if by_ports:
            rules.append([*_has_ports(), to_ports])
        rules.append([*protocol_is(layout.icmp), to_icmp])
    rules.append([goto(names.chain(Part.SOURCE))])
    return rules


def _has_ports() -> Rule:
    return load_meta(Meta.L4PROTO, SCRATCH), member(SCRATCH, PORTED)


def _is_whole_ipv4_with_ports() -> Rule:
    """Fragment bits and protocol, looked at at once; the hop limit between them does not count."""
    return load(Base.NETWORK, 6, 4, SCRATCH), mask(SCRATCH, b"\x3f\xff\0\xff"), member(SCRATCH, WHOLE_PORTED)


def whole_with_ports(protocol: int) -> bytes:
    """An element of WHOLE_PORTED."""
    return bytes((0, 0, 0, protocol))


def _judge_by_source(address: Address, layout: Layout, names: Names) -> list[Rule]:
    """Where ports do not count, nearly every packet is decided on at once: each expression costs it a hundredth."""
    key, length = _key_without_ports(address, load(Base.NETWORK, layout.source, layout.address_length, KEY))
    no_icmp = (load_meta(Meta.L4PROTO, SCRATCH), compare(SCRATCH, Cmp.NEQ, bytes((layout.icmp,))))
    return [
        [*no_icmp, *key, *_decide_by_hash(address, length)],
        [*no_icmp, *drop_counted(names.counter(Fate.FOREIGN))],
        *_judge(layout, names, by_ports=False),
    ]


def _decide_by_hash(address: Address, key_length: int) -> Rule:
    return (
        jenkins(KEY, key_length, address.slots, address.seed, SLOT),
        decide(SLOT, Names.of(address.ip).slots),
    )


def _client(address: Address, where: Expression) -> Rule:
    """The address that `where` loads, as the key has it."""
    length = LAYOUTS[address.ip.version].address_length
    if address.hash_kind is HashKind.SOURCENET:
        return where, mask(KEY, (b"\xff" * NETWORK_BYTES[length]).ljust(length, b"\0"))
    if address.hash_order is HashOrder.CLUSTERIP:
        return where, host_to_network(KEY, length)
    return (where,)


def _key_without_ports(address: Address, where: Expression) -> tuple[Rule, int]:
    """(what loads the key of a packet without ports, its length)."""
    layout = LAYOUTS[address.ip.version]
    client = _client(address, where)
    zeros = 4 * PORTS_IN_KEY[address.hash_kind]
    if address.hash_order is HashOrder.NETWORK or not zeros:
        return client, layout.address_length
    return (*client, load_value(bytes(zeros), layout.address_registers)), layout.address_length + zeros


def _by_source(address: Address, layout: Layout, names: Names, *sound: Expression) -> list[Rule]:
    """`sound` are expressions that end a rule for what cannot be parsed."""
    key, length = _key_without_ports(address, load(Base.NETWORK, layout.source, layout.address_length, KEY))
    return [
        [*sound, *key, *_decide_by_hash(address, length)],
        [*sound, *drop_counted(names.counter(Fate.FOREIGN))],
        [goto(names.chain(Part.FAULT))],
    ]


def _by_ports(address: Address, layout: Layout, names: Names) -> list[Rule]:
    source = load(Base.NETWORK, layout.source, layout.address_length, KEY)
    key = [*_client(address, source), *_ports_into_key(address, 0, 2)]
    if address.port_rules:
        key = [load(Base.TRANSPORT, 0, 4, SCRATCH), *key]
    to_service = (load_meta(Meta.L4PROTO, SCRATCH),)
    return [
        *_rules_for_ports(address, names, to_service, at=2),
        [*key, *_decide_by_hash(address, _key_length(address, layout))],
        [*key, *drop_counted(names.counter(Fate.FOREIGN))],
        [goto(names.chain(Part.FAULT))],
    ]


def _ports_into_key(address: Address, client_port: int, own_port: int) -> list[Expression]:
    """Load as many ports as the kind looks at, from these offsets, behind the address."""
    register = LAYOUTS[address.ip.version].address_registers
    loads = [load(Base.TRANSPORT, client_port, 2, register), load(Base.TRANSPORT, own_port, 2, register + 1)]
    return loads[: PORTS_IN_KEY[address.hash_kind]]


def _rules_for_ports(address: Address, names: Names, protocol: Rule, at: int) -> list[Rule]:
    """What goes to one slot or to none by its port of ours, found at an offset; `protocol` loads the protocol."""
    return [
        [
            *protocol,
            compare(SCRATCH, Cmp.EQ, bytes((number,))),
            load(Base.TRANSPORT, at, 2, SCRATCH),
            decide(SCRATCH, names.ports(number)),
        ]
        for number in sorted(PORT_PROTOCOLS)
        if intervals(address.port_rules, number)
    ]


def _key_length(address: Address, layout: Layout) -> int:
    return layout.address_length + 4 * PORTS_IN_KEY[address.hash_kind]


def _icmp(layout: Layout, names: Names) -> list[Rule]:
    return [
        [*is_icmp_error(layout), goto(names.chain(Part.QUOTE))],
        [load(Base.TRANSPORT, 0, ICMP_HEADER, SCRATCH), goto(names.chain(Part.SOURCE))],
        [goto(names.chain(Part.FAULT))],
    ]


def _quote(address: Address, layout: Layout, names: Names) -> list[Rule]:
    """An ICMP error: the quoted packet was ours, so its destination is the client."""
    destination = load(Base.TRANSPORT, ICMP_HEADER + layout.destination, layout.address_length, KEY)
    rules: list[Rule] = []
    if looks_at_ports(address):
        shows_ports = _quote_shows_ports(layout)
        for is_this_long, at in _quoted_headers(layout):
            here = (*is_this_long, *shows_ports, load(Base.TRANSPORT, at, 4, SCRATCH))
            with_ports = (*_client(address, destination), *_ports_into_key(address, at + 2, at))
            protocol = (*here, load(Base.TRANSPORT, ICMP_HEADER + layout.protocol, 1, SCRATCH))
            rules += _rules_for_ports(address, names, protocol, at)
            rules.append([*here, *with_ports, *_decide_by_hash(address, _key_length(address, layout))])
            rules.append([*here, *drop_counted(names.counter(Fate.FOREIGN))])
        rules.append([*shows_ports, goto(names.chain(Part.QUOTE_FAULT))])
    sound = _quote_is_sound(layout)
    key, length = _key_without_ports(address, destination)
    rules += [
        [*sound, *key, *_decide_by_hash(address, length)],
        [*sound, destination, *drop_counted(names.counter(Fate.FOREIGN))],
        [goto(names.chain(Part.QUOTE_FAULT))],
    ]
    return rules


def _quote_is_sound(layout: Layout) -> Rule:
    first = load(Base.TRANSPORT, ICMP_HEADER, 1, SCRATCH)
    if layout.version == 4:
        return first, compare(SCRATCH, Cmp.GTE, b"\x45"), compare(SCRATCH, Cmp.LTE, b"\x4f")
    return first, mask(SCRATCH, b"\xf0"), compare(SCRATCH, Cmp.EQ, b"\x60")


def _quote_shows_ports(layout: Layout) -> Rule:
    """The quoted protocol has ports, and (IPv4) the quote is not a later fragment."""
    ported = (load(Base.TRANSPORT, ICMP_HEADER + layout.protocol, 1, SCRATCH), member(SCRATCH, PORTED))
    if layout.version == 6:
        return *_quote_is_sound(layout), *ported
    return *_quote_is_sound(layout), *ported, *quote_is_no_later_fragment()


def _quoted_headers(layout: Layout) -> list[tuple[Rule, int]]:
    """For each length that the quoted header can have: how to tell, and where its ports begin in the packet."""
    if layout.version == 6:
        return [((), ICMP_HEADER + 40)]
    first = load(Base.TRANSPORT, ICMP_HEADER, 1, SCRATCH)
    return [
        ((first, compare(SCRATCH, Cmp.EQ, bytes((0x40 | words,)))), ICMP_HEADER + 4 * words)
        for words in range(5, 16)
    ]
