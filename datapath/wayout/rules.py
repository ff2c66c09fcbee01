"""The table `vipcast-out`: two promises about what a host with shared addresses sends.  Pure: netlink messages.

1. No frame teaches anybody another MAC for a shared address than the shared one, whoever has made it: the kernel,
   arping, another cluster's agent.  Questions that are asked from the address leave with the shared MAC; answers and
   advertisements leave as our responder makes them, with the shared MAC, or not at all: a kernel that answers by
   itself would do so without a lease (family netdev, hook egress, a chain for each interface).
2. No program begins a conversation from a shared address: the replies would hash to any host.  A TCP connection is
   reset before its first packet leaves, an echo request, an SCTP association and a datagram from a port that the
   kernel has chosen are refused with EPERM (families ip and ip6, hook output).  What answers others goes out: TCP
   that is no first SYN, ICMP errors and echo replies, UDP from a service's port, and from a chosen port to whoever
   has sent something lately to such a port, or to 69 (RFC 1350 answers from another port than it was asked at).

A host's talk to itself passes by the loopback and is left alone.

The tables know what comes in, too, where an engine looks at frames to the shared MAC alone (raw): what comes to a
shared address in a frame to the host's own MAC was judged by nobody, and is dropped (hook input).
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

from datapath.frames import ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6
from datapath.hashing import ICMPV6
from datapath.neighbours import ADVERTISEMENT, SOLICITATION
from datapath.netlink import NLM_F_APPEND, NLM_F_CREATE, Message
from datapath.nft.expressions import (
    Base,
    Cmp,
    Expression,
    Meta,
    compare,
    count,
    decide,
    goto,
    load,
    load_meta,
    map_into,
    mask,
    member,
    note,
    reset,
    verdict,
    write_frame,
)
from datapath.nft.protocol import (
    CHAIN,
    ELEMENTS,
    OBJECT,
    OBJECT_COUNTER,
    RULE,
    SET,
    TABLE,
    VERDICT_DATA,
    Msg,
    SetFlag,
    Verdict,
    create,
    message,
)

NAME = "vipcast-out"
ADDRESSES = "addresses"
MACS = {4: "macs4", 6: "macs6"}
"""netdev: shared address → shared MAC"""
RIGHT = {4: "right4", 6: "right6"}
"""netdev: shared address . shared MAC, as answers and advertisements may say it"""
MENDING = "mending"
"""netdev chain: what is not IPv4 and leaves by an interface that has shared addresses"""
PROTOCOLS = "protocols"
"""verdict map: protocol → the chain that knows what begins a conversation in it"""
HEARD = "heard"
"""who has lately sent a datagram to a port that the kernel chooses: address . port"""
UNJUDGED = "unjudged"
"""address . interface: what comes that way has passed no engine; also the counter of what was dropped for it"""
REFUSED = "refused"
"""counter of a family: what was kept from leaving"""
HEARD_TIMEOUT_MS = 600_000
HEARD_MAX = 65_536
IFNAME_BYTES = 16
"""IFNAMSIZ"""


class Family(enum.IntEnum):
    """NFPROTO_*"""

    IP = 2
    NETDEV = 5
    IP6 = 10


VERSION = {Family.IP: 4, Family.IP6: 6}
ADDRESS_BYTES = {4: 4, 6: 16}
_SOURCE = {4: 12, 6: 8}
_DESTINATION = {4: 16, 6: 24}
_ICMP = {4: 1, 6: ICMPV6}
_ECHO_REQUEST = {4: 8, 6: 128}
_TYPE_ADDRESS = {4: 7, 6: 8}
"""nft's own numbers of data types, by which `nft list` prints elements"""
_TYPE_ETHER = 9
_TYPE_PROTOCOL = 12
_TYPE_PORT = 13
_TYPE_IFNAME = 41

_HOOK_LOCAL_IN = 1
_HOOK_LOCAL_OUT = 3
_HOOK_EGRESS = 1
_PRIORITY_RAW = -300
"""before connection tracking: what is refused leaves no entry"""
_ARPHRD_LOOPBACK = (772).to_bytes(2, "little")
_TCP, _UDP, _SCTP = 6, 17, 132
_TFTP = (69).to_bytes(2, "big")
_SYN, _SYN_ACK = b"\x02", b"\x12"
_SCTP_INIT = b"\x01"

# offsets in a frame; ARP for IPv4 and neighbour messages without extension headers have one shape each
_ETHERTYPE = 12
_ARP_OPERATION, _ARP_SENDER_MAC, _ARP_SENDER = 20, 22, 28
_ARP_REPLY = b"\0\x02"
_IP6_NEXT, _IP6_SOURCE = 20, 22
_ND_TYPE, _ND_CHECKSUM, _ND_TARGET, _ND_OPTION = 54, 56, 62, 78
_SOURCE_LINK_LAYER, _TARGET_LINK_LAYER = b"\x01\x01", b"\x02\x01"


def remove() -> list[Message]:
    """Take everything away, whether it is there or not: made first, a removal cannot fail."""
    messages = []
    for family in Family:
        body = TABLE.pack({"name": NAME})
        messages += [
            message(Msg.NEWTABLE, family, body, f"make the table {NAME}", 0x400),
            message(Msg.DELTABLE, family, body, f"remove the table {NAME}"),
        ]
    return messages


def build(chosen: tuple[int, int]) -> list[Message]:
    """The tables without any address; `chosen` are the first and the last port that the kernel chooses itself."""
    messages = [
        create(Msg.NEWTABLE, Family.NETDEV, TABLE.pack({"name": NAME}), f"make the table {NAME}"),
        *(
            _set(Family.NETDEV, MACS[version], _TYPE_ADDRESS[version], length, data=(_TYPE_ETHER, 6))
            for version, length in ADDRESS_BYTES.items()
        ),
        *(
            _set(Family.NETDEV, RIGHT[version], _TYPE_ADDRESS[version] << 6 | _TYPE_ETHER, length + 8)
            for version, length in ADDRESS_BYTES.items()
        ),
    ]
    messages.append(_chain(Family.NETDEV, MENDING))
    messages += [_rule(Family.NETDEV, MENDING, rule) for rule in _mending()]
    for family, version in VERSION.items():
        messages += _refusals(family, version, chosen)
    return messages


def _refusals(family: Family, version: int, chosen: tuple[int, int]) -> list[Message]:
    length = ADDRESS_BYTES[version]
    pair = (_TYPE_ADDRESS[version] << 6 | _TYPE_PORT, length + 4)
    by_protocol = _judging(version, chosen)
    to_chains = [
        {
            "key": {"value": bytes((protocol,))},
            "data": {"verdict": {"code": Verdict.GOTO, "chain": _judge(protocol)}},
        }
        for protocol in by_protocol
    ]
    fills = ELEMENTS.pack({"table": NAME, "set": PROTOCOLS, "elements": to_chains})
    rules = [
        *(("in", rule) for rule in _hearing(version, chosen)),
        # nearly all that leaves is TCP that goes on
        ("out", [*_is_protocol(_TCP), *_first_syn(Cmp.NEQ), verdict(Verdict.ACCEPT)]),
        ("out", [load(Base.NETWORK, _SOURCE[version], length, 0), *_to_ours("ours")]),
        (
            "ours",
            [load_meta(Meta.OIFTYPE, 8), compare(8, Cmp.EQ, _ARPHRD_LOOPBACK), verdict(Verdict.ACCEPT)],
        ),
        ("ours", [load_meta(Meta.L4PROTO, 8), decide(8, PROTOCOLS)]),
        *((_judge(protocol), rule) for protocol, judging in by_protocol.items() for rule in judging),
    ]
    return [
        create(Msg.NEWTABLE, family, TABLE.pack({"name": NAME}), f"make the table {NAME}"),
        _counter(family, REFUSED),
        _set(family, ADDRESSES, _TYPE_ADDRESS[version], length),
        _set(family, HEARD, *pair, flags=SetFlag.EVAL | SetFlag.TIMEOUT, size=HEARD_MAX),
        _set(family, PROTOCOLS, _TYPE_PROTOCOL, 1, data=(VERDICT_DATA, 16)),
        *(_chain(family, chain) for chain in ("ours", *map(_judge, by_protocol))),
        _hooked(family, "in", _HOOK_LOCAL_IN),
        _hooked(family, "out", _HOOK_LOCAL_OUT),
        create(Msg.NEWSETELEM, family, fills, f"fill the set {PROTOCOLS}"),
        *(_rule(family, chain, rule) for chain, rule in rules),
    ]


def guard() -> list[Message]:
    """The last on the way in: nothing comes to a shared address by an interface where nobody judges it.

    For engines that look at frames to the shared MAC alone; with others it would cost each packet a look-up.
    """
    messages = []
    for family, version in VERSION.items():
        length = ADDRESS_BYTES[version]
        rule = [
            load(Base.NETWORK, _DESTINATION[version], length, 0),
            *(load_meta(Meta.IIFNAME, length // 4), member(0, UNJUDGED), count(UNJUDGED), verdict(Verdict.DROP)),
        ]
        messages += [
            _counter(family, UNJUDGED),
            _set(family, UNJUDGED, _TYPE_ADDRESS[version] << 6 | _TYPE_IFNAME, length + IFNAME_BYTES),
            _rule(family, "in", rule),
        ]
    return messages


def _is_protocol(number: int) -> list[Expression]:
    return [load_meta(Meta.L4PROTO, 8), compare(8, Cmp.EQ, bytes((number,)))]


def _to_ours(chain: str) -> list[Expression]:
    return [member(0, ADDRESSES), goto(chain)]


def _judge(protocol: int) -> str:
    """The chain for packets of a protocol that leave with a shared address as their source."""
    return f"ours-{protocol}"


def _hearing(version: int, chosen: tuple[int, int]) -> list[list[Expression]]:
    """Who sends a datagram to a shared address, at a port of the kernel's choice or 69, is noted.

    Every packet for this host passes here.  Nearly all leave by expressions that the kernel runs in place, without a
    call (nft_cmp_fast, nft_bitwise_fast, nft_payload_fast): of four bytes at most, and for equality.
    """
    length = ADDRESS_BYTES[version]
    noted = [
        *_is_protocol(_UDP),
        load(Base.NETWORK, _DESTINATION[version], length, 0),
        member(0, ADDRESSES),
        load(Base.NETWORK, _SOURCE[version], length, 0),
        load(Base.TRANSPORT, 0, 2, length // 4),
        note(0, HEARD, HEARD_TIMEOUT_MS),
    ]
    port = load(Base.TRANSPORT, 2, 2, 8)
    return [
        [*_begins_like(chosen), port, *_within(8, chosen), *noted],
        [port, compare(8, Cmp.EQ, _TFTP), *noted],
    ]


def _begins_like(ports: tuple[int, int]) -> list[Expression]:
    """The destination port has the leading bits that all of these ports have."""
    first, last = ports
    free = (first ^ last).bit_length()
    bits = 0xFFFF >> free << free
    return [
        load(Base.TRANSPORT, 0, 4, 8),
        mask(8, bits.to_bytes(4, "big")),
        compare(8, Cmp.EQ, (first & bits).to_bytes(4, "big")),
    ]


def _judging(version: int, chosen: tuple[int, int]) -> dict[int, list[list[Expression]]]:
    """Protocol → what of it begins a conversation and is refused; the packet's source is a shared address."""
    length = ADDRESS_BYTES[version]
    refused = [count(REFUSED), verdict(Verdict.DROP)]
    from_chosen = [load(Base.TRANSPORT, 0, 2, 8), *_within(8, chosen)]
    to_heard = [load(Base.NETWORK, _DESTINATION[version], length, 0), load(Base.TRANSPORT, 2, 2, length // 4)]
    question = compare(8, Cmp.EQ, bytes((_ECHO_REQUEST[version],)))
    return {
        _TCP: [[*_first_syn(Cmp.EQ), count(REFUSED), reset()]],
        _UDP: [
            [*from_chosen, *to_heard, member(0, HEARD), verdict(Verdict.ACCEPT)],
            [*from_chosen, *refused],
        ],
        _ICMP[version]: [[load(Base.TRANSPORT, 0, 1, 8), question, *refused]],
        _SCTP: [[load(Base.TRANSPORT, 12, 1, 8), compare(8, Cmp.EQ, _SCTP_INIT), *refused]],
    }


def _first_syn(how: Cmp) -> list[Expression]:
    return [load(Base.TRANSPORT, 13, 1, 8), mask(8, _SYN_ACK), compare(8, how, _SYN)]


def _within(at: int, ports: tuple[int, int]) -> list[Expression]:
    first, last = (port.to_bytes(2, "big") for port in ports)
    return [compare(at, Cmp.GTE, first), compare(at, Cmp.LTE, last)]


# interfaces


def chain_of(interface: str) -> str:
    return f"out-{interface}"


def hook_interface(interface: str) -> list[Message]:
    """Mend what leaves by an interface.  Kernels before 5.16 have no such hook."""
    chain = chain_of(interface)
    body = {"hooknum": _HOOK_EGRESS, "priority": 0, "dev": interface}
    members = {"table": NAME, "name": chain, "hook": body, "policy": 1, "type": "filter"}
    what = f"make the chain {chain} on the way out of {interface}"
    return [
        create(Msg.NEWCHAIN, Family.NETDEV, CHAIN.pack(members), what),
        _rule(Family.NETDEV, chain, [*_ethertype(Cmp.NEQ, ETHERTYPE_IPV4), goto(MENDING)]),
    ]


def unhook(chain: str) -> list[Message]:
    return [
        message(Msg.DELRULE, Family.NETDEV, RULE.pack({"table": NAME, "chain": chain}), f"empty the chain {chain}"),
        message(
            Msg.DELCHAIN, Family.NETDEV, CHAIN.pack({"table": NAME, "name": chain}), f"remove the chain {chain}"
        ),
    ]


def _ethertype(how: Cmp, number: int) -> list[Expression]:
    return [load(Base.LINK, _ETHERTYPE, 2, 12), compare(12, how, number.to_bytes(2, "big"))]


def _mending() -> list[list[Expression]]:
    is_arp = _ethertype(Cmp.EQ, ETHERTYPE_ARP)
    is_reply = [load(Base.LINK, _ARP_OPERATION, 2, 12), compare(12, Cmp.EQ, _ARP_REPLY)]

    def is_neighbour(kind: int) -> list[Expression]:
        return [
            *_ethertype(Cmp.EQ, ETHERTYPE_IPV6),
            *(load(Base.LINK, _IP6_NEXT, 1, 12), compare(12, Cmp.EQ, bytes((ICMPV6,)))),
            *(load(Base.LINK, _ND_TYPE, 1, 12), compare(12, Cmp.EQ, bytes((kind,)))),
        ]

    def with_option(how: Cmp, option: bytes) -> list[Expression]:
        return [load(Base.LINK, _ND_OPTION, 2, 12), compare(12, how, option)]

    sender = load(Base.LINK, _ARP_SENDER, 4, 0)
    target = load(Base.LINK, _ND_TARGET, 16, 0)
    source = load(Base.LINK, _IP6_SOURCE, 16, 0)
    return [
        [*is_arp, sender, load(Base.LINK, _ARP_SENDER_MAC, 6, 1), member(0, RIGHT[4]), verdict(Verdict.ACCEPT)],
        [*is_arp, *is_reply, sender, map_into(0, MACS[4], 8), verdict(Verdict.DROP)],
        [*is_arp, sender, map_into(0, MACS[4], 8), write_frame(8, _ARP_SENDER_MAC, 6)],
        # most of what leaves by IPv6 ends here
        [load(Base.LINK, _IP6_NEXT, 1, 12), compare(12, Cmp.NEQ, bytes((ICMPV6,))), verdict(Verdict.ACCEPT)],
        [
            *is_neighbour(ADVERTISEMENT),
            *with_option(Cmp.EQ, _TARGET_LINK_LAYER),
            *(target, load(Base.LINK, _ND_OPTION + 2, 6, 4), member(0, RIGHT[6]), verdict(Verdict.ACCEPT)),
        ],
        [*is_neighbour(ADVERTISEMENT), target, map_into(0, MACS[6], 8), verdict(Verdict.DROP)],
        [
            *is_neighbour(SOLICITATION),
            *with_option(Cmp.EQ, _SOURCE_LINK_LAYER),
            *(source, map_into(0, MACS[6], 8), write_frame(8, _ND_OPTION + 2, 6, _ND_CHECKSUM)),
        ],
        # its MAC may be said further behind, where no rule finds it
        [
            *is_neighbour(SOLICITATION),
            *with_option(Cmp.NEQ, _SOURCE_LINK_LAYER),
            *(source, map_into(0, MACS[6], 8), verdict(Verdict.DROP)),
        ],
    ]


# building blocks


def _set(
    family: Family,
    of_name: str,
    key_type: int,
    key_len: int,
    *,
    flags: SetFlag = SetFlag(0),  # noqa: B008 - an immutable number
    size: int = 0,
    data: tuple[int, int] | None = None,
) -> Message:
    """A set, or a map to data of this type and length."""
    members: dict[str, Any] = {"table": NAME, "name": of_name, "id": 1, "key_type": key_type, "key_len": key_len}
    if size:
        members["desc"] = {"size": size}
    if data is not None:
        flags |= SetFlag.MAP
        members |= {"data_type": data[0], "data_len": data[1]}
    return create(Msg.NEWSET, family, SET.pack({**members, "flags": flags}), f"make the set {of_name}")


def _chain(family: Family, chain: str) -> Message:
    return create(Msg.NEWCHAIN, family, CHAIN.pack({"table": NAME, "name": chain}), f"make the chain {chain}")


def _counter(family: Family, of_name: str) -> Message:
    body = OBJECT.pack({"table": NAME, "name": of_name, "type": OBJECT_COUNTER, "data": {}})
    return create(Msg.NEWOBJ, family, body, f"make the counter {of_name}")


def _hooked(family: Family, chain: str, hook: int) -> Message:
    place = {"hooknum": hook, "priority": _PRIORITY_RAW}
    body = CHAIN.pack({"table": NAME, "name": chain, "hook": place, "policy": 1, "type": "filter"})
    return create(Msg.NEWCHAIN, family, body, f"make the chain {chain}")


def _rule(family: Family, chain: str, expressions: Sequence[Expression]) -> Message:
    body = RULE.pack({"table": NAME, "chain": chain, "expressions": expressions})
    return message(Msg.NEWRULE, family, body, f"add a rule to the chain {chain}", NLM_F_CREATE | NLM_F_APPEND)
