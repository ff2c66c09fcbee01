"""Changes of the roster: rule 22, and chapter 4 of Raft."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from daemon.cluster.core import Core, replica, steward
from daemon.cluster.core.leader import Leader
from daemon.cluster.core.quorum import Electorate
from daemon.cluster.core.rosters import Rosters, electorate_of, member_of
from daemon.cluster.core.steward import Situation
from daemon.cluster.core.stewardship import Stewardship
from daemon.cluster.core.suffrage import Suffrage
from daemon.cluster.records import Member, Roster
from tests.simulation.cast import Cast
from tests.simulation.omissions.omission import Omission
from tests.simulation.omissions.stores import WipedStoreVotes
from tests.simulation.scenes.pairs import a_witness_that_alone_knows_the_newest_entry
from tests.simulation.scenes.rosters import (
    a_tie_breaker_that_moves,
    a_voter_of_the_roster_whose_disk_was_lost,
    two_leaders_who_each_add_a_vote,
    two_learners_at_a_leader_that_is_cut_off,
    two_of_three_founders_start_again_after_two_have_joined,
)
from tests.simulation.workloads.shares import SharesWorkload


class TwoAtOnce(Core):
    """Rule 22: all that is to be done is done with one entry."""

    class _Leader(Leader):
        class _Stewardship(Stewardship):
            def next_change(self, now_ns: int) -> Roster | None:
                change = newest = super().next_change(now_ns)
                while newest is not None:
                    change, newest = newest, steward.next_change(newest, self._situation(now_ns))
                return change

        def _new_stewardship(self) -> Stewardship:
            return self._Stewardship(self.replica, self.replication, self.elected_ns)

    def _new_leader(self, expired: str | None, now_ns: int) -> Leader:
        return self._Leader(self.replica, expired, now_ns)


class BeforeOwnCommit(Core):
    """Raft's first description: a leader changes the roster before an entry of its term is committed."""

    class _Leader(Leader):
        class _Stewardship(Stewardship):
            def _may_change(self) -> bool:
                rosters = self.replica.rosters
                return rosters.is_settled(self.replica.commit) or rosters.fallback is None

        def _new_stewardship(self) -> Stewardship:
            return self._Stewardship(self.replica, self.replication, self.elected_ns)

        def declare(self, now_ns: int) -> None:
            super().declare(now_ns)
            if not self.may_grant(now_ns) and (change := self.stewardship.next_change(now_ns)) is not None:
                self.append(change, now_ns)

    def _new_leader(self, expired: str | None, now_ns: int) -> Leader:
        return self._Leader(self.replica, expired, now_ns)


def _moved(roster: Roster, situation: Situation) -> Iterator[Roster]:
    wished = situation.tie_breaker
    if roster.tie_breaker != wished and any(one.name == wished and one.votes for one in roster.members):
        yield Roster(roster.members, roster.removed, wished, f"{wished} breaks ties now")


def _always(old: Electorate, new: Electorate) -> bool:
    return True


class FromCommitOn(Rosters):
    """Raft, chapter 4: who votes is what the newest *committed* roster says."""

    @property
    def _counting(self) -> Roster:
        return self.committed or self.founding

    @property
    def electorate(self) -> Electorate:
        return electorate_of(self._counting)

    def member(self, name: str) -> Member | None:
        return member_of(self._counting, name)


class WitnessNeverLeads(Core):
    """A witness votes, and leaves it to others to stand."""

    class _Suffrage(Suffrage):
        @property
        def stands(self) -> bool:
            own = self._rosters.member(self.name)
            return super().stands and not (own is not None and own.witness)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.replica.suffrage.__class__ = self._Suffrage


OMISSIONS = (
    Omission(
        "witness-never-leads",
        "witness",
        "a witness does not stand for election, for it holds nothing",
        Cast(WitnessNeverLeads),
        scene=a_witness_that_alone_knows_the_newest_entry,
    ),
    Omission(
        "two-changes",
        "22",
        "all changes of the roster that are due are made with one entry",
        Cast(TwoAtOnce),
        scene=two_learners_at_a_leader_that_is_cut_off,
    ),
    Omission(
        "change-before-commit",
        "22",
        "a leader changes the roster before an entry of its term is committed",
        Cast(BeforeOwnCommit),
        scene=two_leaders_who_each_add_a_vote,
    ),
    Omission(
        "tie-breaker-moves",
        "22",
        "the extra vote goes from one to the other with one entry",
        Cast(plants=((steward, "_tie_breaker", _moved), (steward, "intersects", _always))),
        scene=a_tie_breaker_that_moves,
    ),
    Omission(
        "store-of-the-roster",
        "21",
        "a voter of the roster is its name, whatever its store remembers",
        Cast(WipedStoreVotes),
        scene=a_voter_of_the_roster_whose_disk_was_lost,
    ),
    Omission(
        "roster-from-commit",
        "Raft 4.1",
        "a roster counts once it is committed",
        Cast(plants=((replica, "Rosters", FromCommitOn),), workload=SharesWorkload((10_000,))),
        scene=two_of_three_founders_start_again_after_two_have_joined,
    ),
)
