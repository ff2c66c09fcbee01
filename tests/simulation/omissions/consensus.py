"""Mistakes of consensus itself: Raft, and rule 7."""

from __future__ import annotations

from typing import Any

from daemon.cluster.core import Core
from daemon.cluster.core.elections import Elections
from daemon.cluster.core.follower import Follower
from tests.simulation.cast import Cast
from tests.simulation.omissions.omission import Omission


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


OMISSIONS = (
    Omission("vote-fsync", "7", "votes leave before they are on disk", Cast(VoteBeforeFsync)),
    Omission("answer-fsync", "7", "entries are confirmed before they are on disk", Cast(AnswerBeforeFsync)),
    Omission("double-vote", "Raft 5.2", "a voter gives everybody its vote who asks", Cast(DoubleVote)),
)
