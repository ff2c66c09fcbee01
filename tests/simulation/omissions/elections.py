"""Elections, rules 2 to 6."""

from __future__ import annotations

from typing import Any

from daemon.cluster.core import Core
from daemon.cluster.core.follower import Follower
from daemon.cluster.core.leader import Leader
from daemon.cluster.messages import AppendAnswer
from tests.simulation.cast import Cast
from tests.simulation.omissions.omission import Omission
from tests.simulation.scenes.elections import a_leader_with_a_slow_clock, followers_that_start_again


class NoPromise(Core):
    """Rule 2: a voter forgets at once that it has just heard a leader."""

    class _Follower(Follower):
        def _promise(self, now_ns: int) -> None:
            self.replica.promise.until_ns = now_ns

    def _new_follower(self) -> Follower:
        return self._Follower(self.replica)


class PromiseWithoutDrift(Core):
    """Rule 2: P = LL, as if all clocks ran alike."""

    class _Follower(Follower):
        def _promise(self, now_ns: int) -> None:
            promise = self.replica.promise
            promise.until_ns = max(promise.until_ns, now_ns + self.replica.timers.leadership_lease_ns)

    def _new_follower(self) -> Follower:
        return self._Follower(self.replica)


class PromiseToATerm(Core):
    """Rule 3: a new term ends the promise."""

    def _adopt(self, term: int, why: str, now_ns: int) -> None:
        super()._adopt(term, why, now_ns)
        self.replica.promise.until_ns = now_ns


class UnboundLeader(Core):
    """Rule 4: a leader does not promise itself anything."""

    class _Leader(Leader):
        def _bind_itself(self, now_ns: int) -> None:
            pass

    def _new_leader(self, expired: str | None, now_ns: int) -> Leader:
        return self._Leader(self.replica, expired, now_ns)


class NoBootWait(Core):
    """Rule 5: a process votes as soon as it has started."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.replica.promise.until_ns = self._now_ns


class LeadershipFromAnswer(Core):
    """Rule 6: the leadership lease counts from the answers, not from the sending."""

    class _Leader(Leader):
        def answered(self, sender: str, answer: AppendAnswer, now_ns: int) -> None:
            super().answered(sender, answer, now_ns)
            self.rounds.count_from(sender, now_ns)

    def _new_leader(self, expired: str | None, now_ns: int) -> Leader:
        return self._Leader(self.replica, expired, now_ns)


OMISSIONS = (
    Omission(
        "promise", "2", "a voter forgets at once that it has just heard a leader", Cast(NoPromise), first_seed=0
    ),
    Omission(
        "promise-drift",
        "2",
        "P = LL, as if all clocks ran alike",
        Cast(PromiseWithoutDrift),
        scene=a_leader_with_a_slow_clock,
    ),
    Omission("sticky-promise", "3", "a new term ends the promise", Cast(PromiseToATerm)),
    Omission("own-promise", "4", "a leader does not promise itself anything", Cast(UnboundLeader)),
    Omission(
        "boot-wait",
        "5",
        "a process votes as soon as it has started",
        Cast(NoBootWait),
        scene=followers_that_start_again,
    ),
    Omission(
        "ll-from-send",
        "6",
        "the leadership lease counts from the answers, not from the sending",
        Cast(LeadershipFromAnswer),
        first_seed=40,
    ),
)
