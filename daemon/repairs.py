"""When this host is looked at for what others have changed, and what follows: mended, told, tried again.

Every half second; at once (after the burst) where the kernel tells of a change of links or addresses; and soon where
it does not know the lease any more, for then this host is silent until it is mended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from daemon.addresses import SharedAddresses
from daemon.cluster.clock import boot_ns
from daemon.executor import Executor
from daemon.journal import Journal
from daemon.state.state import State
from datapath.host.events import HostEvent

EVERY_NS = 500_000_000
SOON_NS = 100_000_000
"""after the last look: what cannot be mended is not tried with each heartbeat"""
DISTURBANCE_SETTLES_S = 0.02
"""an interface that goes takes its addresses along: one look at the end of such a burst"""
DISTURBANCES_TOLD_MAX = 64


class Repairs:
    def __init__(
        self, addresses: SharedAddresses, executor: Executor, journal: Journal, changed: Callable[[], None]
    ) -> None:
        """`changed()`: something is due now."""
        self._addresses = addresses
        self._executor = executor
        self._journal = journal
        self._changed = changed
        self._disturbances: list[HostEvent] = []
        """what happened to this host's links and addresses since the last look"""
        self.due_ns = 0
        self._looked_ns = 0

    def hasten(self) -> None:
        """The lease could not be renewed."""
        self.due_ns = min(self.due_ns, self._looked_ns + SOON_NS)

    def disturbed(self, event: HostEvent, loop: asyncio.AbstractEventLoop) -> None:
        """Somebody has changed this host's links or addresses: look and mend once the burst is over."""
        if not self._disturbances:
            loop.call_later(DISTURBANCE_SETTLES_S, self._now)
        if len(self._disturbances) < DISTURBANCES_TOLD_MAX:
            self._disturbances.append(event)

    def _now(self) -> None:
        self.due_ns = 0
        self._changed()

    def look(self, state: State, now_ns: int) -> None:
        """Compare the host with what it should be; `state` is the one in force."""
        self.due_ns = now_ns + EVERY_NS
        self._looked_ns = now_ns
        disturbances, self._disturbances = self._disturbances, []
        slots = self._executor.slots
        slots.retry()
        slots.lost(self._addresses.hindered())
        slots.mended = self._addresses.mended(state.in_force, boot_ns())
        slots.ailment = self._addresses.ailment()
        changes = self._addresses.repair()
        self._addresses.ask_around(boot_ns())
        self._journal.disturbed(disturbances, changes)
        for change in changes:
            self._journal.repaired(change)
