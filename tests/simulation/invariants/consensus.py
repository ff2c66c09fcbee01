"""One leader a term, one vote a term, log matching; what is committed or acknowledged stays so."""

from __future__ import annotations

from collections.abc import Iterable

from daemon.cluster.core.snapshot import Snapshot
from daemon.cluster.records import Admit, LogEntry, Lost, Roster
from tests.simulation.invariants.violation import ViolationError


class Consensus:
    def __init__(self) -> None:
        self.leaders: dict[int, str] = {}
        """term → who won it"""
        self.written: dict[tuple[int, int], LogEntry] = {}
        """(index, term) → the entry that a leader appended there"""
        self.committed: list[LogEntry] = []
        self.recorded: set[str] = set()
        """names whose voter is in the committed log"""
        self.roster: Roster | None = None
        """the newest that is committed"""
        self.lost: set[str] = set()
        """names whose newest Admit or Lost in the committed log is a Lost"""
        self.elected_by: dict[tuple[int, str], str] = {}
        """(term, voter) → for whom its vote was counted"""
        self.acknowledged: dict[bytes, int] = {}
        """body of an edit whose proposer was told that it is committed → index"""
        self.frozen_at: dict[int, bytes] = {}
        """index → what the first to take a snapshot there has frozen"""

    def became_leader(self, name: str, term: int) -> None:
        if self.leaders.setdefault(term, name) != name:
            raise ViolationError(f"{name} and {self.leaders[term]} have both won term {term}")

    def counted_vote(self, candidate: str, voter: str, term: int) -> None:
        """One vote a term, however often its voter forgets it."""
        if self.elected_by.setdefault((term, voter), candidate) != candidate:
            other = self.elected_by[term, voter]
            raise ViolationError(f"the vote of {voter} in term {term} counts for {candidate} and for {other}")

    def wrote(self, name: str, entries: Iterable[LogEntry]) -> None:
        """Log matching: what has the same index and term is the same."""
        for entry in entries:
            if self.written.setdefault((entry.index, entry.term), entry) != entry:
                raise ViolationError(f"{name} has another entry {entry.index} of term {entry.term} than others")

    def applied(self, name: str, index_before: int, entries: list[LogEntry]) -> None:
        """Committed entries never change, and come in the same order without gaps everywhere."""
        for position, entry in enumerate(entries, start=index_before):
            if entry.index != position + 1:
                raise ViolationError(f"{name} was given entry {entry.index} after entry {position}")
            if position == len(self.committed):
                self.committed.append(entry)
                if isinstance(entry.command, Admit):
                    self.recorded.add(entry.command.node)
                    self.lost.discard(entry.command.node)
                elif isinstance(entry.command, Roster):
                    self.roster = entry.command
                elif isinstance(entry.command, Lost):
                    self.lost.add(entry.command.node)
            elif position > len(self.committed) or self.committed[position] != entry:
                raise ViolationError(f"{name} applies another entry {entry.index} than others did")

    def frozen(self, name: str, index: int, body: bytes) -> None:
        """The same entries make the same state, byte by byte."""
        if self.frozen_at.setdefault(index, body) != body:
            raise ViolationError(f"{name} has another state after entry {index} than others")

    def restored(self, name: str, index_before: int, snapshot: Snapshot) -> None:
        """A snapshot is what the committed entries up to its index have made, and nobody goes back."""
        index = snapshot.index
        if index <= index_before:
            raise ViolationError(f"{name} has applied {index_before} entries and restores a snapshot of {index}")
        if index > len(self.committed) or self.committed[index - 1].term != snapshot.head.term:
            raise ViolationError(f"{name} restores entry {index} of term {snapshot.head.term}, not committed so")
        if self.frozen_at.get(index) != snapshot.body:
            raise ViolationError(f"{name} restores a state of entry {index} that nobody had")

    def acknowledge(self, name: str, body: bytes, index: int) -> None:
        command = self.committed[index - 1].command if index <= len(self.committed) else None
        if getattr(command, "body", None) != body:
            raise ViolationError(f"{name} was told that its edit is entry {index}, which is {command}")
        self.acknowledged[body] = index
