"""The rules of one address: from a packet to its slot, from the slot to what its state allows.

    base chain ─ destination ─► entry ─ lease ─► judge ─┐            no lease: drop
      ┌─────────────────────────────────────────────────┘
      ├─ TCP, UDP, SCTP ──► ports ──┐
      ├─ ICMP ─┬─ error ──► quote ──┤ hash ─► slots map ─┬─► open
      │        └─ other ─┐          │                    ├─► draining
      └─ fragment, other ┴► source ─┘    no slot: drop   └─► opening

The lease stands before everything, so that the counter of an open slot counts what was accepted.
A hash never leaves its rule's registers: no mark of anybody's is touched.  What a map does not know ends its rule,
so each chain's last rules say what that means: `foreign` where the packet could be hashed, `unparsable` where not.
The same decisions, in Python, are in datapath.hashing; tests/netns holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct

from datapath.engine import Address, HashKind
from datapath.hashing import ICMPV6_ERROR_MAX
from datapath.nft.expressions import (
    Base,
    Cmp,
    Expression,
    Meta,
    compare,
    count,
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
    note,
    set_meta,
    verdict,
)
from datapath.nft.names import ICMP_ERRORS, LEASE, PORTED, Fate, Names, Part
from datapath.nft.protocol import Verdict

Rule = Sequence[Expression]

TCP = 6
SYN_TIMEOUT_MS = 60_000
"""A noted SYN is forgotten after this, unless its client goes on: a flood of forged ones cannot stay."""
FLOW_TIMEOUT_MS = 3_600_000
"""A connection made while its slot moves is forgotten when it has been silent for this long."""

_IPV6_FRAGMENT = 44
_ICMP_HEADER = 8
_SYN = 0x02
_FIN_SYN_RST_ACK = 0x17
_PACKET_HOST = Struct("=I").pack(0)

# registers: a key lies in one row from 0 on, what is looked at in passing beyond it
_KEY = 0
_SLOT = 8
_SCRATCH = 9
_CLOCK = 10


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a family's headers keep what we read, in bytes."""

    version: int
    address_length: int
    source: int
    """of the source address in the IP header"""
    destination: int
    icmp: int
    """protocol number"""
    protocol: int
    """of the protocol (next header) field"""

    @property
    def address_registers(self) -> int:
        return self.address_length // 4


LAYOUTS = {
    4: Layout(version=4, address_length=4, source=12, destination=16, icmp=1, protocol=9),
    6: Layout(version=6, address_length=16, source=8, destination=24, icmp=58, protocol=6),
}


def chains_of(address: Address) -> dict[Part, list[Rule]]:
    """All chains of an address with their rules."""
    layout = LAYOUTS[address.ip.version]
    names = Names.of(address.ip)
    by_ports = address.hash_kind is not HashKind.SOURCEIP
    chains = {
        Part.ENTRY: [[*_under_lease(), goto(names.chain(Part.JUDGE))], drop_counted(names.counter(Fate.EXPIRED))],
        Part.JUDGE: _judge(layout, names, by_ports),
        Part.SOURCE: _by_source(address, layout, names),
        Part.ICMP: _icmp(layout, names),
        Part.QUOTE: _quote(address, layout, names),
        Part.OPEN: [_accept(names)],
        Part.NOTING: _noting(layout, names),
        Part.DRAINING: _draining(layout, names),
        Part.OPENING: _opening(layout, names),
    }
    if by_ports:
        chains[Part.PORTS] = _by_ports(address, layout, names)
    return chains


def _protocol_is(number: int) -> Rule:
    return load_meta(Meta.L4PROTO, _SCRATCH), compare(_SCRATCH, Cmp.EQ, bytes((number,)))


def _is_unfragmented_ipv4() -> Rule:
    """Neither more-fragments nor an offset."""
    return load(Base.NETWORK, 6, 2, _SCRATCH), mask(_SCRATCH, b"\x3f\xff"), compare(_SCRATCH, Cmp.EQ, b"\0\0")


def _is_ipv6_fragment() -> Rule:
    """A fragment header that is not atomic (RFC 6946): an offset, or more to come."""
    return (
        load_extension(_IPV6_FRAGMENT, 2, 2, _SCRATCH),
        mask(_SCRATCH, b"\xff\xf9"),
        compare(_SCRATCH, Cmp.NEQ, b"\0\0"),
    )


def _judge(layout: Layout, names: Names, by_ports: bool) -> list[Rule]:
    """Which of the four ways to a key this packet takes."""
    to_ports = goto(names.chain(Part.PORTS))
    ported = (load_meta(Meta.L4PROTO, _SCRATCH), member(_SCRATCH, PORTED))
    to_icmp = goto(names.chain(Part.ICMP))
    rules: list[Rule] = []
    if layout.version == 4:
        if by_ports:
            rules.append([*ported, *_is_unfragmented_ipv4(), to_ports])
        rules.append([*_protocol_is(layout.icmp), *_is_unfragmented_ipv4(), to_icmp])
    else:
        if by_ports:
            # the usual packet has no extension headers: spare it the walk for a fragment header
            direct = (load(Base.NETWORK, layout.protocol, 1, _SCRATCH), member(_SCRATCH, PORTED))
            rules.append([*direct, to_ports])
        rules.append([*_is_ipv6_fragment(), goto(names.chain(Part.SOURCE))])
        if by_ports:
            rules.append([*ported, to_ports])
        rules.append([*_protocol_is(layout.icmp), to_icmp])
    rules.append([goto(names.chain(Part.SOURCE))])
    return rules


def _decide_by_hash(address: Address, key_length: int) -> Rule:
    return (
        jenkins(_KEY, key_length, address.slots, address.seed, _SLOT),
        decide(_SLOT, Names.of(address.ip).slots),
    )


def _by_source(address: Address, layout: Layout, names: Names) -> list[Rule]:
    # the kernel knows a protocol only where the header's lengths are sound: that is what makes a packet parsable
    sound = load_meta(Meta.L4PROTO, _SCRATCH)
    key = load(Base.NETWORK, layout.source, layout.address_length, _KEY)
    return [
        [sound, key, *_decide_by_hash(address, layout.address_length)],
        [sound, *drop_counted(names.counter(Fate.FOREIGN))],
        drop_counted(names.counter(Fate.UNPARSABLE)),
    ]


def _by_ports(address: Address, layout: Layout, names: Names) -> list[Rule]:
    port = layout.address_registers
    key = [
        load(Base.NETWORK, layout.source, layout.address_length, _KEY),
        load(Base.TRANSPORT, 0, 2, port),
    ]
    if address.hash_kind is HashKind.SOURCEIP_SOURCEPORT_DESTPORT:
        key.append(load(Base.TRANSPORT, 2, 2, port + 1))
    return [
        [*key, *_decide_by_hash(address, _key_length(address, layout))],
        [*key, *drop_counted(names.counter(Fate.FOREIGN))],
        drop_counted(names.counter(Fate.UNPARSABLE)),
    ]


def _key_length(address: Address, layout: Layout) -> int:
    ports = {HashKind.SOURCEIP: 0, HashKind.SOURCEIP_SOURCEPORT: 1, HashKind.SOURCEIP_SOURCEPORT_DESTPORT: 2}
    return layout.address_length + 4 * ports[address.hash_kind]


def _icmp(layout: Layout, names: Names) -> list[Rule]:
    return [
        [*_is_icmp_error(layout), goto(names.chain(Part.QUOTE))],
        [load(Base.TRANSPORT, 0, _ICMP_HEADER, _SCRATCH), goto(names.chain(Part.SOURCE))],
        drop_counted(names.counter(Fate.UNPARSABLE)),
    ]


def _is_icmp_error(layout: Layout) -> Rule:
    # the whole header is loaded, so that a shorter packet ends the rule; its first byte is the type
    kind = (load(Base.TRANSPORT, 0, _ICMP_HEADER, _SCRATCH), load(Base.TRANSPORT, 0, 1, _SCRATCH))
    if layout.version == 4:
        return *kind, member(_SCRATCH, ICMP_ERRORS)
    return *kind, compare(_SCRATCH, Cmp.LTE, bytes((ICMPV6_ERROR_MAX,)))


def _quote(address: Address, layout: Layout, names: Names) -> list[Rule]:
    """An ICMP error: the quoted packet was ours, so its destination is the client."""
    client = load(Base.TRANSPORT, _ICMP_HEADER + layout.destination, layout.address_length, _KEY)
    rules: list[Rule] = []
    if address.hash_kind is not HashKind.SOURCEIP:
        shows_ports = _quote_shows_ports(layout)
        port = layout.address_registers
        for is_this_long, at in _quoted_headers(layout):
            key = [client, load(Base.TRANSPORT, at + 2, 2, port)]
            if address.hash_kind is HashKind.SOURCEIP_SOURCEPORT_DESTPORT:
                key.append(load(Base.TRANSPORT, at, 2, port + 1))
            rules.append(
                [*is_this_long, *shows_ports, *key, *_decide_by_hash(address, _key_length(address, layout))]
            )
            whole = load(Base.TRANSPORT, at, 4, _SCRATCH)
            rules.append([*is_this_long, *shows_ports, whole, *drop_counted(names.counter(Fate.FOREIGN))])
        rules.append([*shows_ports, *drop_counted(names.counter(Fate.UNPARSABLE))])
    sound = _quote_is_sound(layout)
    rules += [
        [*sound, client, *_decide_by_hash(address, layout.address_length)],
        [*sound, client, *drop_counted(names.counter(Fate.FOREIGN))],
        drop_counted(names.counter(Fate.UNPARSABLE)),
    ]
    return rules


def _quote_is_sound(layout: Layout) -> Rule:
    first = load(Base.TRANSPORT, _ICMP_HEADER, 1, _SCRATCH)
    if layout.version == 4:
        return first, compare(_SCRATCH, Cmp.GTE, b"\x45"), compare(_SCRATCH, Cmp.LTE, b"\x4f")
    return first, mask(_SCRATCH, b"\xf0"), compare(_SCRATCH, Cmp.EQ, b"\x60")


def _quote_shows_ports(layout: Layout) -> Rule:
    """The quoted protocol has ports, and (IPv4) the quote is not a later fragment."""
    ported = (load(Base.TRANSPORT, _ICMP_HEADER + layout.protocol, 1, _SCRATCH), member(_SCRATCH, PORTED))
    if layout.version == 6:
        return *_quote_is_sound(layout), *ported
    return *_quote_is_sound(layout), *ported, *_quote_is_no_later_fragment()


def _quote_is_no_later_fragment() -> Rule:
    at = _ICMP_HEADER + 6
    return load(Base.TRANSPORT, at, 2, _SCRATCH), mask(_SCRATCH, b"\x1f\xff"), compare(_SCRATCH, Cmp.EQ, b"\0\0")


def _quoted_headers(layout: Layout) -> list[tuple[Rule, int]]:
    """For each length that the quoted header can have: how to tell, and where its ports begin in the packet."""
    if layout.version == 6:
        return [((), _ICMP_HEADER + 40)]
    first = load(Base.TRANSPORT, _ICMP_HEADER, 1, _SCRATCH)
    return [
        ((first, compare(_SCRATCH, Cmp.EQ, bytes((0x40 | words,)))), _ICMP_HEADER + 4 * words)
        for words in range(5, 16)
    ]


# what a state allows


def _under_lease() -> Rule:
    """The host's lease runs: the wall clock, in network order because intervals are sorted bytes, is in the set."""
    return load_meta(Meta.TIME_NS, _CLOCK), host_to_network(_CLOCK, 8), member(_CLOCK, LEASE)


def _accept(names: Names, when: Rule = ()) -> Rule:
    """A frame to a group MAC is of type MULTICAST, and TCP ignores those: to accept is to make it HOST."""
    return (
        *when,
        load_value(_PACKET_HOST, _SCRATCH),
        set_meta(Meta.PKTTYPE, _SCRATCH),
        count(names.counter(Fate.ACCEPTED)),
        verdict(Verdict.ACCEPT),
    )


def _flow(layout: Layout) -> Rule:
    """The flow of a TCP packet as keep and mine have it: client, its port, our port."""
    port = layout.address_registers
    return (
        load(Base.NETWORK, layout.source, layout.address_length, _KEY),
        load(Base.TRANSPORT, 0, 2, port),
        load(Base.TRANSPORT, 2, 2, port + 1),
    )


def _quoted_flow(layout: Layout) -> Rule:
    """The flow that an ICMP error is about.  Our own packets carry no IP options: plain headers are enough."""
    port = layout.address_registers
    plain = b"\x45" if layout.version == 4 else b"\x60"
    header = 20 if layout.version == 4 else 40
    return (
        *_is_quoted_tcp(layout),
        load(Base.TRANSPORT, _ICMP_HEADER, 1, _SCRATCH),
        *([mask(_SCRATCH, b"\xf0")] if layout.version == 6 else []),
        compare(_SCRATCH, Cmp.EQ, plain),
        load(Base.TRANSPORT, _ICMP_HEADER + layout.destination, layout.address_length, _KEY),
        load(Base.TRANSPORT, _ICMP_HEADER + header + 2, 2, port),
        load(Base.TRANSPORT, _ICMP_HEADER + header, 2, port + 1),
    )


def _is_quoted_tcp(layout: Layout) -> Rule:
    return (
        *_protocol_is(layout.icmp),
        *_is_icmp_error(layout),
        load(Base.TRANSPORT, _ICMP_HEADER + layout.protocol, 1, _SCRATCH),
        compare(_SCRATCH, Cmp.EQ, bytes((TCP,))),
    )


def _flags_of_a_first_syn(how: Cmp) -> Rule:
    """A TCP packet that begins a connection (EQ), or one that does not (NEQ): SYN without ACK, FIN or RST."""
    return (
        *_protocol_is(TCP),
        load(Base.TRANSPORT, 13, 1, _SCRATCH),
        mask(_SCRATCH, bytes((_FIN_SYN_RST_ACK,))),
        compare(_SCRATCH, how, bytes((_SYN,))),
    )


def _note_syn(layout: Layout, names: Names, when: Rule = ()) -> Rule:
    """Accept a SYN, and remember its flow as one of this host."""
    syn = (*_flags_of_a_first_syn(Cmp.EQ), *_flow(layout))
    return _accept(names, (*syn, *when, note(_KEY, names.mine, SYN_TIMEOUT_MS)))


def _own_flows(layout: Layout, names: Names) -> list[Rule]:
    """What a moving slot's sockets here may hear: segments of their flows, and ICMP errors about them.

    A segment that follows a noted SYN makes it a flow.  A SYN never is one of these: a client that takes the same
    port again begins something new, which is the new owner's.
    """
    segment = (*_flags_of_a_first_syn(Cmp.NEQ), *_flow(layout))
    goes_on = note(_KEY, names.keep, FLOW_TIMEOUT_MS)
    quoted = _quoted_flow(layout)
    return [
        _accept(names, (*segment, member(_KEY, names.keep), goes_on)),
        _accept(names, (*segment, member(_KEY, names.mine), goes_on)),
        _accept(names, (*quoted, member(_KEY, names.keep))),
        _accept(names, (*quoted, member(_KEY, names.mine))),
    ]


def _noting(layout: Layout, names: Names) -> list[Rule]:
    """Open, and each new SYN is noted: the moment between reading the sockets and draining loses none."""
    return [_note_syn(layout, names), [goto(names.chain(Part.OPEN))]]


def _draining(layout: Layout, names: Names) -> list[Rule]:
    """Only what is ours already, half-open connections whose client repeats its SYN included."""
    return [
        _note_syn(layout, names, when=(member(_KEY, names.mine),)),
        *_own_flows(layout, names),
        drop_counted(names.counter(Fate.DRAINING)),
    ]


def _opening(layout: Layout, names: Names) -> list[Rule]:
    """New flows are ours; what is TCP and not known here belongs to a socket of the old owner: silence."""
    silent = drop_counted(names.counter(Fate.OPENING))
    return [
        _note_syn(layout, names),
        *_own_flows(layout, names),
        [*_protocol_is(TCP), *silent],
        [*_is_quoted_tcp(layout), *silent],
        _accept(names),
    ]
