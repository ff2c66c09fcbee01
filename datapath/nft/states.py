"""Rules of what a slot's state allows; the same in Python: datapath.hold.

A flow of TCP is kept by the socket that has it, a conversation of UDP by being spoken in (datapath.hold.datagrams).
"""

from __future__ import annotations

from datapath.nft.expressions import (
    Base,
    Cmp,
    Meta,
    compare,
    count,
    drop_counted,
    goto,
    host_to_network,
    load,
    load_meta,
    load_value,
    mask,
    member,
    note,
    set_meta,
    stranger,
    strike,
    verdict,
)
from datapath.nft.names import LEASE, Fate, Names, Part
from datapath.nft.packets import (
    CLOCK,
    KEY,
    SCRATCH,
    TCP,
    Layout,
    Rule,
    flags_of_a_first_syn,
    is_datagram,
    is_ipv6_fragment,
    is_quoted,
    load_flow,
    load_quoted_flow,
    protocol_is,
    quoted_datagram,
    slot_mark,
)
from datapath.nft.protocol import Verdict

HEARD_TIMEOUT_MS = 3_600_000
"""A conversation that was heard stays known for so long: the engine looks at what is left of it and ends it earlier."""
SYN_TIMEOUT_MS = 60_000
"""A noted SYN is forgotten after this, unless its client goes on: a flood of forged ones cannot stay."""
_PACKET_HOST = slot_mark.pack(0)


def without_lease() -> Rule:
    """No lease runs: the wall clock, in network order because intervals are sorted bytes, is not in the set.

    None of these expressions can end the rule but the last one (net/netfilter/nft_meta.c, nft_byteorder.c).
    """
    return load_meta(Meta.TIME_NS, CLOCK), host_to_network(CLOCK, 8), stranger(CLOCK, LEASE)


def accept(names: Names, when: Rule = ()) -> Rule:
    """A frame to a group MAC is of type MULTICAST, and TCP ignores those: to accept is to make it HOST."""
    return (
        *when,
        load_value(_PACKET_HOST, SCRATCH),
        set_meta(Meta.PKTTYPE, SCRATCH),
        count(names.counter(Fate.ACCEPTED)),
        verdict(Verdict.ACCEPT),
    )


def _note_syn(layout: Layout, names: Names, when: Rule = ()) -> Rule:
    """Accept a SYN, and remember its flow as one of this host."""
    syn = (*flags_of_a_first_syn(Cmp.EQ), *load_flow(layout))
    return accept(names, (*syn, *when, note(KEY, names.mine, SYN_TIMEOUT_MS)))


def _own_flows(layout: Layout, names: Names) -> list[Rule]:
    """What a moving slot's sockets here may hear: segments of their flows, and ICMP errors about them.

    A segment that follows a noted SYN makes it a flow, for as long as a socket has it: the engine looks, no clock
    does.  A SYN never is one of these: a client that takes the same
    port again begins something new, which is the new owner's.
    """
    segment = (*flags_of_a_first_syn(Cmp.NEQ), *load_flow(layout))
    goes_on = note(KEY, names.keep, None)
    quoted = load_quoted_flow(layout)
    return [
        accept(names, (*segment, member(KEY, names.keep), goes_on)),
        accept(names, (*segment, member(KEY, names.mine), goes_on)),
        accept(names, (*quoted, member(KEY, names.keep))),
        accept(names, (*quoted, member(KEY, names.mine))),
    ]


def noting(layout: Layout, names: Names) -> list[Rule]:
    """Open, and each new SYN is noted: the moment between reading the sockets and draining loses none."""
    return [_note_syn(layout, names), [goto(names.chain(Part.OPEN))]]


def draining(layout: Layout, names: Names) -> list[Rule]:
    """Only what is ours already, half-open connections whose client repeats its SYN included.

    A client that begins anew with the ports of a flow of ours is the new owner's; what follows is not for us, or it
    would be reset here.  Where it was forged, the flow's socket lives, and the engine finds that out (`repair`).
    """
    anew = (*flags_of_a_first_syn(Cmp.EQ), *load_flow(layout))
    return [
        _note_syn(layout, names, when=(member(KEY, names.mine),)),
        [*anew, member(KEY, names.keep), strike(KEY, names.keep)],
        *_own_flows(layout, names),
        *_heard(layout, names),
        drop_counted(names.counter(Fate.DRAINING)),
    ]


def opening(layout: Layout, names: Names) -> list[Rule]:
    """New flows are ours; what is TCP and not known here belongs to a socket of the old owner: silence."""
    silent = drop_counted(names.counter(Fate.OPENING))
    syn = flags_of_a_first_syn(Cmp.EQ)
    number = layout.address_registers + 2
    return [
        # renewed while they come: as long as the old owner has them half open, its repetitions are not ours
        [*syn, *load_flow(layout), member(KEY, names.never), note(KEY, names.never, SYN_TIMEOUT_MS), *silent],
        [
            *(*syn, *load_flow(layout), load(Base.TRANSPORT, 4, 4, number)),
            *(member(KEY, names.never_syns), note(KEY, names.never_syns, SYN_TIMEOUT_MS), *silent),
        ],
        _note_syn(layout, names),
        *_own_flows(layout, names),
        [*protocol_is(TCP), *silent],
        [*is_quoted(layout, TCP), *silent],
        *_pieces(layout, accept(names)),
        [*is_datagram(), *load_flow(layout), member(KEY, names.left), *silent],
        [*quoted_datagram(layout), member(KEY, names.left), *silent],
        accept(names),
    ]


def _pieces(layout: Layout, fate: Rule) -> list[Rule]:
    """Fragments of datagrams do not show whose they are."""
    if layout.version == 4:
        pieces = (
            load(Base.NETWORK, 6, 2, SCRATCH),
            mask(SCRATCH, b"\x3f\xff"),
            compare(SCRATCH, Cmp.NEQ, b"\0\0"),
        )
        return [[*is_datagram(), *pieces, *fate]]
    return [[*is_datagram(), *is_ipv6_fragment(), *fate]]


def _heard(layout: Layout, names: Names) -> list[Rule]:
    """Conversations that are known, each for as long as somebody speaks in it."""
    goes_on = note(KEY, names.heard, HEARD_TIMEOUT_MS)
    return [
        *_pieces(layout, drop_counted(names.counter(Fate.DRAINING))),
        accept(names, (*is_datagram(), *load_flow(layout), member(KEY, names.heard), goes_on)),
        accept(names, (*quoted_datagram(layout), member(KEY, names.heard))),
    ]


def keeping_udp(layout: Layout, names: Names) -> list[Rule]:
    """Draining, and all of UDP is noted; what there is no room for is accepted as well."""
    ports = load(Base.TRANSPORT, 0, 4, KEY)
    return [
        *_pieces(layout, drop_counted(names.counter(Fate.DRAINING))),
        accept(names, (*is_datagram(), *load_flow(layout), note(KEY, names.heard, HEARD_TIMEOUT_MS))),
        accept(names, (*is_datagram(), ports)),
        accept(names, quoted_datagram(layout)),
        [goto(names.chain(Part.DRAINING))],
    ]


def leaving_udp(layout: Layout, names: Names) -> list[Rule]:
    silent = drop_counted(names.counter(Fate.OPENING))
    return [
        *_pieces(layout, accept(names)),
        [*is_datagram(), load(Base.TRANSPORT, 0, 4, KEY), *silent],
        [*quoted_datagram(layout), *silent],
        [goto(names.chain(Part.OPENING))],
    ]
