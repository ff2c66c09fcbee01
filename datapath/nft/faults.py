"""Rules that say why a packet has no slot: its headers contradict each other, or it is shorter than they say."""

from __future__ import annotations

from datapath.nft.expressions import Base, Cmp, compare, drop_counted, load, mask, member
from datapath.nft.names import MALFORMED, Fate, Names
from datapath.nft.packets import ICMP_HEADER, NO_IPV4, SCRATCH, Layout, Rule


def fault(layout: Layout, names: Names) -> list[Rule]:
    """Header fields that contradict each other; else the packet is shorter than they say."""
    malformed = drop_counted(names.counter(Fate.MALFORMED))
    first = load(Base.NETWORK, 0, 1, SCRATCH)
    rules: list[Rule] = []
    if layout.version == 6:
        rules.append([first, mask(SCRATCH, b"\xf0"), compare(SCRATCH, Cmp.NEQ, b"\x60"), *malformed])
    else:
        rules += [[first, compare(SCRATCH, how, bound), *malformed] for how, bound in NO_IPV4]
        beginning = (load(Base.NETWORK, 0, 4, SCRATCH), mask(SCRATCH, b"\xff\0\xff\xff"))
        rules.append([*beginning, member(SCRATCH, MALFORMED[4]), *malformed])
    return [*rules, drop_counted(names.counter(Fate.TRUNCATED))]


def malformed_beginnings() -> list[tuple[bytes, bytes]]:
    """Of IPv4: intervals of first byte, 0 and total length, where that is less than the header's own length."""
    return [(bytes((0x40 | words, 0, 0, 0)), bytes((0x40 | words, 0, 0, 4 * words))) for words in range(5, 16)]


def quote_fault(layout: Layout, names: Names) -> list[Rule]:
    """The same of what an ICMP error quotes, if a whole header of that is there."""
    malformed = drop_counted(names.counter(Fate.MALFORMED))
    header = 20 if layout.version == 4 else 40
    last = load(Base.TRANSPORT, ICMP_HEADER + header - 1, 1, SCRATCH)
    first = load(Base.TRANSPORT, ICMP_HEADER, 1, SCRATCH)
    rules: list[Rule] = []
    if layout.version == 6:
        rules.append([last, first, mask(SCRATCH, b"\xf0"), compare(SCRATCH, Cmp.NEQ, b"\x60"), *malformed])
    else:
        rules += [[last, first, compare(SCRATCH, how, bound), *malformed] for how, bound in NO_IPV4]
    return [*rules, drop_counted(names.counter(Fate.TRUNCATED))]
