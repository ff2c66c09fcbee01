"""The host's lease in the kernel: an absolute deadline that the rules themselves compare with the clock.

One set holds one interval, [0, deadline) on the wall clock, for all addresses and slots alike, so that a renewal is
one small transaction however many there are.  The element also has a timeout.  Both must hold:

- the deadline is absolute: a write that was computed before the process was stopped, and is sent after it has gone
  on again, names a time that has passed, and accepts nothing (LEASES.md, rule 15);
- the timeout is relative and runs on the kernel's monotonic clock: a wall clock that is stepped back cannot prolong
  a lease.  One that is stepped forward ends it early; the next renewal mends that.

Emptying and filling the set within a transaction is one step for packets: renewing opens no gap.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from datapath.netlink import Message
from datapath.nft.blocks import flush_set
from datapath.nft.names import LEASE, TABLE
from datapath.nft.protocol import ELEMENT_INTERVAL_END, ELEMENTS, Family, Msg, create

_CLOCK_TRIES = 4
_CLOCK_SPREAD_NS = 50_000
_NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Term:
    """A deadline as the kernel is told it."""

    wall_ns: int
    """on the wall clock, nanoseconds since 1970"""
    timeout_ms: int
    """from the moment of writing; 0 when the deadline has passed"""


def term_until(deadline_ns: int) -> Term:
    """Convert a deadline on CLOCK_BOOTTIME, never to a later moment than it names.

    The wall clock is read between two readings of the boot clock; the second one is taken as its moment, so that an
    interruption in between makes the term shorter.  A long interruption is tried again, a few times.
    """
    for _ in range(_CLOCK_TRIES):
        before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        wall = time.clock_gettime_ns(time.CLOCK_REALTIME)
        after = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        if after - before <= _CLOCK_SPREAD_NS:
            break
    left = deadline_ns - after
    if left <= 0:
        return Term(wall, 0)
    return Term(wall + left, -(-left // _NS_PER_MS))


def deadline_of(term: Term, read_from_ns: int) -> int:
    """A term that was read back, as a deadline on CLOCK_BOOTTIME, never later than it; 0: it is over.

    `read_from_ns`: CLOCK_BOOTTIME before the reading began.
    """
    if term.timeout_ms <= 0:
        return 0
    boot = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    by_wall = boot + term.wall_ns - time.clock_gettime_ns(time.CLOCK_REALTIME)
    end = min(by_wall, read_from_ns + term.timeout_ms * _NS_PER_MS)
    return end if end > boot else 0


def renewal(term: Term) -> list[Message]:
    """Messages that make this the host's lease, or end it where the term is over."""
    empty = flush_set(Family.NETDEV, LEASE)
    if term.timeout_ms <= 0:
        return [empty]
    interval = [
        {"key": {"value": bytes(8)}, "timeout": term.timeout_ms},
        {"key": {"value": term.wall_ns.to_bytes(8, "big")}, "flags": ELEMENT_INTERVAL_END},
    ]
    body = ELEMENTS.pack({"table": TABLE, "set": LEASE, "elements": interval})
    return [empty, create(Msg.NEWSETELEM, Family.NETDEV, body, "renew the lease")]
