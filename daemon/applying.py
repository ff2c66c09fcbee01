"""Tells the engine what this host is to hold, so that one address that cannot be held keeps no other back.

An address that the kernel refuses is left out, and fails by name.  One that needs another process which is away for a
moment (vipcast-runner, the raw engine's forwarder) does not fail: it waits, and is tried again until that is back, for
`PATIENCE_NS`.  What this host holds already is never given up for that: the engine takes nothing, and goes on as it is.

Of many new addresses a few are told at a time, and the loop goes on in between: heartbeats and the lease's renewals do
not wait for them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from agents.journald import about, named
from daemon.cluster.clock import boot_ns
from daemon.pace import Pace
from datapath.dialects import IPAddress
from datapath.engine import Address, Change, DatapathError, Engine, HelperAwayError, UnconfirmedError, Wish

log = logging.getLogger("vipcast.datapath")

Place = tuple[str, IPAddress]
"""interface and address"""

SUSPECTS_MAX = 16
"""addresses that are left out one by one to find the one that the kernel refuses"""
AGAIN_S = 0.2
STEP_PAUSE_S = 0.002
"""between two steps: whatever is due comes first"""
PATIENCE_NS = 10_000_000_000
"""a restart of the runner takes two seconds, and five more where an agent does not end when it is told to"""


@dataclass(frozen=True, slots=True)
class Told:
    """What has become of the wishes."""

    taken: list[Wish]
    changes: list[Change]
    refused: Mapping[str, str] = field(default_factory=dict)
    """address → why the kernel does not hold it"""
    waiting: Set[str] = frozenset()
    """addresses that are worth trying again: `again` is called when it is time"""
    unhelped: Set[str] = frozenset()
    """of those refused: for which that process has been away for too long"""


def place_of(address: Address) -> Place:
    return address.interface, address.ip


class Applying:
    def __init__(self, engine: Engine, again: Callable[[], None]) -> None:
        """`again` is called on the event loop."""
        self._engine = engine
        self._again = again
        self._away_since_ns: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._pace = Pace()

    def tell(self, wishes: list[Wish], here: Set[Place], served: Set[Address]) -> Told:
        """`here`: what this host has already, be it by a former process; `served`: exactly as it was told last.

        Raises DatapathError when the engine took nothing at all: the kernel then holds what it held; UnconfirmedError
        when it has taken something that is not in force yet: then the same is to be told again.
        """
        fresh = [wish.address.resource for wish in wishes if place_of(wish.address) not in here]
        step, later = self._pace.split(fresh)
        if later:
            waiting = frozenset(later)
            wishes = [wish for wish in wishes if wish.address.resource not in waiting]
        began_ns = time.thread_time_ns()
        told = self._tell(wishes, here, served)
        self._pace.took(len(step), time.thread_time_ns() - began_ns)
        if not later:
            return told
        self.go_on()
        return replace(told, waiting=told.waiting | waiting)

    def go_on(self) -> None:
        """There is more to tell: `again` is called as soon as whatever is due has had its turn."""
        self._try_again(STEP_PAUSE_S)

    def _tell(self, wishes: list[Wish], here: Set[Place], served: Set[Address]) -> Told:
        try:
            changes = self._engine.apply(wishes)
        except UnconfirmedError:
            raise
        except HelperAwayError as away:
            return self._without_the_new(wishes, here, away)
        except DatapathError as error:
            return self._without_the_refused(wishes, served, error)
        self._away_since_ns = None
        return Told(wishes, changes)

    def _without_the_new(self, wishes: Sequence[Wish], here: Set[Place], away: HelperAwayError) -> Told:
        fresh = {wish.address.resource for wish in wishes if place_of(wish.address) not in here}
        if not fresh:
            raise away
        now_ns = boot_ns()
        if self._away_since_ns is None:
            self._away_since_ns = now_ns
            log.warning("%s waits: %s", ", ".join(sorted(fresh)), away, extra=about(resource=named(*fresh)))
        left = [wish for wish in wishes if wish.address.resource not in fresh]
        changes = self._engine.apply(left)
        if now_ns - self._away_since_ns >= PATIENCE_NS:
            return Told(left, changes, refused=dict.fromkeys(fresh, str(away)), unhelped=fresh)
        self._try_again(AGAIN_S)
        return Told(left, changes, waiting=fresh)

    def _try_again(self, after_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(after_s, self._is_time)

    def _is_time(self) -> None:
        self._timer = None
        self._again()

    def _without_the_refused(self, wishes: list[Wish], served: Set[Address], error: DatapathError) -> Told:
        fresh = [wish for wish in wishes if wish.address not in served]
        suspects = [[wish] for wish in (*fresh, *(wish for wish in wishes if wish not in fresh))]
        # first all of it once more: what has failed for a moment is nobody's fault
        for without in ([], *suspects[:SUSPECTS_MAX], fresh, wishes):
            left = [wish for wish in wishes if wish not in without]
            try:
                changes = self._engine.apply(left)
            except UnconfirmedError:
                raise
            except DatapathError:
                continue
            return Told(
                left, changes, refused=dict.fromkeys((wish.address.resource for wish in without), str(error))
            )
        raise error
