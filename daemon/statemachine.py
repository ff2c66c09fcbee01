"""The replicated state machine on this node: committed entries go in, a state comes out, snapshots go both ways.

A long log comes at once after a start, and a large state takes time to digest: neither may keep a heartbeat waiting.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable

from daemon.cluster.clock import boot_ns
from daemon.cluster.core.core import Core
from daemon.cluster.core.snapshot import Snapshot, digest_of
from daemon.cluster.records import Admit, LogEntry, Request
from daemon.journal import Journal
from daemon.measures import Measures
from daemon.outstanding import Outstanding
from daemon.state.frozen import ThawError
from daemon.state.state import State

log = logging.getLogger("vipcast.node")

APPLY_SLICE_NS = 10_000_000
DIGEST_AT_ONCE_BYTES = 512 << 10
"""SHA-256 of them takes a quarter of a millisecond; of more, a thread computes it"""


class StateMachine:
    """`state` is another object after a snapshot was restored: nobody keeps it.

    `expects(node, incarnation)` is called for each process that takes part from now on, `snapshot(index, body, digest)`
    for each snapshot that was due, within `apply_some` or later.  `split()` is called where slots may be opened at
    their successors, before the plan is made anew: packets wait for that, and a plan takes as long as the
    configuration is.
    """

    def __init__(
        self,
        state: State,
        core: Core,
        journal: Journal,
        measures: Measures,
        outstanding: Outstanding,
        expects: Callable[[str, int], None],
        snapshot: Callable[[int, bytes, bytes], None],
        split: Callable[[], None],
    ) -> None:
        self.state = state
        self._core = core
        self._journal = journal
        self._measures = measures
        self._outstanding = outstanding
        self._expects = expects
        self._snapshot = snapshot
        self._split = split
        self._backlog: deque[LogEntry] = deque()
        """committed, and not applied yet"""

    @property
    def is_behind(self) -> bool:
        """Whether committed entries wait: the state is on its way, and nobody acts on it."""
        return bool(self._backlog)

    def committed(self, entries: Iterable[LogEntry]) -> None:
        self._backlog.extend(entries)

    def apply_some(self) -> bool:
        """Apply what is committed, but no longer than a heartbeat can wait; True where anything was."""
        if not self._backlog:
            return False
        end_ns = boot_ns() + APPLY_SLICE_NS
        while self._backlog:
            entry = self._backlog.popleft()
            self._apply(entry)
            if self._core.snapshot_due(entry.index):
                self._take_snapshot(entry.index)
            if boot_ns() >= end_ns:
                break
        return True

    def _apply(self, entry: LogEntry) -> None:
        began_ns = boot_ns()
        entered = self.state.enter(entry)
        took_ns = boot_ns() - began_ns
        if not self._backlog and entered.outcome.splits:
            self._split()
        began_ns = boot_ns()
        outcome = self.state.conclude(entered)
        self._measures.applications.note(took_ns + boot_ns() - began_ns)
        self._journal.applied(entry, outcome, self.state.configuration_epoch)
        command = entry.command
        if isinstance(command, Admit):
            self._expects(command.node, command.incarnation)
        if isinstance(command, Request):
            self._outstanding.applied(entry.index, command, outcome)

    def _take_snapshot(self, index: int) -> None:
        """The state as bytes takes less than half a millisecond a megabyte; its digest longer, so not on the loop."""
        body = self.state.freeze()
        if len(body) <= DIGEST_AT_ONCE_BYTES:
            self._snapshot(index, body, digest_of(body))
            return

        def digested(digest: asyncio.Future[bytes]) -> None:
            self._snapshot(index, body, digest.result())

        asyncio.get_running_loop().run_in_executor(None, digest_of, body).add_done_callback(digested)

    def restore(self, snapshot: Snapshot) -> None:
        """The state is another one at once; what the executor has done, it compares with that.

        Raises ThawError where this program cannot read it: then it can be no node of this cluster.
        """
        try:
            self.state = State.thaw(snapshot.body, self.state.members)
        except ThawError as problem:
            raise ThawError(f"the snapshot of entry {snapshot.index} is of no use here: {problem}") from None
        self._backlog.clear()
        log.info("the state is as of entry %d, by a snapshot of %d bytes", snapshot.index, len(snapshot.body))
        for name, standing in snapshot.head.standings.items():
            if standing.admitted:
                self._expects(name, standing.incarnation)
