"""Who takes part, according to the log: committed, and with the uncommitted tail.

Grants hang on the tail (LEASES.md, rule 12): a leader that has appended `Lost(A)` grants A nothing more, though it
is not committed yet.  What the cluster acts on is the committed part.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from daemon.cluster.records import Admit, LogEntry, Lost


@dataclass(frozen=True, slots=True)
class Standing:
    """Of one node, after its newest Admit or Lost."""

    admitted: bool
    incarnation: int
    kernel_boot_id: str
    epoch: int
    """index of that entry (rule 19)"""


class Admissions:
    def __init__(self, entries: Iterable[LogEntry]) -> None:
        """`entries`: all of the saved log, of which nothing is known to be committed yet."""
        self.committed: dict[str, Standing] = {}
        self.tail: dict[str, Standing] = {}
        self.recorded: dict[str, str] = {}
        """name → the store that votes under it (rule 21), according to the committed log"""
        self.recorded_in_tail: dict[str, str] = {}
        for entry in entries:
            self.appended(entry)

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


def apply(standings: dict[str, Standing], entry: LogEntry) -> None:
    command = entry.command
    if isinstance(command, Admit):
        standings[command.node] = Standing(True, command.incarnation, command.kernel_boot_id, entry.index)
    elif isinstance(command, Lost):
        before = standings.get(command.node)
        incarnation, boot_id = (before.incarnation, before.kernel_boot_id) if before else (0, "")
        standings[command.node] = Standing(False, incarnation, boot_id, entry.index)


def record(stores: dict[str, str], entry: LogEntry) -> None:
    """The first store that is admitted under a name is its voter; later ones change nothing."""
    if isinstance(entry.command, Admit) and entry.command.store_id:
        stores.setdefault(entry.command.node, entry.command.store_id)
