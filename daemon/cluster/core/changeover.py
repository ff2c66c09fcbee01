"""Timers that an administrator changes, one host after another, while the cluster runs.

A process that counts by other timers than the others is believed by nobody (`membership`), so who has the old timers
and who has the new ones are two clusters, of which one at most has a majority.  The majority passes from the one to
the other as voters start again; and rule 5 has a voter wait P at its start, for what the process before it may have
promised.  That was *its* P.  A voter that comes back with a shorter one would forget a promise that still binds, help
to elect a leader beside the former one, and that leader would wait for shorter leases than run.

So a store remembers by which terms its processes have counted.  Where they are others now, the voter waits at its
start until nothing can be running any more that was promised, granted or taken by the old ones:

    last answer under the old terms ─ P ─► the former leader grants nothing more ─ lease·(1+δ) + margin ─► silent

From the start on, and until that is over, the store has of each term the most, so that a process that dies meanwhile
is followed by one that waits as well.
"""

from __future__ import annotations

from dataclasses import replace

from daemon.cluster.core.disk import Disk
from daemon.cluster.core.effects import Saved
from daemon.cluster.timers import Timers, over_after_ns


def counted_by(saved: Saved, timers: Timers) -> Saved:
    """A store that does not tell, for it is new or of an older version, has counted as this process does."""
    if saved.hard_state.terms is not None:
        return saved
    return replace(saved, hard_state=replace(saved.hard_state, terms=timers.terms))


class Changeover:
    """Of one process, from its start on."""

    def __init__(self, disk: Disk, timers: Timers, now_ns: int) -> None:
        self._disk = disk
        self._terms = timers.terms
        self.over_ns = now_ns
        """nothing of what former processes have counted by other terms is running from then on"""
        former = disk.hard_state.terms or self._terms
        if former != self._terms:
            one, two, three, four = map(max, former, self._terms)
            disk.count_by((one, two, three, four))
            self.over_ns += over_after_ns((one, two, three, four))

    def look(self, now_ns: int) -> None:
        """Once it is over, that is forgotten."""
        if now_ns >= self.over_ns and self._disk.hard_state.terms != self._terms:
            self._disk.count_by(self._terms)
