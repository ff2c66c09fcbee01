"""Elections, rules 2 to 6."""

from __future__ import annotations

from typing import Any

from daemon.cluster.core import Core
from daemon.cluster.core.follower import Follower
from daemon.cluster.core.leader import Leader
from daemon.cluster.messages import AppendAnswer
from tests.simulation.cast import Cast
from tests.simulation.omissions.omission import Omission
from tests.simulation.scenes.elections import (
    a_leader_hands_over,
    a_leader_hands_over_and_is_not_heard_any_more,
    a_leader_that_one_follower_does_not_hear,
    a_leader_whose_entries_do_not_arrive,
    a_leader_with_a_slow_clock,
    followers_that_start_again,
)


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


class LeadsOnAfterATransfer(Core):
    """Rule 10: a leader hands over and goes on leading until it hears of the next one."""

    def _abdicate(self, why: str, now_ns: int) -> None:
        if not why.startswith("it hands over"):
            super()._abdicate(why, now_ns)


class SkipsAfterATransfer(Core):
    """Rule 10: whoever is elected by a transfer uses rule 18."""

    def _become_leader(self, now_ns: int) -> None:
        self.elections.by_transfer = False
        super()._become_leader(now_ns)


class NeverAbdicates(Core):
    """Rule 9: a leader leads for as long as it is answered."""

    class _Leader(Leader):
        def commit_is_overdue(self, now_ns: int) -> bool:
            return False

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
    Omission(
        "own-promise",
        "4",
        "a leader does not promise itself anything",
        Cast(UnboundLeader),
        scene=a_leader_that_one_follower_does_not_hear,
    ),
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
        first_seed=100,
    ),
    Omission(
        "abdication",
        "9",
        "a leader leads for as long as it is answered, whether it can commit or not",
        Cast(NeverAbdicates),
        scene=a_leader_whose_entries_do_not_arrive,
    ),
    Omission(
        "transfer-stop",
        "10",
        "a leader hands over and goes on leading until it hears of the next one",
        Cast(LeadsOnAfterATransfer),
        scene=a_leader_hands_over,
    ),
    Omission(
        "transfer-skip",
        "10",
        "whoever is elected by a transfer declares the former leader lost at once",
        Cast(SkipsAfterATransfer),
        scene=a_leader_hands_over_and_is_not_heard_any_more,
    ),
)
