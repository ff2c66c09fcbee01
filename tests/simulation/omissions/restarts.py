"""Restart leases (LEASES.md, Policies: a bounded restart lease is logged before the daemon starts again)."""

from __future__ import annotations

from daemon.cluster.core import Core
from daemon.cluster.core.leader import Leader
from daemon.cluster.core.restarts import Restarts
from tests.simulation.cast import Cast
from tests.simulation.omissions.omission import Omission
from tests.simulation.scenes.restarts import (
    RESTART_MS,
    a_host_with_a_slow_clock_restarts,
    the_commit_is_heard_late,
    the_leader_dies_while_a_daemon_restarts,
    the_leader_itself_restarts,
    the_next_process_dies_before_it_has_touched_the_kernel,
    the_next_process_dies_before_its_first_grant,
    the_next_process_takes_its_time_with_the_kernel,
)


class NewLeaderForgetsRestarts(Core):
    """A leader knows only of the restarts that it has logged itself."""

    class _Leader(Leader):
        def _loss_due_ns(self, name: str) -> int:
            known = name in self.restarts._appended_ns
            return super()._loss_due_ns(name) if known else self.grants.loss_due_ns(name)

    def _new_leader(self, expired: str | None, now_ns: int) -> Leader:
        return self._Leader(self.replica, expired, now_ns)


class RestartFromCommit(Core):
    """The restart lease counts from when the leaving process learns that it is committed."""

    def _restart_end_ns(self, restart: object) -> int:
        return self._now_ns + RESTART_MS * 1_000_000


class RestartWithoutDrift(Core):
    """A restart is over after its duration on the leader's clock, as if all clocks ran alike."""

    class _Leader(Leader):
        def _loss_due_ns(self, name: str) -> int:
            timers = self.replica.timers
            early_ns = timers.restart_over_after_ns(RESTART_MS) - RESTART_MS * 1_000_000
            over_ns = self.restarts.over_ns(name, self.replica.admissions.tail.get(name))
            return max(self.grants.loss_due_ns(name), over_ns - early_ns)

    def _new_leader(self, expired: str | None, now_ns: int) -> Leader:
        return self._Leader(self.replica, expired, now_ns)


class AdmissionEndsRestart(Core):
    """The admission of the next process ends the account, though the long deadline is in the kernel still."""

    class _Leader(Leader):
        def _loss_due_ns(self, name: str) -> int:
            standing = self.replica.admissions.tail.get(name)
            restarts = standing is not None and standing.restarts
            return super()._loss_due_ns(name) if restarts else self.grants.loss_due_ns(name)

    def _new_leader(self, expired: str | None, now_ns: int) -> Leader:
        return self._Leader(self.replica, expired, now_ns)


class LongDeadlineStays(Core):
    """The next process says that its kernel holds the admission, and leaves the long deadline in it."""

    def inherited_deadline_ns(self, kernel_until_ns: int, now_ns: int) -> int:
        return kernel_until_ns


class RestartedLeaderIsExpired(Core):
    """Rule 18 for a former leader that restarts."""

    class _Leader(Leader):
        def _loss_due_ns(self, name: str) -> int:
            return 0 if name == self.grants.expired else super()._loss_due_ns(name)

    def _new_leader(self, expired: str | None, now_ns: int) -> Leader:
        leader = self._Leader(self.replica, expired, now_ns)
        leader.grants.expired = expired
        return leader


class WordOfTheNextProcessIsNoGrant(Core):
    """That the long deadline is gone ends the account, and nothing is counted from then."""

    class _Restarts(Restarts):
        def heard(self, peer: object, standing: object) -> bool:
            super().heard(peer, standing)  # type: ignore[arg-type]
            return False

    def _new_leader(self, expired: str | None, now_ns: int) -> Leader:
        leader = super()._new_leader(expired, now_ns)
        tail, peers = self.replica.admissions.tail, self.replica.membership.peers
        leader.restarts = self._Restarts(tail, peers, self.replica.timers, now_ns)
        return leader


OMISSIONS = (
    Omission(
        "restart-forgotten",
        "Policies",
        "a leader knows only of the restarts that it has logged itself",
        Cast(NewLeaderForgetsRestarts),
        scene=the_leader_dies_while_a_daemon_restarts,
    ),
    Omission(
        "restart-from-commit",
        "Policies",
        "the duration counts from when the leaving process learns of the commit",
        Cast(RestartFromCommit),
        scene=the_commit_is_heard_late,
    ),
    Omission(
        "restart-drift",
        "Policies",
        "over after its duration on the leader's clock, as if all clocks ran alike",
        Cast(RestartWithoutDrift),
        scene=a_host_with_a_slow_clock_restarts,
    ),
    Omission(
        "restart-until-admission",
        "Policies",
        "the admission of the next process ends the account of the long deadline",
        Cast(AdmissionEndsRestart),
        scene=the_next_process_dies_before_it_has_touched_the_kernel,
    ),
    Omission(
        "restart-deadline-stays",
        "Policies",
        "the next process leaves the long deadline in its kernel",
        Cast(LongDeadlineStays),
        scene=the_next_process_dies_before_its_first_grant,
    ),
    Omission(
        "restart-word-is-no-grant",
        "Policies",
        "nothing is counted from when the next process says that its deadline is in force",
        Cast(WordOfTheNextProcessIsNoGrant),
        scene=the_next_process_takes_its_time_with_the_kernel,
    ),
    Omission(
        "restart-of-a-leader",
        "Policies",
        "rule 18 for a former leader that restarts",
        Cast(RestartedLeaderIsExpired),
        scene=the_leader_itself_restarts,
    ),
)
