"""Who belongs to the cluster, according to the log: committed, and with the uncommitted tail.

A roster counts from its append on, committed or not (Raft, chapter 4): a node cannot know yet that it is not
committed, and what it decides by must intersect with what all others decide by.  Before the first Roster of a log the
founding list of the settings counts: the first VOTERS_MAX of it vote, with whatever store is first admitted under
their names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from daemon.cluster.core.quorum import VOTERS_MAX, Electorate
from daemon.cluster.core.snapshot import Head
from daemon.cluster.records import LogEntry, Member, Roster


class Rosters:
    def __init__(self, founders: Sequence[str], head: Head | None, uncommitted: Iterable[LogEntry]) -> None:
        """`head` of the newest snapshot; `uncommitted`: what follows it, of which nothing is known yet."""
        self._known: tuple[Roster, Electorate, dict[str, Member]] | None = None
        """what was read off the roster that counted last"""
        self.founding = Roster(tuple(Member(name, "", rank < VOTERS_MAX) for rank, name in enumerate(founders)))
        self.committed: Roster | None = None
        self.tail: Roster | None = None
        self._before: Roster | None = None
        """what counted before the newest"""
        self.index = self._committed_index = 0
        """a log that goes up to here has the roster that counts"""
        if head is not None:
            self.restored(head)
        for entry in uncommitted:
            self.appended(entry)

    @property
    def founders(self) -> tuple[str, ...]:
        """The founding list of the settings; empty on a node that joins."""
        return tuple(member.name for member in self.founding.members)

    @property
    def now(self) -> Roster:
        """What counts."""
        return self.tail if self.tail is not None else self.founding

    @property
    def is_explicit(self) -> bool:
        """Whether the log says it, and so with which store each member votes."""
        return self.tail is not None

    @property
    def is_joining(self) -> bool:
        """Whether this node knows no cluster yet."""
        return not self.now.members

    def is_settled(self, commit: int) -> bool:
        """Whether what counts is committed: only then may the next change follow."""
        return self.index <= commit

    @property
    def fallback(self) -> Roster | None:
        """What counts again if the newest roster does not survive; None where that is committed."""
        return self._before if self.index > self._committed_index else None

    @property
    def electorate(self) -> Electorate:
        return self._read()[1]

    @property
    def electors(self) -> frozenset[str]:
        """Who votes, and who did before a change that is not known to be committed: any of them may lead."""
        voters = self.electorate.voters
        return voters if self.fallback is None else voters | electorate_of(self.fallback).voters

    def member(self, name: str) -> Member | None:
        return self._read()[2].get(name)

    def _read(self) -> tuple[Roster, Electorate, dict[str, Member]]:
        """Asked for with every message, of every peer: so it is read off the roster once."""
        roster, known = self.now, self._known
        if known is None or known[0] is not roster:
            known = self._known = (roster, electorate_of(roster), {one.name: one for one in roster.members})
        return known

    @property
    def names(self) -> list[str]:
        """In the order of rank: witnesses last."""
        members = self.now.members
        return [one.name for one in members if not one.witness] + [one.name for one in members if one.witness]

    def is_dismissed(self, name: str, store_id: str, *, joins: bool) -> bool:
        """Whether this very store was removed for good, or any of its name where it does not ask to join.

        (A founder's first disk is put back after its second one was removed: its settings name founders still.)
        Before a removal is committed the store may be needed: perhaps nobody else who is left has the roster.
        """
        removed = () if self.committed is None else self.committed.removed
        return any(name == gone and (store_id == store or not joins) for gone, store in removed)

    # --- what becomes of the log

    def appended(self, entry: LogEntry) -> None:
        if isinstance(entry.command, Roster):
            self._before = self.now
            self.tail, self.index = entry.command, entry.index

    def commit(self, entry: LogEntry) -> None:
        if isinstance(entry.command, Roster):
            self.committed, self._committed_index = entry.command, entry.index

    def truncated(self, uncommitted: Iterable[LogEntry]) -> None:
        """The log lost its end; `uncommitted` is what remains of it after the commit index."""
        self.tail, self.index = self.committed, self._committed_index
        for entry in uncommitted:
            self.appended(entry)

    def restored(self, head: Head) -> None:
        """A snapshot stands for the log so far."""
        self.committed = self.tail = head.roster
        self.index = self._committed_index = head.index


def member_of(roster: Roster, name: str) -> Member | None:
    return next((member for member in roster.members if member.name == name), None)


def electorate_of(roster: Roster) -> Electorate:
    return Electorate(frozenset(member.name for member in roster.members if member.votes), roster.tie_breaker)
