"""Who takes part, according to the log: committed, and with the uncommitted tail.

Grants hang on the tail (LEASES.md, rule 12): a leader that has appended `Lost(A)` grants A nothing more, though it
is not committed yet.  What the cluster acts on is the committed part.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from daemon.cluster.core.holddown import HoldDown
from daemon.cluster.core.snapshot import Head
from daemon.cluster.core.standing import RestartLease, Standing
from daemon.cluster.records import Admit, LogEntry, Lost, Restart

HOLD_FIRST_MS = 1_000
HOLD_MS_MAX = 60_000
HOLD_QUIET_MS = 60_000
COUNTING = HoldDown(HOLD_FIRST_MS, HOLD_MS_MAX, HOLD_QUIET_MS)
"""counts losses alike on every node; how long a leader really holds somebody down is its own setting"""


class Admissions:
    def __init__(self, entries: Iterable[LogEntry], head: Head | None = None) -> None:
        """`head` of the newest snapshot; `entries`: what follows it, of which nothing is known to be committed yet."""
        self.committed: dict[str, Standing] = {}
        self.tail: dict[str, Standing] = {}
        self.recorded: dict[str, str] = {}
        """name → the store that votes under it (rule 21), according to the committed log"""
        self.recorded_in_tail: dict[str, str] = {}
        if head is not None:
            self.restored(head)
        for entry in entries:
            self.appended(entry)

    def restored(self, head: Head) -> None:
        """A snapshot stands for the log so far: grants, losses and votes hang on what it says."""
        self.committed, self.tail = dict(head.standings), dict(head.standings)
        self.recorded, self.recorded_in_tail = dict(head.recorded), dict(head.recorded)

    def appended(self, entry: LogEntry) -> None:
        apply(self.tail, entry)
        record(self.recorded_in_tail, entry)

    def commit(self, entry: LogEntry) -> None:
        apply(self.committed, entry)
        record(self.recorded, entry)

    def truncated(self, uncommitted: Iterable[LogEntry]) -> None:
        """The log lost its end; `uncommitted` is what remains of it after the commit index."""
        self.tail = dict(self.committed)
        self.recorded_in_tail = dict(self.recorded)
        for entry in uncommitted:
            self.appended(entry)

    def admitted(self, standings: Mapping[str, Standing], name: str, incarnation: int, epoch: int) -> bool:
        """Whether `name` is admitted as this very process, and has done what the admission asks of its kernel."""
        standing = standings.get(name)
        return (
            standing is not None
            and standing.admitted
            and standing.incarnation == incarnation
            and standing.epoch == epoch
        )


_NOBODY = Standing(False, 0, "", 0)


def apply(standings: dict[str, Standing], entry: LogEntry) -> None:
    match entry.command:
        case Admit(node=node, incarnation=incarnation, kernel_boot_id=boot_id, slack_ms=slack_ms):
            former = standings.get(node, _NOBODY)
            slack_ms = max(slack_ms, former.slack_ms)
            standings[node] = Standing(
                True, incarnation, boot_id, entry.index, former.restart, former.flaps, slack_ms
            )
        case Restart(node=node, incarnation=incarnation, duration_ms=duration_ms):
            before = standings.get(node)
            if before is not None and before.admitted and before.incarnation == incarnation:
                standings[node] = replace(before, restart=RestartLease(incarnation, duration_ms))
        case Lost(node=node):
            standings[node] = _lost(standings.get(node), entry)


def _lost(before: Standing | None, entry: LogEntry) -> Standing:
    """A loss that follows a restart, which it had asked for and did not come back from, is no flap."""
    if before is None:
        return Standing(False, 0, "", entry.index)
    counts = before.admitted and not before.restarts
    flaps = COUNTING.gone(before.flaps, entry.stamp_ms) if counts else before.flaps
    return Standing(False, before.incarnation, before.kernel_boot_id, entry.index, None, flaps)


def record(stores: dict[str, str], entry: LogEntry) -> None:
    """The first store that is admitted under a name is its voter; later ones change nothing."""
    if isinstance(entry.command, Admit) and entry.command.store_id:
        stores.setdefault(entry.command.node, entry.command.store_id)
