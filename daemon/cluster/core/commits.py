"""What is committed, and what follows from it: who takes part, which proposals are through, where snapshots are due."""

from __future__ import annotations

from collections.abc import Callable

from daemon.cluster.core.effects import (
    Admitted,
    DeclaredLost,
    ProposalCommitted,
    Refused,
    RosterChanged,
    SnapshotTaken,
)
from daemon.cluster.core.proposals import Proposals
from daemon.cluster.core.replica import Replica
from daemon.cluster.core.snapshot import BODY_BYTES_MAX, Snapshot, snapshot_of
from daemon.cluster.records import Admit, LogEntry, Lost, Request, Restart, Roster


class Commits:
    def __init__(self, replica: Replica, proposals: Proposals, on_restart: Callable[[], None]) -> None:
        """`on_restart` is called when a restart lease of this node is committed."""
        self.replica = replica
        self.proposals = proposals
        self._on_restart = on_restart

    def advance(self, index: int) -> bool:
        """Everything up to `index` is committed; False where that is nothing new."""
        replica = self.replica
        if index <= replica.commit:
            return False
        entries = replica.log.entries(replica.commit + 1, index)
        admissions = replica.admissions
        for entry in entries:
            admissions.commit(entry)
            replica.rosters.commit(entry)
            replica.compaction.committed(entry, admissions.committed, admissions.recorded, replica.remembered)
            self._note(entry)
        replica.commit = index
        replica.suffrage.recorded()
        replica.ready.committed.extend(entries)
        return True

    def _note(self, entry: LogEntry) -> None:
        command = entry.command
        if isinstance(command, Request):
            self._note_proposal(command.origin, command.incarnation, command.ticket, entry.index)
        elif isinstance(command, Admit):
            self._note_admission(command.node, command.incarnation, entry.index)
        elif isinstance(command, Roster):
            self.replica.report(RosterChanged(entry.index, command.why))
        elif isinstance(command, Lost) and command.node == self.replica.name:
            self.replica.report(DeclaredLost(entry.index))
        elif isinstance(command, Restart) and command.node == self.replica.name:
            self._on_restart()

    def _note_proposal(self, origin: str, incarnation: int, ticket: int, index: int) -> None:
        own = (origin, incarnation) == (self.replica.name, self.replica.incarnation)
        if own and self.proposals.drop(ticket):
            self.replica.report(ProposalCommitted(ticket, index))

    def _note_admission(self, node: str, incarnation: int, epoch: int) -> None:
        if (node, incarnation) == (self.replica.name, self.replica.incarnation):
            self.replica.report(Admitted(epoch))

    # --- snapshots

    def snapshot_due(self, index: int) -> bool:
        """Left out where the one before is not on disk yet: a slow disk gets fewer of them, not a queue."""
        if not self.replica.compaction.due_at(index):
            return False
        if self.replica.disk.writes_snapshot:
            self.replica.compaction.pass_over()
            return False
        return True

    def snapshot(self, index: int, body: bytes, digest: bytes) -> None:
        """The state as of `index`, which was due; nothing where something has overtaken it."""
        replica = self.replica
        compaction = replica.compaction
        if not compaction.due_at(index) or replica.disk.writes_snapshot:
            return
        if len(body) > BODY_BYTES_MAX:
            compaction.pass_over()
            reason = (
                f"the state has {len(body)} bytes, {BODY_BYTES_MAX} is the most; the log grows until it is smaller"
            )
            replica.report(Refused("snapshot", replica.name, reason))
            return
        snapshot = snapshot_of(compaction.head(), body, digest)
        replica.disk.write_snapshot(snapshot, forget_to=compaction.taken(snapshot))
        replica.report(SnapshotTaken(index, snapshot.size_bytes))

    def restore(self, snapshot: Snapshot) -> None:
        """Everything up to `snapshot.index` is committed, and the entries are not to be had any more."""
        replica = self.replica
        replica.restore(snapshot)
        for known in snapshot.head.remembered:
            self._note_proposal(known.origin, known.incarnation, known.ticket, known.index)
        standing = snapshot.head.standings.get(replica.name)
        if standing is not None and standing.admitted:
            self._note_admission(replica.name, standing.incarnation, standing.epoch)
            if standing.restarts:
                self._on_restart()
        elif standing is not None:
            replica.report(DeclaredLost(standing.epoch))
        replica.suffrage.recorded()
