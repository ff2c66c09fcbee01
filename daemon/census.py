"""Counts and ends the connections of slots that drain: jobs for daemon/slices.py."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping

from agents.journald import about, named
from daemon.executor.slots import Count
from daemon.slices import Job
from datapath import census
from datapath.engine import Address, DatapathError

log = logging.getLogger("vipcast.datapath")

Counted = Callable[[Count, Mapping[int, int] | None], None]
"""is told what was found; None: it cannot be told"""


def counting(count: Count, address: Address | None, counted: Counted) -> Job:
    """`address`: as this host holds it; None where it does not."""
    found: Mapping[int, int] | None = None
    if address is not None:
        try:
            by_slot = yield from census.count(address)
            found = {number: by_slot[number] for number, _ in count.slots}
        except DatapathError as error:
            log.error("%s", error)
    counted(count, found)


def ending(address: Address, slots: Collection[int], closed: Callable[[], Collection[int]]) -> Job:
    """Reset what is left of slots whose time is over; where the kernel cannot, it is left to idle.

    `closed`: those that are still closed here, for this may take a while.
    """
    numbers = ", ".join(map(str, sorted(slots)))
    what = "slot" if len(slots) == 1 else "slots"
    try:
        ended = yield from census.end(address, closed)
    except DatapathError as error:
        log.info("%s: what is left of %s %s could not be reset: %s", address.resource, what, numbers, error)
        return
    log.info(
        "%s: %d connections of %s %s were reset: the drain time-out is over",
        *(address.resource, ended, what, numbers),
        extra=about(resource=named(address.resource), slots=numbers),
    )
