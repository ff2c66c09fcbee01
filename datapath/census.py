"""The TCP connections of an address by their slots: counted, or ended, a bounded slice at a time.

A host that drains may have fifty thousand connections, and while it looks at them its heartbeats have to leave.  So
these are generators: each step takes one answer of the kernel, some hundreds of connections, in about a millisecond.
Whoever runs them does other things in between (daemon/census.py), or none (`whole`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Generator
from typing import TypeVar

from datapath.engine import Address
from datapath.flows import Batch, abort, connections
from datapath.hashing import Unhashable
from datapath.lanes import slots_of

Found = TypeVar("Found")


def count(address: Address) -> Generator[None, None, Counter[int | Unhashable]]:
    """How many connections each slot still has here.

    One that begins or ends meanwhile may be counted or not: of a slot that takes no new ones 0 says that none is left.
    DatapathError when the kernel cannot tell.
    """
    counted: Counter[int | Unhashable] = Counter()
    for batch in connections(address.ip):
        counted.update(slots_of(address, b"".join(batch.names)))
        yield
    return counted


def end(address: Address, closed: Callable[[], Collection[int]]) -> Generator[None, None, int]:
    """Reset the connections of slots; how many there were.

    `closed` says before each step which: one that is served here again meanwhile keeps what is new.  DatapathError when
    this kernel does not do that.
    """
    ended = 0
    for batch in connections(address.ip):
        slots = closed()
        found = slots_of(address, b"".join(batch.names))
        theirs = [one for one, slot in zip(batch.sockets, found, strict=True) if slot in slots]
        ended += abort(Batch(theirs, batch.client).flows()) if theirs else 0
        yield
    return ended


def whole(steps: Generator[None, None, Found]) -> Found:
    """All steps at once: for those who have nothing else to do."""
    while True:
        try:
            next(steps)
        except StopIteration as last:
            found: Found = last.value
            return found
