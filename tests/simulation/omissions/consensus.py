"""Mistakes of consensus itself: Raft, and rule 7."""

from __future__ import annotations

from typing import Any

from daemon.cluster.core import Core, Ready, quorum
from daemon.cluster.core.elections import Elections
from daemon.cluster.core.follower import Follower
from daemon.cluster.core.leader import Leader
from tests.simulation.cast import Cast
from tests.simulation.omissions.omission import Omission
from tests.simulation.scenes.consensus import (
    a_disk_says_that_it_has_synced,
    a_leader_that_has_come_by_a_snapshot,
    a_node_comes_back_from_far_away,
    a_voter_loses_its_power_after_the_election,
    an_old_entry_on_a_majority,
    the_power_fails_after_a_commit,
    two_candidates_in_one_term,
)


class VoteBeforeFsync(Core):
    """Rule 7: votes leave before they are on disk."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.replica.send_when_stable = self.replica.send  # type: ignore[method-assign]


class AnswerBeforeFsync(Core):
    """Rule 7: entries are confirmed before they are on disk."""

    class _Follower(Follower):
        def _confirmed(self) -> int:
            return self._verified

    def _new_follower(self) -> Follower:
        return self._Follower(self.replica)


class DoubleVote(Core):
    """Raft: a voter gives everybody its vote who asks."""

    class _Elections(Elections):
        def _is_free_for(self, candidate: str) -> bool:
            return True

    def _new_elections(self) -> Elections:
        return self._Elections(self.replica)


class NoPreVote(Core):
    """Raft, 9.6: whoever hears no leader raises its term and asks for votes at once."""

    class _Elections(Elections):
        def _ask(self, now_ns: int) -> None:
            self._campaign(now_ns)

        def stand_at_ns(self, now_ns: int) -> int:
            return max(self._promise_end_ns(), self._not_before_ns)

    def _new_elections(self) -> Elections:
        return self._Elections(self.replica)


class AppliesBackwards(Core):
    """Raft, 5.3: entries that are committed together are handed out in any order."""

    def ready(self) -> Ready:
        ready = super().ready()
        ready.committed.reverse()
        return ready


class CommitsByCounting(Core):
    """Raft, 5.4.2: what is on a majority of disks counts as committed, whatever its term."""

    class _Leader(Leader):
        def committable(self) -> int:
            matches = self.replication.matches()
            matches[self.replica.name] = self.replica.disk.stable_index
            return max(self.replica.commit, quorum.reached(matches, self.replica.electorate) or 0)

    def _new_leader(self, expired: str | None, now_ns: int) -> Leader:
        return self._Leader(self.replica, expired, now_ns)


class ForgetsTheSnapshotsHead(Core):
    """Raft, 7: a snapshot that has come from the leader restores the state, and not who takes part and votes."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        admissions = self.replica.admissions
        admissions.restored = lambda head: None  # type: ignore[method-assign]


OMISSIONS = (
    Omission(
        "vote-fsync",
        "7",
        "votes leave before they are on disk",
        Cast(VoteBeforeFsync),
        scene=a_voter_loses_its_power_after_the_election,
    ),
    Omission(
        "answer-fsync",
        "7",
        "entries are confirmed before they are on disk",
        Cast(AnswerBeforeFsync),
        scene=the_power_fails_after_a_commit,
    ),
    Omission(
        "double-vote",
        "Raft 5.2",
        "a voter gives everybody its vote who asks",
        Cast(DoubleVote),
        scene=two_candidates_in_one_term,
    ),
    Omission(
        "pre-vote",
        "Raft 9.6",
        "whoever hears no leader raises its term and asks for votes at once",
        Cast(NoPreVote),
        scene=a_node_comes_back_from_far_away,
    ),
    Omission(
        "apply-order",
        "Raft 5.3",
        "entries that are committed together are handed out in any order",
        Cast(AppliesBackwards),
        first_seed=0,
    ),
    Omission(
        "old-term-commit",
        "Raft 5.4.2",
        "what is on a majority of disks counts as committed, whatever its term",
        Cast(CommitsByCounting),
        scene=an_old_entry_on_a_majority,
    ),
    Omission(
        "snapshot-head",
        "Raft 7",
        "a snapshot from the leader restores the state, and not who takes part and votes",
        Cast(ForgetsTheSnapshotsHead),
        scene=a_leader_that_has_come_by_a_snapshot,
    ),
    Omission(
        "lying-disk",
        "store",
        "the disk says that it has synced, and has not",
        Cast(lying_disks=True),
        scene=a_disk_says_that_it_has_synced,
    ),
)
